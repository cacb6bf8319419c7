"""Reader of pictures: a folder of them is one stream, a lone one too. Their time scale is nominal."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from fsspec import AbstractFileSystem
from PIL import Image, ImageOps, UnidentifiedImageError

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording
from sources.frame import Frame, Pixels
from sources.identity import stream_sha256
from sources.places import basename, entries, open_binary, split_suffix, to_uri
from sources.sizes import fit, shrink
from sources.video import SUFFIXES as VIDEO_SUFFIXES

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SECONDS = 1.0
"""Nominal time a picture stays on screen."""


class PictureFrame:
    """A picture as a frame: see :class:`sources.frame.Frame`."""

    def __init__(self, pixels: Pixels, time: float, index: int) -> None:
        self.time = time
        self.index: int | None = index
        self.height, self.width = pixels.shape[:2]
        self._pixels = pixels
        self._cache: dict[tuple[str, int, int], Pixels] = {}

    def rgb(self, max_side: int | None = None) -> Pixels:
        size = fit(self.width, self.height, max_side)
        key = ("rgb", *size)
        if key not in self._cache:
            self._cache[key] = shrink(self._pixels, *size)
        return self._cache[key]

    def gray(self, max_side: int | None = None) -> Pixels:
        size = fit(self.width, self.height, max_side)
        key = ("gray", *size)
        if key not in self._cache:
            self._cache[key] = cast(Pixels, cv2.cvtColor(self.rgb(max_side), cv2.COLOR_RGB2GRAY))
        return self._cache[key]


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say: size in pixels after EXIF rotation, and format."""

    width: int
    height: int
    codec: str


def read_header(uri: str, max_pixels: int | None = None) -> Header:
    """Looks at a picture without decoding it.

    Raises:
        schemas.errors.InputError: it is no picture, or has more than `max_pixels` pixels.
    """
    with _opened(uri) as picture:
        width, height = picture.size
        if max_pixels is not None and width * height > max_pixels:
            raise InputError(
                uri,
                f"the picture has {width} x {height} pixels, more than the {max_pixels} allowed",
                "Raise sampling.max_pixels in the recipe, or scale it down",
            )
        if picture.getexif().get(0x0112, 1) >= 5:
            width, height = height, width
        return Header(width, height, (picture.format or "").lower())


def read_pixels(uri: str) -> Pixels:
    """A picture as (height, width, 3) uint8, turned as its EXIF says, transparent parts on white.

    Raises:
        schemas.errors.InputError: it is no picture, or it breaks off.
    """
    with _opened(uri) as picture:
        try:
            turned = ImageOps.exif_transpose(picture)
            if turned.mode.startswith(("I", "F")):
                # Sixteen bits and more: Pillow would clip them.
                wide = np.asarray(turned, np.float64)
                top = 65535.0 if wide.max(initial=0) > 255 else 255.0
                turned = Image.fromarray((wide / top * 255).clip(0, 255).astype(np.uint8))
            if turned.has_transparency_data:
                rgba = turned.convert("RGBA")
                turned = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            return np.asarray(turned.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(uri, f"the picture is damaged: {error}", "Copy it again") from error


@contextmanager
def _opened(uri: str) -> Iterator[Image.Image]:
    """A picture of which only the header has been read. Closes the file whatever happens."""
    try:
        with open_binary(uri) as file, Image.open(file) as picture:
            yield picture
    except UnidentifiedImageError as error:
        raise InputError(uri, "is not a picture", "Give a picture, or leave it out") from error
    except Image.DecompressionBombError as error:
        raise InputError(uri, "the picture is too large to be read safely", "Scale it down") from error
    except OSError as error:
        raise InputError(uri, f"cannot be read: {error.strerror or error}", "Check the file") from error


class PictureRecording(Recording):
    """Pictures, each on screen from its time on."""

    def __init__(self, pictures: Sequence[tuple[float, str]], texts: Sequence[str] = ()) -> None:
        self._pictures = pictures
        self._texts = texts

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    def texts(self) -> Sequence[str]:
        return self._texts

    def frames(self, t0: float, t1: float, rate: float | None, include_end: bool = False) -> Iterator[Frame]:
        tick = 0
        for index, (time, uri) in enumerate(self._pictures):
            if time < t0 or time > t1 or (time == t1 and not include_end):
                continue
            if rate is not None:
                if time < t0 + tick / rate - 1e-6:
                    continue
                tick = int((time - t0) * rate + 1e-6) + 1
            yield PictureFrame(read_pixels(uri), time, index)

    def frames_at(self, times: Sequence[float]) -> Iterator[Frame]:
        begins = [time for time, _ in self._pictures]
        last: PictureFrame | None = None
        for time in sorted(times):
            index = max(bisect_right(begins, time + 1e-6) - 1, 0)
            if last is None or last.index != index:
                last = PictureFrame(read_pixels(self._pictures[index][1]), begins[index], index)
            yield last


class ImageSource:
    """Folders of pictures, and lone pictures."""

    name = "images"
    default_domain = Domain.AIGC

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        if fs.isfile(root):
            return split_suffix(root)[1] in SUFFIXES
        if not fs.isdir(root):
            return False
        inside = entries(fs, root)
        suffixes = {split_suffix(entry.name)[1] for entry in inside}
        return bool(suffixes & set(SUFFIXES)) and not (
            any(entry.is_folder for entry in inside) or suffixes & set(VIDEO_SUFFIXES)
        )

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        uri = to_uri(fs, root)
        if fs.isfile(root):
            yield Candidate(split_suffix(basename(root))[0], self.name, uri, (("picture", uri),))
            return
        pictures = [entry for entry in entries(fs, root) if split_suffix(entry.name)[1] in SUFFIXES]
        yield Candidate(
            basename(root), self.name, uri, tuple(("picture", to_uri(fs, entry.path)) for entry in pictures)
        )

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        headers, notes = [], [f"nominal time: {SECONDS:g} s for each picture"]
        for part in parts:
            try:
                headers.append(read_header(part.uri))
            except InputError as error:
                if len(parts) == 1:
                    raise
                notes.append(f"left out {basename(part.uri)}: {error.problem.cause}")
                continue
            read_header(part.uri, max_pixels)
        if not headers:
            raise InputError(candidate.uri, "none of its pictures can be read", "Copy them again")
        track = Track(
            kind=TrackKind.IMAGES,
            name="pictures",
            codec=headers[0].codec,
            width=max(header.width for header in headers),
            height=max(header.height for header in headers),
            rate=1 / SECONDS,
            items=len(headers),
        )
        return Stream(
            sha256=stream_sha256(parts, candidate.selector),
            uri=candidate.uri,
            name=candidate.name,
            domain=domain,
            format=self.name,
            parts=parts,
            tracks=(track,),
            duration=len(parts) * SECONDS,
            notes=tuple(notes),
        )

    def open(self, stream: Stream) -> Recording:
        pictures = [(index * SECONDS, part.uri) for index, part in enumerate(stream.parts)]
        return PictureRecording([(time, uri) for time, uri in pictures if _is_picture(uri)])


def _is_picture(uri: str) -> bool:
    try:
        read_header(uri)
    except InputError:
        return False
    return True
