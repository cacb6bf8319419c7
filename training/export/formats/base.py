"""What a format is: it turns rows into the bytes of a shard, and tells loaders what is there."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from schemas.triplet import Split
from synthesis.backends.chat import Message, Picture
from training.export.contracts import Export
from training.export.rows import Row


class Format(ABC):
    """A format of files.

    Args:
        sees: whether pictures are exported. Without, messages hold plain strings, as text-only models take them.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]

    def __init__(self, sees: bool) -> None:
        self.sees = sees

    def path(self, split: Split, number: int) -> str:
        """Where a shard goes."""
        return f"{split}/{number:05d}{self.suffix}"

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> bytes:
        """The bytes of one shard. The same rows give the same bytes."""

    def beside(self, row: Row) -> Iterator[tuple[str, bytes]]:
        """Files that a row needs beside its shard: none, unless pictures lie apart."""
        return iter(())

    def about(self, export: Export) -> Mapping[str, str]:
        """Files that tell loaders and people what is there, by path."""
        return {}


class JsonLines(Format):
    """One JSON object a line; pictures are files of their own, named by their content."""

    suffix = ".jsonl"

    @abstractmethod
    def record(self, row: Row) -> dict[str, Any]:
        """The object of a row."""

    def encode(self, rows: Sequence[Row]) -> bytes:
        return "".join(json.dumps(self.record(row), ensure_ascii=False) + "\n" for row in rows).encode()

    def beside(self, row: Row) -> Iterator[tuple[str, bytes]]:
        for picture in row.pictures:
            yield picture_path(picture), picture.data

    def paths(self, row: Row) -> dict[str, list[str]]:
        """The column of a row's pictures."""
        return {"images": [picture_path(picture) for picture in row.pictures]} if self.sees else {}


def suffix_of(picture: Picture) -> str:
    return ".png" if picture.media_type == "image/png" else ".jpg"


def picture_path(picture: Picture) -> str:
    """A frame that several rows show is one file."""
    sha256 = hashlib.sha256(picture.data).hexdigest()
    return str(PurePosixPath("images") / sha256[:2] / f"{sha256}{suffix_of(picture)}")


def conversation(row: Row) -> tuple[Message, ...]:
    """Question and answer."""
    return (*row.messages, Message("assistant", (row.completion,)))


_PLACEHOLDERS = ("<image>", "<video>", "<audio>", "<bbox>", "<ref-object>", "<cot-process>", "<start-image>")
"""What stands for media in the texts of LLaMA-Factory and ms-swift."""


def with_placeholders(message: Message) -> str:
    """A message as one text with `<image>` where a picture stands. A text that spells a placeholder itself does not
    pass for one: in what comes from a recording, and in answers, `<` is escaped anyway."""
    said = ""
    for part in message.parts:
        if isinstance(part, Picture):
            said += "<image>"
            continue
        for placeholder in _PLACEHOLDERS:
            part = part.replace(placeholder, f"< {placeholder[1:]}")
        said += part
    return said
