"""Discovery finds every stream once, names it uniquely, says what is wrong, and knows content from names."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import av
import fsspec
import numpy as np
import pytest
from PIL import Image

from schemas.errors import InputError, Problem, UsageError
from schemas.recipe import SourceSpec
from schemas.stream import Domain
from sources.base import Candidate
from sources.discovery import discover, fingerprint, hash_parts, open_recording, probe, stream_sha256
from sources.roster import SOURCES, reader
from storage.corpus import Corpus


def clip(path: Path, brightness: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(3):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), brightness, np.uint8))))
        film.mux(stream.encode())
    return path


def found(place: Path | str, **spec: object) -> list[Candidate | Problem]:
    return list(discover(SourceSpec.model_validate({"uri": str(place), **spec})))


def names(place: Path | str, **spec: object) -> list[str]:
    items = found(place, **spec)
    assert all(isinstance(item, Candidate) for item in items), items
    return [item.name for item in items if isinstance(item, Candidate)]


def cause(place: Path | str, **spec: object) -> str:
    (problem,) = found(place, **spec)
    assert isinstance(problem, Problem)
    return problem.words


def test_names_come_in_natural_order_and_are_paths_below_the_root(tmp_path: Path) -> None:
    for name in ("clip10.mp4", "clip2.mp4", "b/clip2.mp4", "a/deep/clip1.mkv"):
        clip(tmp_path / name)
    assert names(tmp_path) == ["a/deep/clip1", "b/clip2", "clip2", "clip10"]
    assert names(tmp_path / "clip2.mp4") == ["clip2"]


def test_what_a_file_costs_does_not_grow_with_the_files_beside_it(tmp_path: Path) -> None:
    """Counted in calls: a folder of a hundred thousand takes is listed in seconds, or in hours."""

    def calls(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            (folder / f"take {number}.mp4").touch()
            (folder / f"take {number}.en.srt").touch()
        made = [0]

        def note(*_: object) -> None:
            made[0] += 1

        sys.setprofile(note)
        try:
            items = found(folder)
        finally:
            sys.setprofile(None)
        assert all(isinstance(item, Candidate) and len(item.parts) == 2 for item in items)
        assert len(items) == count
        return made[0]

    calls(10)  # the first time, readers are loaded
    assert calls(400) < 4.2 * calls(100)


def test_a_corpus_below_a_source_is_no_stream(tmp_path: Path) -> None:
    clip(tmp_path / "clip.mp4")
    Corpus.open(tmp_path / "corpus", create=True)
    clip(tmp_path / "corpus" / "data" / "clip.mp4")
    assert names(tmp_path) == ["clip"]
    assert "it is a corpus" in cause(tmp_path / "corpus")
    (tmp_path / "corpus" / "corpus.json").write_text('{"texts": ["of another kind"]}')
    assert len(names(tmp_path)) == 2


def test_names_are_unique_even_for_one_stem(tmp_path: Path) -> None:
    for name in ("clip.avi", "clip.mkv", "clip.mp4"):
        clip(tmp_path / name)
    assert names(tmp_path) == ["clip", "clip.mkv", "clip.mp4"]


@pytest.mark.parametrize("name", ["with space.mp4", "two\nlines.mp4", "50%25 #1.mp4", "茶を入れる.mp4", "a#b/c::d.mp4"])
def test_any_name_works(tmp_path: Path, name: str) -> None:
    path = clip(tmp_path / name)
    for place in (tmp_path, path):
        (candidate,) = found(place)
        assert isinstance(candidate, Candidate)
        stream = probe(candidate, hash_parts(candidate, {}), None, 10**6)
        assert stream.uri == str(path)
        with open_recording(stream) as recording:
            assert len(list(recording.frames(0, 9, None))) == 3


def test_a_name_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    clip(tmp_path / "good.mp4")
    os.rename(clip(tmp_path / "x.mp4"), os.fsencode(tmp_path) + b"/bad\xff.mp4")
    problems = [item for item in found(tmp_path) if isinstance(item, Problem)]
    assert [problem.cause for problem in problems] == ["its name is not valid UTF-8"]


def test_subtitles_belong_to_their_video(tmp_path: Path) -> None:
    clip(tmp_path / "a.mp4")
    clip(tmp_path / "a.b.mp4")
    for name in ("a.srt", "a.en.vtt", "a.b.srt", "other.srt"):
        (tmp_path / name).write_text("")
    parts = {item.name: [Path(uri).name for _, uri in item.parts] for item in found(tmp_path)}  # type: ignore[union-attr]
    assert parts == {"a": ["a.mp4", "a.srt", "a.en.vtt"], "a.b": ["a.b.mp4", "a.b.srt"]}


def test_subtitles_change_the_stream_and_names_do_not(tmp_path: Path) -> None:
    def identity(folder: str, name: str, subtitles: str | None) -> str:
        clip(tmp_path / folder / f"{name}.mp4")
        if subtitles is not None:
            (tmp_path / folder / f"{name}.srt").write_text(subtitles)
        (candidate,) = found(tmp_path / folder)
        assert isinstance(candidate, Candidate)
        return stream_sha256(hash_parts(candidate, {}))

    cue = "1\n00:00:00,000 --> 00:00:01,000\nHi\n"
    assert identity("1", "x", cue) == identity("2", "y", cue)
    assert len({identity("3", "x", cue), identity("4", "x", cue + "\n"), identity("5", "x", None)}) == 3


def test_structured_formats_come_before_plain_files(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "2.png")
    pairs = [{"id": "p", "source": "1.png", "edited": "2.png", "instruction": "Make it red."}]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    (candidate,) = found(tmp_path)
    assert isinstance(candidate, Candidate)
    assert candidate.format == "image_edits"
    (forced,) = found(tmp_path, format="images")
    assert isinstance(forced, Candidate)
    assert forced.format == "images"


def test_covers_beside_videos_are_no_streams(tmp_path: Path) -> None:
    clip(tmp_path / "film.mp4")
    Image.new("RGB", (8, 8)).save(tmp_path / "film.jpg")
    (tmp_path / "README.md").write_text("about")
    assert names(tmp_path) == ["film"]


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    clip(tmp_path / "film.mp4")
    (tmp_path / "._film.mp4").write_bytes(b"\0\5\26\7")
    clip(tmp_path / ".trash" / "old.mp4")
    assert names(tmp_path) == ["film"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    clip(tmp_path / "a" / "film.mp4")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert names(tmp_path) == ["a/film"]


def test_nothing_is_never_silence(tmp_path: Path) -> None:
    assert cause(tmp_path).startswith("the folder is empty")
    (tmp_path / "notes.txt").write_text("notes")
    assert "nothing here is a stream of a known format" in cause(tmp_path)
    assert "nothing here" in cause(tmp_path / "notes.txt")
    assert "nothing here" in cause(clip(tmp_path / "film.mp4"), format="lerobot")


def test_a_wrong_path_is_told_with_the_right_one(tmp_path: Path) -> None:
    clip(tmp_path / "lesson.mp4")
    assert cause(tmp_path / "leson.mp4") == f"there is no such file or folder. Did you mean {tmp_path}/lesson.mp4?"
    assert "Check the path" in cause(tmp_path / "no" / "where")


def test_an_unknown_format_is_told_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'lerobot'"):
        found(tmp_path, format="lerobots")


def test_a_selector_picks_streams_out_of_a_file(tmp_path: Path) -> None:
    drawings = np.empty(5, object)
    drawings[:] = [np.array([[index, 1, 0], [2, 2, 1]]) for index in range(5)]
    path = tmp_path / "set.npz"
    np.savez(path, train=drawings, test=drawings[:2])

    def picked(selector: str) -> list[str]:
        return [item.selector for item in found(f"{path}#{selector}") if isinstance(item, Candidate)]

    assert picked("train/3") == ["train/3"]
    assert picked("test") == ["test/0", "test/1"]
    assert picked("train/1:3") == ["train/1", "train/2"]
    assert picked("train/3:") == ["train/3", "train/4"]
    assert cause(f"{path}#train/99").startswith("no stream here is selected by 'train/99'")
    whole = tmp_path / "set.npz#test.npz"
    whole.write_bytes(path.read_bytes())
    assert len(found(whole)) == 7, "what exists as it is written is a path"


def test_a_known_file_is_not_read_again_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip(tmp_path / "film.mp4")
    (candidate,) = found(path)
    assert isinstance(candidate, Candidate)
    (part,) = hash_parts(candidate, {})
    known = {part.uri: (fingerprint(part.uri), part.sha256, part.size)}
    monkeypatch.setattr("sources.identity.open_binary", lambda uri: pytest.fail("it was read again"))
    assert hash_parts(candidate, known) == (part,)
    monkeypatch.undo()
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
    assert hash_parts(candidate, known)[0].sha256 != part.sha256


def test_a_file_that_went_away_is_an_input_error(tmp_path: Path) -> None:
    path = clip(tmp_path / "film.mp4")
    (candidate,) = found(path)
    assert isinstance(candidate, Candidate)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        hash_parts(candidate, {})


def test_streams_in_a_store_are_found(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    with store.open("/discovery/a b/film.mp4", "wb") as file:
        file.write(clip(tmp_path / "film.mp4").read_bytes())
    with store.open("/discovery/a b/film.srt", "wb") as file:
        file.write(b"1\n00:00:00,000 --> 00:00:00,400\nHi\n")
    (candidate,) = found("memory://discovery")
    assert isinstance(candidate, Candidate)
    assert candidate.name == "a b/film"
    stream = probe(candidate, hash_parts(candidate, {}), Domain.GUI, 10**6)
    assert stream.domain is Domain.GUI
    with open_recording(stream) as recording:
        assert [cue.text for cue in recording.cues()] == ["Hi"]
        assert len(list(recording.frames(0, 9, None))) == 3
    store.rm("/discovery", recursive=True)


def test_readers_are_known_by_the_name_they_carry() -> None:
    assert [reader(name).name for name in SOURCES.built_in] == list(SOURCES.built_in)


@pytest.mark.streams
def test_the_real_recordings_are_found_and_described(streams: Path) -> None:
    items = found(streams / "embodied")
    problems = [item for item in items if isinstance(item, Problem)]
    candidates = [item for item in items if isinstance(item, Candidate)]
    assert len(problems) == 98, "episodes that meta lists and nobody has"
    assert all("is missing" in problem.cause for problem in problems)
    assert len(candidates) == 10
    for candidate in candidates:
        stream = probe(candidate, hash_parts(candidate, {}), None, 10**8)
        assert stream.duration > 2
        with open_recording(stream) as recording:
            assert len(list(recording.frames(0, 1, 2))) == 2
            if candidate.format == "lerobot":
                signals = recording.signals()
                assert signals is not None
                assert {"left_hand", "right_hand"} <= set(signals.groups)
                assert len(recording.texts()) == 1
