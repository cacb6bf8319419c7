"""The reward's parts, by the worked examples of their docstrings, and the ways in which it must not be cheated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from facts import CUTS, FILM, SHOTS, anchor, evidence, spec, stream
from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.recipe import RewardSpec, RewardWeights
from schemas.score import Claim, ClaimKind, Score
from synthesis.agents.roster import agent_for
from synthesis.agents.tutorial import TutorialAgent
from synthesis.backends.rules import RulesBackend
from synthesis.verification import verify
from synthesis.verification.check import AnchorIndex, check
from synthesis.verification.rewards import anchor_reward, combine, count_words, efficiency_reward
from synthesis.verification.verify import passes, score_output

WEIGHTS = RewardWeights(format=0.3, anchor=0.6, efficiency=0.1)


def quote(text: str, t0: float, path: str = "/x") -> Claim:
    return Claim(path=path, kind=ClaimKind.QUOTE, text=text, t0=t0, t1=t0)


def judged(claims: list[Claim], anchors: list[FactualAnchor]):
    index = AnchorIndex(anchors)
    return check(claims, index), index


def test_the_anchor_reward_is_the_share_of_distinct_claims_that_are_supported():
    anchors = [anchor(AnchorKind.SUBTITLE, 0.0, 1.0, "A")]
    claims = [quote("A", 0.0), quote("A", 0.0, "/y"), quote("B", 5.0)]
    assert anchor_reward(claims, judged(claims, anchors)[0]) == 0.5
    claims.append(quote("B", 5.0, "/z"))
    assert anchor_reward(claims, judged(claims, anchors)[0]) == 0.5
    assert anchor_reward([], []) is None


def test_the_efficiency_reward_follows_its_worked_example():
    first, second = "one two three four five", "six seven eight nine ten"
    anchors = [anchor(AnchorKind.SUBTITLE, 0.0, 1.0, first), anchor(AnchorKind.SUBTITLE, 2.0, 3.0, second)]
    claims = [quote(first, 0.5), quote(second, 2.5)]
    supports, index = judged(claims, anchors)
    assert efficiency_reward({"text": "word " * 40}, supports, index) == 1.0
    assert efficiency_reward({"text": ["word " * 54, {"more": "word " * 54}]}, supports, index) == 0.5
    supports, index = judged(claims * 3, anchors)
    assert efficiency_reward({"text": "word " * 108}, supports, index) == 0.5
    assert efficiency_reward({"text": ""}, (), index) == 0.0


def test_a_character_of_a_script_without_spaces_is_a_word():
    assert count_words("这是几何课") == 5
    assert count_words("It's a well-known fact, isn't it?") == 6


@pytest.mark.parametrize(
    ("parts", "reward"),
    [((1.0, 0.5, None), 0.6 / 0.9), ((1.0, None, None), 1.0), ((None, None, None), 0.0), ((1.0, 1.0, 1.0), 1.0)],
)
def test_absent_parts_share_out_their_weight(parts, reward):
    assert combine(WEIGHTS, *parts) == pytest.approx(reward)


def score(task_type: str, output: Any, anchors: list[FactualAnchor]) -> Score:
    text = output if isinstance(output, str) else json.dumps(output)
    return score_output(text, spec(task_type), [stream()], anchors)


def honest(task_type: str, anchors: list[FactualAnchor]) -> Any:
    return json.loads(RulesBackend().write(agent_for(task_type), evidence(task_type, anchors)))


def half_wrong(anchors: list[FactualAnchor]) -> Any:
    output = honest("tutorial", anchors)
    output["blocks"][0]["quotes"][0]["text"] = "Nobody said this."
    return output


@pytest.mark.parametrize("output", ["", "null", "{}", "[]", "not json", '{"title": "x", "blocks": []}'])
def test_what_is_not_valid_scores_nothing(output):
    verdict = score("tutorial", output, FILM)
    assert (verdict.format, verdict.anchor, verdict.efficiency, verdict.reward) == (0.0, None, None, 0.0)
    assert verdict.format_errors
    assert not passes(verdict)


class Nothing(BaseModel):
    pass


class Mute(TutorialAgent):
    """A task type whose outputs claim nothing."""

    output = Nothing

    def claims(self, output: Any, streams: Any) -> list[Claim]:
        return []


def test_silence_pays_less_than_a_half_wrong_output(monkeypatch):
    """Nothing checkable is said: only the weight of the format is earned."""
    silent = {"title": "A film", "blocks": [{"type": "frame", "time": 1.0}, {"type": "frame", "time": 1.5}]}
    wordy = {"title": "A film. " * 300, "blocks": silent["blocks"]}
    assert score("tutorial", wordy, FILM).reward < score("tutorial", silent, FILM).reward
    monkeypatch.setattr(verify, "agent_of", lambda spec: Mute())
    empty = score_output("{}", spec("tutorial").model_copy(update={"output_schema": "{}"}), [stream()], FILM)
    monkeypatch.undo()
    assert empty.anchor == 0.0
    assert empty.reward == pytest.approx(0.3)
    assert empty.reward < score("tutorial", half_wrong(FILM), FILM).reward
    assert not passes(empty)


def test_repeating_what_is_true_gains_nothing():
    output = half_wrong(FILM)
    before = score("tutorial", output, FILM)
    repeated = json.loads(json.dumps(output))
    repeated["blocks"] = output["blocks"][:2] + output["blocks"][2:4] * 10 + output["blocks"][4:]
    assert score("tutorial", repeated, FILM).reward <= before.reward
    longer = json.loads(json.dumps(output))
    longer["blocks"][2]["quotes"] *= 20
    assert score("tutorial", longer, FILM).reward <= before.reward


def test_copying_every_anchor_gains_nothing_over_an_honest_output():
    anchors = [anchor(AnchorKind.SUBTITLE, 4.0 * i, 4.0 * i + 3, f"This is line {i} of a film.") for i in range(900)]
    anchors += CUTS + SHOTS
    best = score("tutorial", honest("tutorial", anchors[:40]), anchors)
    assert passes(best)
    copied = {
        "title": "All",
        "blocks": [
            {
                "type": "text",
                "t0": a.t0,
                "t1": a.t1,
                "text": f'From {a.t0:.1f} s to {a.t1:.1f} s there is a line that says "{a.content}"',
                "quotes": [{"t0": a.t0, "t1": a.t1, "text": a.content}],
            }
            for a in anchors[:900]
        ],
    }
    assert score("tutorial", copied, anchors).reward < best.reward


def test_padding_with_words_costs():
    output = honest("tutorial", FILM)
    before = score("tutorial", output, FILM)
    output["blocks"][0]["text"] += " And so it goes on, as one can see." * 200
    after = score("tutorial", output, FILM)
    assert after.efficiency < 0.25 < before.efficiency
    assert after.reward < before.reward


def test_the_same_output_scores_the_same_in_any_key_order_and_spacing():
    output = honest("temporal_qa", FILM)
    turned = json.dumps(output, indent=3, sort_keys=False)
    assert score("temporal_qa", turned, FILM) == score("temporal_qa", json.dumps(output, sort_keys=True), FILM)


def test_spans_and_boxes_turned_round_are_not_valid():
    output = honest("tutorial", FILM)
    quote_ = output["blocks"][0]["quotes"][0]
    quote_["t0"], quote_["t1"] = quote_["t1"], quote_["t0"]
    verdict = score("tutorial", output, FILM)
    assert verdict.format == 0.0
    assert verdict.format_errors[0].startswith("/blocks/0/")


def test_thresholds_decide_what_passes():
    verdict = score("tutorial", half_wrong(FILM), FILM)
    assert not passes(verdict)
    assert passes(verdict, RewardSpec(threshold=0.5, anchor_threshold=0.5))


def test_no_evidence_at_all_leaves_the_parts_that_need_it_out(monkeypatch):
    monkeypatch.setattr(verify, "agent_of", lambda spec: Mute())
    verdict = score_output("{}", spec("tutorial").model_copy(update={"output_schema": "{}"}), [stream()], [])
    assert (verdict.anchor, verdict.efficiency) == (None, None)
    assert not passes(verdict)
