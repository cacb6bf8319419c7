"""From a place to described streams: what is there, what it is made of, what it holds."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, StreamPart
from sources.base import Candidate, OfFiles, Recording, Source
from sources.cameras import MARK, chosen
from sources.identity import fingerprint, hash_parts, stream_sha256
from sources.places import (
    Entry,
    basename,
    entries,
    in_order,
    is_local,
    listed,
    listing_sign,
    locate,
    parent,
    split_suffix,
    to_uri,
)
from sources.roster import SOURCES, reader

__all__ = ["discover", "fingerprint", "hash_parts", "open_recording", "probe", "stream_sha256"]

VIDEO_FORMAT, IMAGE_FORMAT = "video", "images"
_Found = tuple[str, Candidate | Problem | None]
"""A stream, or what is wrong, with the place (file or folder) that a reader claimed for it. None: what was found there
before was passed over."""
_WORTH_A_SIGN = 64
"""Files in a folder, so that it is worth remembering what was found in it."""
_DEEPEST = 64
_TOO_DEEP = f"it lies more than {_DEEPEST} folders below the place that is looked through"


class KnownFolders(Protocol):
    """Whoever remembers what was found in folders, so that it need not be found again."""

    def passed(self, folder: str, sign: str) -> bool:
        """Whether the files of a folder whose listing has this sign can be passed over, as holding nothing new."""
        ...

    def seen(self, folder: str, streams: int) -> None:
        """Hears of one that was asked about and not passed: so many streams are in it, each made of its own files
        alone."""
        ...


def discover(source: SourceSpec, known: KnownFolders | None = None) -> Iterator[Candidate | Problem]:
    """The streams at a source's place, lazily, in natural order of their names, and what is wrong there.

    A folder is taken whole by the first reader that claims it, structured formats first; else its files are taken one
    by one and its folders are looked into. Names are unique within the source: the path below its root. Files of no
    known format (README, LICENSE, notes) are passed over; a place that holds no stream at all is a Problem, never
    silence.

    A URI may end in `#selector` to pick streams out of files that hold many: `omniglot.npz#train`,
    `omniglot.npz#train/0:50`, `lerobot_set#29`. The rule: what exists as it is written is a path; only else the part
    after its last `#` is a selector. Behind an `@` it names the cameras of episodes that are wanted, each as a stream
    of its own: `lerobot_set#29@wrist`, `lerobot_set#@*` (see sources/cameras.py).

    Args:
        known: is asked before the files of a folder are taken one by one, and told when they all were.

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
    names = _Names()
    found = False
    for root, item in _at(fs, path, readers, known):
        if item is None:
            found = True
            continue
        for one in _picked(item, selector) if selector else (item,):
            found = True
            if isinstance(one, Problem):
                yield one
            else:
                prefix = "" if root == path else root[len(path) : -len(basename(root))].strip("/")
                yield replace(one, name=names.unique(prefix, one))
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


def _at(fs: AbstractFileSystem, path: str, readers: Sequence[Source], known: KnownFolders | None) -> Iterator[_Found]:
    if fs.isdir(path):
        yield from _below(fs, path, readers, (), known)
    else:
        yield from _file(fs, path, readers)


def _below(
    fs: AbstractFileSystem,
    folder: str,
    readers: Sequence[Source],
    above: tuple[str, ...],
    known: KnownFolders | None,
) -> Iterator[_Found]:
    """The streams of a folder. `above`: the real folders around it."""
    try:
        claimant = _claimant(fs, folder, readers)
        if claimant is None:
            real = os.path.realpath(folder) if is_local(fs) else folder
            if real in above:
                return  # a link to a folder above: what it holds is found there
            if len(above) >= _DEEPEST:
                yield folder, Problem(input=to_uri(fs, folder), cause=_TOO_DEEP, remedy="Name a folder further down")
                return
            inside = list(listed(fs, folder))
            if _is_corpus(fs, folder, inside):
                return
    except (InputError, OSError) as error:
        yield folder, _unreadable(fs, folder, error)
        return
    if claimant is not None:
        for whole in claimant.find(fs, folder):
            yield folder, whole
        return
    files = [entry for entry in inside if not entry.is_folder]
    sign = listing_sign(fs, files) if known is not None and len(files) >= _WORTH_A_SIGN else None
    if known is not None and sign is not None and known.passed(folder, sign):
        yield folder, None
        inside = [entry for entry in inside if entry.is_folder]
    readers_of = _ReadersOfFiles(fs, files, readers)
    streams, alone = 0, True
    for entry in in_order(inside):
        if entry.is_folder:
            yield from _below(fs, entry.path, readers, (*above, real), known)
            continue
        for root, item in _file(fs, entry.path, readers_of(entry.name)):
            streams += 1
            alone = alone and isinstance(item, Candidate) and all(parent(uri) == folder for _, uri in item.parts)
            yield root, item
    if known is not None and sign is not None and streams and alone:
        known.seen(folder, streams)


