"""Reader of image edits: a folder of pictures with a list of pairs (source, edited, instruction).

`pairs.json` holds a list, `pairs.jsonl` or `metadata.jsonl` one object a line. The names of InstructPix2Pix
(input_image, edited_image, edit_prompt) and MagicBrush (source_img, target_img, input, output) are understood too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from fsspec import AbstractFileSystem

from schemas.errors import InputError, Problem
from schemas.manifest import inside
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from sources.base import Candidate, Recording
from sources.identity import described, stream_sha256
from sources.images import PictureRecording, examine
from sources.jsonfiles import read_json, read_jsonl
from sources.places import basename, is_local, locate, to_uri

LISTS = ("pairs.json", "pairs.jsonl", "metadata.jsonl")
SECONDS = 1.0
"""Nominal time: before at 0, after at 1, each for so long."""

_BEFORE = ("source", "input_image", "source_img", "original_image", "before", "input")
_AFTER = ("edited", "edited_image", "target_img", "target_image", "after", "output")
_INSTRUCTION = ("instruction", "edit_prompt", "edit", "prompt")


class ImageEditSource:
    """Pairs of pictures with the instruction that leads from one to the other."""

    name = "image_edits"
    default_domain = Domain.AIGC
    suffixes = ()

    def claims(self, fs: AbstractFileSystem, root: str) -> bool:
        for name in LISTS:
            if fs.isfile(f"{root}/{name}"):
                # A metadata.jsonl may be anything: the first row tells.
                return name != "metadata.jsonl" or any(
                    _text(row, _BEFORE) and _text(row, _AFTER)
                    for row in read_jsonl(to_uri(fs, f"{root}/{name}"))[0][:1]
                )
        return False

    def find(self, fs: AbstractFileSystem, root: str) -> Iterator[Candidate | Problem]:
        manifest = to_uri(fs, next(f"{root}/{name}" for name in LISTS if fs.isfile(f"{root}/{name}")))
        try:
            rows, problem = _read(manifest)
        except InputError as error:
            yield error.problem
            return
        if problem:
            yield Problem(input=manifest, cause=problem, remedy="Mend the list")
        seen: set[str] = set()
        for number, row in enumerate(rows, 1):
            key = str(row.get("id", row.get("index", number)))
            entry = f"{manifest}#{key}"
            try:
                before, after = (_picture(fs, root, row, names) for names in (_BEFORE, _AFTER))
                instruction = _text(row, _INSTRUCTION)
                if not instruction:
                    raise ValueError("it has no instruction")
            except ValueError as error:
                yield Problem(input=entry, cause=str(error), remedy="Mend this entry of the list")
                continue
            if key in seen:
                yield Problem(input=entry, cause=f"entry {number} repeats an id", remedy="Give each pair its own id")
                continue
            seen.add(key)
            yield Candidate(
                f"{basename(root)}/{key}",
                self.name,
                f"{to_uri(fs, root)}#{key}",
                (("before", before), ("after", after)),
                _selector(key, instruction),
            )

    def probe(self, candidate: Candidate, parts: tuple[StreamPart, ...], domain: Domain, max_pixels: int) -> Stream:
        files = {part.role: part for part in parts}
        before, after = (examine(files[role].uri, max_pixels) for role in ("before", "after"))
        notes = [f"nominal time: before at 0 s, after at {SECONDS:g} s"]
        tracks = [
            Track(
                kind=TrackKind.IMAGES,
                name="pair",
                codec=before.codec,
                width=before.width,
                height=before.height,
                rate=1 / SECONDS,
                items=2,
            )
        ]
        if (before.width, before.height) != (after.width, after.height):
            notes.append(f"sizes differ: {before.width}x{before.height} and {after.width}x{after.height}")
        tracks.append(Track(kind=TrackKind.TEXT, name="instruction", items=1))
        return described(candidate, parts, domain, tracks, 2 * SECONDS, notes)

    def open(self, stream: Stream) -> Recording:
        files = {part.role: part.uri for part in stream.parts}
        return PictureRecording([(0.0, files["before"]), (SECONDS, files["after"])], [_instruction(stream)])


def _read(manifest: str) -> tuple[list[dict[str, Any]], str | None]:
    if manifest.endswith(".jsonl"):
        return read_jsonl(manifest)
    rows = read_json(manifest)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(manifest, "is not a list of pairs", "Write [{id, source, edited, instruction}, ...]")
    return rows, None if rows else "the list is empty"


def _selector(key: str, instruction: str) -> str:
    """Makes the instruction a part of what the stream is. The list itself is no part of it: a change of one entry
    would make every pair a new stream."""
    return f"{key}/{instruction}"


def _instruction(stream: Stream) -> str:
    """The instruction that a stream was found with, read from its list again.

    Raises:
        schemas.errors.InputError: the list is gone, or says something else now.
    """
    root, _, key = stream.uri.rpartition("#")
    fs, path = locate(root)
    for name in LISTS:
        if not fs.isfile(f"{path}/{name}"):
            continue
        for number, row in enumerate(_read(f"{root}/{name}")[0], 1):
            instruction = _text(row, _INSTRUCTION)
            same = stream_sha256(stream.parts, _selector(key, instruction)) == stream.sha256
            if str(row.get("id", row.get("index", number))) == key and same:
                return instruction
        break
    raise InputError(stream.uri, "its instruction is not in the list any more", "Discover the folder again")


def _text(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = next((row[name] for name in names if isinstance(row.get(name), str) and row[name].strip()), "")
    return str(found).encode("utf-8", "replace").decode()  # JSON may hold halves of characters


def _picture(fs: AbstractFileSystem, root: str, row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The URI of one picture of a pair.

    Raises:
        ValueError: the entry does not name it, names something outside the folder, or it is not there.
    """
    name = _text(row, names)
    if not name:
        raise ValueError(f"it names no {names[0]} picture")
    path = f"{root}/{inside(name)}"
    if not fs.isfile(path):
        raise ValueError(f"its picture {name!r} is missing")
    # A link inside the folder may still lead out of it.
    if is_local(fs) and not os.path.realpath(path).startswith(os.path.realpath(root) + os.sep):
        raise ValueError(f"its picture {name!r} is a link that points outside its folder")
    return to_uri(fs, path)
