"""Whatever a model writes gets a score and never an exception: GRPO calls this on everything a policy samples."""

from __future__ import annotations

import json
from typing import Any

from facts import FILM, SCREENS, anchor, evidence, leaves, put, stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind
from schemas.geometry import Box
from synthesis.agents.roster import agent_for
from synthesis.backends.rules import RulesBackend
from synthesis.verification.verify import score_output

EDIT = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 1.0, "Put an owl on it."),
    anchor(AnchorKind.EDIT_REGION, 0.0, 1.0, value=0.03, box=Box(x0=0.1, y0=0.1, x1=0.4, y1=0.4)),
]
MATERIAL = {"tutorial": FILM, "temporal_qa": FILM + SCREENS, "image_editing": EDIT}
ODD = st.one_of(
    st.sampled_from(
        [
            " ",
            '"',
            '""',
            "“",
            "hard cut number 0",
            "hard cut number " + "9" * 5000,
            "9" * 5000 + " s",
            "9" * 5000,
            "99:99:99.9",
            "for 3 s",
            '"Hildy!" at 1.0 s',
            "between both included how many",
            "How many hard cuts between",
        ]
    ),
    st.text(max_size=30),
    st.integers(-3, 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.just([]),
    st.just({}),
    st.sampled_from(["ordering", "state_change", "multi_event", "localisation"]),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_broken_output_scores_and_does_not_raise(data: st.DataObject) -> None:
    task_type = data.draw(st.sampled_from(sorted(MATERIAL)))
    given_ = evidence(task_type, MATERIAL[task_type])
    output: Any = json.loads(RulesBackend().write(agent_for(task_type), given_))
    for _ in range(data.draw(st.integers(1, 4))):
        paths = [path for path, _ in leaves(output)]
        put(output, data.draw(st.sampled_from(paths)), data.draw(ODD))
    for key, value in output.items():
        if isinstance(value, list) and value and data.draw(st.booleans()):
            output[key] = data.draw(st.permutations(value))
    score = score_output(json.dumps(output), given_.spec, [stream()], given_.anchors)
    assert 0.0 <= score.reward <= 1.0


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_scores(text: str) -> None:
    assert score_output(text, evidence("tutorial", FILM).spec, [stream()], FILM).reward == 0.0
