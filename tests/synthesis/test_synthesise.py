"""Groups in, results out: every unit ends, and what is published proves itself from its row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from facts import FILM, SHA, anchor, spec, stream

import synthesis.evidence
import synthesis.synthesise
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.base import canonical_json
from schemas.errors import InputError, Problem
from schemas.outcome import Cost, Outcome
from schemas.recipe import Recipe, RewardSpec, SourceSpec, Synthesis
from schemas.rows import GROUP_SCHEMA, RESULT_SCHEMA, Group, Result, UnitPlan
from schemas.stream import Domain, Stream
from schemas.task_spec import TaskSpec
from schemas.triplet import TRIPLET_SCHEMA, Triplet, triplet_id
from sources.base import Recording
from synthesis.backends.rules import RulesBackend
from synthesis.evidence import MAX_ANCHORS, encode, pick_frames, select_anchors
from synthesis.synthesise import SynthesiseGroups
from synthesis.verification.check import AnchorIndex, check
from synthesis.verification.verify import claims_of, score_output, verify_row


class Picture:
    """A frame whose colour tells its time."""

    index = None
    width, height = 64, 48

    def __init__(self, time: float) -> None:
        self.time = time

    def rgb(self, max_side: int | None = None) -> Any:
        return np.full((48, 64, 3), int(self.time) % 256, np.uint8)


class Film(Recording):
    """A recording of pictures, cut off at `end`."""

    closed = 0

    def __init__(self, end: float = 1e9) -> None:
        self.end = end

    def frames_at(self, times: Sequence[float]) -> Iterator[Any]:
        assert list(times) == sorted(set(times))
        for time in times:
            if time > self.end:
                raise InputError("file:///raw/friday.mp4", "it breaks off", "Copy it again.")
            yield Picture(time)

    def close(self) -> None:
        Film.closed += 1


@pytest.fixture(autouse=True)
def film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis.evidence, "open_recording", lambda stream: Film())


def recipe(**rest: Any) -> Recipe:
    return Recipe(name="test", corpus="memory://c", sources=(SourceSpec(uri="x", intents=("x",)),), **rest)


def plan(task_type: str, given: TaskSpec | None = None) -> UnitPlan:
    return UnitPlan(unit=f"unit {task_type}", slot="s", spec=given or spec(task_type), readings=("tutorial",))


def group(
    *units: UnitPlan, anchors: Sequence[FactualAnchor] = FILM, streams: Sequence[Stream] = (stream(),), **rest: Any
) -> Group:
    fields = {"problems": (), "failed_streams": (), "costs": (Cost(stage="ocr", wall=1, cpu=1, calls=3),)} | rest
    return Group(group="g", streams=tuple(streams), anchors=tuple(anchors), units=units, **fields)


def results(*groups: Group, given: Recipe | None = None) -> list[Result]:
    synthesise = SynthesiseGroups(given or recipe(), "run")
    table = asyncio.run(synthesise(Group.to_table(groups, GROUP_SCHEMA)))
    assert table.schema == RESULT_SCHEMA
    return Result.from_table(table)


def made(task_type: str = "tutorial", **rest: Any) -> Triplet:
    (result,) = results(group(plan(task_type)), **rest)
    assert result.outcome.problem is None
    assert result.triplet is not None
    return result.triplet


@pytest.mark.parametrize("task_type", ["tutorial", "temporal_qa"])
def test_a_unit_that_verifies_is_done_and_its_row_proves_itself(task_type):
    triplet = made(task_type)
    assert verify_row(triplet) == []
    read_back = Triplet.from_table(Triplet.to_table([triplet], TRIPLET_SCHEMA))[0]
    assert verify_row(read_back) == []
    assert triplet.provenance.reward == RewardSpec()
    assert triplet.provenance.readings == (("tutorial",) if task_type != "tutorial" else ())
    assert [expert.name for expert in triplet.provenance.experts] == ["shots", "subtitles"]
    assert triplet.evidence
    assert triplet.evidence[0].image.path.startswith("friday_")


def test_the_same_inputs_give_the_same_id():
    backwards = results(group(plan("tutorial"), anchors=FILM[::-1]))[0].triplet
    assert backwards is not None
    assert backwards.id == made().id


def test_every_unit_has_one_result_and_costs_are_told_once():
    ends = results(group(plan("tutorial"), plan("temporal_qa")), group(plan("tutorial"), anchors=[]))
    assert [end.outcome.outcome for end in ends] == [Outcome.DONE, Outcome.DONE, Outcome.FILTERED]
    stages = [[cost.stage for cost in end.costs] for end in ends]
    assert stages[0] == ["evidence", "ocr", "synthesise:tutorial", "verify"]
    assert stages[1] == ["evidence", "synthesise:temporal_qa", "verify"]
    assert ends[2].outcome.problem is not None
    assert "needs words" in ends[2].outcome.problem.cause


def test_an_unexpected_error_ends_one_unit_and_no_other(monkeypatch):
    class Broken(RulesBackend):
        def write(self, agent: Any, evidence: Any) -> str:
            if agent.task_type == "tutorial":
                raise KeyError("lost")
            return super().write(agent, evidence)

    monkeypatch.setattr(synthesis.synthesise, "backend_class", lambda name: Broken)
    first, second = results(group(plan("tutorial"), plan("temporal_qa")))
    assert first.outcome.outcome is Outcome.FAILED
    assert first.outcome.problem is not None
    assert "KeyError" in first.outcome.problem.cause
    assert second.outcome.outcome is Outcome.DONE


def test_an_unknown_task_type_fails_with_its_name():
    (end,) = results(group(plan("tutorial", spec("tutorial").model_copy(update={"task_type": "tutorail"}))))
    assert end.outcome.outcome is Outcome.FAILED
    assert "Did you mean 'tutorial'" in str(end.outcome.problem)


def test_a_group_without_a_readable_stream_fails_with_the_reason():
    problem = Problem(input="file:///raw/x.mp4", cause="zero bytes", remedy="Copy it again.")
    (end,) = results(group(plan("tutorial"), streams=(), anchors=(), problems=(problem,), failed_streams=(SHA,)))
    assert end.outcome.outcome is Outcome.FAILED
    assert end.outcome.problem == problem
    assert end.outcome.streams == (SHA,)
    assert end.failed_streams == (SHA,)


def test_frames_that_cannot_be_decoded_fail_the_unit(monkeypatch):
    monkeypatch.setattr(synthesis.evidence, "open_recording", lambda stream: Film(end=10.0))
    (end,) = results(group(plan("tutorial")))
    assert end.outcome.outcome is Outcome.FAILED
    assert "breaks off" in str(end.outcome.problem)


class Wrong(RulesBackend):
    """Writes an output with one passage that nobody said."""

    def write(self, agent: Any, evidence: Any) -> str:
        return super().write(agent, evidence).replace("Whisk them with a fork.", "Whisk them with a spoon.")


def test_what_does_not_verify_is_repaired(monkeypatch):
    monkeypatch.setattr(synthesis.synthesise, "backend_class", lambda name: Wrong)
    triplet = made()
    assert triplet.provenance.repairs == 1
    assert "spoon" not in triplet.output
    assert verify_row(triplet) == []


def test_what_cannot_be_repaired_is_rejected_with_its_report(monkeypatch):
    monkeypatch.setattr(synthesis.synthesise, "backend_class", lambda name: Wrong)
    (end,) = results(group(plan("tutorial")), given=recipe(synthesis=Synthesis(max_repairs=0)))
    assert end.outcome.outcome is Outcome.FILTERED
    assert end.outcome.score is not None
    assert end.outcome.score.unsupported
    assert end.outcome.output is not None
    assert "spoon" in end.outcome.output
    assert "spoon" in str(end.outcome.problem)


class Raving(RulesBackend):
    def write(self, agent: Any, evidence: Any) -> str:
        return "Sure! Here is your tutorial."


def test_what_is_not_json_is_rejected(monkeypatch):
    monkeypatch.setattr(synthesis.synthesise, "backend_class", lambda name: Raving)
    (end,) = results(group(plan("tutorial")))
    assert end.outcome.outcome is Outcome.FILTERED
    assert "not valid JSON" in str(end.outcome.problem)


def forged(triplet: Triplet, output: str) -> Triplet:
    """A row whose output was changed by someone who also mends its id and its score."""
    score = score_output(output, triplet.spec, triplet.streams, triplet.anchors, triplet.provenance.reward)
    changed = triplet.model_copy(update={"output": output, "score": score})
    return changed.model_copy(update={"id": changed.content_id()})


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("Whisk them with a fork.", "Whisk them with a spoon."),
        ('"t0":12.0', '"t0":12.4'),
        ("At 12.0 s", "At 13.0 s"),
        ('"time":13.5', '"time":14.5'),
    ],
)
def test_a_row_changed_by_hand_fails_even_with_a_new_id_and_score(was, becomes):
    triplet = made()
    assert was in triplet.output
    by_hand = triplet.model_copy(update={"output": triplet.output.replace(was, becomes)})
    assert any(problem.startswith("id:") for problem in verify_row(by_hand))
    assert verify_row(forged(triplet, triplet.output.replace(was, becomes)))


def test_a_changed_order_of_events_fails():
    triplet = made("temporal_qa")
    swapped = triplet.output.replace("Good morning.", "@").replace("Today we cook an omelette.", "Good morning.")
    swapped = swapped.replace("@", "Today we cook an omelette.")
    problems = verify_row(forged(triplet, swapped))
    assert any("not supported" in problem and problem.startswith("output/questions/") for problem in problems)


def test_rows_with_other_faults_say_which():
    triplet = made()
    stranger = anchor(AnchorKind.CUT, 1.0, stream="b" * 64)
    score = triplet.score.model_copy(update={"reward": 0.99999, "efficiency": 0.5})
    for change, words in [
        ({"anchors": (*triplet.anchors, stranger)}, "which is not in the row"),
        ({"score": score}, "score: efficiency is stored as 0.5"),
        ({"evidence": ()}, "the row holds none"),
        ({"evidence": triplet.evidence[1:] + triplet.evidence[:1]}, None),
        ({"domain": Domain.GUI}, "domain"),
        ({"task_type": "temporal_qa"}, "spec"),
        ({"spec": triplet.spec.model_copy(update={"task_type": "nothing"})}, "unknown task type"),
        ({"spec": triplet.spec.model_copy(update={"output_schema": "{}"}), "output": "{}"}, "Field required"),
        ({"output": "{"}, "not valid JSON"),
        ({"anchors": ()}, "not supported"),
    ]:
        problems = verify_row(triplet.model_copy(update=change))
        if words is None:
            assert problems == []
        else:
            assert any(words in problem for problem in problems), (words, problems)


def test_a_frame_of_another_moment_is_found_out():
    triplet = made()
    moved = triplet.evidence[0].model_copy(update={"time": triplet.evidence[0].time + 0.5})
    problems = verify_row(triplet.model_copy(update={"evidence": (moved, *triplet.evidence[1:])}))
    assert [problem.split(":")[0] for problem in problems] == ["evidence", "evidence"]


def test_a_stricter_reward_can_be_asked_of_old_rows():
    triplet = made("temporal_qa")
    assert verify_row(triplet, RewardSpec(threshold=0.5)) == []
    low = triplet.score.reward
    if low < 1.0:
        assert any("are asked" in problem for problem in verify_row(triplet, RewardSpec(threshold=1.0)))


def test_frames_are_bounded_and_the_most_important_come_first():
    triplet = made(given=recipe(synthesis=Synthesis(evidence_frames=2)))
    assert len(triplet.evidence) == 2
    assert verify_row(triplet) == []


def test_recordings_are_closed():
    before = Film.closed
    made()
    assert Film.closed == before + 1


def test_screens_are_kept_as_png_where_that_is_smaller():
    flat = np.zeros((64, 64, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert encode(flat, stream(Domain.GUI))[1] == "png"
    assert encode(noise, stream(Domain.GUI))[1] == "jpg"
    assert encode(flat, stream(Domain.DAILY_LIFE))[1] == "jpg"


def test_the_row_holds_what_the_verdicts_rest_on_though_there_is_more_than_room():
    many = [anchor(AnchorKind.SCREEN_TEXT, 0.01 * i, 0.01 * i + 1, f"noise {i}", confidence=0.1) for i in range(6000)]
    (end,) = results(group(plan("temporal_qa"), anchors=[*FILM, *many]))
    assert end.triplet is not None
    assert len(end.triplet.anchors) == MAX_ANCHORS
    assert verify_row(end.triplet) == []
    cited = {anchor for support in end.triplet.score.supports for anchor in support.anchors}
    assert cited <= {anchor.id for anchor in end.triplet.anchors}


def test_selected_anchors_keep_every_verdict():
    triplet = made("temporal_qa")
    claims = claims_of(triplet)
    kept = select_anchors(triplet.anchors, claims, limit=0)
    assert len(kept) < len(triplet.anchors) or len(kept) == len(FILM)
    assert check(claims, AnchorIndex(kept)) == check(claims, AnchorIndex(triplet.anchors))


def test_an_id_is_of_the_content_and_not_of_the_night():
    triplet = made()
    assert triplet.id == triplet_id(triplet.streams, triplet.spec, triplet.anchors, triplet.output)
    assert triplet.output == canonical_json(json.loads(triplet.output))


def test_no_frames_are_opened_for_an_output_without_moments(monkeypatch):
    class Still:
        def evidence_times(self, output: Any, streams: Any) -> list[Any]:
            return []

    assert pick_frames(Still(), {}, [stream()], 4, 64) == ()  # type: ignore[arg-type]


def test_an_empty_batch_is_an_empty_batch():
    table = asyncio.run(SynthesiseGroups(recipe(), "run")(pa.Table.from_pylist([], schema=GROUP_SCHEMA)))
    assert table.num_rows == 0
    assert table.schema == RESULT_SCHEMA


def test_a_unit_rests_on_its_own_experts_alone_whatever_its_siblings_need() -> None:
    moving = anchor(AnchorKind.MOTION, 1.0, 4.0, value=0.2, expert="motion")
    both = group(plan("temporal_qa"), plan("action_segments"), anchors=(*FILM, moving))
    rows = {result.outcome.task_type: result.triplet for result in results(both)}
    segments, questions = rows["action_segments"], rows["temporal_qa"]
    assert segments is not None
    assert questions is not None
    assert "motion" in {expert.name for expert in segments.provenance.experts}
    assert "motion" in {a.expert for a in segments.anchors}
    assert "motion" not in {a.expert for a in questions.anchors}


def test_another_form_of_the_same_wish_is_made_where_the_first_cannot_be() -> None:
    stuck = plan("stuck_point_tutoring").model_copy(update={"instead": (spec("tutorial"),), "readings": ("tutorial",)})
    (result,) = results(group(stuck, anchors=[*FILM[:2], *FILM[7:]]))
    assert result.triplet is not None
    assert result.outcome.task_type == result.triplet.task_type == "tutorial"
    assert result.triplet.provenance.readings == ("stuck_point_tutoring",)
    assert verify_row(result.triplet) == []
    (problem,) = result.problems
    assert problem.cause.startswith("tutorial was made instead of stuck_point_tutoring: ")


def test_where_the_other_form_cannot_be_made_either_the_first_reason_stands() -> None:
    stuck = plan("stuck_point_tutoring").model_copy(update={"instead": (spec("tutorial"),)})
    (result,) = results(group(stuck, anchors=[]))
    assert result.outcome.outcome is Outcome.FILTERED
    assert result.outcome.task_type == "stuck_point_tutoring"
    assert result.problems == ()
