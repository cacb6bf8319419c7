"""Serving and writing for people's eyes: nothing listens beyond this machine, nothing is written beyond the folder."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dataclaw.main import app
from dataclaw.viewer.images import ImageFolder
from schemas.triplet import Triplet
from storage.corpus import Corpus

ROOT = Path(__file__).resolve().parents[2]
JPEG = b"\xff\xd8\xff"
LAYERS = ("dataclaw", "deployments", "flows", "tasks", "synthesis", "experts", "sources", "storage", "schemas")


def view(corpus: Path, out: Path) -> None:
    done = CliRunner().invoke(app, ["view", str(corpus), "--out", str(out)])
    assert done.exit_code == 0, done.output


def test_the_gallery_is_files_and_no_server() -> None:
    servers = {"http.server", "socketserver", "wsgiref", "uvicorn", "socket"}
    files = [*(ROOT / "dataclaw" / "viewer").rglob("*.py"), ROOT / "dataclaw" / "commands" / "view.py"]
    assert len(files) > 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            named |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            assert not named & servers, path


def test_no_command_listens_on_every_address() -> None:
    for path in (file for layer in LAYERS for file in (ROOT / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Constant) and node.value == "0.0.0.0"), path


def test_a_picture_keeps_to_its_folder_whatever_its_row_says(
    tmp_path: Path,
    make_corpus: Callable[[Path, Sequence[Triplet]], Corpus],
    every_row: list[Triplet],
) -> None:
    def told(row: Triplet, place: int) -> Triplet:
        names = ("../../evil.jpg", "/etc/evil.jpg", "..\\evil.jpg", "a/\0b.jpg")
        frames = tuple(
            frame.model_copy(update={"image": frame.image.model_copy(update={"path": names[place % 4]})})
            for frame in row.evidence
        )
        streams = tuple(stream.model_copy(update={"name": "../../../etc/passwd"}) for stream in row.streams)
        return row.model_copy(update={"evidence": frames, "streams": streams})

    make_corpus(tmp_path / "c", [told(row, place) for place, row in enumerate(every_row)])
    before = set((tmp_path / "c").rglob("*"))
    view(tmp_path / "c", tmp_path / "deep" / "er" / "g")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "deep"]
    assert set((tmp_path / "c").rglob("*")) - before <= {tmp_path / "c" / "catalog.db"}
    assert sorted(path.name for path in (tmp_path / "deep" / "er" / "g").iterdir()) == ["images", "index.html"]


def test_pages_and_pictures_are_not_written_through_links(tmp_path: Path, gallery_corpus: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine")
    out = tmp_path / "g"
    view(gallery_corpus, out)
    pictures = sorted((out / "images").iterdir())
    for place in (out / "index.html", pictures[0]):
        place.unlink()
        place.symlink_to(kept if place.suffix == ".html" else tmp_path / "made")
    (out / ".index.html.tmp").symlink_to(kept)
    view(gallery_corpus, out)
    assert kept.read_text() == "mine"
    assert not (tmp_path / "made").exists()
    assert not (out / "index.html").is_symlink()


@pytest.mark.parametrize("data", [b"<svg onload=alert(1)>", b"<html>", b"%PDF-1.7", b"", b"RIFF0000WAVE"])
def test_what_a_browser_could_run_is_no_picture(tmp_path: Path, data: bytes) -> None:
    assert ImageFolder(tmp_path).add(data) is None
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_picture_comes_from_its_bytes(tmp_path: Path) -> None:
    address: Any = ImageFolder(tmp_path).add(JPEG + b"../../x")
    assert (tmp_path / address).resolve().parent == tmp_path / "images"
