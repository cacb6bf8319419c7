"""A real film scene with subtitles, from the file to verified rows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.gather import join_stream
from experts.roster import expert_class, specs_for
from schemas.outcome import Outcome
from schemas.recipe import Recipe, Sampling, SourceSpec
from schemas.rows import Group, Result, UnitPlan
from schemas.segment import cut_segments
from schemas.stream import Domain
from schemas.task_spec import Intent
from sources.base import Candidate
from sources.discovery import discover, hash_parts, open_recording, probe
from synthesis.intent.resolve import choose, resolve
from synthesis.synthesise import SynthesiseGroups
from synthesis.verification.verify import verify_row

INTENT = "a tutorial and temporal question answering"
CUES = [
    (0.0, 0.999, "Hildy!"),
    (1.0, 1.499, "How are you?"),
    (1.5, 2.999, "Tell me, is the lord of the universe in?"),
    (3.0, 4.299, "Yes, he's in - in a bad humor"),
    (4.3, 6.0, "Somebody must've stolen the crown jewels"),
]


@pytest.fixture(scope="module")
def results(streams: Path) -> dict[str, Result]:
    source = SourceSpec(uri=str(streams / "daily_life/friday"), domain=Domain.DAILY_LIFE, intents=(INTENT,))
    (candidate,) = discover(source)
    assert isinstance(candidate, Candidate)
    stream = probe(candidate, hash_parts(candidate, {}), Domain.DAILY_LIFE, 10**8)
    anchors = []
    ensemble = Ensemble([expert_class(spec.name)() for spec in specs_for(stream, None)], Sampling())
    with open_recording(stream) as recording:
        for segment in cut_segments(stream, 2.0):
            measured = ensemble(recording, segment, Stopwatch())
            anchors += [anchor for found in measured.anchors.values() for anchor in found]
    units = tuple(
        UnitPlan(unit=spec.task_type, slot=spec.task_type, spec=spec)
        for spec in choose(resolve(Intent(text=INTENT), [stream]))
    )
    group = Group(
        group="friday",
        streams=(stream,),
        anchors=tuple(join_stream(stream, anchors)),
        units=units,
        problems=(),
        failed_streams=(),
        costs=(),
    )
    recipe = Recipe(name="friday", corpus="memory://corpus", sources=(source,))
    return {result.outcome.task_type: result for result in asyncio.run(SynthesiseGroups(recipe, "run").results(group))}


@pytest.mark.streams
def test_both_forms_that_the_intent_names_are_published_and_prove_themselves(results: dict[str, Result]):
    assert set(results) == {"tutorial", "temporal_qa"}
    for result in results.values():
        assert result.outcome.outcome is Outcome.DONE
        assert result.triplet is not None
        assert verify_row(result.triplet) == []
        assert all(frame.image.bytes[:2] == b"\xff\xd8" for frame in result.triplet.evidence)


@pytest.mark.streams
def test_the_tutorial_quotes_every_cue_with_its_span(results: dict[str, Result]):
    triplet = results["tutorial"].triplet
    assert triplet is not None
    blocks = json.loads(triplet.output)["blocks"]
    quotes = [quote for block in blocks if block["type"] == "text" for quote in block["quotes"]]
    assert [(quote["t0"], quote["t1"], quote["text"]) for quote in quotes] == CUES


@pytest.mark.streams
def test_questions_and_answers_quote_cues_verbatim(results: dict[str, Result]):
    triplet = results["temporal_qa"].triplet
    assert triplet is not None
    questions = {question["question"]: question for question in json.loads(triplet.output)["questions"]}
    assert questions['When is "Hildy!" said?']["answer"] == "From 0.0 s to 1.0 s."
    quoted = {(e["t0"], e["t1"], e["quote"]) for question in questions.values() for e in question["events"]}
    assert quoted <= set(CUES)


@pytest.mark.streams
@pytest.mark.parametrize(
    ("was", "becomes"), [('"t0":1.5', '"t0":1.9'), ("Hildy!", "Hilda!"), ("From 0.0 s", "From 0.5 s")]
)
def test_a_change_by_hand_is_found_out(results: dict[str, Result], was: str, becomes: str):
    triplet = results["temporal_qa"].triplet
    assert triplet is not None
    assert was in triplet.output
    changed = triplet.model_copy(update={"output": triplet.output.replace(was, becomes)})
    problems = verify_row(changed.model_copy(update={"id": changed.content_id()}))
    assert any("not supported" in problem for problem in problems)
