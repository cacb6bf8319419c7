"""game_generation: the request as given, frames that are pictures of the stream, and no changed value passes."""

from __future__ import annotations

import pytest
from facts import anchor, stream
from handled import changed_that_pass, compose, measured, scored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box
from schemas.stream import Domain, Stream, Track, TrackKind
from synthesis.agents.game_generation import picture_times
from synthesis.verification.verify import passes


def pictures(count: int, **rest: object) -> Stream:
    track = Track(kind=TrackKind.IMAGES, name="generated pictures", rate=1.0, items=count)
    return stream(Domain.AIGC, "session", float(count), tracks=(track,), **rest)


VIDEO = stream(Domain.AIGC, "clip", 12.0, tracks=(Track(kind=TrackKind.VIDEO, name="video"),))
REQUEST = "A small castle, pixel art"
ONE_PROMPT = [anchor(AnchorKind.GIVEN_TEXT, 0.0, 3.0, REQUEST), anchor(AnchorKind.SUBTITLE, 0.0, 3.0, REQUEST)]
SESSION = [
    anchor(AnchorKind.SUBTITLE, 0.0, 1.0, REQUEST),
    anchor(AnchorKind.SUBTITLE, 1.0, 2.0, "Now add a moat"),
    anchor(AnchorKind.SUBTITLE, 2.0, 3.0, "Make it night"),
]
PAIR = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 2.0, "Put an owl on it."),
    anchor(AnchorKind.EDIT_REGION, 0.0, 1.0, value=0.03, box=Box(x0=0.1, y0=0.1, x1=0.4, y1=0.4)),
]
FILM = [
    anchor(AnchorKind.GIVEN_TEXT, 0.0, 12.0, REQUEST),
    anchor(AnchorKind.SHOT, 0.0, 4.4, value=0.0),
    anchor(AnchorKind.SHOT, 4.4, 9.1, value=1.0),
]


def test_one_prompt_is_the_request_of_all_its_pictures() -> None:
    output = compose("game_generation", ONE_PROMPT, pictures(3))
    assert output["request"] == REQUEST
    assert output["frames"] == [{"time": 0.0}, {"time": 1.0}, {"time": 2.0}]


def test_a_session_has_a_request_and_its_later_prompts_as_captions() -> None:
    output = compose("game_generation", SESSION, pictures(3))
    assert output["request"] == REQUEST
    assert [frame.get("caption") for frame in output["frames"]] == [None, "Now add a moat", "Make it night"]


def test_measured_changes_and_shots_of_a_video_are_told() -> None:
    assert compose("game_generation", PAIR, pictures(2))["changes"][0]["changed_share"] == 0.03
    assert [frame["time"] for frame in compose("game_generation", FILM, VIDEO)["frames"]] == [0.0, 4.4]


def test_a_picture_that_was_left_out_keeps_its_place() -> None:
    assert picture_times(pictures(2, notes=("picture 2 left out (b.png): damaged",))) == [0.0, 2.0]


@pytest.mark.parametrize(
    ("anchors", "on"),
    [(ONE_PROMPT, pictures(3)), (SESSION, pictures(3)), (PAIR, pictures(2)), (FILM, VIDEO)],
    ids=["prompt", "session", "pair", "film"],
)
def test_no_changed_value_passes(anchors: list[FactualAnchor], on: Stream) -> None:
    assert changed_that_pass("game_generation", anchors, on) == []


def test_the_caption_of_the_frame_before_does_not_pass() -> None:
    output = compose("game_generation", SESSION, pictures(3))
    output["frames"][2]["caption"] = "Now add a moat"
    assert not passes(scored("game_generation", output, SESSION, pictures(3)))


def test_without_a_request_it_says_so_and_that_a_model_could_describe_it() -> None:
    with pytest.raises(UnsuitedError, match="no request came with it") as error:
        compose("game_generation", FILM[1:], VIDEO)
    assert "model backend" in error.value.problem.remedy


def test_one_picture_is_no_sequence() -> None:
    with pytest.raises(UnsuitedError, match="no sequence"):
        compose("game_generation", ONE_PROMPT, pictures(1))


KINDS = (AnchorKind.GIVEN_TEXT, AnchorKind.SUBTITLE, AnchorKind.SHOT, AnchorKind.EDIT_REGION)


@pytest.mark.parametrize("on", [pictures(5), VIDEO], ids=["pictures", "video"])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_was_measured_what_is_written_is_supported(on: Stream, data: st.DataObject) -> None:
    anchors = data.draw(st.lists(measured(KINDS, [REQUEST, "Make it night", 'Say "go"', " ", ""]), max_size=12))
    try:
        output = compose("game_generation", anchors, on)
    except UnsuitedError:
        return
    score = scored("game_generation", output, anchors, on)
    assert (score.format_errors, score.unsupported) == ((), ())
    assert passes(score)
