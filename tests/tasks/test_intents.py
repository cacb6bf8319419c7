"""Intents read by the model behind a server: in any language, once, and by rules where it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))

from faulty_server import FaultyServer, ok, status

from schemas.recipe import ModelSpec, Placement, Recipe, Serving, SourceSpec, Synthesis
from schemas.task_spec import Intent
from storage.corpus import Corpus
from synthesis.intent.resolve import resolve
from tasks.intents import intent_model

READING = json.dumps(
    {
        "readings": [{"task_type": "video_qa", "confidence": 0.9, "because": ["Fragen"], "joins_streams": False}],
        "constraints": {"counts": [{"noun": "questions", "least": 3}], "language": "de"},
    }
)
GERMAN = Intent(text="Mach mir mindestens drei Fragen mit Antworten auf Deutsch dazu.")


def recipe(folder: Path, server: FaultyServer, backend: str = "openai") -> Recipe:
    Corpus.open(folder / "corpus", create=True)
    return Recipe(
        name="r",
        corpus=str(folder / "corpus"),
        sources=(SourceSpec(uri="x"),),
        intents=(GERMAN.text,),
        synthesis=Synthesis(backend=backend, model=ModelSpec(name="m")),
        placement=Placement(serving=Serving(base_url=server.base_url, patience=0.0)),
    )


def test_another_language_is_read_once_and_remembered(tmp_path: Path) -> None:
    with FaultyServer([ok(READING)], then=status(500)) as server:
        for _ in range(2):
            (spec,) = resolve(GERMAN, [], intent_model(recipe(tmp_path, server)))
            assert spec.task_type == "video_qa"
            assert spec.constraints.language == "de"
            assert str(spec.constraints.counts[0]) == "at least 3 questions"
        assert len(server.requests) == 1
        assert server.requests[0].body["response_format"]["type"] == "json_schema"
        assert GERMAN.text in server.requests[0].text


@pytest.mark.parametrize("answer", [ok("nonsense"), status(500)], ids=["nonsense", "gone"])
def test_where_the_model_fails_rules_read_with_a_warning_and_nothing_is_remembered(tmp_path: Path, answer) -> None:
    english = Intent(text="Make at least three temporal questions.")
    with FaultyServer([], then=answer) as server:
        model = intent_model(recipe(tmp_path, server))
        with pytest.warns(UserWarning, match="rules did"):
            specs = resolve(english, [], model)
        with pytest.warns(UserWarning, match="rules did"):
            resolve(english, [], model)
        assert len(server.requests) == 1, "what was asked in vain is not asked again for the next stream"
    assert specs[0].task_type == "temporal_qa"
    assert not (tmp_path / "corpus" / "intents").exists()


def test_engines_in_the_workers_are_not_asked_by_the_driver(tmp_path: Path) -> None:
    with FaultyServer([]) as server:
        assert intent_model(recipe(tmp_path, server, "vllm")) is None
