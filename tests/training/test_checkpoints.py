"""A checkpoint says whether it is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from training.checkpoints import SEAL, broken, newest, seal


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A run with two whole checkpoints."""
    for step in (8, 16):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "shards").mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(range(step)))
        (folder / "shards" / "0").write_bytes(b"a shard")
        seal(folder)
    return tmp_path


def test_the_newest_whole_one_is_found(out: Path) -> None:
    assert newest(out) == out / "checkpoint-16"


def test_a_run_without_any_has_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None


@pytest.mark.parametrize(
    ("breaking", "why"),
    [
        (lambda folder: (folder / SEAL).unlink(), "it was not finished"),
        (lambda folder: (folder / SEAL).write_text('{"weights": [16'), "it was not finished"),
        (lambda folder: (folder / "weights").unlink(), "weights is missing"),
        (lambda folder: (folder / "weights").write_bytes(b"\1" * 16), "weights is not what was written"),
        (lambda folder: (folder / "weights").write_bytes(b"short"), "weights is not what was written"),
        (lambda folder: (folder / "shards" / "0").write_bytes(b"another"), "shards/0 is not what was written"),
    ],
    ids=["no seal", "half a seal", "a file gone", "other bytes", "cut off", "a shard changed"],
)
def test_a_broken_one_is_set_aside_for_the_one_before(out: Path, breaking: Callable[[Path], object], why: str) -> None:
    breaking(out / "checkpoint-16")
    assert broken(out / "checkpoint-16") == why
    assert newest(out) == out / "checkpoint-8"
    assert (out / "broken-checkpoint-16").is_dir()
    assert newest(out) == out / "checkpoint-8"


def test_of_one_that_breaks_again_the_last_is_kept(out: Path) -> None:
    for content in (b"first", b"second"):
        folder = out / "checkpoint-16"
        folder.mkdir(exist_ok=True)
        (folder / "weights").write_bytes(content)
        assert newest(out) == out / "checkpoint-8"
    assert (out / "broken-checkpoint-16" / "weights").read_bytes() == b"second"
