"""Where an export appears, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress

from schemas.errors import UsageError
from storage.location import Location

MANIFEST = "export.json"


class Target:
    """A folder that is written beside its place, as `NAME.partial`, and moved there when it is whole.

    On a disk the move is a rename. A store without renames copies on its own side, the manifest last. What a killed
    export left behind is removed by the next one to the same place.

    Raises:
        UsageError: the place holds something that is no export.
    """

    def __init__(self, place: Location) -> None:
        if not place.is_local and "/" not in place.root:
            raise UsageError(place.uri(), "it is a whole bucket", "Name a folder in it")
        self.place = place
        self.stage = Location(place.fs, f"{place.root}.partial")
        # A manifest in the stage: an export was killed while it was moved, and what lies at its place is part of it.
        ours = place.exists(MANIFEST) or self.stage.exists(MANIFEST)
        if not ours and (place.names() or (place.exists() and not place.fs.isdir(place.root))):
            raise UsageError(
                place.uri(), "there is something that is no export", "Choose a new folder, or one of an earlier export"
            )
        _remove(self.stage)

    def put(self, path: str, data: bytes) -> str:
        """Writes a file; returns its SHA-256.

        Raises:
            CorpusError: it cannot be written.
        """
        self.stage.replace(path, data)
        return hashlib.sha256(data).hexdigest()

    def publish(self, manifest: bytes) -> None:
        """Ends the export and makes it visible, in the place of an earlier one.

        Raises:
            CorpusError: it cannot be written.
        """
        self.put(MANIFEST, manifest)
        with self.place.guarded("", "cannot be written"):
            if self.place.is_local:
                self._rename()
            else:
                self._copy()

    def _rename(self) -> None:
        earlier = Location(self.place.fs, f"{self.place.root}.replaced")
        _remove(earlier)
        with suppress(FileNotFoundError):
            os.rename(self.place.root, earlier.root)
        os.rename(self.stage.root, self.place.root)
        _remove(earlier)

    def _copy(self) -> None:
        # The manifest goes first and comes last: between the two there is no export here.
        self.place.remove(MANIFEST)
        _remove(self.place)
        beginning = f"{self.stage.root}/"
        paths = [path.removeprefix(beginning) for path in self.stage.fs.find(self.stage.root)]
        for path in sorted(paths, key=lambda path: path == MANIFEST):
            self.place.fs.copy(self.stage.path(path), self.place.path(path))
        _remove(self.stage)


def _remove(folder: Location) -> None:
    """Removes a folder with all that is in it; that there is none is no error."""
    with folder.guarded("", "cannot be removed"):
        if folder.is_local:
            with suppress(FileNotFoundError):
                shutil.rmtree(folder.root)
        elif folder.exists():
            folder.fs.rm(folder.root, recursive=True)
