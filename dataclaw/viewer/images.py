"""Evidence pictures as files beside the pages: each content once, under a name that no input can choose."""

from __future__ import annotations

import hashlib
from pathlib import Path

_FORMATS = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif"}


class ImageFolder:
    """Writes pictures into `folder`/images and gives their relative addresses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "images"

    def add(self, data: bytes) -> str | None:
        """The address of a picture, or None when the bytes are no picture a browser shows.

        The extension comes from the bytes, not from the name in the row: a row is input like any other.
        """
        extension = _extension(data)
        if extension is None:
            return None
        name = f"{hashlib.sha256(data).hexdigest()[:24]}.{extension}"
        path = self._folder / name
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            # Through a link that somebody left here under this name, the picture would land elsewhere.
            path.unlink(missing_ok=True)
            with path.open("xb") as file:
                file.write(data)
        return f"images/{name}"


def _extension(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((extension for magic, extension in _FORMATS.items() if data.startswith(magic)), None)
