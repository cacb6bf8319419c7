"""Image edits: the instruction verbatim, the regions as measured."""

from __future__ import annotations

import json

import pytest
from facts import anchor, evidence, stream

from schemas.anchor import AnchorKind
from schemas.errors import UnsuitedError
from schemas.geometry import Box
from schemas.stream import Domain, Track, TrackKind
from synthesis.agents.roster import agent_for
from synthesis.backends.rules import RulesBackend
from synthesis.verification.verify import passes, score_output

AGENT = agent_for("image_editing")
PAIR = stream(Domain.AIGC, "pair", 1.0, tracks=(Track(kind=TrackKind.IMAGES, name="images"),))
ANCHORS = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 1.0, "Put an owl on the bear's head."),
    anchor(AnchorKind.EDIT_REGION, 0.0, 1.0, value=0.035, box=Box(x0=0.6, y0=0.0, x1=0.9, y1=0.36)),
    anchor(AnchorKind.EDIT_REGION, 0.0, 1.0, value=0.004, box=Box(x0=0.1, y0=0.8, x1=0.2, y1=0.9)),
]
EVIDENCE = evidence("image_editing", ANCHORS, PAIR)


def written() -> dict:
    return json.loads(RulesBackend().write(AGENT, EVIDENCE))


def score(output):
    return score_output(json.dumps(output), EVIDENCE.spec, [PAIR], ANCHORS)


def test_an_edit_is_its_instruction_and_its_regions_largest_first():
    output = written()
    assert output["instruction"] == "Put an owl on the bear's head."
    assert [region["changed_share"] for region in output["regions"]] == [0.035, 0.004]
    assert (output["before_time"], output["after_time"]) == (0.0, 1.0)
    assert passes(score(output))
    assert AGENT.evidence_times(output, [PAIR]) == [(PAIR.sha256, 0.0), (PAIR.sha256, 1.0)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("instruction",), "Put an owl on the bear's foot."),
        (("instruction",), "Put an owl on the bear's hea"),
        (("before_time",), 1.0),
        (("after_time",), 0.5),
        (("regions", 0, "changed_share"), 0.05),
        (("regions", 0, "box", "x0"), 0.2),
    ],
)
def test_a_changed_field_is_found_out(path, value):
    output = written()
    target = output
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert score(output).unsupported


def test_pictures_swapped_in_time_are_found_out():
    output = written()
    output["before_time"], output["after_time"] = output["after_time"], output["before_time"]
    assert score(output).unsupported


def test_repair_takes_out_a_region_that_was_not_measured():
    output = written()
    output["regions"][1]["box"]["y0"] = 0.1
    mended = json.loads(RulesBackend().mend(AGENT, json.dumps(output), score(output), EVIDENCE) or "")
    assert len(mended["regions"]) == 1
    assert passes(score(mended))
    output["instruction"] = "Something else."
    assert RulesBackend().mend(AGENT, json.dumps(output), score(output), EVIDENCE) is None


@pytest.mark.parametrize(("kept", "words"), [(ANCHORS[1:], "no edit instruction"), (ANCHORS[:1], "no region")])
def test_an_incomplete_pair_is_unsuited(kept, words):
    with pytest.raises(UnsuitedError, match=words):
        AGENT.compose(evidence("image_editing", kept, PAIR))
