"""Recipe files: what is wrong in one is said, field by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import UsageError
from storage.recipes import load_recipe, recipe_of_run


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


NIGHTLY = """
name: nightly
corpus: out
sources:
  - {uri: raw, domain: gui, group_by: folder, intents: [Make a tutorial.]}
  - {uri: raw/robots, domain: embodied}
intents: [Make a world model.]
budget: {run_tokens: 100, day_tokens: 1000}
"""


@pytest.fixture
def nightly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recipe in the folder in which runs work."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nightly.yaml").write_text(NIGHTLY)
    return str(tmp_path / "nightly.yaml")


def test_one_run_may_take_other_sources_and_those_below_the_recipes_are_read_as_they_are(nightly: str) -> None:
    folder = str(Path(nightly).parent)
    sources = ["raw/friday", f"{folder}/raw/robots#7", "raw_of_others", "s3://bucket/raw"]
    run = recipe_of_run(nightly, sources, sent=False)
    assert [(source.uri.removeprefix(folder), source.domain, source.group_by) for source in run.sources] == [
        ("/raw/friday", "gui", "folder"),
        ("/raw/robots#7", "embodied", None),
        ("/raw_of_others", None, None),
        ("s3://bucket/raw", None, None),
    ]
    assert run.sources[0].intents == ("Make a tutorial.",)
    assert run.hash == load_recipe(nightly).hash


def test_one_run_may_be_asked_something_else_of_every_source(nightly: str) -> None:
    run = recipe_of_run(nightly, intents=["Ask about the screen."], sent=False)
    assert run.intents == ("Ask about the screen.",)
    assert [source.intents for source in run.sources] == [(), ()]
    assert run.hash == load_recipe(nightly).hash


def test_one_run_may_have_a_budget_of_its_own(nightly: str) -> None:
    budget = recipe_of_run(nightly, run_tokens=5, sent=False).budget
    assert (budget.run_tokens, budget.day_tokens) == (5, 1000)


def test_a_run_of_which_nothing_is_said_is_as_its_recipe(nightly: str) -> None:
    assert recipe_of_run(nightly, sent=False) == load_recipe(nightly)
