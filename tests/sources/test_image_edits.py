"""Image edits: pairs of pictures with their instruction, and lists that are wrong in places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate
from sources.identity import hash_parts
from sources.image_edits import ImageEditSource

FS = LocalFileSystem()
SOURCE = ImageEditSource()


def pair(folder: Path, number: int, **changes: Any) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    for name, colour in (("before", (number, 0, 0)), ("after", (0, number, 0))):
        Image.new("RGB", (40, 30), colour).save(folder / f"{number}_{name}.png")
    row = {"id": number, "source": f"{number}_before.png", "edited": f"{number}_after.png"}
    return {**row, "instruction": f"Make it green, number {number}.", **changes}


def edits(folder: Path, *rows: object) -> Path:
    (folder / "pairs.json").write_text(json.dumps(rows))
    return folder


def found(folder: Path) -> tuple[list[Candidate], list[Problem]]:
    assert SOURCE.claims(FS, str(folder))
    items = list(SOURCE.find(FS, str(folder)))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate) -> Stream:
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.AIGC, 10**8)


def test_each_pair_is_a_stream_of_before_and_after(tmp_path: Path) -> None:
    folder = edits(tmp_path / "set", pair(tmp_path / "set", 100), pair(tmp_path / "set", 200))
    candidates, problems = found(folder)
    assert not problems
    assert len(candidates) == 2
    stream = probed(candidates[1])
    assert stream.has(TrackKind.IMAGES)
    assert stream.has(TrackKind.TEXT)
    with SOURCE.open(stream) as recording:
        before, after = recording.frames(0.0, stream.duration, None, include_end=True)
        assert (before.time, after.time) == (0.0, 1.0)
        assert before.rgb()[0, 0].tolist() == [200, 0, 0]
        assert after.rgb()[0, 0].tolist() == [0, 200, 0]
        assert list(recording.texts()) == ["Make it green, number 200."]


def test_lines_say_the_same_as_a_list(tmp_path: Path) -> None:
    rows = [pair(tmp_path / "set", number) for number in (1, 2)]
    (tmp_path / "set" / "pairs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    candidates, problems = found(tmp_path / "set")
    assert (len(candidates), problems) == (2, [])


def test_a_changed_instruction_is_a_new_stream_and_its_neighbours_stay(tmp_path: Path) -> None:
    one, two = pair(tmp_path / "set", 1), pair(tmp_path / "set", 2)
    before = [probed(candidate) for candidate in found(edits(tmp_path / "set", one, two))[0]]
    two["instruction"] = "Make it red."
    after = [probed(candidate) for candidate in found(edits(tmp_path / "set", one, two))[0]]
    assert before[0].sha256 == after[0].sha256
    assert before[1].sha256 != after[1].sha256
    with pytest.raises(InputError, match="not in the list any more"):
        SOURCE.open(before[1])


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"source": "../../secret.png"}, "outside its folder"),
        ({"edited": "/etc/passwd"}, "outside its folder"),
        ({"source": "https://example.com/a.png"}, "outside its folder"),
        ({"source": "gone.png"}, "missing"),
        ({"edited": None}, "names no edited"),
        ({"instruction": "  "}, "no instruction"),
        ({"instruction": 7}, "no instruction"),
        ({"id": 1}, "repeats an id"),
    ],
)
def test_a_bad_entry_is_one_problem_and_the_others_go_on(tmp_path: Path, changes: dict[str, Any], cause: str) -> None:
    folder = tmp_path / "set"
    rows = pair(folder, 1), pair(folder, 2, **changes), pair(folder, 3)
    candidates, problems = found(edits(folder, *rows))
    assert len(candidates) == 2
    (problem,) = problems
    assert cause in problem.cause
    assert "pairs.json" in problem.input


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    row = pair(tmp_path / "set", 1)
    Image.new("RGB", (4, 4)).save(tmp_path / "outside.png")
    (tmp_path / "set" / "1_after.png").unlink()
    (tmp_path / "set" / "1_after.png").symlink_to(tmp_path / "outside.png")
    candidates, problems = found(edits(tmp_path / "set", row))
    assert not candidates
    assert "outside its folder" in problems[0].cause


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 1}', "[1, 2]", "\x00\x01"])
def test_a_malformed_list_is_one_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "pairs.json").write_text(content)
    candidates, problems = found(tmp_path)
    assert not candidates
    assert len(problems) == 1


def test_a_pair_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    folder = edits(tmp_path / "set", pair(tmp_path / "set", 1), pair(tmp_path / "set", 2))
    (folder / "1_after.png").write_bytes(b"text")
    bad, good = found(folder)[0]
    with pytest.raises(InputError, match="not a picture"):
        probed(bad)
    assert probed(good).tracks


@pytest.mark.streams
def test_real_pairs(streams: Path) -> None:
    candidates, problems = found(streams / "aigc" / "edit_pairs")
    assert (len(candidates), problems) == (5, [])
    with SOURCE.open(probed(candidates[0])) as recording:
        assert list(recording.texts()) == ["Turn a zebra into a horse."]
