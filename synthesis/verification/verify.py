"""Scores outputs when they are made, and proves published rows from the rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from schemas.anchor import FactualAnchor
from schemas.errors import DataClawError
from schemas.recipe import RewardSpec
from schemas.score import Claim, Score
from schemas.stream import Stream, TrackKind
from schemas.task_spec import TaskSpec
from schemas.triplet import Triplet
from synthesis.agents.roster import agent_of
from synthesis.base import Agent
from synthesis.verification.check import EPSILON, AnchorIndex, check
from synthesis.verification.constraints import breaches
from synthesis.verification.format import Parsed, parse, pointer
from synthesis.verification.grounding import schema_of
from synthesis.verification.rewards import anchor_reward, combine, efficiency_reward, format_reward

DEFAULT_REWARD = RewardSpec()
SCORE_DIGITS = 1e-9
_PICTURES = (TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.STROKES)


def score_output(
    output_json: str,
    spec: TaskSpec,
    streams: Sequence[Stream],
    anchors: Sequence[FactualAnchor] | AnchorIndex,
    reward: RewardSpec = DEFAULT_REWARD,
) -> Score:
    """The reward of one output, with the verdict on each of its claims.

    Whatever the text holds, this returns a score: an output that is not valid JSON under the schema scores 0, and an
    output that claims nothing although something was measured has R_anchor = 0 (None would share its weight out and
    pay for silence).

    Args:
        output_json: the output as a backend wrote it.
        spec: the task spec it answers.
        streams: the streams of the group.
        anchors: the anchors it may rest on, or an index over them when many outputs rest on the same ones.
        reward: weights and thresholds.

    Raises:
        UsageError: the task type is not known here, or the spec's schema is not a JSON Schema.
    """
    agent = agent_of(spec)
    parsed = parse_output(output_json, spec, agent)
    if not parsed.valid:
        return Score(format=0.0, anchor=None, efficiency=None, reward=0.0, format_errors=parsed.errors)
    claims = agent.claims(parsed.value, streams)
    if broken := breaches(parsed.value, schema_of(agent.schema), spec.constraints, agent, claims):
        return Score(format=0.0, anchor=None, efficiency=None, reward=0.0, format_errors=broken)
    index = anchors if isinstance(anchors, AnchorIndex) else AnchorIndex(anchors)
    supports = check(claims, index)
    anchor = anchor_reward(claims, supports)
    efficiency: float | None = None
    if index.anchors:
        anchor = 0.0 if anchor is None else anchor
        efficiency = efficiency_reward(parsed.value, supports, index)
    valid = format_reward(parsed)
    total = combine(reward.weights, valid, anchor, efficiency)
    return Score(format=valid, anchor=anchor, efficiency=efficiency, reward=total, supports=tuple(supports))


def parse_output(output_json: str, spec: TaskSpec, agent: Agent) -> Parsed:
    """Validates an output under the spec's schema, then under the agent's model, which also says what JSON Schema
    cannot (the corners of a span or a box stand in order). The value has its defaults filled in, so that `claims`
    meets every field, whatever schema the row names."""
    parsed = parse(output_json, spec.output_schema)
    if not parsed.valid:
        return parsed
    try:
        return Parsed(value=agent.output.model_validate(parsed.value).model_dump(mode="json"))
    except ValidationError as error:
        return Parsed(errors=tuple(f"{pointer(*item['loc'])}: {item['msg']}" for item in error.errors()))


def share_supported(score: Score) -> float:
    """The share of claims that are supported, each counted where it stands; 0 when nothing is claimed."""
    if not score.supports:
        return 0.0
    return 1.0 - len(score.unsupported) / len(score.supports)


def passes(score: Score, reward: RewardSpec = DEFAULT_REWARD) -> bool:
    """Whether an output may be published: valid, rewarded enough, and with enough of its claims supported."""
    return (
        score.format == 1.0
        and score.reward >= reward.threshold - SCORE_DIGITS
        and bool(score.supports)
        and share_supported(score) >= reward.anchor_threshold - SCORE_DIGITS
    )


def verify_row(triplet: Triplet, reward: RewardSpec | None = None) -> list[str]:
    """What is wrong with a published row, from the row alone; empty when it proves itself.

    `reward` is what the row must satisfy; None takes the one it was published under (its provenance).
    """
    reward = triplet.provenance.reward if reward is None else reward
    problems: list[str] = []
    if triplet.content_id() != triplet.id:
        problems.append("id: it is not the digest of the row's streams, spec, anchors and output; the row was changed")
    known = {stream.sha256 for stream in triplet.streams}
    strangers = sorted({anchor.stream for anchor in triplet.anchors} - known)
    problems += [f"anchors: they speak of stream {stranger[:12]}, which is not in the row" for stranger in strangers]
    if (triplet.spec.task_type, triplet.spec.intent) != (triplet.task_type, triplet.intent):
        problems.append("spec: its task type or intent is not the row's own")
    if all(stream.domain != triplet.domain for stream in triplet.streams):
        problems.append(f"domain: no stream is of the domain {triplet.domain}")
    try:
        agent = agent_of(triplet.spec)
        score = score_output(triplet.output, triplet.spec, triplet.streams, triplet.anchors, reward)
    except DataClawError as error:
        return [*problems, f"output: it cannot be checked: {error}"]
    problems += [f"output{error}" for error in score.format_errors]
    problems += [
        f"output{support.path}: {support.kind} not supported: {support.reason}" for support in score.unsupported
    ]
    if reward == triplet.provenance.reward:
        problems += _differences(triplet.score, score)
    if not passes(score, reward):
        problems.append(
            f"score: reward {score.reward:.3f} and {share_supported(score):.0%} of claims supported, "
            f"where {reward.threshold:.3f} and {reward.anchor_threshold:.0%} are asked"
        )
    if score.format == 1.0:
        problems += _frames(triplet, agent, parse_output(triplet.output, triplet.spec, agent).value)
    return problems


def claims_of(triplet: Triplet) -> list[Claim]:
    """The claims of a row's output; none when it is not valid."""
    agent = agent_of(triplet.spec)
    parsed = parse_output(triplet.output, triplet.spec, agent)
    return agent.claims(parsed.value, triplet.streams) if parsed.valid else []


