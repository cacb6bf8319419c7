"""DataClaw-Intent: vague and ambiguous requests over recordings, with all that may be made of each.

A request is open in a known way: it leaves all forms of data open, or those that share a word or a purpose. Which forms
these are is said here, beside the words, and not asked of the resolver that is measured. A form is an acceptable
reading where an output of it verifies from the facts in the row: a published one, or else what the rules compose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from benchmark.val.store import FuzzyRequest
from schemas.anchor import FactualAnchor
from schemas.constraints import Constraints
from schemas.errors import UnsuitedError
from schemas.score import Score
from schemas.stream import Domain, Stream
from schemas.task_spec import Intent, TaskSpec
from schemas.triplet import EvidenceFrame, Provenance, Triplet, triplet_id
from schemas.usage import Usage
from synthesis.agents.roster import agent_of
from synthesis.backends.rules import RulesBackend
from synthesis.base import Evidence
from synthesis.evidence import MAX_ANCHORS
from synthesis.intent.forms import Form, forms
from synthesis.selection import thinned
from synthesis.verification.verify import passes, score_output

_MOST_FRAMES = 16


@dataclass(frozen=True)
class Opening:
    """A way in which requests are open: the forms that they leave open (None: all), of what people say such things
    (empty: of anything), and how they say it."""

    name: str
    task_types: frozenset[str] | None
    domains: frozenset[Domain]
    wordings: tuple[str, ...]


OPENINGS = (
    Opening(
        "anything",
        None,
        frozenset(),
        (
            "Make training data from this recording.",
            "Turn this into something a model can learn from.",
            "I want a model to understand recordings like this one. Prepare the data.",
            "Do something useful with this for training.",
        ),
    ),
    Opening(
        "questions",
        frozenset({"temporal_qa", "video_qa", "spatio_temporal_vqa", "screen_qa"}),
        frozenset(),
        (
            "Ask some questions about this.",
            "I need question-answer pairs from this recording.",
            "Write Q&A that only somebody who watched it can answer.",
        ),
    ),
    Opening(
        "steps",
        frozenset(
            {
                "tutorial",
                "action_segments",
                "gui_trajectory",
                "planning_decision",
                "world_model",
                "drawing_sequence",
                "game_generation",
            }
        ),
        frozenset(),
        (
            "Write down what is done here, step by step.",
            "List the steps in the order in which they happen.",
            "Break the procedure down so that a model could repeat it.",
        ),
    ),
    Opening(
        "parts",
        frozenset({"action_segments", "lesson_outline", "generation_clips"}),
        frozenset(),
        ("Split this into its parts.", "Cut it up by what happens.", "Give me its structure over time."),
    ),
    Opening(
        "robot",
        frozenset({"planning_decision", "world_model", "fault_recovery", "action_segments"}),
        frozenset({Domain.EMBODIED}),
        (
            "Teach a robot from this.",
            "What should the policy learn from this episode?",
            "Prepare this for training a manipulation model.",
        ),
    ),
    Opening(
        "screen",
        frozenset({"gui_trajectory", "grounding", "screen_qa", "world_model"}),
        frozenset({Domain.GUI}),
        (
            "Help an agent learn to use this program.",
            "I am training a computer-use model. What can you get out of this session?",
            "Data for a screen agent, please.",
        ),
    ),
    Opening(
        "lesson",
        frozenset({"tutorial", "stuck_point_tutoring", "lesson_outline"}),
        frozenset({Domain.EDUCATION}),
        ("Help a student with this.", "Make this lesson useful for a tutor model.", "Teaching material from this."),
    ),
    Opening(
        "pictures",
        frozenset({"image_editing", "generation_clips", "drawing_sequence", "game_generation"}),
        frozenset({Domain.AIGC}),
        (
            "Prepare this for an image or video generator.",
            "A generative model should learn from this.",
            "Data for generation, please.",
        ),
    ),
)
_LEAST_READINGS = 2
"""What leaves less open is not ambiguous. A request for anything is vague all the same."""


@dataclass(frozen=True)
class Recording:
    """A recording with all that published rows know of it."""

    rows: tuple[Triplet, ...]
    """Of this stream alone."""

    @property
    def stream(self) -> Stream:
        return self.rows[0].streams[0]

    @property
    def anchors(self) -> tuple[FactualAnchor, ...]:
        """Every fact of any row, in the order that :class:`Evidence` promises."""
        found = {anchor.id: anchor for row in self.rows for anchor in row.anchors}
        ordered = sorted(found.values(), key=lambda a: (a.t0, a.t1, a.kind, a.id))
        return tuple(thinned(ordered, MAX_ANCHORS))

    @property
    def frames(self) -> tuple[EvidenceFrame, ...]:
        """Frames of any row, at most as many as a row shows, spread over the recording."""
        found = {frame.time: frame for row in self.rows for frame in row.evidence}
        return tuple(thinned([found[time] for time in sorted(found)], _MOST_FRAMES))


def requests(recording: Recording, turn: int) -> Iterator[tuple[str, FuzzyRequest]]:
    """The requests that can be made about a recording, one for each opening that leaves enough open, with the name of
    the opening. `turn` says which of its wordings: with another one for each recording, all have their turn."""
    anchors, frames = recording.anchors, recording.frames
    made = list(_true_outputs(recording, anchors))
    for opening in OPENINGS:
        if opening.domains and recording.stream.domain not in opening.domains:
            continue
        open_ = [true for true in made if opening.task_types is None or true.form.task_type in opening.task_types]
        if len(open_) >= (_LEAST_READINGS if opening.task_types else 1):
            intent = Intent(text=opening.wordings[turn % len(opening.wordings)], domain=recording.stream.domain)
            readings = [_reading(recording, intent, true, anchors, frames) for true in open_]
            yield opening.name, FuzzyRequest(tuple(readings))


class _True(NamedTuple):
    """A verified output of a form, and where it comes from."""

    form: Form
    output: str
    score: Score
    provenance: Provenance


def _true_outputs(recording: Recording, anchors: tuple[FactualAnchor, ...]) -> Iterator[_True]:
    """One for each form that can be made from these facts."""
    for form in forms():
        if form.misfit(recording.stream.domain, [recording.stream]) is not None:
            continue
        spec = _spec(form, _ANY)
        for output, provenance in (*_published(recording, form), *_composed(recording, spec, anchors)):
            score = score_output(output, spec, [recording.stream], anchors, provenance.reward)
            if passes(score, provenance.reward):
                yield _True(form, output, score, provenance)
                break


def _published(recording: Recording, form: Form) -> Iterator[tuple[str, Provenance]]:
    """Outputs of published rows that were asked for without bounds, as a request is."""
    for row in recording.rows:
        if row.task_type == form.task_type and row.spec.constraints == Constraints():
            yield row.output, row.provenance


def _composed(
    recording: Recording, spec: TaskSpec, anchors: tuple[FactualAnchor, ...]
) -> Iterator[tuple[str, Provenance]]:
    """What rules compose, where the facts suffice."""
    agent, backend = agent_of(spec), RulesBackend()
    try:
        output = backend.write(agent, Evidence(streams=(recording.stream,), anchors=anchors, spec=spec))
    except UnsuitedError:
        return
    like = recording.rows[0].provenance
    yield (
        output,
        like.model_copy(
            update={
                "backend": backend.name,
                "model": None,
                "agent_version": agent.version,
                "prompt_version": None,
                "repairs": 0,
                "readings": (),
                "usage": Usage(),
                "trail": None,
            }
        ),
    )


def _reading(
    recording: Recording,
    intent: Intent,
    true: _True,
    anchors: tuple[FactualAnchor, ...],
    frames: tuple[EvidenceFrame, ...],
) -> Triplet:
    """The row of one reading of a request. How it is worded changes no score."""
    spec = _spec(true.form, intent)
    return recording.rows[0].model_copy(
        update={
            "id": triplet_id((recording.stream,), spec, anchors, true.output),
            "task_type": spec.task_type,
            "intent": spec.intent,
            "spec": spec,
            "anchors": anchors,
            "evidence": frames,
            "output": true.output,
            "score": true.score,
            "provenance": true.provenance,
        }
    )


def _spec(form: Form, intent: Intent) -> TaskSpec:
    """A reading of a request, worded as the resolver words it."""
    return TaskSpec(
        task_type=form.task_type,
        instruction=f"{form.rule.instruction} The user asked: {intent.sentence}",
        intent=intent,
        output_schema=form.schema,
        confidence=1.0,
        because=("an acceptable reading of a request that leaves it open",),
    )


_ANY = Intent(text="Make training data.")
