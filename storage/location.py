"""Where things lie: a file system and a folder on it. Nothing above this module knows whether the folder is local."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from schemas.errors import CorpusError, DataClawError
from schemas.manifest import inside
from storage import s3

_TEMPORARY = ".tmp"
_CONTENDED = 5
"""Times that a conditional put is tried when S3 says that another one was under way."""
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_REMEDIES = {
    errno.ENOSPC: "Free space there, or choose another place, and run again: nothing that was committed is lost",
    errno.EDQUOT: "Raise the quota or choose another place, and run again: nothing that was committed is lost",
    errno.EACCES: "Choose a folder you may write, or change its permissions",
    errno.EPERM: "Choose a folder you may write, or change its permissions",
    errno.EROFS: "It is mounted read-only: choose another folder",
    errno.ENOTDIR: "A file stands where a folder must be: choose another path",
    errno.EEXIST: "A file stands where a folder must be: choose another path",
    errno.ENAMETOOLONG: "Choose a shorter path",
}


def storage_error(place: str, doing: str, error: Exception) -> CorpusError:
    """The error of the file system as one a person can act on: what was being done where, why it failed, what helps."""
    if (said := s3.explain(error)) is not None:
        return CorpusError(place, f"{doing}: {said[0]}", said[1])
    number = getattr(error, "errno", None)
    cause = os.strerror(number) if number else str(error) or type(error).__name__
    remedy = _REMEDIES.get(number or 0, "Check that the storage can be reached and written, and run again")
    return CorpusError(place, f"{doing}: {cause}", remedy)


@dataclass(frozen=True)
class Stored:
    """A file as a listing shows it. `path` is relative to the location; `modified` is what the storage says."""

    path: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Location:
    """A folder on a file system. `root` is its path there, without a trailing slash."""

    fs: AbstractFileSystem = field(repr=False)
    root: str

    @classmethod
    def of(cls, uri: str | PathLike[str]) -> Location:
        """The location of a URI or a local path. What has no `scheme://` is a local path, whatever its name holds.

        Raises:
            CorpusError: no file system is known for the scheme, or it cannot be set up.
        """
        text = os.fspath(uri)
        if "://" not in text:
            return cls(LocalFileSystem(), os.path.abspath(text).rstrip("/"))
        try:
            if text.startswith(("s3://", "s3a://")):
                s3.prepare()
                fs, root = fsspec.core.url_to_fs(text, **s3.OPTIONS)
            else:
                fs, root = fsspec.core.url_to_fs(text)
        except (ValueError, ImportError) as error:
            raise CorpusError(text, str(error), "Use a path, or a URI of a file system that fsspec knows") from error
        return cls(fs, cast(str, root).rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether the folder lies on a disk of this machine, so that its path means something to other programs."""
        return isinstance(self.fs, LocalFileSystem)

    def join(self, relative: str) -> Location:
        """A folder or file below this one.

        Raises:
            CorpusError: the path leads out of the folder.
        """
        return Location(self.fs, self.path(relative))

    def path(self, relative: str = "") -> str:
        """The path of something below, as the file system takes it.

        Raises:
            CorpusError: the path leads out of the folder.
        """
        if not relative:
            return self.root
        try:
            return f"{self.root}/{inside(relative)}"
        except ValueError as error:
            raise CorpusError(self.root, str(error), "Only paths below the folder are read and written") from error

    def uri(self, relative: str = "") -> str:
        """A plain path for a local file, a URI for any other; :meth:`of` finds it again."""
        path = self.path(relative)
        return path if self.is_local else cast(str, self.fs.unstrip_protocol(path))

    def exists(self, relative: str = "") -> bool:
        """Whether there is a file or folder.

        Raises:
            CorpusError: the storage does not say.
        """
        with self.guarded(relative, "cannot be read"):
            return bool(self.fs.exists(self.path(relative)))

    def size(self, relative: str) -> int | None:
        """Bytes of a file; None when there is none.

        Raises:
            CorpusError: the folder cannot be looked into.
        """
        with self.guarded(relative, "cannot be read"):
            try:
                self.fs.invalidate_cache(self.path(relative))
                return int(self.fs.size(self.path(relative)))
            except FileNotFoundError:
                return None

    def names(self, relative: str = "") -> list[str]:
        """Names of what lies directly in a folder, sorted; empty when there is no folder. Files half written by a
        process that was killed are not among them.

        Raises:
            CorpusError: the folder cannot be looked into.
        """
        path = self.path(relative)
        with self.guarded(relative, "cannot be read"):
            self.fs.invalidate_cache(path)
            try:
                found = self.fs.ls(path, detail=False)
            except FileNotFoundError:
                return []
        names = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in found)
        return sorted(name for name in names if not name.endswith(_TEMPORARY))

    def files(self, relative: str) -> list[Stored]:
        """Every file below a folder at any depth, also those that a killed process left half written, by path. It
        lists everything: for maintenance, never for a build.

        Raises:
            CorpusError: the folder cannot be looked into.
        """
        path = self.path(relative)
        with self.guarded(relative, "cannot be read"):
            self.fs.invalidate_cache(path)
            found = self.fs.find(path, detail=True)
        cut = len(path) - len(relative)
        return sorted(
            (Stored(name[cut:], int(info["size"]), _modified(info)) for name, info in found.items()),
            key=lambda file: file.path,
        )

    def modified(self, relative: str) -> datetime | None:
        """When a file was last written; None when there is none.

        Raises:
            CorpusError: the folder cannot be looked into.
        """
        with self.guarded(relative, "cannot be read"):
            try:
                self.fs.invalidate_cache(self.path(relative))
                return _modified(self.fs.info(self.path(relative)))
            except FileNotFoundError:
                return None

    @contextmanager
    def open(self, relative: str) -> Iterator[IO[bytes]]:
        """Opens a file for reading, seekable.

        Raises:
            CorpusError: it cannot be read.
        """
        with self.guarded(relative, "cannot be read"), self.fs.open(self.path(relative), "rb") as file:
            yield cast(IO[bytes], file)

    def read_bytes(self, relative: str) -> bytes:
        """The whole of a (small) file.

        Raises:
            CorpusError: it cannot be read.
        """
        with self.guarded(relative, "cannot be read"):
            return cast(bytes, self.fs.cat_file(self.path(relative)))

    def create(self, relative: str, data: bytes) -> None:
        """Writes a new file that others see whole or not at all; of several writers exactly one wins.

        Raises:
            FileExistsError: there is one already.
            CorpusError: it cannot be written; nothing is left behind.
        """
        path = self.path(relative)
        with self.guarded(relative, "cannot be written"):
            if self.is_local:
                _create_local(path, data)
            elif s3.is_s3(self.fs):
                self._create_on_s3(path, data)
            else:
                self.fs.pipe_file(path, data, mode="create")  # a plain check: the file system knows nothing better

    def replace(self, relative: str, data: bytes) -> None:
        """Writes a file, new or in the place of another; readers see the one or the other whole.

        Raises:
            CorpusError: it cannot be written; what was there stays, and nothing is left behind.
        """
        path = self.path(relative)
        with self.guarded(relative, "cannot be written"):
            if self.is_local:
                with _temporary(path, data) as temporary:
                    os.replace(temporary, path)
                _sync_folder(path)
            elif s3.is_s3(self.fs):
                self.fs.pipe_file(path, data, chunksize=s3.PART)
            else:
                self.fs.pipe_file(path, data)

    def upload(self, source: Path, relative: str) -> None:
        """Writes a file of any size from one of this machine, new or in the place of another; readers see the one or
        the other whole.

        Raises:
            CorpusError: it cannot be written; what was there stays, and nothing is left behind.
        """
        path = self.path(relative)
        with self.guarded(relative, "cannot be written"):
            if self.is_local:
                with source.open("rb") as data, _temporary(path, data) as temporary:
                    os.replace(temporary, path)
                _sync_folder(path)
            elif s3.is_s3(self.fs):
                self.fs.put_file(str(source), path, chunksize=s3.PART)
            else:
                self.fs.put_file(str(source), path)

    def download(self, relative: str, target: Path) -> None:
        """Copies a file of any size to this machine.

        Raises:
            CorpusError: it cannot be read.
        """
        with self.guarded(relative, "cannot be read"):
            self.fs.get_file(self.path(relative), str(target))

    def remove(self, relative: str) -> None:
        """Removes a file; that there is none is no error.

        Raises:
            CorpusError: it cannot be removed.
        """
        with self.guarded(relative, "cannot be removed"):
            try:
                self.fs.rm_file(self.path(relative))
            except FileNotFoundError:
                return

    def _create_on_s3(self, path: str, data: bytes) -> None:
        """A conditional put (If-None-Match)."""
        for attempt in range(_CONTENDED):
            try:
                self.fs.pipe_file(path, data, chunksize=s3.PART, mode="create")
                return
            except OSError as error:
                if s3.is_taken(error):
                    # The put may have gone through and its answer been lost: the repeated request then meets its own
                    # object. Bytes tell, since no two processes write the same manifest or identity.
                    if self.fs.cat_file(path) == data:
                        return
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
                if not s3.is_contended(error) or attempt == _CONTENDED - 1:
                    raise

    @contextmanager
    def guarded(self, relative: str, doing: str) -> Iterator[None]:
        """What the storage refuses inside becomes an error that a person can act on.

        Raises:
            CorpusError: the storage refused.
        """
        try:
            yield
        except (DataClawError, FileExistsError):
            raise
        except Exception as error:
            if not isinstance(error, OSError) and not s3.is_refusal(error):
                raise
            raise storage_error(self.uri(relative), doing, error) from error


