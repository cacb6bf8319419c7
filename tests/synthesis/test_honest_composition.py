"""Whatever was measured, what the rules write of it is supported: the promise of the embedded backend."""

from __future__ import annotations

import pytest
from facts import anchor, evidence, stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from synthesis.agents.roster import agent_for
from synthesis.agents.temporal_words import NOUNS, QUOTED
from synthesis.backends.rules import RulesBackend
from synthesis.verification.verify import passes, score_output

MOMENTS = sorted({kind for kinds in NOUNS.values() for kind in kinds} - set(QUOTED))
times = st.one_of(st.integers(0, 24).map(lambda n: n / 2), st.floats(0, 12).map(lambda t: round(t, 6)))
spans = st.tuples(times, st.one_of(st.just(0.0), st.floats(0, 6))).map(lambda s: (s[0], round(s[0] + s[1], 6)))
words = st.one_of(
    st.sampled_from(
        ["Hello there.", "x = 3", "Hello", "Stop it", 'He said "go" twice', "number 2", "at 3.0 s", "hard cut"]
    ),
    st.text(min_size=1, max_size=20),
)


@st.composite
def facts(draw: st.DrawFn) -> FactualAnchor:
    t0, t1 = draw(spans)
    if draw(st.booleans()):
        kind = draw(st.sampled_from([*QUOTED, AnchorKind.GIVEN_TEXT, AnchorKind.HOTKEY]))
        return anchor(kind, t0, t1, draw(words), confidence=draw(st.sampled_from([0.5, 0.95])))
    kind = draw(st.sampled_from([*MOMENTS, AnchorKind.SHOT, AnchorKind.SCREEN]))
    return anchor(kind, t0, draw(st.sampled_from([t0, t1])), confidence=draw(st.sampled_from([0.5, 0.95])))


@pytest.mark.parametrize("task_type", ["tutorial", "temporal_qa"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anchors=st.lists(facts(), max_size=25))
def test_what_the_rules_write_is_supported(task_type: str, anchors: list[FactualAnchor]):
    given_ = evidence(task_type, anchors)
    try:
        output = RulesBackend().write(agent_for(task_type), given_)
    except UnsuitedError:
        return
    score = score_output(output, given_.spec, [stream()], given_.anchors)
    assert score.format_errors == ()
    assert score.unsupported == ()
    assert passes(score)
