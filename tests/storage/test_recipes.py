"""Recipe files: what is wrong in one is said, field by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UsageError
from storage.recipes import load_recipe


def test_a_recipe_is_read_from_any_name(tmp_path: Path) -> None:
    path = tmp_path / "my recipe #1 ü.yaml"
    path.write_text("name: nightly\ncorpus: out\nsources: [{uri: in}]\nintents: ['Étape\\npar étape']\n")
    recipe = load_recipe(path)
    assert recipe.name == "nightly"
    assert load_recipe(f"file://{path}") == recipe


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: [", "not YAML"),
        (b"\xff\xfe\x00", "not text"),
        (b"", "holds no recipe"),
        (
            b"name: r\ncorpus: c\nsources: [{uri: x, domian: gui}]\nintents: [x]",
            r"unknown key sources.*domian, did you mean",
        ),
        (b"name: r\ncorpus: c\nsources: [{uri: x}]", "no intent for '.*x'"),
        (b"name: r\ncorpus: c\nsources: []\nintents: ['  ']", r"intents \(number 1\): must not be empty"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        load_recipe(path)
    assert caught.value.problem.input == str(path)


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_recipe(tmp_path / "none.yaml")