def _modified(info: Mapping[str, Any]) -> datetime:
    """When a file was written, by whatever name a file system has for it."""
    moment = next(info[name] for name in ("LastModified", "mtime", "last_modified", "created") if name in info)
    if isinstance(moment, datetime):
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(float(moment), UTC)


@contextmanager
def _temporary(path: str, data: bytes | IO[bytes]) -> Iterator[str]:
    """A file beside `path` that holds `data` on the disk itself; gone afterwards, whatever happens.

    Its name does not grow with that of `path`, which may be as long as the file system allows.
    """
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from error
    temporary = f"{folder}/.{uuid.uuid4().hex}{_TEMPORARY}"
    try:
        with open(temporary, "xb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                shutil.copyfileobj(data, file, s3.PART)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def _create_local(path: str, data: bytes) -> None:
    with _temporary(path, data) as temporary:
        try:
            # Unlike a rename, a link never replaces what is there.
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _claim_local(temporary, path)
    _sync_folder(path)


def _claim_local(temporary: str, path: str) -> None:
    """For file systems without hard links (exFAT, some network shares): claims the name, then fills it in one step."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    os.replace(temporary, path)


def _sync_folder(path: str) -> None:
    """The new name itself must survive a power cut, before the catalog speaks of it."""
    if os.name != "posix":
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