def _is_corpus(fs: AbstractFileSystem, folder: str, inside: Sequence[Entry]) -> bool:
    """Whether a folder is a corpus (storage/corpus.py): what was built from streams is none.

    Raises:
        OSError: it cannot be looked at.
    """
    if not any(entry.name == "corpus.json" and not entry.is_folder for entry in inside):
        return False
    try:
        identity = json.loads(fs.cat_file(f"{folder}/corpus.json"))
    except ValueError:
        return False
    return isinstance(identity, dict) and {"id", "name", "format"} == identity.keys()


class _ReadersOfFiles:
    """Who is worth asking whether a file of a folder is theirs."""

    def __init__(self, fs: AbstractFileSystem, files: Sequence[Entry], readers: Sequence[Source]) -> None:
        # Pictures beside videos are covers and thumbnails.
        video = next((reader for reader in readers if reader.name == VIDEO_FORMAT), None)
        covers = video is not None and any(video.claims(fs, file.path) for file in files)
        self._readers = [reader for reader in readers if not (covers and reader.name == IMAGE_FORMAT)]
        self._of_suffix: dict[str, list[Source]] = {}

    def __call__(self, name: str) -> list[Source]:
        suffix = split_suffix(name)[1]
        if suffix not in self._of_suffix:
            self._of_suffix[suffix] = [reader for reader in self._readers if _may_claim(reader, suffix)]
        return self._of_suffix[suffix]


def _file(fs: AbstractFileSystem, path: str, readers: Sequence[Source]) -> Iterator[_Found]:
    try:
        claimant = _claimant(fs, path, readers)
    except (InputError, OSError) as error:
        yield path, _unreadable(fs, path, error)
        return
    if claimant is not None:
        for item in claimant.find(fs, path):
            yield path, item


def _claimant(fs: AbstractFileSystem, path: str, readers: Sequence[Source]) -> Source | None:
    """The first reader that claims a place.

    Raises:
        InputError: it has no name that can be written down, or a link leads where nothing may be read.
        OSError: it may not be looked at.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = path.encode("utf-8", "backslashreplace").decode()
        raise InputError(shown, "its name is not valid UTF-8", "Rename it") from error
    locate(to_uri(fs, path))
    return next((reader for reader in readers if reader.claims(fs, path)), None)


def _may_claim(reader: Source, suffix: str) -> bool:
    """Whether it is worth asking a reader of files that end so. Of `.tar.gz` only `.gz` is known here."""
    return not isinstance(reader, OfFiles) or any(one.endswith(suffix) for one in reader.suffixes)


def _unreadable(fs: AbstractFileSystem, path: str, error: InputError | OSError) -> Problem:
    if isinstance(error, InputError):
        return error.problem
    cause = f"cannot be read: {error.strerror or error}"
    return Problem(input=to_uri(fs, path), cause=cause, remedy="Check its permissions")


class _Names:
    """Gives out names that are unique. Folders come one after the other, each whole: names are remembered for a folder
    and those around it, not for all."""

    def __init__(self) -> None:
        self._open: list[tuple[str, set[str]]] = [("", set())]

    def unique(self, prefix: str, item: Candidate) -> str:
        """The name below a folder, with the file's suffix and then a number when it is taken (clip.mp4 and
        clip.mkv)."""
        while (around := self._open[-1][0]) and prefix != around and not prefix.startswith(f"{around}/"):
            self._open.pop()
        if self._open[-1][0] != prefix:
            self._open.append((prefix, set()))
        taken = self._open[-1][1]
        name = item.name
        if name in taken:
            name += split_suffix(item.parts[0][1])[1]
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name} ({number})", number + 1
        taken.add(unique)
        return f"{prefix}/{unique}" if prefix else unique


def _absent(fs: AbstractFileSystem, path: str) -> Problem:
    folder = parent(path)
    beside = [entry.name for entry in entries(fs, folder)] if fs.isdir(folder) else []
    close = difflib.get_close_matches(basename(path), beside, n=1)
    hint = f"Did you mean {folder.rstrip('/')}/{close[0]}?" if close else "Check the path"
    return Problem(input=to_uri(fs, path), cause="there is no such file or folder", remedy=hint)


def _nothing(fs: AbstractFileSystem, path: str, selector: str) -> str:
    if selector:
        return f"no stream here is selected by {selector!r}"
    if fs.isdir(path):
        inside = entries(fs, path)
        if not inside:
            return "the folder is empty"
        if _is_corpus(fs, path, inside):
            return "it is a corpus, and no raw stream is looked for in one"
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
