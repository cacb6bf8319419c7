"""Where raw data lies: a plain path or an fsspec URI, never percent-decoded."""

from __future__ import annotations

import os
from typing import IO, cast

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem


def locate(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URI and the path in it. What has no `scheme://` is a local path, whatever its name holds."""
    if "://" not in uri:
        return LocalFileSystem(), os.path.abspath(uri)
    fs, path = fsspec.core.url_to_fs(uri)
    return fs, path


def is_local(fs: AbstractFileSystem) -> bool:
    return isinstance(fs, LocalFileSystem)


def to_uri(fs: AbstractFileSystem, path: str) -> str:
    """The URI under which :func:`locate` finds this path again."""
    return path if is_local(fs) else cast(str, fs.unstrip_protocol(path))


def open_binary(uri: str) -> IO[bytes]:
    """Opens a file for reading, seekable, as its file system does it."""
    fs, path = locate(uri)
    return cast(IO[bytes], fs.open(path, "rb"))
