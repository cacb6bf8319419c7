"""generation_clips: no cut and no dissolve in a clip, and a prompt that says what was measured and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from facts import CUTS, FILM, SHOTS, anchor, evidence, stream
from handled import changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from synthesis.agents.roster import agent_for
from synthesis.verification.verify import passes

TASK = "generation_clips"
HERE = stream()
MOVIE = [
    *FILM,
    anchor(AnchorKind.CAMERA, 6.0, 7.5, "pan_left"),
    anchor(AnchorKind.CAMERA, 8.0, 9.5, "zoom_in"),
    anchor(AnchorKind.MOTION, 10.5, 17.5, "up left", value=0.4),
    anchor(AnchorKind.STALL, 18.5, 27.0, value=0.002),
]
FADED = [
    anchor(AnchorKind.SHOT, 0.0, 10.0, value=0.0),
    anchor(AnchorKind.SHOT, 10.0, 35.0, value=1.0),
    anchor(AnchorKind.SHOT, 35.0, 36.5, value=2.0),
    anchor(AnchorKind.SHOT, 36.5, 40.0, value=3.0),
    anchor(AnchorKind.DISSOLVE, 9.0, 11.0),
    anchor(AnchorKind.CUT, 35.0, value=0.9),
    anchor(AnchorKind.CUT, 36.5, value=0.9),
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 40.0, "A walk by the sea"),
]


def clips(anchors: list[FactualAnchor]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = compose(TASK, anchors, HERE)["clips"]
    return found


def refuses(clip: dict[str, Any], anchors: list[FactualAnchor]) -> bool:
    return not passes(scored(TASK, {"clips": [clip]}, anchors, HERE))


def test_a_shot_is_a_clip_with_its_words_and_motions() -> None:
    first, second, third, fourth, *_ = clips(MOVIE)
    assert (first["t0"], first["t1"]) == (0.0, 5.5)
    assert '"Good morning.", then "Today we cook an omelette."' in first["prompt"]
    assert "The camera pans left, then zooms in." in second["prompt"]
    assert "The motion is fast, going up left." in third["prompt"]
    assert "Hardly anything moves." in fourth["prompt"]


def test_what_dissolves_is_in_no_clip_and_a_long_take_is_divided() -> None:
    found = clips(FADED)
    assert [(clip["t0"], clip["t1"]) for clip in found] == [
        (0.0, 9.0),
        (11.0, 19.0),
        (19.0, 27.0),
        (27.0, 35.0),
        (36.5, 40.0),
    ]
    assert [(clip["take"]["begins"], clip["take"]["ends"]) for clip in found] == [
        ("start", "dissolve"),
        *[("dissolve", "cut")] * 3,
        ("cut", "end"),
    ]
    assert all('"A walk by the sea"' in clip["prompt"] for clip in found)


@pytest.mark.parametrize("anchors", [MOVIE, FADED], ids=["movie", "faded"])
def test_no_changed_value_passes(anchors: list[FactualAnchor]) -> None:
    assert changed_that_pass(TASK, anchors, HERE) == []


def test_a_prompt_that_says_more_or_less_than_was_measured_does_not_pass() -> None:
    clip = clips(MOVIE)[1]
    for more in ("The camera tilts up.", "Hardly anything moves.", 'A voice says "Cut!".', "It is dark at 7.0 s."):
        assert refuses(clip | {"prompt": f"{clip['prompt']} {more}"}, MOVIE)
    assert refuses(
        clip | {"prompt": clip["prompt"].replace("pans left, then zooms in", "zooms in, then pans left")}, MOVIE
    )
    assert refuses(clip | {"prompt": clip["prompt"].replace("5.0", "6.0")}, MOVIE)
    assert not refuses(clip | {"prompt": "It starts softly: " + clip["prompt"]}, MOVIE)


def test_other_edges_and_levels_do_not_pass() -> None:
    clip = clips(MOVIE)[2]
    for name in ("begins", "ends"):
        for way in ("start", "dissolve", "end"):
            assert refuses(clip | {"take": clip["take"] | {name: way}}, MOVIE)
    for level in ("still", "slow", "steady"):
        assert refuses(clip | {"motion": clip["motion"] | {"level": level}}, MOVIE)


def test_a_clip_with_a_cut_inside_does_not_pass() -> None:
    clip = clips(MOVIE)[0]
    assert not refuses(clip, MOVIE)
    assert refuses(clip, [*MOVIE, anchor(AnchorKind.CUT, 3.0, value=0.9)])
    assert refuses(clip, [*MOVIE, anchor(AnchorKind.DISSOLVE, 3.0, 4.0)])


@pytest.mark.parametrize(
    ("anchors", "why"),
    [
        ([], "no shot was measured in it"),
        ([anchor(AnchorKind.SHOT, 0.0, 1.5, value=0.0)], "none of its 1 shots holds 2 s"),
        (SHOTS + CUTS, "nothing was measured in its 5 takes that a prompt could say"),
    ],
)
def test_what_gives_no_clip_says_why(anchors: list[FactualAnchor], why: str) -> None:
    with pytest.raises(UnsuitedError, match=why):
        compose(TASK, anchors, HERE)


def test_repair_takes_out_the_clip_that_does_not_hold() -> None:
    agent, given_ = agent_for(TASK), evidence(TASK, MOVIE)
    output = agent.compose(given_).model_dump(mode="json")
    output["clips"][1]["prompt"] = "A castle at dawn."
    score = scored(TASK, output, MOVIE, HERE)
    mended = agent.repair(agent.output.model_validate(output), score.unsupported, given_)
    assert mended is not None
    assert len(mended.clips) == len(output["clips"]) - 1


KINDS = (
    "video.shot",
    "video.cut",
    "video.dissolve",
    "motion.camera",
    "motion.activity",
    "motion.stall",
    "text.subtitle",
)
WORDS = ["pan_left", "zoom_out", "up", "in place", "Hello there.", 'He said "go"', "5 s", "the camera pans left", ""]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(measured(KINDS, WORDS), max_size=16))
def test_whatever_was_measured_what_is_written_is_supported(anchors: list[FactualAnchor]) -> None:
    try:
        output = compose(TASK, [*anchors, *FADED], HERE)
    except UnsuitedError:
        return
    score = scored(TASK, output, [*anchors, *FADED], HERE)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)
