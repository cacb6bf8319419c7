"""What users ask for resolves to what they mean, with reasons; what is vague stays visibly so."""

from __future__ import annotations

import pytest
from facts import stream

from schemas.errors import UnsuitedError
from schemas.stream import Domain, Track, TrackKind
from schemas.task_spec import Intent
from synthesis.intent.resolve import choose, resolve

VIDEO = Track(kind=TrackKind.VIDEO, name="video")
IMAGES = Track(kind=TrackKind.IMAGES, name="images")
TEXT = Track(kind=TrackKind.TEXT, name="instruction")
SUBTITLES = Track(kind=TrackKind.SUBTITLES, name="subtitles")
INPUT = {domain: stream(domain, tracks=(VIDEO, SUBTITLES)) for domain in Domain}
PAIR = stream(Domain.AIGC, "pair", 1.0, tracks=(IMAGES, TEXT))


def readings(text: str, domain: Domain, *streams):
    return resolve(Intent(text=text), streams or [INPUT[domain]])


def built(text: str, domain: Domain, *streams) -> list[str]:
    return [spec.task_type for spec in choose(readings(text, domain, *streams))]


CLEAR = [
    (
        "This is a worked-solution teaching video. Please construct tutoring data from it.",
        "education",
        ["stuck_point_tutoring"],
    ),
    (
        "This is a robot manipulation video. Help me construct embodied decision and world-model training data from "
        "it.",
        "embodied",
        ["fault_recovery", "world_model", "planning_decision"],
    ),
    (
        "These are my mobile interaction fragments. Use them to construct a more comprehensive long-horizon task "
        "trajectory from them.",
        "gui",
        ["gui_trajectory"],
    ),
    ("Make temporal questions and answers about when things are said.", "daily_life", ["temporal_qa"]),
    ("temporal question answering", "daily_life", ["temporal_qa"]),
    ("Write a tutorial", "daily_life", ["tutorial"]),
    ("I want a tutorial and QA from this film", "daily_life", ["tutorial", "video_qa"]),
    ("A how-to of this, please", "education", ["tutorial"]),
    ("Turn my clicks into GUI agent data", "gui", ["gui_trajectory"]),
    ("What goes wrong with the gripper, and how to recover?", "embodied", ["fault_recovery"]),
    ("Q&A about the order of events", "embodied", ["temporal_qa"]),
    ("A tutorial, no questions", "daily_life", ["tutorial"]),
    ("Questions rather than a tutorial", "education", ["video_qa"]),
    ("QUESTIONS!", "gui", ["screen_qa"]),
]


@pytest.mark.parametrize(("text", "domain", "wanted"), CLEAR)
def test_a_form_that_is_named_is_built(text, domain, wanted):
    assert sorted(built(text, Domain(domain))) == sorted(wanted)


def test_an_edit_is_recognised_by_its_words_and_its_pictures():
    assert built("Image editing data with instructions", Domain.AIGC, PAIR) == ["image_editing"]
    assert built("make something useful from this", Domain.AIGC, PAIR) == ["image_editing"]


def test_fragments_are_joined():
    first = readings(CLEAR[2][0], Domain.GUI)[0]
    assert first.joins_streams
    assert any("fragments" in reason for reason in first.because)
    assert not readings("Turn it into a trajectory", Domain.GUI)[0].joins_streams


@pytest.mark.parametrize(
    ("domain", "likely"),
    [
        ("daily_life", {"temporal_qa", "video_qa"}),
        ("education", {"tutorial", "stuck_point_tutoring"}),
        ("gui", {"gui_trajectory"}),
        ("embodied", {"fault_recovery", "world_model", "planning_decision"}),
    ],
)
def test_a_vague_intent_keeps_its_readings_and_builds_the_likeliest(domain, likely):
    found = readings("make something useful from this", Domain(domain))
    assert len(found) >= 2
    assert found[0].task_type in likely
    assert all(spec.confidence < 0.5 for spec in found)
    assert [spec.confidence for spec in found] == sorted((spec.confidence for spec in found), reverse=True)
    assert [spec.task_type for spec in choose(found)] == [found[0].task_type]


def test_hints_change_what_a_vague_intent_means():
    assert readings("Something to explain this lesson to learners", Domain.DAILY_LIFE)[0].task_type == "tutorial"


def test_a_spec_says_why_and_carries_what_was_asked():
    spec = readings("Write a tutorial about when things happen", Domain.EDUCATION)[0]
    assert '"tutorial" names it' in spec.because
    assert "the input is education" in spec.because
    assert spec.instruction.endswith("The user asked: Write a tutorial about when things happen.")
    assert spec.output_schema.startswith("{")


@pytest.mark.parametrize(
    ("text", "domain", "words"),
    [
        ("Write a tutorial", "embodied", "tutorial"),
        ("fault recovery data", "daily_life", "fault_recovery"),
        ("edit pairs", "aigc", "no track of images"),
    ],
)
def test_what_cannot_be_made_of_the_input_says_what_could(text, domain, words):
    with pytest.raises(UnsuitedError, match=words) as error:
        readings(text, Domain(domain))
    assert "temporal_qa" in str(error.value)


def test_what_fits_is_made_though_other_parts_do_not():
    (spec,) = choose(readings("A tutorial and questions", Domain.EMBODIED))
    assert spec.task_type == "spatio_temporal_vqa"
    assert any("tutorial" in reason and "not made of embodied" in reason for reason in spec.because)


@pytest.mark.parametrize("text", ["anything but QA", "everything except questions", "use it, but no questions"])
def test_what_is_refused_is_not_built(text):
    assert not {"video_qa", "temporal_qa"} & {spec.task_type for spec in readings(text, Domain.DAILY_LIFE)}


def test_everything_refused_is_unsuited():
    with pytest.raises(UnsuitedError, match="only says what is not wanted"):
        readings("no fault recovery and no questions", Domain.EMBODIED)


def test_an_intent_resolves_before_there_is_any_input():
    assert [spec.task_type for spec in choose(resolve(Intent(text="a tutorial"), []))] == ["tutorial"]
    assert resolve(Intent(text="anything", domain=Domain.GUI), [])[0].task_type == "gui_trajectory"