def evidence_moments(agent: Agent, value: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
    """The moments (stream SHA-256, seconds) of streams with pictures that an output rests on, each once, most important
    first."""
    pictured = {stream.sha256 for stream in streams if stream.has(*_PICTURES)}
    moments = [(stream, round(time, 6)) for stream, time in agent.evidence_times(value, streams) if stream in pictured]
    return list(dict.fromkeys(moments))


def _differences(stored: Score, computed: Score) -> list[str]:
    problems = []
    for part in ("format", "anchor", "efficiency", "reward"):
        was, now = getattr(stored, part), getattr(computed, part)
        same = was is now if was is None or now is None else abs(was - now) <= SCORE_DIGITS
        if not same:
            problems.append(f"score: {part} is stored as {was}, the row gives {now}")
    if not problems and stored.supports != computed.supports:
        problems.append("score: the stored verdicts on the claims are not those that the row gives")
    return problems


def _frames(triplet: Triplet, agent: Agent, value: Any) -> list[str]:
    """Evidence frames stand for the moments the output names, the most important ones first."""
    asked = evidence_moments(agent, value, triplet.streams)
    kept = asked[: len(triplet.evidence)]
    problems = []
    if asked and not triplet.evidence:
        problems.append("evidence: the output rests on frames, the row holds none")
    held = [(frame.stream, frame.time) for frame in triplet.evidence]
    for stream, time in kept:
        if not any(stream == other and abs(time - moment) <= EPSILON for other, moment in held):
            problems.append(f"evidence: no frame of stream {stream[:12]} at {time:.3f} s, on which the output rests")
    for stream, time in held:
        if not any(stream == other and abs(time - moment) <= EPSILON for other, moment in kept):
            problems.append(f"evidence: the frame of stream {stream[:12]} at {time:.3f} s is none the output rests on")
    return problems
