"""Logs of generated pictures: prompts and what came of them, one record or one session a stream."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec import AbstractFileSystem
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, TrackKind
from sources.base import Candidate
from sources.discovery import discover
from sources.generation_log import GenerationLogSource
from sources.identity import hash_parts

SOURCE = GenerationLogSource()
ROOT = "/generation_log"


@pytest.fixture
def fs() -> Iterator[AbstractFileSystem]:
    memory = fsspec.filesystem("memory")
    memory.makedirs(ROOT)
    yield memory
    memory.rm(ROOT, recursive=True)


def picture(shade: int, size: tuple[int, int] = (40, 30)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(data, "PNG")
    return data.getvalue()


def pictures(fs: AbstractFileSystem, *names: str, folder: str = "") -> None:
    for number, name in enumerate(names):
        fs.pipe_file(f"{ROOT}/{folder}{name}", picture(10 * number))


def log(fs: AbstractFileSystem, *rows: object) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    fs.pipe_file(f"{ROOT}/log.jsonl", "\n".join(lines).encode())


def found(fs: AbstractFileSystem) -> tuple[list[Candidate], list[Problem]]:
    assert SOURCE.claims(fs, ROOT)
    items = list(SOURCE.find(fs, ROOT))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**6) -> Stream:
    return SOURCE.probe(candidate, hash_parts(candidate, {}), Domain.AIGC, max_pixels)


def test_a_record_is_a_stream_of_its_pictures_with_the_prompt(fs: AbstractFileSystem) -> None:
    pictures(fs, "a.png", "b.png", folder="images/")
    made = {"model": "sdxl", "seed": 7, "negative_prompt": "blurry"}
    log(fs, {"id": "g1", "prompt": "a red cat", "images": ["a.png", "b.png"], **made})
    (candidate,), problems = found(fs)
    assert not problems
    stream = probed(candidate)
    assert (stream.name, stream.format, stream.domain, stream.duration) == ("g1", "generation_log", Domain.AIGC, 2.0)
    assert stream.notes[1:] == ("model: sdxl", "seed: 7", "negative prompt: blurry")
    with SOURCE.open(stream) as recording:
        assert recording.texts() == ("a red cat",)
        assert [(cue.t0, cue.t1, cue.text) for cue in recording.cues()] == [(0.0, 2.0, "a red cat")]
        shown = [(frame.time, int(frame.rgb()[0, 0, 0])) for frame in recording.frames(0.0, 2.0, None)]
        assert shown == [(0.0, 0), (1.0, 10)]


def test_a_session_is_one_stream_with_each_prompt_at_its_time(fs: AbstractFileSystem) -> None:
    pictures(fs, "0.png", "1.png", "2.png", "3.png")
    log(
        fs,
        {"session": "s", "prompt": "a house", "image": "0.png"},
        {"session": "s", "prompt": "at night", "frames": [{"path": "1.png"}, {"path": "2.png"}]},
        {"session": "t", "prompt": "a boat", "image": "3.png"},
    )
    candidates, _ = found(fs)
    assert [candidate.name for candidate in candidates] == ["s", "t"]
    stream = probed(candidates[0])
    assert stream.duration == 3.0
    assert not stream.has(TrackKind.TEXT)
    with SOURCE.open(stream) as recording:
        assert recording.texts() == ()
        assert [(cue.t0, cue.t1, cue.text) for cue in recording.cues()] == [
            (0.0, 1.0, "a house"),
            (1.0, 3.0, "at night"),
        ]


def test_records_made_from_one_another_are_one_stream(fs: AbstractFileSystem) -> None:
    pictures(fs, "0.png", "1.png", "2.png")
    log(
        fs,
        {"id": 1, "prompt": "a house", "image": "0.png"},
        {"id": 2, "parent": 1, "prompt": "at night", "image": "1.png"},
        {"id": 3, "prompt": "a boat", "image": "2.png"},
    )
    assert [len(candidate.parts) for candidate in found(fs)[0]] == [2, 1]


@pytest.mark.parametrize("prompt", ["prompt", "text_prompt", "positive_prompt"])
@pytest.mark.parametrize("image", ["image", "image_path", "file_name", "filename", "output_path", "images", "frames"])
def test_common_spellings_are_understood(fs: AbstractFileSystem, prompt: str, image: str) -> None:
    pictures(fs, "0.png")
    log(fs, {prompt: "a cat", image: "outputs/2024/0.png"})
    (candidate,), _ = found(fs)
    assert probed(candidate).name == "log-0"


def test_a_changed_record_is_a_new_stream_and_its_neighbours_stay(fs: AbstractFileSystem) -> None:
    pictures(fs, "0.png", "1.png")
    rows = [{"prompt": "one", "image": "0.png"}, {"prompt": "two", "image": "1.png"}]
    log(fs, *rows)
    before = [probed(candidate) for candidate in found(fs)[0]]
    log(fs, rows[0], {**rows[1], "prompt": "three"}, {"prompt": "four", "image": "1.png"})
    after = [probed(candidate) for candidate in found(fs)[0]]
    assert before[0].sha256 == after[0].sha256
    assert before[1].sha256 != after[1].sha256
    with pytest.raises(InputError, match="something else"):
        SOURCE.open(before[1])


def test_a_session_that_goes_on_after_a_bad_line_is_read_again_as_it_was_found(fs: AbstractFileSystem) -> None:
    pictures(fs, "0.png", "1.png")
    one, two = {"session": "s", "prompt": "x", "image": "0.png"}, {"session": "s", "prompt": "y", "image": "1.png"}
    log(fs, "", one, "{broken", two)
    (candidate,), (problem,) = found(fs)
    assert problem.input.endswith("log.jsonl#2")
    with SOURCE.open(probed(candidate)) as recording:
        assert [cue.text for cue in recording.cues()] == ["x", "y"]


def test_missing_and_broken_pictures_keep_their_place(fs: AbstractFileSystem) -> None:
    pictures(fs, "0.png", "3.png")
    fs.pipe_file(f"{ROOT}/1.png", b"text")
    fs.pipe_file(f"{ROOT}/4.png", picture(0, (3000, 3000)))
    log(fs, {"prompt": "a cat", "images": [f"{number}.png" for number in range(5)] + [7]})
    (candidate,), _ = found(fs)
    stream = probed(candidate)
    assert "places without a picture: 2, 5" in stream.notes
    assert sum(note.startswith("picture") for note in stream.notes) == 2
    with SOURCE.open(stream) as recording:
        assert [frame.time for frame in recording.frames(0.0, stream.duration, None)] == [0.0, 3.0]
        assert recording.cues()[0].t1 == stream.duration == 6.0


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ({"prompt": "x", "image": "../secret.png"}, "outside its folder"),
        ({"prompt": "x", "image": "/etc/secret.png"}, "outside its folder"),
        ({"prompt": "x", "image": "https://example.com/a.png"}, "outside its folder"),
        ({"prompt": "x", "image": "gone.png"}, "none of its pictures"),
        ({"prompt": "x", "images": {"a": 1}}, "none of its pictures"),
        ({"prompt": "x"}, "none of its pictures"),
        ({"prompt": " ", "image": "0.png"}, "no prompt"),
        ({"prompt": 3, "image": "0.png"}, "no prompt"),
        ([1, 2], "not an object"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_record_is_one_problem_and_the_others_go_on(fs: AbstractFileSystem, row: Any, cause: str) -> None:
    pictures(fs, "0.png", "1.png")
    log(fs, {"prompt": "one", "image": "0.png"}, row, {"prompt": "two", "image": "1.png"})
    candidates, (problem,) = found(fs)
    assert len(candidates) == 2
    assert cause in problem.cause
    assert problem.input.endswith("log.jsonl#1")


def test_streams_are_selected_by_the_line_of_their_first_record(fs: AbstractFileSystem) -> None:
    pictures(fs, "0.png")
    log(fs, *({"prompt": f"number {number}", "image": "0.png"} for number in range(4)))
    items = list(discover(SourceSpec(uri=f"memory:/{ROOT}/log.jsonl#2:")))
    assert [item.name for item in items if isinstance(item, Candidate)] == ["log-2", "log-3"]


def test_videos_beside_a_log_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(0))
    (tmp_path / "log.jsonl").write_text(json.dumps({"prompt": "x", "image": "a.png"}))
    (tmp_path / "film.mp4").write_bytes(b"")
    items = [item for item in discover(SourceSpec(uri=str(tmp_path))) if isinstance(item, Candidate)]
    assert [(item.name, item.format) for item in items] == [("film", "video"), ("log-0", "generation_log")]


def test_other_json_lines_are_no_generation_logs(tmp_path: Path) -> None:
    for name, row in (
        ("edits", {"source_img": "a.png", "target_img": "b.png", "instruction": "x"}),
        ("chat", {"prompt": "Hello", "output": "Hi"}),
        ("captions", {"file_name": "a.png", "text": "a cat"}),
        ("videos", {"prompt": "a cat runs", "file_name": "a.mp4"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.jsonl").write_text(json.dumps(row))
        assert not SOURCE.claims(fsspec.filesystem("file"), str(tmp_path / name))
