"""WebDataset: tar files that are read from end to end, each sample the files of one name."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

from synthesis.backends.chat import Message, Picture
from training.export.formats.base import Format, conversation, suffix_of
from training.export.rows import Row


class WebDataset(Format):
    """A sample is `ID.json`, conversation and columns, with its pictures `ID.00.jpg`, `ID.01.jpg`, ..."""

    name = "webdataset"
    suffix = ".tar"

    def encode(self, rows: Sequence[Row]) -> bytes:
        sink = io.BytesIO()
        with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for row in rows:
                for name, data in self._files(row):
                    member = tarfile.TarInfo(f"{row.id}.{name}")  # no date and no owner: the same rows, the same bytes
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        return sink.getvalue()

    def _files(self, row: Row) -> Iterator[tuple[str, bytes]]:
        names = iter([f"{place:02d}{suffix_of(picture)}" for place, picture in enumerate(row.pictures)])
        messages = [self._message(message, names) for message in conversation(row)]
        yield "json", json.dumps({"messages": messages} | row.facts(), ensure_ascii=False).encode()
        for place, picture in enumerate(row.pictures):
            yield f"{place:02d}{suffix_of(picture)}", picture.data

    def _message(self, message: Message, names: Iterator[str]) -> dict[str, Any]:
        if not self.sees:
            return {"role": message.role, "content": message.text}
        content = [
            {"type": "image", "image": next(names)} if isinstance(part, Picture) else {"type": "text", "text": part}
            for part in message.parts
        ]
        return {"role": message.role, "content": content}
