"""With DATACLAW_ROOTS set, readers follow nothing that leads out of the roots: those links are problems."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from schemas.errors import InputError, Problem
from schemas.recipe import SourceSpec
from sources.base import Candidate
from sources.discovery import absent, discover, hash_parts, open_recording, probe
from sources.places import open_binary
from storage.access import ROOTS
from tests.sources.test_safety import film, member, tar


def found(place: Path | str) -> tuple[list[Candidate], list[Problem]]:
    items = list(discover(SourceSpec(uri=str(place))))
    return [x for x in items if isinstance(x, Candidate)], [x for x in items if isinstance(x, Problem)]


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, secret = tmp_path / "root", tmp_path / "secret"
    folder.mkdir()
    secret.mkdir()
    (secret / "a.png").write_bytes(picture())
    (secret / "key.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nthe secret\n")
    monkeypatch.setenv(ROOTS, str(folder))
    return folder


def test_a_place_outside_is_a_problem(root: Path) -> None:
    outside = root.parent / "secret"
    candidates, problems = found(outside)
    assert not candidates
    assert "lies outside" in problems[0].cause
    assert absent(str(outside)) == problems[0]
    assert absent(str(root)) is None


@pytest.mark.parametrize("what", ["secret", "secret/a.png"])
def test_a_link_to_a_folder_or_file_outside_is_a_problem_and_its_neighbours_are_read(root: Path, what: str) -> None:
    (root / "in").mkdir()
    (root / "in" / "good.png").write_bytes(picture())
    (root / f"out{Path(what).suffix}").symlink_to(root.parent / what)
    candidates, problems = found(root)
    assert [candidate.name for candidate in candidates] == ["in"]
    assert len(problems) == 1
    assert "lies outside" in problems[0].cause


def test_a_link_within_the_roots_is_followed(root: Path) -> None:
    (root / "in").mkdir()
    (root / "in" / "good.png").write_bytes(picture())
    (root / "other").symlink_to(root / "in")
    candidates, problems = found(root)
    assert not problems
    assert len(candidates) == 2


def test_a_picture_of_a_folder_that_leads_outside_is_not_read(root: Path) -> None:
    (root / "good.png").write_bytes(picture())
    (root / "link.png").symlink_to(root.parent / "secret" / "a.png")
    (candidate,), _ = found(root)
    with pytest.raises(InputError, match="lies outside"):
        hash_parts(candidate, {})


def test_subtitles_that_lead_outside_are_not_read(root: Path) -> None:
    film(root / "a.ts", (64, 48))
    (root / "a.vtt").symlink_to(root.parent / "secret" / "key.vtt")
    (candidate,), _ = found(root)
    with pytest.raises(InputError, match="lies outside"):
        probe(candidate, hash_parts(candidate, {}), None, 10**8)


def test_a_link_that_is_changed_after_it_was_looked_at_is_refused_when_it_is_opened(root: Path) -> None:
    (root / "a.png").write_bytes(picture())
    (candidate,), _ = found(root)
    stream = probe(candidate, hash_parts(candidate, {}), None, 10**8)
    (root / "a.png").unlink()
    (root / "a.png").symlink_to(root.parent / "secret" / "a.png")
    with open_recording(stream) as recording, pytest.raises(InputError, match="lies outside"):
        list(recording.frames(0.0, 1.0, None))


def test_members_are_read_where_their_archive_may_be(root: Path) -> None:
    inside = tar(root / "a.tar", [member("a.png", picture())])
    (candidate,), _ = found(inside)
    probe(candidate, hash_parts(candidate, {}), None, 10**8)
    outside = tar(root.parent / "secret" / "b.tar", [member("b.png", picture())])
    escaped = str(outside).replace(":", "%3A")
    with pytest.raises(InputError, match="lies outside"), open_binary(f"member://512-10/{escaped}/b.png") as file:
        file.read()
