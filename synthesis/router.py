"""Which expert model a task goes to: a linear classifier over what is asked and what there is to see.

The domain that a recipe or a reader gives a stream is no feature: a router that copied it would only repeat it, and be
wrong wherever it is.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.anchor import AnchorKind
from schemas.stream import TrackKind
from synthesis.base import Evidence
from synthesis.intent.meaning import embedding

Floats = NDArray[np.float64]
VERSION = 1
_KINDS = tuple(sorted(str(kind) for kind in AnchorKind))
_TRACKS = tuple(sorted(str(kind) for kind in TrackKind))


@dataclass(frozen=True)
class Route:
    """Where a task goes. `expert` is None when no expert is likely enough: Omni takes it."""

    expert: str | None
    likeliest: str
    confidence: float
    """Of the likeliest expert, whether or not it was taken."""


@dataclass(frozen=True)
class Router:
    """p = softmax(W (x - mean) / scale + b) over `names`; below `least` nobody is sure enough.

    `weights` is (n, d), `bias` (n,), `mean` and `scale` (d,).
    """

    names: tuple[str, ...]
    weights: Floats
    bias: Floats
    mean: Floats
    scale: Floats
    least: float = 0.6

    def route(self, evidence: Evidence) -> Route:
        """The expert for a task on these streams."""
        return self._route(features(evidence))

    def route_words(self, text: str) -> Route:
        """The expert for a question of which there are only words: all else is taken as in the average task."""
        words = embedding(text).astype(np.float64)
        return self._route(np.concatenate([words, self.mean[len(words) :]]))

    def _route(self, x: Floats) -> Route:
        p = self.probabilities(x[None])[0]
        best = int(p.argmax())
        name, confidence = self.names[best], float(p[best])
        return Route(name if confidence >= self.least else None, name, confidence)

    def probabilities(self, x: Floats) -> Floats:
        """(m, n) from features (m, d)."""
        return softmax((x - self.mean) / self.scale @ self.weights.T + self.bias)

    def save(self, file: Path) -> None:
        arrays = {name: getattr(self, name).tolist() for name in ("weights", "bias", "mean", "scale")}
        file.write_text(json.dumps({"version": VERSION, "names": self.names, "least": self.least, **arrays}))

    @classmethod
    def load(cls, file: Path) -> Router:
        """Raises:
        ValueError: it is no router of this version.
        """
        return cls.parse(file.read_bytes())

    @classmethod
    def parse(cls, saved: bytes) -> Router:
        """What :meth:`save` wrote.

        Raises:
            ValueError: it is no router of this version.
        """
        held = json.loads(saved)
        if held.get("version") != VERSION:
            raise ValueError(f"this is no router of version {VERSION}")
        arrays = {name: np.asarray(held[name], dtype=np.float64) for name in ("weights", "bias", "mean", "scale")}
        return cls(names=tuple(held["names"]), least=float(held["least"]), **arrays)


def features(evidence: Evidence) -> Floats:
    """(d,): the meaning of the sentence asked, which tracks there are, and how many facts of each kind (log1p, for each
    minute)."""
    minutes = max(1.0, sum(stream.duration for stream in evidence.streams)) / 60.0
    kinds = Counter(str(anchor.kind) for anchor in evidence.anchors)
    tracks = {str(track.kind) for stream in evidence.streams for track in stream.tracks}
    return np.concatenate(
        [
            embedding(evidence.spec.intent.text).astype(np.float64),
            np.array([float(name in tracks) for name in _TRACKS]),
            np.log1p(np.array([kinds[name] for name in _KINDS]) / minutes),
        ]
    )


def softmax(x: Floats) -> Floats:
    """Over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))
