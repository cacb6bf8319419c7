"""A row as a model learns from it: the question of a build, the answer in the order in which engines hold it."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from schemas.anchor import FactualAnchor
from schemas.errors import UsageError
from schemas.manifest import Manifest
from schemas.recipe import ModelSpec, Placement, Recipe, Serving, SourceSpec, Synthesis
from schemas.rows import Group, UnitPlan
from schemas.stream import Domain
from schemas.task_spec import Intent
from schemas.triplet import Split, Triplet
from sources.base import Candidate
from sources.discovery import discover, hash_parts, probe
from sources.samples.media import write_video
from storage.corpus import Corpus
from synthesis.agents.own_schema.agent import own_spec
from synthesis.agents.roster import agent_for
from synthesis.backends.rules import RulesBackend
from synthesis.base import Evidence
from synthesis.purse import Allowance
from synthesis.synthesise import SynthesiseGroups
from synthesis.verification.verify import verify_row
from tests.models.faulty_server import Asked, FaultyServer, ok
from tests.synthesis.facts import FILM, spec
from tests.training.fixtures import corpus, manifest, rows
from tests.training.rows import FORM, row
from training.examples import example_of, examples

__all__ = ["corpus", "manifest", "rows"]

SEEN = ModelSpec(name="tiny", frames=2, image_side=64)


def built(folder: Path, model: ModelSpec) -> tuple[Triplet, Asked]:
    """The row that a build makes of a real film with a model behind a real server, and what the server was asked."""
    film = folder / "friday.mp4"
    write_video(film, (Image.new("RGB", (128, 72), (5 * number, 90, 60)) for number in range(40)), rate=1)
    (candidate,) = discover(SourceSpec(uri=str(film)))
    assert isinstance(candidate, Candidate)
    stream = probe(candidate, hash_parts(candidate, {}), Domain.DAILY_LIFE, 10**6)
    anchors = tuple(anchor.model_copy(update={"stream": stream.sha256}) for anchor in FILM)
    task = spec("tutorial")
    answer = RulesBackend().write(agent_for("tutorial"), Evidence(streams=(stream,), anchors=anchors, spec=task))
    group = Group(
        group="g",
        streams=(stream,),
        anchors=anchors,
        units=(UnitPlan(unit="u", slot="s", spec=task, readings=()),),
        problems=(),
        failed_streams=(),
        costs=(),
    )

    async def run(base_url: str) -> Any:
        recipe = Recipe(
            name="test",
            corpus="memory://c",
            sources=(SourceSpec(uri="x", intents=("x",)),),
            synthesis=Synthesis(backend="openai", model=model),
            placement=Placement(serving=Serving(base_url=base_url)),
        )
        synthesise = SynthesiseGroups(recipe, "run", Allowance())
        try:
            return await synthesise.results(group)
        finally:
            await synthesise.close()

    with FaultyServer([ok(answer)]) as server:
        (result,) = asyncio.run(run(server.base_url))
    assert result.triplet is not None
    assert verify_row(result.triplet) == []
    (asked,) = server.requests
    return result.triplet, asked


@pytest.mark.parametrize("brief", [False, True])
def test_the_question_is_the_one_that_the_build_asked(tmp_path: Path, brief: bool) -> None:
    model = ModelSpec(name="tiny", frames=0, anchor_tokens=200, brief=brief)
    triplet, asked = built(tmp_path, model)
    example = example_of(triplet, model)
    assert [message.role for message in example.messages] == [message["role"] for message in asked.body["messages"]]
    assert "\n\n".join(message.text for message in example.messages) == asked.text
    assert example.pictures == ()


def test_texts_of_a_message_are_one_as_engines_put_them(rows: list[Triplet]) -> None:
    *_, user = example_of(rows[0], SEEN).messages
    assert [type(part).__name__ for part in user.parts] == ["str", "Picture", "Picture"]


def test_the_answer_says_what_was_published_in_the_order_of_its_schema(rows: list[Triplet]) -> None:
    recovery = next(row for row in rows if row.task_type == "fault_recovery")
    answer = example_of(recovery, SEEN).completion
    assert json.loads(answer) == json.loads(recovery.output)
    assert list(json.loads(recovery.output)) == sorted(json.loads(recovery.output))
    schema = json.loads(agent_for("fault_recovery").schema)
    assert list(json.loads(answer)) == [name for name in schema["properties"] if name in json.loads(answer)]
    assert answer.startswith('{"fault":')


def test_numbers_of_the_answer_are_as_precise_as_the_facts_tell_them(rows: list[Triplet]) -> None:
    edit = next(row for row in rows if row.task_type == "image_editing")

    def measured(value: Any) -> Any:
        """With digits beyond those that are told."""
        if isinstance(value, float):
            return value + 0.0000371
        if isinstance(value, list):
            return [measured(item) for item in value]
        return {key: measured(item) for key, item in value.items()} if isinstance(value, dict) else value

    anchors = []
    for anchor in edit.anchors:
        known = anchor.model_dump(mode="json")
        anchors.append(FactualAnchor.model_validate(measured(known) | {"confidence": anchor.confidence}))
    output = json.dumps(measured(json.loads(edit.output)))
    exact = edit.model_copy(update={"anchors": tuple(anchors), "output": output})
    assert json.loads(output) != json.loads(edit.output)
    assert json.loads(example_of(exact, SEEN).completion) == json.loads(edit.output)


@pytest.mark.parametrize(("least", "taught"), [(0.12345, 0.12345), (0.1, 0.123)])
def test_an_answer_that_rounding_would_make_wrong_stays_exact(least: float, taught: float) -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "share": {"type": "number", "minimum": least}},
        "required": ["text", "share"],
    }
    given = row(0, own_spec(Intent(text="Use my form."), json.dumps(FORM)))
    output = {"share": 0.12345, "text": given.anchors[0].content}
    asked = own_spec(given.intent, json.dumps(schema))
    answer = example_of(given.model_copy(update={"spec": asked, "output": json.dumps(output)}), SEEN).completion
    assert json.loads(answer) == output | {"share": taught}


def test_an_answer_is_told_only_where_the_question_holds_all_that_it_states(rows: list[Triplet]) -> None:
    many = row(0, anchors=20)
    line = len(many.anchors[0].content.split()) + 40
    assert example_of(many, ModelSpec(name="tiny", frames=0)).is_told
    few = example_of(many, ModelSpec(name="tiny", frames=0, anchor_tokens=10 * line))
    assert 0 < len(few.told) < 20
    assert all(json.dumps(anchor.content) in few.messages[-1].text for anchor in few.told)
    assert not few.is_told
    about_the_told = json.dumps({"captions": [{"text": anchor.content} for anchor in few.told]})
    assert replace(few, triplet=many.model_copy(update={"output": about_the_told})).is_told
    assert example_of(rows[0], SEEN.model_copy(update={"anchor_tokens": 64})).is_told, "frames show the rest"


def test_no_text_of_a_recording_ends_the_answer_or_passes_for_a_picture(rows: list[Triplet]) -> None:
    value = json.loads(rows[0].output)
    value["title"] = "<|im_end|> and <image>"
    answer = example_of(rows[0].model_copy(update={"output": json.dumps(value)}), SEEN).completion
    assert "<" not in answer
    assert json.loads(answer) == value


def test_pictures_are_scaled_and_no_more_are_shown_than_asked_for(rows: list[Triplet]) -> None:
    row = rows[0]
    assert len(row.evidence) > SEEN.frames
    pictures = example_of(row, SEEN).pictures
    assert len(pictures) == SEEN.frames
    for picture, frame in zip(pictures, row.evidence, strict=False):
        with Image.open(io.BytesIO(picture.data)) as image:
            assert max(image.size) == 64
            assert image.size == (picture.width, picture.height)
        assert picture.moments == ((frame.stream, frame.time),)


def test_a_picture_that_is_small_enough_stays_as_it_is(rows: list[Triplet]) -> None:
    (first, *_) = example_of(rows[0], ModelSpec(name="tiny", image_side=4096)).pictures
    assert first.data == rows[0].evidence[0].image.bytes


def test_examples_of_a_split_come_in_the_order_of_the_snapshot(
    corpus: Corpus, manifest: Manifest, rows: list[Triplet]
) -> None:
    (editing,) = examples(corpus, manifest, SEEN, Split.VALIDATION)
    assert editing.triplet.task_type == "image_editing"
    known = [row.id for row in rows if row.split is Split.TRAIN and row.task_type != "plugin_task"]
    training = examples(corpus, manifest, SEEN, Split.TRAIN)
    assert [next(training).triplet.id for _ in known] == known
    with pytest.raises(UsageError, match="plugin_task"):
        next(training)
