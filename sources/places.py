"""Where raw data lies: a plain path or an fsspec URI, never percent-decoded."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from io import BufferedReader
from stat import S_ISLNK
from typing import IO, NamedTuple, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import InputError
from schemas.redaction import redacted
from storage.access import ROOTS, confinement

_LOCAL = LocalFileSystem()
_MEMBER = "member://"
"""Members of archives: what is checked is the archive, when it is opened in its turn."""


def locate(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URI and the path in it. What has no `scheme://` is a local path, whatever its name holds.

    Raises:
        schemas.errors.InputError: DATACLAW_ROOTS is set, and it leads elsewhere, perhaps through a link.
    """
    access = confinement()
    if access is not None and not uri.startswith(_MEMBER) and (cause := access.refusal(uri)) is not None:
        raise InputError(redacted(uri), cause, f"Copy it below one of the roots, or have {ROOTS} name its place")
    if "://" not in uri:
        return _LOCAL, os.path.abspath(uri)
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, path


def is_local(fs: AbstractFileSystem) -> bool:
    return isinstance(fs, LocalFileSystem)


def to_uri(fs: AbstractFileSystem, path: str) -> str:
    """The URI under which :func:`locate` finds this path again. Local paths stay plain."""
    return path if is_local(fs) else cast(str, fs.unstrip_protocol(path))


def open_binary(uri: str) -> IO[bytes]:
    """Opens a file for reading, seekable."""
    fs, path = locate(uri)
    file = fs.open(path, "rb")
    # What comes from a store does not know all that a file of Python's does, such as `readline` with a size.
    return cast(IO[bytes], file) if is_local(fs) else BufferedReader(file)


class Entry(NamedTuple):
    """A file or folder by its path and its name in the folder that holds it."""

    path: str
    name: str
    is_folder: bool


def entries(fs: AbstractFileSystem, folder: str) -> list[Entry]:
    """What a folder holds, in natural order. Hidden names (.git, ._clip.mp4) are left out.

    Raises:
        OSError: it cannot be listed.
    """
    return in_order(listed(fs, folder))


def in_order(found: Iterable[Entry]) -> list[Entry]:
    """In the natural order of their names."""
    return sorted(found, key=lambda entry: natural(entry.name))


def listed(fs: AbstractFileSystem, folder: str) -> Iterator[Entry]:
    """What a folder holds, as it comes: for those who need a glance at it, or little of it.

    Raises:
        OSError: it cannot be listed.
    """
    if is_local(fs):
        # Not by `ls`, which looks at every file: names are all that is asked for.
        with os.scandir(folder) as found:
            for one in found:
                if not one.name.startswith("."):
                    link = one.is_symlink()
                    yield Entry(one.path, one.name, os.path.isdir(one.path) if link else one.is_dir())
        return
    for info in fs.ls(folder, detail=True):
        path = info["name"].rstrip("/")
        name = basename(path)
        # Stores list a folder inside itself; archives may list links to folders as something else.
        is_folder = info["type"] == "directory" or (info["type"] in ("link", "other") and fs.isdir(path))
        if not name.startswith(".") and path != folder.rstrip("/"):
            yield Entry(path, name, is_folder)


def file_sign(stat: os.stat_result) -> str:
    """Changes whenever a local file may have changed: size, times in nanoseconds and inode."""
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


def listing_sign(fs: AbstractFileSystem, files: Iterable[Entry]) -> str | None:
    """Changes whenever one of a folder's files may have changed, or there is one more or one less. None where that
    cannot be told at a glance: in a store, or beside links, which lead elsewhere."""
    if not is_local(fs):
        return None
    signs = []
    for file in files:
        try:
            stat = os.lstat(file.path)
        except OSError:
            return None
        if S_ISLNK(stat.st_mode):
            return None
        signs.append(f"{file.name}/{file_sign(stat)}")
    return hashlib.sha256("/".join(sorted(signs)).encode(errors="surrogateescape")).hexdigest()


def basename(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def parent(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] or "/"


def split_suffix(name: str) -> tuple[str, str]:
    """A file name as its stem and its suffix in lower case (`("clip.en", ".vtt")`)."""
    stem, suffix = os.path.splitext(name)
    return stem, suffix.lower()


def natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key by which clip2 comes before clip10."""
    parts = [part for part in re.split(r"([0-9]+)", name) if part]
    return [_number(part) if part[0] in "0123456789" else (1, 0, part.casefold()) for part in parts], name


def _number(digits: str) -> tuple[int, int, str]:
    """Digits in the order of their numbers, without making one: names inside files may have thousands of them."""
    short = digits.lstrip("0")
    return 0, len(short), short
