"""Writing films, subtitles and truths so that the same input gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Spoken = tuple[float, float, str]
"""A cue: seconds of its begin and end, its text."""

BITEXACT = {"fflags": "+bitexact"}
"""No version of a library and no random identifier in the file."""


@cache
def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font that Pillow carries."""
    return ImageFont.load_default(size)


def canvas(size: tuple[int, int], colour: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", size, colour)
    return picture, ImageDraw.Draw(picture)


def write_video(path: Path, pictures: Iterable[Image.Image], rate: int, quality: int = 20) -> None:
    """Encodes pictures of one size and of even sides at a constant rate: H.264, or VP8 for a webm file."""
    with av.open(str(path), "w", options=BITEXACT) as container:
        stream = None
        for index, picture in enumerate(pictures):
            if stream is None:
                webm = path.suffix == ".webm"
                stream = container.add_stream("libvpx" if webm else "libx264", rate=rate)
                stream.width, stream.height = picture.size
                stream.pix_fmt = "yuv420p"
                stream.codec_context.thread_count = 1  # the bytes depend on the number of threads
                # x264's macroblock tree gives other bytes in each run, even with one thread.
                stream.options = (
                    {"crf": str(quality), "b:v": "1M", "deadline": "good", "cpu-used": "5"}
                    if webm
                    else {"crf": str(quality), "preset": "veryfast", "g": str(rate * 4), "x264-params": "mbtree=0"}
                )
            # Not swscale: on the way to YUV it does not give the same bytes each time.
            planes = np.asarray(cv2.cvtColor(np.asarray(picture), cv2.COLOR_RGB2YUV_I420), np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def write_srt(path: Path, cues: Sequence[Spoken]) -> None:
    blocks = (f"{n}\n{_stamp(a, ',')} --> {_stamp(b, ',')}\n{text}\n" for n, (a, b, text) in enumerate(cues, 1))
    path.write_text("\n".join(blocks), encoding="utf-8")


def write_vtt(path: Path, cues: Sequence[Spoken]) -> None:
    blocks = ("WEBVTT\n", *(f"{_stamp(a, '.')} --> {_stamp(b, '.')}\n{text}\n" for a, b, text in cues))
    path.write_text("\n".join(blocks), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _stamp(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
