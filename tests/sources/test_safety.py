"""Archives, texts, pictures and films that are made to do harm: each costs a problem, never the run."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from schemas.stream import Stream
from sources import members
from sources.base import Candidate
from sources.discovery import discover, hash_parts, open_recording, probe
from sources.gui_episodes_pyautogui import parse
from sources.jsonfiles import read_json, read_jsonl
from sources.places import natural

BLOCK = 512


def found(place: Path) -> tuple[list[Candidate], list[str]]:
    items = list(discover(SourceSpec(uri=str(place))))
    return [x for x in items if isinstance(x, Candidate)], [x.cause for x in items if isinstance(x, Problem)]


def probed(candidate: Candidate, max_pixels: int = 10**8) -> Stream:
    return probe(candidate, hash_parts(candidate, {}), None, max_pixels)


def picture(size: tuple[int, int] = (8, 6)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "red").save(out, "PNG")
    return out.getvalue()


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, size: int | None = None) -> bytes:
    """A header with its bytes, as it would stand in a tar. `size` is what the header says, when that is a lie."""
    header = tarfile.TarInfo(name)
    header.type, header.size = kind, len(data) if size is None else size
    return header.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % BLOCK)


def tar(path: Path, blocks: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(blocks) + bytes(2 * BLOCK))
    return path


def test_a_header_that_leads_back_does_not_go_round_for_ever(tmp_path: Path) -> None:
    # CVE-2025-8194: a size of three blocks below zero in an extended header leads to that header again.
    record = b"14 size=-1536\n"
    blocks = [member("good.png", picture()), member("back", record, tarfile.XHDTYPE), member("next.png")]
    candidates, problems = found(tar(tmp_path / "a.tar", blocks))
    assert [candidate.name for candidate in candidates] == ["a/good"]
    assert len(problems) == 1
    assert "damaged or cut off" in problems[0]


def test_names_that_announce_names_without_an_end_are_damage(tmp_path: Path) -> None:
    endless = member("././@LongLink", b"name\0", tarfile.GNUTYPE_LONGNAME) * 3000
    candidates, problems = found(tar(tmp_path / "a.tar", [member("good.png", picture()), member("last.png"), endless]))
    assert [candidate.name for candidate in candidates] == ["a/good"]
    assert len(problems) == 1
    assert "damaged or cut off" in problems[0]


def test_an_archive_that_would_unpack_to_much_more_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "_ALWAYS_ALLOWED", 1 << 20)
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(member("good.png", picture()))
        file.write(member("big.png", bytes(64 << 20)))
        file.write(bytes(2 * BLOCK))
    assert path.stat().st_size < 1 << 20
    candidates, problems = found(path)
    assert [candidate.name for candidate in candidates] == ["a/good"]
    assert "are allowed" in problems[0]


def test_an_archive_of_more_files_than_can_be_kept_ends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "_MOST_MEMBERS", 5)
    blocks = [member(f"{number}.png", picture()) for number in range(9)]
    candidates, problems = found(tar(tmp_path / "a.tar", blocks))
    assert len(candidates) == 5
    assert "more than 5 files" in problems[0]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_of_an_archive_are_never_followed(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("a.txt")
    header.type, header.linkname = kind, str(tmp_path / "secret")
    (tmp_path / "secret").write_text("the secret")
    path = tar(tmp_path / "a.tar", [member("a.png", picture()), header.tobuf()])
    (candidate,), problems = found(path)
    assert not problems
    with open_recording(probed(candidate)) as recording:
        assert not list(recording.texts())


def test_reading_an_archive_writes_nothing_wherever_its_names_lead(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    blocks = [member(name, picture()) for name in ("../out.png", "/etc/dataclaw.png", "a/../../b.png")]
    candidates, _ = found(tar(tmp_path / "in" / "a.tar", blocks))
    assert len(candidates) == 3
    for candidate in candidates:
        with open_recording(probed(candidate)) as recording:
            assert list(recording.frames(0.0, 1.0, None))
    assert sorted(os.listdir(tmp_path)) == ["in"]
    assert not os.path.exists("/etc/dataclaw.png")


def test_names_of_thousands_of_digits_are_put_in_order(tmp_path: Path) -> None:
    names = ["9" * 5000, "1" + "0" * 5000, "007", "8"]
    candidates, problems = found(tar(tmp_path / "a.tar", [member(f"{name}.png", picture()) for name in names]))
    assert not problems
    assert [candidate.selector for candidate in candidates] == ["007", "8", "9" * 5000, "1" + "0" * 5000]
    assert natural("clip2") < natural("clip10") < natural("clip010a")


@pytest.mark.parametrize("content", ['{"a": ' + "9" * 5000 + "}", "[" * 100_000, '{"a": "\\ud800'])
def test_json_that_is_made_to_break_its_parser_is_not_json(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match="is not JSON"):
        read_json(str(path))
    lines = tmp_path / "a.jsonl"
    lines.write_text(f'{{"a": 1}}\n{content}\n{{"a": 2}}\n')
    rows, problem = read_jsonl(str(lines))
    assert rows == [{"a": 1}, {"a": 2}]
    assert problem == "malformed: line 2 left out"


def test_json_too_large_to_be_parsed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.jsonfiles.LARGEST", 64)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"a": "b" * 64}))
    with pytest.raises(InputError, match="may have"):
        read_json(str(path))
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"a": 1}\n' + json.dumps({"a": "b" * 500}) + '\n{"a": 2}\n')
    assert read_jsonl(str(lines)) == ([{"a": 1}, {"a": 2}], "malformed: line 2 left out")


def test_a_folder_too_deep_is_a_problem_and_its_neighbours_are_found(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 80)
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(picture())
    beside = tmp_path / "e"
    beside.mkdir()
    (beside / "b.png").write_bytes(picture())
    candidates, problems = found(tmp_path)
    assert [candidate.name for candidate in candidates] == ["e"]
    assert len(problems) == 1
    assert "folders below" in problems[0]


@pytest.mark.parametrize("kind", ["EPS", "PCX", "SGI", "PPM"])
def test_only_formats_of_pictures_that_are_meant_are_decoded_whatever_the_name_says(tmp_path: Path, kind: str) -> None:
    # Pillow hands EPS to Ghostscript, a program that runs programs.
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 6), "red").save(path, kind)
    (candidate,), _ = found(path)
    with pytest.raises(InputError, match="is not a picture"):
        probed(candidate)


def film(path: Path, *sizes: tuple[int, int]) -> Path:
    """A film whose pictures change their size."""
    parts = []
    for width, height in sizes:
        out = io.BytesIO()
        with av.open(out, "w", format="mpegts") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for _ in range(8):
                pixels = np.full((height, width, 3), 90, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
        parts.append(out.getvalue())
    path.write_bytes(b"".join(parts))
    return path


def test_pictures_that_grow_within_a_film_are_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.decoding._ALWAYS_ALLOWED", 64 * 48)
    (candidate,), _ = found(film(tmp_path / "a.ts", (64, 48), (640, 480)))
    shown = []
    with open_recording(probed(candidate)) as recording, pytest.raises(InputError):
        shown.extend((frame.width, frame.height) for frame in recording.frames(0.0, 1.0, None))
    assert set(shown) == {(64, 48)}


def test_a_film_that_names_other_files_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "secret.ts").write_bytes(film(tmp_path / "b.ts", (64, 48)).read_bytes())
    for name, content in {
        "a.mp4": f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n",
        "b.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
    }.items():
        (tmp_path / name).write_text(content)
        (candidate,), _ = found(tmp_path / name)
        with pytest.raises(InputError, match="not a video"):
            probed(candidate)


def test_code_whose_names_have_no_end_is_left_out() -> None:
    actions, left_out = parse("a" + ".a" * 2000 + "()")
    assert not actions
    assert len(left_out) == 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    (tmp_path / "b.png").write_bytes(picture())
    candidates, _ = found(tmp_path)
    assert [part for candidate in candidates for _, part in candidate.parts if part.endswith(".mp4")] == []
