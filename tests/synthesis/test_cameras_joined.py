"""Cameras of one episode in one sample: told once, shown by every camera, and never of streams that do not belong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from facts import anchor, spec
from handled import ARM, PICK
from hypothesis import given
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.base import Candidate
from sources.discovery import discover, hash_parts, probe
from synthesis.agents.roster import agent_for
from synthesis.backends.base import to_json
from synthesis.base import Evidence
from synthesis.evidence import pick_frames
from synthesis.verification.verify import evidence_moments, passes, score_output

WRIST = "b" * 64
BESIDE = ARM.model_copy(
    update={
        "sha256": WRIST,
        "uri": f"{ARM.uri}@wrist",
        "name": f"{ARM.name}@wrist",
        "tracks": (Track(kind=TrackKind.VIDEO, name="wrist"),),
    }
)
RIDES_ALONG = [
    anchor(AnchorKind.MOTION, 0.2, 19.4, "in place", value=0.9, stream=WRIST),
    anchor(AnchorKind.REVERSAL, 7.7, value=-1.0, stream=WRIST),
    anchor(AnchorKind.STALL, 19.4, 20.0, value=0.001, stream=WRIST),
]
"""What the picture of a camera on the wrist shows: all of it moves whenever the arm does."""
LOOP = [
    anchor(AnchorKind.MOTION, 0.0, 6.0, "in place", value=0.4),
    anchor(AnchorKind.OSCILLATION, 1.0, 5.0, "same way back", value=4.0),
    *(anchor(AnchorKind.REVERSAL, time, content="same way back", value=-1.0) for time in (1.0, 2.0, 3.0, 4.0)),
]
FORMS = [("world_model", PICK), ("planning_decision", PICK), ("fault_recovery", LOOP)]


def evidence(task: str, anchors: list[FactualAnchor], *streams: Stream) -> Evidence:
    place = {stream.sha256: number for number, stream in enumerate(streams)}
    ordered = sorted(anchors, key=lambda a: (place[a.stream], a.t0, a.t1, a.kind))
    return Evidence(streams=streams, anchors=tuple(ordered), spec=spec(task))


def made(task: str, given: Evidence) -> Any:
    """The output as parsed JSON, after it has been verified."""
    text = to_json(agent_for(task).compose(given))
    score = score_output(text, given.spec, given.streams, given.anchors)
    assert passes(score), score
    return json.loads(text)


@pytest.mark.parametrize(("task", "anchors"), FORMS)
def test_two_cameras_say_what_the_episode_says_and_both_show_it(task: str, anchors: list[FactualAnchor]) -> None:
    agent = agent_for(task)
    assert agent.joins
    alone = made(task, evidence(task, anchors, ARM))
    given = evidence(task, [*anchors, *RIDES_ALONG], ARM, BESIDE)
    joined = made(task, given)
    assert joined == alone, "a camera that rides along measures nothing more of the scene"
    moments = evidence_moments(agent, joined, given.streams)
    assert moments[::2] == evidence_moments(agent, alone, (ARM,))
    assert moments[1::2] == [(WRIST, time) for _, time in moments[::2]], "each moment side by side"


@pytest.mark.parametrize(("task", "anchors"), FORMS)
def test_the_stream_with_the_signals_is_told_whatever_the_order(task: str, anchors: list[FactualAnchor]) -> None:
    turned = evidence(task, [*anchors, *RIDES_ALONG], BESIDE, ARM)
    assert made(task, turned) == made(task, evidence(task, anchors, ARM))


@pytest.mark.parametrize(("task", "anchors"), FORMS)
def test_what_only_the_other_camera_shows_does_not_prove_a_claim(task: str, anchors: list[FactualAnchor]) -> None:
    output = made(task, evidence(task, anchors, ARM))
    moved = [fact.model_copy(update={"stream": WRIST}) for fact in anchors]
    given = evidence(task, [*moved, anchor(AnchorKind.MOTION, 0.0, 1.0, "up", value=0.1)], ARM, BESIDE)
    assert not passes(score_output(json.dumps(output), given.spec, given.streams, given.anchors))


@pytest.mark.parametrize(("task", "anchors"), FORMS)
def test_streams_that_are_not_of_one_episode_are_refused(task: str, anchors: list[FactualAnchor]) -> None:
    longer = BESIDE.model_copy(update={"duration": ARM.duration + 3.0})
    other = BESIDE.model_copy(update={"tracks": ARM.tracks})
    for stranger, why in ((longer, "lasts 23.00 s"), (other, "signals of their own")):
        with pytest.raises(UnsuitedError, match=why):
            agent_for(task).compose(evidence(task, anchors, ARM, stranger))


def test_paired_videos_without_signals_are_told_of_the_first() -> None:
    tracks = (Track(kind=TrackKind.VIDEO, name="video"),)
    one = ARM.model_copy(update={"tracks": tracks})
    two = BESIDE.model_copy(update={"tracks": tracks, "duration": ARM.duration - 0.3, "domain": Domain.EMBODIED})
    given = evidence("fault_recovery", LOOP, one, two)
    output = made("fault_recovery", given)
    assert {sha256 for sha256, _ in evidence_moments(agent_for("fault_recovery"), output, given.streams)} == {
        one.sha256,
        two.sha256,
    }


@given(st.lists(st.sampled_from(RIDES_ALONG), max_size=6), st.sampled_from(FORMS))
def test_nothing_that_the_other_camera_measures_changes_the_output(
    seen: list[FactualAnchor], form: tuple[str, list[FactualAnchor]]
) -> None:
    task, anchors = form
    assert made(task, evidence(task, [*anchors, *seen], ARM, BESIDE)) == made(task, evidence(task, anchors, ARM))


def test_the_frames_of_a_sample_are_those_of_each_camera_at_the_same_moments(tmp_path: Path) -> None:
    path = tmp_path / "lift.hdf5"
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo.create_dataset("actions", data=np.zeros((120, 7)))
        demo.create_dataset("obs/robot0_gripper_qpos", data=np.zeros((120, 2)))
        for camera, shade in (("agentview_image", 40), ("robot0_eye_in_hand_image", 200)):
            shades = (shade + np.arange(120) // 3).astype(np.uint8)
            pictures = np.broadcast_to(shades[:, None, None, None], (120, 24, 32, 3))
            demo.create_dataset(f"obs/{camera}", data=pictures)
    source = SourceSpec(uri=f"{path}#@*")
    found = [candidate for candidate in discover(source) if isinstance(candidate, Candidate)]
    streams = tuple(probe(candidate, hash_parts(candidate, {}), None, 10**8) for candidate in found)
    measured = [fact.model_copy(update={"stream": streams[0].sha256}) for fact in LOOP]
    given = Evidence(streams=streams, anchors=tuple(measured), spec=spec("fault_recovery"))
    agent = agent_for("fault_recovery")
    frames = pick_frames(agent, made("fault_recovery", given), streams, limit=4, side=32)
    assert [(frame.stream, frame.time) for frame in frames] == [(s.sha256, t) for s in streams for t in (1.0, 3.0)]
    pictures = [cv2.imdecode(np.frombuffer(frame.image.bytes, np.uint8), cv2.IMREAD_GRAYSCALE) for frame in frames]
    # 20 steps a second, three steps of a shade: what stands at 1 s and at 3 s in each film.
    assert [round(float(picture.mean())) for picture in pictures] == [46, 60, 206, 220]
