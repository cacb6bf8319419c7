"""Files that a list or an episode names beside itself: found where such sets keep them, never outside their folder."""

from __future__ import annotations

import os

from fsspec import AbstractFileSystem

from schemas.manifest import inside
from sources.places import entries, is_local

USUAL_FOLDERS = ("", "images", "screenshots")
_MOST_FOLDERS = 16


class NamedFiles:
    """Looks names up below one folder."""

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        self._fs = fs
        self._root = root
        self._folders = (*USUAL_FOLDERS, *self._others()[:_MOST_FOLDERS])

    def find(self, name: str) -> str | None:
        """The path of a file by the name that a list gives it; None when it is not there.

        Lists are moved, and pictures put into a folder of their own: a path is looked for as it is written, then
        without the folders it begins with (`train/episode_1/0.png` as `0.png`), beside the list and in the folders
        there, in a fixed order.

        Raises:
            ValueError: the name points outside the folder, or is a link that does.
        """
        parts = [part for part in inside(name).replace("\\", "/").split("/") if part not in ("", ".")]
        for begin in range(len(parts)):
            for folder in self._folders:
                path = "/".join(part for part in (self._root, folder, *parts[begin:]) if part)
                if self._fs.isfile(path):
                    self._check(name, path)
                    return path
        return None

    def _others(self) -> list[str]:
        try:
            beside = entries(self._fs, self._root)
        except OSError:
            return []  # a file that may be read in a folder that may not be listed
        return [entry.name for entry in beside if entry.is_folder and entry.name not in USUAL_FOLDERS]

    def _check(self, name: str, path: str) -> None:
        if is_local(self._fs) and not os.path.realpath(path).startswith(os.path.realpath(self._root) + os.sep):
            raise ValueError(f"{name!r} is a link that points outside its folder")
