"""Reader of pictures: a folder of them is one stream, a lone one too. Their time scale is nominal."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from fsspec import AbstractFileSystem
from PIL import Image, ImageOps, UnidentifiedImageError

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording
from sources.frame import Pixels
from sources.identity import described
from sources.pictures import StillRecording
from sources.places import basename, entries, listed, open_binary, split_suffix, to_uri
from sources.video import SUFFIXES as VIDEO_SUFFIXES

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
SECONDS = 1.0
"""Nominal time a picture stays on screen."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF")
"""What Pillow may take a picture for, whatever its name says. Among the formats that it knows beside these is one that
hands the file to Ghostscript, which runs programs."""
_DAMAGES = (OSError, ValueError, SyntaxError, EOFError, struct.error)
"""What Pillow raises for damaged pictures."""

# Pillow's own limit warns from 89 million pixels on and refuses from 179 million on, whatever the recipe allows. Here
# every picture is held against an explicit limit before it is decoded.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Header:
    """What the first bytes of a picture say: size in pixels after EXIF rotation, and format."""

    width: int
    height: int
    codec: str


def examine(uri: str, max_pixels: int | None = None) -> Header:
    """Looks at a picture: at its size first, and only when that is allowed, whether it can be decoded to its end.

    Raises:
        schemas.errors.InputError: it is no picture, breaks off, or has more than `max_pixels` pixels.
    """
    with _opened(uri, max_pixels) as picture:
        header = _header(picture)
        picture.draft(None, (1, 1))  # a JPEG is checked at an eighth of its size
        picture.load()
        return header


def measure(uri: str, data: bytes, max_pixels: int | None = None) -> Header:
    """What the header of an encoded picture says, without decoding it. `uri` is what errors call it.

    Raises:
        schemas.errors.InputError: it is no picture, or has more than `max_pixels` pixels.
    """
    with _opened(uri, max_pixels, data) as picture:
        return _header(picture)


def read_pixels(uri: str, max_pixels: int | None = None, data: bytes | None = None) -> Pixels:
    """A picture as (height, width, 3) uint8, turned as its EXIF says, transparent parts on white.

    Args:
        uri: where it lies; with `data` only what errors call it.
        max_pixels: a larger one is refused from its header.
        data: the encoded picture, where it is no file of its own.

    Raises:
        schemas.errors.InputError: it is no picture, breaks off, or has more than `max_pixels` pixels.
    """
    with _opened(uri, max_pixels, data) as picture:
        turned = ImageOps.exif_transpose(picture)
        if turned.mode.startswith(("I", "F")):
            # Sixteen bits and more: Pillow would clip them.
            wide = np.asarray(turned, np.float32)
            top = 65535.0 if wide.max(initial=0) > 255 else 255.0
            turned = Image.fromarray((wide / top * 255).clip(0, 255).astype(np.uint8))
        if turned.has_transparency_data:
            rgba = turned.convert("RGBA")
            turned = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return np.asarray(turned.convert("RGB"))


def _header(picture: Image.Image) -> Header:
    width, height = picture.size
    if picture.getexif().get(0x0112, 1) >= 5:
        width, height = height, width
    return Header(width, height, (picture.format or "").lower())


@contextmanager
def _opened(uri: str, max_pixels: int | None, data: bytes | None = None) -> Iterator[Image.Image]:
    """A picture of which only the header has been read. Closes the file whatever happens."""
    try:
        with open_binary(uri) if data is None else BytesIO(data) as file:
            head = file.read(30)
            if not head:
                raise InputError(uri, "the file is empty (zero bytes)", "Copy it again")
            _allow(uri, _webp_size(head), max_pixels)
            file.seek(0)
            with Image.open(file, formats=_FORMATS) as picture:
                _allow(uri, picture.size, max_pixels)
                yield picture
    except UnidentifiedImageError as error:
        raise InputError(uri, "is not a picture", "Give a picture, or leave it out") from error
    except FileNotFoundError as error:
        raise InputError(uri, "no such file", "Copy it again") from error
    except _DAMAGES as error:
        raise InputError(uri, f"the picture cannot be read: {error}", "Copy it again") from error


