"""Members of tar archives as files of their own, by the place of their bytes: nothing is unpacked.

A member has a URI (`member://1536-306//data/shard.tar/000010.png`: bytes from 1536 on, 306 of them), so that whatever
reads a file reads a member too. Its name is only the end of that URI: it never becomes a path.

Archives that are compressed with gzip are read through indexed_gzip, which keeps points to begin from.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, cast
from urllib.parse import quote, unquote

import fsspec
from fsspec import AbstractFileSystem
from indexed_gzip import IndexedGzipFile

from schemas.errors import InputError
from sources.identity import fingerprint
from sources.places import open_binary

PROTOCOL = "member"
_BLOCK = 512
_LARGEST_HEADER = 1 << 24
_GZIP = b"\x1f\x8b"
_MOST_MEMBERS = 1 << 20
"""Files that one archive may hold: their names and places are kept in memory."""
_MOST_RATIO = 200
"""Times that a compressed archive may grow..."""
_ALWAYS_ALLOWED = 1 << 30
"""...beyond this many bytes. gzip can do a thousand; pictures, films and their captions stay below ten."""
_DAMAGES = (tarfile.TarError, OSError, ValueError, EOFError, RecursionError)
"""What tarfile and indexed_gzip raise for damaged archives; the last for names that announce names without an end."""


@dataclass(frozen=True)
class Member:
    """A file of an archive: its name there, and where its bytes begin in the archive (unpacked, where compressed)."""

    name: str
    begin: int
    size: int

    def uri(self, archive: str) -> str:
        """The URI under which it is read. `::` would chain file systems, so colons are escaped."""
        place = archive.replace("%", "%25").replace(":", "%3A")
        return f"{PROTOCOL}://{self.begin}-{self.size}/{place}/{quote(self.name, safe='')}"


@dataclass(frozen=True)
class Archive:
    """The files of an archive in their order. `damage` says why it ends early, if it does; `points` are where reading
    may begin, for a compressed one."""

    members: tuple[Member, ...]
    damage: str
    points: bytes


def read_archive(uri: str) -> Archive:
    """The members of an archive by their headers alone. Links, folders and devices are none. Kept while the file does
    not change.

    Raises:
        schemas.errors.InputError: the file cannot be read.
    """
    return _archive(uri, fingerprint(uri))


@lru_cache(maxsize=16)
def _archive(uri: str, sign: str) -> Archive:
    members: list[Member] = []
    damage, points = "", b""
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_Unpacked(uri))
            try:
                for member in _walk(file.content, file.allowed):
                    if len(members) >= _MOST_MEMBERS:
                        raise tarfile.ReadError(f"more than {_MOST_MEMBERS} files")
                    members.append(member)
            except _DAMAGES as error:
                damage = f"it is damaged or cut off: {error}"
            points = file.points()
    except OSError as error:
        raise InputError(
            uri, f"cannot be read: {error.strerror or error}", "Check the file and its permissions"
        ) from error
    return Archive(tuple(members), damage, points)


def _walk(file: IO[bytes], allowed: int | None) -> Iterator[Member]:
    """The regular files of a tar, each when all of its bytes are known to be there.

    Args:
        file: the tar, unpacked as it is read.
        allowed: bytes to which it may unpack; None when it is not compressed.

    Raises:
        tarfile.TarError, OSError, ValueError, RecursionError: it is no tar, breaks off, or is made to do harm.
    """
    whole: Member | None = None
    end_before = 0
    with tarfile.open(fileobj=cast(IO[bytes], _Headers(file)), mode="r:") as tar:
        while True:
            # Looking for the next header fails where the bytes of this member end early.
            found = tar.next()
            if whole is not None:
                yield whole
            if found is None:
                break
            # A size below zero, which extended headers can give, would lead back to headers that were read before.
            if found.size < 0 or tar.offset <= end_before:
                raise tarfile.ReadError(f"the header at byte {found.offset} leads back")
            end_before = tar.offset
            if allowed is not None and end_before > allowed:  # before it is unpacked
                raise tarfile.ReadError(f"it unpacks to {end_before} bytes or more, where {allowed} are allowed")
            cast(Any, tar).members = []  # tarfile would remember every member
            plain = found.isreg() and not found.issparse()
            whole = Member(found.name, found.offset_data, found.size) if plain else None
        # tarfile ends in silence at a header that it cannot read.
        file.seek(tar.offset)
        end = file.read(_BLOCK)
    if len(end) < _BLOCK or end.strip(b"\0"):
        raise tarfile.ReadError(f"no header and no end mark at byte {tar.offset}")


class _Headers:
    """A file of which tarfile reads headers: none of them is given more memory than a header may need."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file = file

    def read(self, size: int) -> bytes:
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


class _Unpacked:
    """An open archive; `content` is its tar, unpacked as it is read where it is compressed."""

    def __init__(self, uri: str, points: bytes = b"") -> None:
        with ExitStack() as stack:
            file = stack.enter_context(open_binary(uri))
            compressed = file.read(2) == _GZIP
            self.allowed = max(_ALWAYS_ALLOWED, _MOST_RATIO * file.seek(0, io.SEEK_END)) if compressed else None
            """Bytes to which it may unpack; None when it is not compressed."""
            file.seek(0)
            self.content: IO[bytes] = file
            if compressed:
                self.content = cast(IO[bytes], stack.enter_context(IndexedGzipFile(fileobj=file)))
                if points:
                    cast(Any, self.content).import_index(fileobj=io.BytesIO(points))
            self._handles = stack.pop_all()

    def points(self) -> bytes:
        """Where reading may begin in what has been read so far; nothing, where it may begin anywhere."""
        kept = io.BytesIO()
        if isinstance(self.content, IndexedGzipFile):
            self.content.export_index(fileobj=kept)
        return kept.getvalue()

    def close(self) -> None:
        self._handles.close()

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Slice(io.RawIOBase):
    """`size` bytes of an archive from `begin` on, as a file to read."""

    def __init__(self, archive: _Unpacked, begin: int, size: int) -> None:
        self._archive = archive
        self._begin, self._size = begin, size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = (0, self._place, self._size)[whence]
        self._place = max(start + offset, 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        count = min(len(buffer), max(self._size - self._place, 0))
        self._archive.content.seek(self._begin + self._place)
        data = self._archive.content.read(count)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._archive.close()
        super().close()


class MemberFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """The file system of member URIs. It knows single files only, and reads them."""

    protocol = PROTOCOL

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        _, size, _ = _parsed(self._strip_protocol(path))
        return {"name": path, "size": size, "type": "file"}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> IO[bytes]:
        if mode != "rb":
            raise OSError("members of archives are only read")
        begin, size, archive = _parsed(path)
        opened = _Unpacked(archive, read_archive(archive).points)
        return cast(IO[bytes], io.BufferedReader(_Slice(opened, begin, size)))


def _parsed(path: str) -> tuple[int, int, str]:
    """First byte, number of bytes, and the URI of the archive."""
    place, _, rest = path.partition("/")
    begin, _, size = place.partition("-")
    return int(begin), int(size), unquote(rest.rpartition("/")[0])


fsspec.register_implementation(PROTOCOL, MemberFileSystem, clobber=True)
