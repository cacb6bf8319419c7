"""Objects named in words: Grounding DINO finds them picture by picture, tracking says what they do.

Liu, Zeng, Ren and others, "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection"
(ECCV 2024), in the implementation of transformers. All queries stand in one prompt, `hand. cup. knife.`; for each box
the model says how well it goes with each token of it. A box therefore belongs to the query whose own tokens, by their
place in the prompt, it goes with best: a label that names half a query or parts of two is still given to one of those
that were asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from experts.base import Expert, Observer
from experts.batches import Batches
from experts.tracking import LEAD, Detected, Look, anchors_of, join_tracks, other_shot, thumbnail
from experts.weights import device_of, lacking_packages, weights_folder
from schemas.anchor import FactualAnchor
from schemas.errors import Problem, UsageError, unknown_name
from schemas.geometry import Box
from schemas.recipe import Scalar
from schemas.segment import Segment
from schemas.stream import Stream, TrackKind
from sources.base import Recording
from sources.frame import Frame, Pixels

WEIGHTS = "IDEA-Research/grounding-dino-tiny"

_DTYPES = ("float32", "float16", "bfloat16")
_SAME = 0.7  # overlap above which two boxes of one label are of one object
_DIGITS = 4  # of a place: a ten-thousandth of a frame, so that rounding in the last bits of the model changes nothing
_ASPECT = 9 / 16  # of a stream that does not tell its size

Finder = Callable[[Sequence[Pixels]], list[tuple[Detected, ...]]]
"""What is found in each of some (height, width, 3) RGB pictures of one size."""


class GroundingDino(Expert):
    """Finds `object.track`, `object.appear`, `object.move`, `object.disappear` and `object.contact`.

    Parameters: `queries`, what to look for, as `hand. cup. knife.`; `weights`, a folder or a hub id
    (IDEA-Research/grounding-dino-tiny); `box_threshold` (0.35) and `text_threshold` (0.25) in [0, 1], below which a box
    and its tie to a word are not believed; `rate` in pictures per second (the recipe's frame rate); `batch_size` (4);
    `device` (auto); `dtype` (float32). The observer counts one call for each picture searched.

    Contact is that of boxes in the picture: what lies behind a hand seems touched, so it is never surer than 0.7.
    """

    name = "grounding_dino"
    version = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.VIDEO})
    rate: ClassVar[float | str | None] = "recipe"
    lead = LEAD
    takes_queries: ClassVar[bool] = True
    """Where a recipe names no `queries`, tasks.queries gives it those of the intents."""

    known = ("queries", "weights", "box_threshold", "text_threshold", "rate", "batch_size", "device", "dtype")

    def __init__(self, **parameters: Scalar) -> None:
        super().__init__(**parameters)
        self.queries = parse_queries(str(parameters.get("queries", "")))
        self.box_threshold = _share("box_threshold", parameters.get("box_threshold", 0.35))
        self.text_threshold = _share("text_threshold", parameters.get("text_threshold", 0.25))
        if "rate" in parameters:
            # The ensemble asks the instance; the class keeps "recipe", by which signatures hold the recipe's rate.
            self.rate = _positive("rate", parameters["rate"])  # type: ignore[misc]
        self.batch_size = int(_positive("batch_size", parameters.get("batch_size", 4)))
        dtype = str(parameters.get("dtype", "float32"))
        if dtype not in _DTYPES:
            raise unknown_name("dtype of the expert grounding_dino", dtype, _DTYPES)
        for problem in lacking_packages(self.name, *_PACKAGES):
            raise UsageError(problem.input, problem.cause, problem.remedy)
        folder = _model_folder(str(parameters.get("weights", WEIGHTS)))
        self.network = Network(folder, self.queries, device_of(str(parameters.get("device", "auto"))), dtype)
        self.find: Finder = self._find
        self.batches = Batches(self.batch_size)

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        """Its packages, then its weights: fetched from the hub here, once, where they are not on the machine yet."""
        problems = lacking_packages(cls.name, *_PACKAGES)
        if problems:
            return problems
        try:
            _model_folder(str(parameters.get("weights", WEIGHTS)))
        except UsageError as error:
            return [error.problem]
        return []

    def start(self, recording: Recording, segment: Segment) -> Observer:
        return _ObjectObserver(self, segment)

    @classmethod
    def join(cls, stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
        """Puts together what a segment border cut: same label, the same place, times that touch."""
        sizes = ((t.width, t.height) for t in stream.tracks if t.kind == TrackKind.VIDEO)
        aspect = next((height / width for width, height in sizes if width and height), _ASPECT)
        return join_tracks(anchors, aspect)

    def _find(self, pictures: Sequence[Pixels]) -> list[tuple[Detected, ...]]:
        return [
            detected(scores, boxes, self.network.spans, self.queries, self.box_threshold, self.text_threshold)
            for scores, boxes in self.network(pictures)
        ]


_PACKAGES = ("torch", "transformers", "norfair")


class Network:
    """The model with its prompt: RGB pictures of one size in; for each, how well its boxes go with every token, and
    the boxes.

    Raises:
        UsageError: the folder holds no model that loads, or the queries are more than its prompt has room for.
    """

    def __init__(self, folder: Path, queries: Sequence[str], device: str, dtype: str) -> None:
        import torch
        from transformers import AutoProcessor, GroundingDinoForObjectDetection

        try:
            self._processor: Any = AutoProcessor.from_pretrained(folder)
            model: Any = GroundingDinoForObjectDetection.from_pretrained(folder, dtype=getattr(torch, dtype))
        except (OSError, ValueError, RuntimeError) as error:
            cause = f"its weights in {folder} do not load: {str(error).splitlines()[0]}"
            raise UsageError("expert grounding_dino", cause, _FETCH) from error
        self._model = model.to(device).eval()
        self._device = device
        self._dtype = getattr(torch, dtype)
        self._prompt, places = prompt_of(queries)
        encoded = self._processor.tokenizer(self._prompt, return_offsets_mapping=True)
        room = model.config.max_text_len
        if len(encoded["input_ids"]) > room:
            cause = f"its {len(queries)} queries take {len(encoded['input_ids'])} tokens, its prompt has {room}"
            raise UsageError("expert grounding_dino", cause, "Give fewer or shorter `queries`.")
        self.spans = [
            [token for token, (begin, end) in enumerate(encoded["offset_mapping"]) if first <= begin < end <= last]
            for first, last in places
        ]
        """For each query, which tokens of the prompt are its own."""
        size = self._processor.image_processor.size
        self._short, self._long = int(size["shortest_edge"]), int(size["longest_edge"])

    def side(self, width: int, height: int) -> int:
        """The longer side of what the model uses of a picture: nothing larger need be kept."""
        scale = min(self._short / min(width, height), self._long / max(width, height), 1.0)
        return max(1, round(scale * max(width, height)))

    def __call__(self, pictures: Sequence[Pixels]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """For each picture (boxes, tokens) scores in [0, 1] and (boxes, 4) centres and sizes, normalised."""
        import torch

        inputs = self._processor(
            images=[np.ascontiguousarray(picture) for picture in pictures],
            text=[self._prompt] * len(pictures),
            return_tensors="pt",
        ).to(self._device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self._dtype)
        with torch.inference_mode():
            out = self._model(**inputs)
            scores = out.logits.float().sigmoid().cpu().numpy()
            boxes = out.pred_boxes.float().cpu().numpy()
        return list(zip(scores, boxes, strict=True))


@dataclass
class _ObjectObserver(Observer):
    """Gathers pictures to a batch, keeps what was found in them, and follows it at the end."""

    expert: GroundingDino
    segment: Segment
    pending: list[tuple[float, Pixels, bool]] = field(default_factory=list)
    """Time, small picture, whether it is of another shot: at most one batch."""
    looks: list[Look] = field(default_factory=list)
    last: Pixels | None = None
    aspect: float | None = None

    def observe(self, frame: Frame) -> None:
        if self.aspect is None:
            self.aspect = frame.height / frame.width
        thumb = thumbnail(frame)
        cut = self.last is not None and other_shot(self.last, thumb)
        self.last = thumb
        picture = frame.rgb(self.expert.network.side(frame.width, frame.height))
        if self.pending and self.pending[0][1].shape != picture.shape:
            # Pictures of several sizes would be padded to one, and be seen otherwise than alone.
            self._search()
        self.pending.append((frame.time, picture, cut))
        if len(self.pending) == self.expert.batch_size:
            self._search()

    def finish(self) -> list[FactualAnchor]:
        self._search()
        return anchors_of(self.expert, self.segment, self.looks, self.aspect or _ASPECT)

    def _search(self) -> None:
        found = self.expert.batches.run(self.expert.find, [picture for _, picture, _ in self.pending])
        self.calls += len(self.pending)
        self.looks += [Look(time, things, cut) for (time, _, cut), things in zip(self.pending, found, strict=True)]
        self.pending.clear()


def parse_queries(text: str) -> tuple[str, ...]:
    """The phrases of `hand. cup. knife.`, each once.

    Raises:
        UsageError: there are none.
    """
    phrases = [" ".join(phrase.split()) for phrase in re.split(r"[.,;\n]", text)]
    queries = tuple({phrase.lower(): phrase for phrase in reversed(phrases) if phrase}.values())[::-1]
    if not queries:
        raise UsageError(
            "expert grounding_dino", "it has no queries", "Say what to look for, as queries: 'hand. cup. knife.'"
        )
    return queries


def prompt_of(queries: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The prompt as the model was trained on it, and from where to where each query stands in it."""
    prompt, places = "", []
    for query in queries:
        places.append((len(prompt), len(prompt) + len(query)))
        prompt += f"{query.lower()}. "
    return prompt.rstrip(), places


def detected(
    scores: NDArray[np.float32],
    boxes: NDArray[np.float32],
    spans: Sequence[Sequence[int]],
    queries: Sequence[str],
    box_threshold: float,
    text_threshold: float,
) -> tuple[Detected, ...]:
    """What one picture shows, the surest first.

    `scores`, (boxes, tokens), say how well a box goes with a token; `boxes`, (boxes, 4), are normalised centres and
    sizes; `spans` are the tokens of each query. A box counts when it goes with some token better than `box_threshold`.
    It is what the query asks of whose tokens it goes with the most, each as well as it does, those below
    `text_threshold` not at all; it is dropped when that is none. Of boxes that lie on each other under one query, the
    surest stays.
    """
    found: list[Detected] = []
    for place in sorted(range(len(scores)), key=lambda place: (-float(scores[place].max()), place)):
        sure = float(scores[place].max())
        if sure <= box_threshold:
            break
        believed = np.where(scores[place] > text_threshold, scores[place], 0.0)
        overlaps = [float(believed[list(span)].mean()) if span else 0.0 for span in spans]
        best = int(np.argmax(overlaps))
        if overlaps[best] == 0.0:
            continue
        x, y, width, height = (float(side) for side in boxes[place])
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        box = Box.clipped(*(round(corner, _DIGITS) for corner in corners))
        if box.area == 0.0:
            continue
        if not any(other.label == queries[best] and other.box.iou(box) > _SAME for other in found):
            found.append(Detected(queries[best], box, round(sure, _DIGITS)))
    return tuple(found)


_FETCH = f"Give `weights` as the folder of a Grounding DINO for transformers, such as {WEIGHTS}."


def _model_folder(weights: str) -> Path:
    """The folder of the weights, which say themselves that they are of this model."""
    folder = weights_folder(GroundingDino.name, weights)
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None
    if kind != "grounding-dino":
        cause = f"its weights {weights!r} hold {'no model' if kind is None else f'a model of the kind {kind!r}'}"
        raise UsageError(f"expert {GroundingDino.name}", cause, _FETCH)
    return folder


def _share(name: str, value: Scalar) -> float:
    if isinstance(value, str) or not 0.0 <= value <= 1.0:
        raise UsageError("expert grounding_dino", f"{name} {value!r} is not between 0 and 1", f"Mend `{name}`.")
    return float(value)


def _positive(name: str, value: Scalar) -> float:
    if isinstance(value, str) or not value > 0:
        raise UsageError("expert grounding_dino", f"{name} {value!r} is not above 0", f"Mend `{name}`.")
    return float(value)
