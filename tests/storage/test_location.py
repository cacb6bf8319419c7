"""A location is a folder anywhere; files in it appear whole or not at all."""

from __future__ import annotations

import errno
import os
import pickle
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import CorpusError
from storage.location import Location


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location.of(tmp_path / "a b#?%41\nü 日本")
    return Location.of(f"memory://{uuid.uuid4().hex}/a b# ü 日本")


def test_what_is_written_is_read_back_and_found_again_by_its_uri(place: Location) -> None:
    place.create("folder/a file.json", b"one")
    assert place.read_bytes("folder/a file.json") == b"one"
    assert place.size("folder/a file.json") == 3
    assert Location.of(place.uri("folder")).read_bytes("a file.json") == b"one"
    assert place.join("folder").names() == ["a file.json"]
    assert pickle.loads(pickle.dumps(place)) == place


def test_a_name_is_created_once(place: Location) -> None:
    place.create("x/1.json", b"first")
    with pytest.raises(FileExistsError):
        place.create("x/1.json", b"second")
    assert place.read_bytes("x/1.json") == b"first"
    assert place.names("x") == ["1.json"]


def test_of_many_writers_one_creates_the_file(place: Location) -> None:
    def attempt(number: int) -> bool:
        try:
            place.create("race", str(number).encode() * 1000)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = [number for number, first in enumerate(pool.map(attempt, range(8))) if first]
    if place.is_local:  # the file system in memory has no exclusive creation across threads
        assert len(won) == 1
        assert place.read_bytes("race") == str(won[0]).encode() * 1000
        assert os.listdir(place.root) == ["race"]


def test_replacing_leaves_the_new_content_and_nothing_beside_it(place: Location) -> None:
    place.replace("a", b"old")
    place.replace("a", b"new")
    assert place.read_bytes("a") == b"new"
    assert place.names() == ["a"]


def test_what_is_not_there_is_named_and_removing_it_is_no_error(place: Location) -> None:
    place.create("there", b"")
    assert place.names("nowhere") == []
    assert place.size("nothing") is None
    assert not place.exists("nothing")
    place.remove("nothing")
    place.remove("there")
    assert not place.exists("there")
    with pytest.raises(CorpusError, match="nothing") as caught:
        place.read_bytes("nothing")
    assert caught.value.problem.input == place.uri("nothing")


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/passwd", "s3://bucket/x"])
def test_nothing_outside_the_folder_is_touched(place: Location, path: str) -> None:
    for touch in (place.join, place.read_bytes, place.exists, place.uri):
        with pytest.raises(CorpusError, match="outside"):
            touch(path)
    with pytest.raises(CorpusError, match="outside"):
        place.create(path, b"")


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(CorpusError, match="nosuchthing"):
        Location.of("nosuchthing://x/y")


def test_a_local_name_may_look_like_anything_but_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("~odd", "a::b", "file:x", "c d", "#", "?x=1"):
        Location.of(name).create("f", name.encode())
        assert (tmp_path / name / "f").read_bytes() == name.encode()
    assert Location.of(f"file://{tmp_path}/c d").read_bytes("f") == b"c d"


def test_a_folder_that_cannot_be_made_is_named_with_cause_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CorpusError) as caught:
        Location.of(tmp_path / "file").create("x", b"")
    assert caught.value.problem.cause == "cannot be written: Not a directory"
    assert "choose another path" in caught.value.problem.remedy


def test_a_write_that_fails_midway_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Location.of(tmp_path)
    place.replace("a", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CorpusError, match="No space left") as caught:
        place.replace("a", b"new")
    assert "Free space" in caught.value.problem.remedy
    with pytest.raises(CorpusError, match="No space left"):
        place.create("b", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_creation_is_exclusive_on_file_systems_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    place = Location.of(tmp_path)
    place.create("a", b"first")
    with pytest.raises(FileExistsError):
        place.create("a", b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"first"}


def test_a_file_left_half_written_by_a_killed_process_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / f".{uuid.uuid4().hex}.tmp").write_bytes(b"half")
    assert Location.of(tmp_path).names() == []
