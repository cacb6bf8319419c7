"""Where someone speaks: silero-vad through ONNX, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sources.base import Samples

RATE = 16000
"""Samples per second that silero-vad and Whisper hear."""
WINDOW = 512
"""Samples that are judged at once: 32 ms."""
CELL = 400
"""Windows (12.8 s) judged together. Cells lie on a grid from the start of the stream, so that how a stream is cut into
segments changes no judgement; speech that never pauses is cut once in each, so that a piece is shorter than two."""
WARM = 200
"""Windows (6.4 s) heard before a cell, so that the model's memory is as if it had heard everything before."""
_CONTEXT = 64
"""Samples before a window that the model sees with it."""
_FILE = "silero_vad_16k_sequence.onnx"

Judged = NDArray[np.float32]
"""(n,) for each window the probability that someone speaks."""


def weights() -> Path | None:
    """The model inside the package silero-vad; None when it is not there. Importing the package would import torch."""
    package = find_spec("silero_vad")
    if package is None or package.origin is None:
        return None
    file = Path(package.origin).parent / "data" / _FILE
    return file if file.is_file() else None


class Silero:
    """The model that carries its memory from window to window over a whole cell in one call."""

    def __init__(self, file: Path) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        # An engine runs a worker on each CPU already.
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        self._session: Any = InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def __call__(self, sound: Samples) -> Judged:
        """Judges (n * WINDOW,) samples as if silence went before them."""
        windows = np.asarray(sound, np.float32).reshape(-1, WINDOW)
        before = np.zeros((len(windows), _CONTEXT), np.float32)
        before[1:] = windows[:-1, -_CONTEXT:]
        memory = np.zeros((1, 1, 128), np.float32)
        heard = {"input": np.concatenate([before, windows], axis=1), "h": memory, "c": memory}
        return np.asarray(self._session.run(["speech_probs"], heard)[0], np.float32).reshape(-1)


def cells(blocks: Iterable[Samples], first: int) -> Iterator[tuple[Samples, int]]:
    """The sound of each cell from the cell `first` on, with that before it, and how many windows go before. `blocks`
    begin at :func:`begin_of` that cell. The last window is filled up with silence."""
    ahead = CELL * first - begin_of(first)
    kept = np.zeros(0, np.float32)
    wanted = (ahead + CELL) * WINDOW
    waiting: list[Samples] = []
    for block in blocks:
        waiting.append(block)
        if len(kept) + sum(len(part) for part in waiting) < wanted:
            continue
        kept = np.concatenate([kept, *waiting])
        waiting = []
        while len(kept) >= wanted:
            yield kept[:wanted], ahead
            # All that goes before the next cell, up to what it is warmed with.
            before = min(ahead + CELL, WARM)
            kept = kept[(ahead + CELL - before) * WINDOW :]
            ahead, wanted = before, (before + CELL) * WINDOW
    kept = np.concatenate([kept, *waiting])
    if len(kept) > ahead * WINDOW:
        yield np.concatenate([kept, np.zeros(-len(kept) % WINDOW, np.float32)]), ahead


def begin_of(cell: int) -> int:
    """The window from which a cell must be heard."""
    return max(0, CELL * cell - WARM)


@dataclass(frozen=True)
class Manner:
    """What counts as speech. `threshold`: the probability from which a window is speech; it ends where windows stay
    0.15 below it for `min_silence` seconds. What is not longer than `min_speech` seconds is none; `pad` seconds are
    added at both ends."""

    threshold: float = 0.5
    min_silence: float = 0.2
    min_speech: float = 0.25
    pad: float = 0.1

    @property
    def low(self) -> float:
        return max(self.threshold - 0.15, 0.01)

    @property
    def silent(self) -> int:
        """Windows below `low` that end speech."""
        return max(1, int(np.ceil(self.min_silence * RATE / WINDOW)))


@dataclass(frozen=True)
class Piece:
    """Speech without a pause, or a part of it where it goes on too long; seconds from the start of the stream."""

    t0: float
    t1: float
    confidence: float


def runs(judged: Judged, manner: Manner) -> list[tuple[int, int]]:
    """Where speech begins and ends, in windows: as silero-vad's own get_speech_timestamps finds it, before padding."""
    found = []
    begin: int | None = None
    quiet: int | None = None
    for window, probability in enumerate(judged.tolist()):
        if probability >= manner.threshold:
            quiet = None
            if begin is None:
                begin = window
        elif begin is not None and probability < manner.low:
            quiet = window if quiet is None else quiet
            if (window - quiet) * WINDOW >= manner.min_silence * RATE:
                found.append((begin, quiet))
                begin = quiet = None
    if begin is not None:
        found.append((begin, len(judged)))
    return [(begin, end) for begin, end in found if (end - begin) * WINDOW > manner.min_speech * RATE]


def pieces(judged: Judged, first: int, manner: Manner) -> list[Piece]:
    """The speech in windows of which the first has the number `first`, a multiple of CELL. Speech that fills a cell is
    cut where it is least sure in the middle half of it, so that no piece is tiny."""
    found = []
    # Padded pieces never touch unless one goes on in the other.
    pad = min(manner.pad, 0.4 * manner.min_silence)
    for begin, end in runs(judged, manner):
        cuts = [begin]
        for cell in range(-(-begin // CELL) * CELL, end - CELL + 1, CELL):
            middle = cell + CELL // 4
            cuts.append(middle + int(np.argmin(judged[middle : middle + CELL // 2])))
        for start, stop in pairwise([*cuts, end]):
            t0, t1 = ((first + window) * WINDOW / RATE for window in (start, stop))
            found.append(
                Piece(
                    t0=round(max(0.0, t0 - (pad if start == begin else 0.0)), 6),
                    t1=round(t1 + (pad if stop == end else 0.0), 6),
                    confidence=float(judged[start:stop].mean()),
                )
            )
    return found
