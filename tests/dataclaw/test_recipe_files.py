"""Recipes from YAML and from arguments: relative paths, and errors that say where and what was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from dataclaw.recipes import from_arguments, is_recipe_file
from schemas.errors import UsageError
from storage.recipes import load_recipe

GOOD = """
name: demo
corpus: ../demo/corpus
sources:
  - uri: ../demo/streams/gui
    domain: gui
  - uri: s3://bucket/raw
intents: [Make a trajectory]
"""


def write(folder: Path, text: str) -> str:
    (folder / "recipes").mkdir(exist_ok=True)
    file = folder / "recipes" / "a.yaml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_relative_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    recipe = load_recipe(write(tmp_path, GOOD))
    assert recipe.corpus == str(tmp_path / "demo" / "corpus")
    assert [source.uri for source in recipe.sources] == [str(tmp_path / "demo/streams/gui"), "s3://bucket/raw"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("intents:", "intent:"), ["unknown key intent", "did you mean 'intents'? docs/recipe.md"]),
        (GOOD.replace("uri:", "url:", 1), ["unknown key sources (number 1).url, did you mean 'uri'? docs/recipe.md"]),
        (GOOD + "sampling: {frame_rat: 2}", ["unknown key sampling.frame_rat", "did you mean 'frame_rate'?"]),
        (GOOD.replace("domain: gui", "domain: guy"), ["sources (number 1).domain", "did you mean 'gui'?"]),
        (GOOD.replace("domain: gui", "domian: gui"), ["unknown key sources (number 1).domian", "'domain'?"]),
        (GOOD.replace("name: demo", ""), ["name is missing"]),
        (GOOD.replace("Make a trajectory", "' '"), ["intents (number 1)", "must not be empty"]),
        (GOOD.replace("name: demo", "name: My Demo"), ["'My Demo' is no name"]),
        (GOOD + "reward: {weights: {format: 0.5}}", ["reward.weights", "must sum to 1"]),
        (GOOD + "sampling: {frame_rate: -1}", ["sampling.frame_rate", "greater than 0"]),
        ("name: [", ["is not YAML", "in line"]),
        ("- a list", ["holds no recipe"]),
        ("", ["holds no recipe"]),
    ],
)
def test_a_wrong_recipe_is_told_by_place_and_word(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, text))
    for word in words:
        assert word in str(caught.value)


def test_bytes_that_are_no_text_are_told_so(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        load_recipe(str(tmp_path / "a.yaml"))


def test_arguments_make_the_same_recipe_as_a_file(tmp_path: Path) -> None:
    recipe = from_arguments(
        [str(tmp_path / "a b.mp4")], ["Make it"], str(tmp_path / "My Corpus 2"), rate=4.0, workers=3
    )
    assert recipe.name == "my_corpus_2"
    assert recipe.sampling.frame_rate == 4.0
    assert recipe.placement.extract_workers == 3
    assert recipe.sources[0].uri == str(tmp_path / "a b.mp4")


@pytest.mark.parametrize(("out", "name"), [("/data/2026", "corpus_2026"), ("s3://b/コーパス", "corpus"), ("x/", "x")])
def test_a_corpus_of_any_name_gives_a_recipe_name(out: str, name: str) -> None:
    assert from_arguments(["a"], ["Make it"], out).name == name


def test_one_yaml_file_without_intent_is_a_recipe() -> None:
    assert is_recipe_file(["a.YAML"], [])
    assert not is_recipe_file(["a.yaml"], ["Make it"])
    assert not is_recipe_file(["a.yaml", "b.yaml"], [])
    assert not is_recipe_file(["a.mp4"], [])


class Caption(BaseModel):
    start: float
    text: str


def test_a_schema_lies_beside_the_recipe_in_it_or_in_a_model(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "form.json").write_text('{"type": "object"}')
    assert load_recipe(write(tmp_path, GOOD + "output_schema: form.json")).output_schema == '{"type": "object"}'
    assert load_recipe(write(tmp_path, GOOD + "output_schema: {type: object}")).output_schema == '{"type":"object"}'
    model = load_recipe(write(tmp_path, GOOD + f"output_schema: '{__name__}:Caption'")).output_schema
    assert set(json.loads(model or "")["properties"]) == {"start", "text"}
    with pytest.raises(UsageError, match=r"gone\.json"):
        load_recipe(write(tmp_path, GOOD + "output_schema: gone.json"))
    with pytest.raises(UsageError, match="cannot be imported"):
        load_recipe(write(tmp_path, GOOD + "output_schema: 'no_such_module:Thing'"))
    with pytest.raises(UsageError, match="is no Pydantic model"):
        load_recipe(write(tmp_path, GOOD + "output_schema: 'json:JSONDecoder'"))


@pytest.mark.parametrize("pattern", ["(", "session-[0-9]+"])
def test_a_grouping_that_cannot_be_is_refused(tmp_path: Path, pattern: str) -> None:
    text = GOOD.replace("    domain: gui\n", f"    domain: gui\n    group_by: '{pattern}'\n")
    with pytest.raises(UsageError, match=r"sources \(number 1\)\.group_by"):
        load_recipe(write(tmp_path, text))
