"""From a place to described streams: what is there, what it is made of, what it holds."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, StreamPart
from sources.base import Candidate, Recording, Source
from sources.cameras import MARK, chosen
from sources.identity import fingerprint, hash_parts, stream_sha256
from sources.places import basename, entries, is_local, locate, parent, split_suffix, to_uri
from sources.roster import SOURCES, reader

__all__ = ["discover", "fingerprint", "hash_parts", "open_recording", "probe", "stream_sha256"]

VIDEO_FORMAT, IMAGE_FORMAT = "video", "images"
_DEEPEST = 64
_TOO_DEEP = f"it lies more than {_DEEPEST} folders below the place that is looked through"


def discover(source: SourceSpec) -> Iterator[Candidate | Problem]:
    """The streams at a source's place, lazily, in natural order of their names, and what is wrong there.

    A folder is taken whole by the first reader that claims it, structured formats first; else its files are taken one
    by one and its folders are looked into. Names are unique within the source: the path below its root. Files of no
    known format (README, LICENSE, notes) are passed over; a place that holds no stream at all is a Problem, never
    silence.

    A URI may end in `#selector` to pick streams out of files that hold many: `omniglot.npz#train`,
    `omniglot.npz#train/0:50`, `lerobot_set#29`. The rule: what exists as it is written is a path; only else the part
    after its last `#` is a selector. Behind an `@` it names the cameras of episodes that are wanted, each as a stream
    of its own: `lerobot_set#29@wrist`, `lerobot_set#@*` (see sources/cameras.py).

    Raises:
        schemas.errors.UsageError: the format named in the source has no reader.
    """
    readers = [reader(name) for name in ([source.format] if source.format else SOURCES.names)]
    try:
        fs, path, selector = _place(source.uri)
    except InputError as error:
        yield error.problem
        return
    if not fs.exists(path):
        yield _absent(fs, path)
        return
    taken: set[str] = set()
    found = False
    for root, item in _below(fs, path, readers, ()):
        for one in _picked(item, selector) if selector else (item,):
            found = True
            if isinstance(one, Problem):
                yield one
            else:
                prefix = "" if root == path else root[len(path) : -len(basename(root))].strip("/")
                name = f"{prefix}/{one.name}" if prefix else one.name
                yield replace(one, name=_unique(name, one, taken))
    if not found:
        yield Problem(
            input=source.uri,
            cause=_nothing(fs, path, selector),
            remedy=f"Check the path. Formats looked for: {', '.join(reader.name for reader in readers)}",
        )


def absent(uri: str) -> Problem | None:
    """What is wrong with a source's place when nothing is there; None when something is."""
    try:
        fs, path, _ = _place(uri)
    except InputError as error:
        return error.problem
    return None if fs.exists(path) else _absent(fs, path)


def _place(uri: str) -> tuple[AbstractFileSystem, str, str]:
    """The file system, path and selector of a source."""
    fs, path = locate(uri)
    path = path.rstrip("/") or path
    before, mark, after = path.rpartition("#")
    if mark and not fs.exists(path) and fs.exists(before):
        return fs, before, after
    return fs, path, ""


def probe(candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain | None, max_pixels: int) -> Stream:
    """Describes a candidate; without a domain it is that of its format.

    Raises:
        schemas.errors.InputError: it cannot be read, or its pictures have more than `max_pixels` pixels.
    """
    source = reader(candidate.format)
    return source.probe(candidate, parts, domain or source.default_domain, max_pixels)


def open_recording(stream: Stream) -> Recording:
    """Opens a probed stream with the reader of its format.

    Raises:
        schemas.errors.InputError: it cannot be read any more.
    """
    return reader(stream.format).open(stream)


def _below(
    fs: AbstractFileSystem, path: str, readers: Sequence[Source], above: tuple[str, ...]
) -> Iterator[tuple[str, Candidate | Problem]]:
    """Streams with the place (file or folder) that a reader claimed for them. `above`: the real folders around it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = path.encode("utf-8", "backslashreplace").decode()
        yield path, Problem(input=shown, cause="its name is not valid UTF-8", remedy="Rename it")
        return
    try:
        locate(to_uri(fs, path))  # a link may lead where nothing may be read
        claimant = next((reader for reader in readers if reader.claims(fs, path)), None)
        if claimant is None:
            if not fs.isdir(path):
                return
            real = os.path.realpath(path) if is_local(fs) else path
            if real in above:
                return  # a link to a folder above: what it holds is found there
            if len(above) >= _DEEPEST:
                yield path, Problem(input=to_uri(fs, path), cause=_TOO_DEEP, remedy="Name a folder further down")
                return
            inside = entries(fs, path)
    except InputError as error:
        yield path, error.problem
        return
    except OSError as error:
        cause = f"cannot be read: {error.strerror or error}"
        yield path, Problem(input=to_uri(fs, path), cause=cause, remedy="Check its permissions")
        return
    if claimant is not None:
        for item in claimant.find(fs, path):
            yield path, item
        return
    # Pictures beside videos are covers and thumbnails.
    files = [entry for entry in inside if not entry.is_folder]
    video = next((reader for reader in readers if reader.name == VIDEO_FORMAT), None)
    covers = video is not None and any(video.claims(fs, entry.path) for entry in files)
    for_files = [reader for reader in readers if not (covers and reader.name == IMAGE_FORMAT)]
    for entry in inside:
        yield from _below(fs, entry.path, readers if entry.is_folder else for_files, (*above, real))


def _unique(name: str, item: Candidate, taken: set[str]) -> str:
    """The name, with the file's suffix and then a number when it is taken (clip.mp4 and clip.mkv)."""
    if name in taken:
        name += split_suffix(item.parts[0][1])[1]
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name} ({number})", number + 1
    taken.add(unique)
    return unique


def _absent(fs: AbstractFileSystem, path: str) -> Problem:
    folder = parent(path)
    beside = [entry.name for entry in entries(fs, folder)] if fs.isdir(folder) else []
    close = difflib.get_close_matches(basename(path), beside, n=1)
    hint = f"Did you mean {folder.rstrip('/')}/{close[0]}?" if close else "Check the path"
    return Problem(input=to_uri(fs, path), cause="there is no such file or folder", remedy=hint)


def _nothing(fs: AbstractFileSystem, path: str, selector: str) -> str:
    if selector:
        return f"no stream here is selected by {selector!r}"
    if fs.isdir(path) and not entries(fs, path):
        return "the folder is empty"
    return "nothing here is a stream of a known format"


def _picked(item: Candidate | Problem, selector: str) -> Iterator[Candidate | Problem]:
    """The streams of an item that a selector picks: the item itself, or the cameras it names."""
    if isinstance(item, Problem):
        return
    if _selected(item.selector, selector):
        yield item
        return
    episodes, mark, cameras = selector.rpartition(MARK)
    if mark and (not episodes or _selected(item.selector, episodes)):
        yield from chosen(reader(item.format), item, cameras)


def _selected(own: str, wanted: str) -> bool:
    """Whether a stream's selector (`train/17`) is the wanted one, below it (`train`) or in its range (`train/0:50`)."""
    if own == wanted or own.startswith(f"{wanted}/"):
        return True
    group, _, span = wanted.rpartition("/")
    own_group, _, number = own.rpartition("/")
    limits = re.fullmatch(r"([0-9]{0,18}):([0-9]{0,18})", span)
    if limits is None or group != own_group or not re.fullmatch(r"[0-9]{1,18}", number):
        return False
    begin, end = limits.groups()
    return int(begin or 0) <= int(number) and (not end or int(number) < int(end))