def _allow(uri: str, size: tuple[int, int], max_pixels: int | None) -> None:
    width, height = size
    if max_pixels is not None and width * height > max_pixels:
        raise InputError(
            uri,
            f"the picture has {width} x {height} pixels, more than the {max_pixels} allowed",
            "Raise sampling.max_pixels in the recipe, or scale it down",
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height of a WebP picture from its first 30 bytes, (0, 0) for others: opening one with Pillow already
    sets up a canvas of its size."""
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0, 0
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", head[26:30])
    return width & 0x3FFF, height & 0x3FFF


class PictureRecording(StillRecording):
    """Pictures given as (seconds, URI), each on screen from its time on."""

    def __init__(
        self, pictures: Sequence[tuple[float, str]], texts: Sequence[str] = (), max_pixels: int | None = None
    ) -> None:
        super().__init__([time for time, _ in pictures])
        self._uris = [uri for _, uri in pictures]
        self._texts = texts
        self._max_pixels = max_pixels

    def close(self) -> None:
        """Nothing stays open between two pictures."""

    def texts(self) -> Sequence[str]:
        return self._texts

    def pixels(self, index: int) -> Pixels:
        return read_pixels(self._uris[index], self._max_pixels)


class ImageSource:
    """Folders of pictures, and lone pictures."""

    name = "images"
    default_domain = Domain.AIGC
    suffixes = SUFFIXES

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        if fs.isfile(root):
            return split_suffix(root)[1] in SUFFIXES
        if not fs.isdir(root):
            return False
        pictures = False
        for entry in listed(fs, root):
            suffix = split_suffix(entry.name)[1]
            if entry.is_folder or suffix in VIDEO_SUFFIXES:
                return False
            pictures = pictures or suffix in SUFFIXES
        return pictures

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
        track, notes = describe_pictures(candidate.uri, [part.uri for part in parts], max_pixels)
        return described(candidate, parts, domain, (track,), len(parts) * SECONDS, notes)

    def open(self, stream: Stream) -> Recording:
        return open_pictures(stream, [part.uri for part in stream.parts])


_LEFT_OUT = re.compile(r"picture ([0-9]+) left out ")


def describe_pictures(uri: str, pictures: Sequence[str], max_pixels: int) -> tuple[Track, list[str]]:
    """The track of pictures that are shown one after another, and notes on those that cannot be read.

    Raises:
        schemas.errors.InputError: none of them can be read.
    """
    headers, notes = [], [f"nominal time: {SECONDS:g} s for each picture"]
    for number, picture in enumerate(pictures, 1):
        try:
            headers.append(examine(picture, max_pixels))
        except InputError as error:
            if len(pictures) == 1:
                raise
            notes.append(f"picture {number} left out ({basename(picture)}): {error.problem.cause}")
    if not headers:
        raise InputError(uri, "none of its pictures can be read", "Copy them again")
    track = Track(
        kind=TrackKind.IMAGES,
        name="pictures",
        codec=headers[0].codec,
        width=max(header.width for header in headers),
        height=max(header.height for header in headers),
        rate=1 / SECONDS,
        items=len(headers),
    )
    return track, notes


def open_pictures(stream: Stream, pictures: Sequence[str], texts: Sequence[str] = ()) -> PictureRecording:
    """Those of the pictures that :func:`describe_pictures` kept, each shown for its nominal time."""
    # The notes are what keeps its verdict: numbers, because files may have been renamed since.
    left_out = {int(found[1]) for note in stream.notes if (found := _LEFT_OUT.match(note))}
    kept = [(index * SECONDS, picture) for index, picture in enumerate(pictures) if index + 1 not in left_out]
    # None is larger than what probe saw: a file that changed since is refused.
    width, height = stream.tracks[0].width, stream.tracks[0].height
    return PictureRecording(kept, texts, max_pixels=width * height if width and height else None)
