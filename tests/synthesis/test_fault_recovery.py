"""FaultRecoveryAgent names a fault where one is measured, and none where there is none."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.motion import OTHER_WAY, SAME_WAY, Motion
from experts.proprioception import Proprioception
from schemas.anchor import FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.fault_recovery import FaultRecovery
from schemas.recipe import Sampling
from schemas.score import Claim, Support
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from schemas.task_spec import Intent, TaskSpec
from sources.base import Recording, Signals
from sources.decoding import VideoDecoder
from sources.samples import embodied
from synthesis.agents import fault_recovery
from synthesis.agents.fault_recovery import FaultRecoveryAgent
from synthesis.base import Evidence
from synthesis.verification.verify import score_output
from tests.films import Film

AGENT = FaultRecoveryAgent()
SHA = "0" * 64
SPEC = TaskSpec(
    task_type="fault_recovery",
    instruction="Find the fault.",
    intent=Intent(text="Help me."),
    output_schema=AGENT.output_schema(),
    confidence=1.0,
)


def stream(duration: float) -> Stream:
    return Stream(
        sha256=SHA, uri="x", name="x", domain=Domain.EMBODIED, format="x", parts=(), tracks=(), duration=duration
    )


def fact(kind: str, t0: float, t1: float | None = None, content: str = "", value: float | None = None) -> FactualAnchor:
    return FactualAnchor(
        stream=SHA,
        t0=t0,
        t1=t0 if t1 is None else t1,
        kind=kind,
        content=content,
        value=value,
        expert="test",
        version="1",
        confidence=0.9,
    )


def evidence(facts: list[FactualAnchor], duration: float) -> Evidence:
    return Evidence((stream(duration),), tuple(sorted(facts, key=lambda a: (a.t0, a.t1, a.kind))), SPEC)


def compose(facts: list[FactualAnchor], duration: float) -> FaultRecovery | None:
    """The output, all of whose claims must hold; None for no fault."""
    given = evidence(facts, duration)
    try:
        output = AGENT.compose(given)
    except UnsuitedError:
        return None
    score = score_output(output.model_dump_json(), SPEC, given.streams, given.anchors)
    assert score.unsupported == ()
    assert score.format == 1.0
    assert score.anchor == 1.0
    return output


def name_of(facts: list[FactualAnchor], duration: float) -> str | None:
    output = compose(facts, duration)
    return None if output is None else output.fault.value


LOOP = [
    fact("motion.activity", 0.0, 5.0, "in place", 0.2),
    fact("motion.oscillation", 1.0, 4.0, SAME_WAY, 3.0),
    *(fact("motion.reversal", t, content=SAME_WAY, value=-1.0) for t in (1.0, 2.0, 3.0)),
]
SLIP = [
    fact("motion.activity", 0.0, 5.0, "in place", 0.2),
    fact("motion.oscillation", 1.0, 4.0, OTHER_WAY, 3.0),
    *(fact("motion.reversal", t, content=OTHER_WAY, value=-1.0) for t in (1.0, 2.0, 3.0)),
]
STOP = [fact("motion.activity", 0.0, 2.0, "down", 0.2), fact("motion.stall", 2.0, 4.0, value=0.0)]


def test_a_way_back_as_the_way_there_is_hesitation():
    output = compose(LOOP, 5.0)
    assert output.fault == "hesitation_loop"
    assert (output.span.t0, output.span.t1, output.recall_time) == (1.0, 4.0, 1.0)
    assert "turns back 3 times" in output.diagnosis
    assert len(output.observations) == 4


def test_a_way_back_that_differs_is_an_unstable_grasp():
    output = compose(SLIP, 5.0)
    assert output.fault == "unstable_grasp"
    assert (output.span.t0, output.span.t1) == (1.0, 3.0)


def test_down_and_up_with_an_object_is_a_pick_and_no_fault():
    pick = [fact("motion.activity", 0, 5, "up", 0.2), fact("motion.oscillation", 1, 3, OTHER_WAY, 2.0)]
    assert name_of(pick, 5.0) is None


def test_a_stop_for_good_is_stagnation():
    output = compose(STOP, 4.0)
    assert output.fault == "early_stagnation"
    assert (output.span.t0, output.span.t1) == (2.0, 4.0)


@pytest.mark.parametrize(
    ("more", "duration"),
    [
        ([fact("motion.activity", 4.0, 5.0, "down", 0.2)], 5.0),  # it goes on
        ([], 12.0),  # the stream is long, the stop is not at its end
        ([fact("proprio.gripper_close", 1.0, 1.4, "hand")], 4.0),  # it has gripped
        ([fact("motion.reversal", 1.0, content=OTHER_WAY, value=-1.0)], 4.0),  # it carries something
    ],
)
def test_other_stops_are_none(more, duration):
    assert name_of(STOP + more, duration) is None


def test_a_short_hold_at_the_end_is_no_stagnation():
    assert name_of([fact("motion.activity", 0, 5, "up", 0.2), fact("motion.stall", 5, 5.8, value=0.0)], 5.8) is None


def grips(*moments: tuple[str, float, float | None]) -> list[FactualAnchor]:
    return [fact(f"proprio.gripper_{kind}", t, t + 0.3, "right_hand", value) for kind, t, value in moments]


def test_a_hand_that_closes_again_at_the_same_place_has_slipped():
    output = compose(grips(("close", 1.0, None), ("open", 2.0, None), ("close", 3.0, 0.05)), 5.0)
    assert output.fault == "unstable_grasp"
    assert (output.span.t0, output.span.t1) == (1.0, 3.3)
    assert "closes 2 times" in output.diagnosis


@pytest.mark.parametrize(
    "moments",
    [
        [("close", 1.0, None), ("open", 2.0, None)],
        [("close", 1.0, None), ("open", 2.0, None), ("close", 3.0, 0.7)],  # it takes the next thing
        [("close", 1.0, None), ("open", 2.0, None), ("close", 9.0, 0.05)],
    ],
)
def test_other_grips_are_no_slip(moments):
    assert name_of(grips(*moments), 10.0) is None


def turns(*moments: tuple[float, float]) -> list[FactualAnchor]:
    return [fact("proprio.reversal", t, content="right_arm", value=size) for t, size in moments]


def test_an_arm_that_turns_back_evenly_hesitates():
    output = compose(turns((1.0, 0.4), (2.0, 0.3), (3.0, 0.35)), 5.0)
    assert output.fault == "hesitation_loop"
    assert "joints turn back 3 times" in output.diagnosis


@pytest.mark.parametrize(
    "facts",
    [
        turns((1.0, 0.4)),
        turns((1.0, 0.9), (2.0, 0.2)),
        turns((1.0, 0.4), (9.0, 0.4)),
        turns((1.0, 0.4), (2.0, 0.4)) + grips(("close", 1.0, None)),
    ],
)
def test_other_turns_are_no_hesitation(facts):
    assert name_of(facts, 10.0) is None


def test_no_fault_is_said_so():
    with pytest.raises(UnsuitedError, match="no fault visible in 2 measurements"):
        AGENT.compose(evidence(STOP, 12.0))


def test_nothing_measured_is_said_so():
    with pytest.raises(UnsuitedError, match="nothing moves"):
        AGENT.compose(evidence([], 5.0))


def test_the_task_is_quoted_as_given():
    task = fact("text.given", 0.0, 5.0, 'pick up the "blue" cup')
    assert "pick up the" in compose([*LOOP, task], 5.0).diagnosis


def test_a_changed_output_is_not_supported():
    given = evidence(LOOP, 5.0)
    output = json.loads(AGENT.compose(given).model_dump_json())

    def wrong(change) -> set[str]:
        changed = json.loads(json.dumps(output))
        change(changed)
        score = score_output(json.dumps(changed), SPEC, given.streams, given.anchors)
        return {support.path for support in score.unsupported}

    assert "/span/t0" in wrong(lambda o: o["span"].update(t0=1.6))
    assert "/recall_time" in wrong(lambda o: o.update(recall_time=4.6))
    assert "/diagnosis" in wrong(lambda o: o.update(diagnosis=o["diagnosis"].replace("3 times", "5 times")))
    assert "/observations/0" in wrong(lambda o: o["observations"][0].update(t0=0.2, t1=0.2))
    assert "/span/t0" in wrong(lambda o: o.update(fault="early_stagnation"))
    assert "/reasoning" in wrong(lambda o: o.update(reasoning="At 4.70 s it let go."))


def unsupported(claims: list[Claim], *paths: str) -> list[Support]:
    return [Support(path=c.path, kind=c.kind, supported=False) for c in claims if c.path in paths]


def test_repair_takes_out_what_is_unsupported_and_keeps_the_rest():
    given = evidence(LOOP, 5.0)
    output = AGENT.compose(given)
    claims = AGENT.claims(output.model_dump(mode="json"), given.streams)
    repaired = AGENT.repair(output, unsupported(claims, "/observations/1"), given)
    assert len(repaired.observations) == len(output.observations) - 1
    score = score_output(repaired.model_dump_json(), SPEC, given.streams, given.anchors)
    assert score.unsupported == ()
    assert AGENT.repair(output, unsupported(claims, "/span/t0"), given) is None


def test_evidence_starts_with_the_moment_to_look_again():
    given = evidence(LOOP, 5.0)
    times = AGENT.evidence_times(json.loads(AGENT.compose(given).model_dump_json()), given.streams)
    assert times[0] == (SHA, 1.0)
    assert (SHA, 2.5) in times
    assert (SHA, 4.0) in times


def test_the_words_agree_with_those_of_motion():
    assert fault_recovery.SAME_WAY == SAME_WAY


# --- from pixels ---------------------------------------------------------------------------------------------------


class Clip(Recording):
    def __init__(self, path: Path, signals: Signals | None = None):
        self.decoder, self._signals = VideoDecoder(str(path)), signals

    def close(self) -> None:
        self.decoder.close()

    def frames(self, t0, t1, rate, include_end=False):
        return self.decoder.frames(t0, t1, rate, include_end)

    def signals(self) -> Signals | None:
        return self._signals


def measure(recording: Recording, duration: float) -> list[FactualAnchor]:
    found: list[FactualAnchor] = []
    (segment,) = cut_segments(stream(duration), 300.0)
    experts = [Motion(), Proprioception()]
    with recording:
        measured = Ensemble(experts, Sampling())(recording, segment, Stopwatch())
    for expert in experts:
        found += expert.join(stream(duration), measured.anchors[expert.name])
    return found


OPEN, SHUT = 0.09, 0.05
REACH = [(0, 0.9, 0.25, OPEN, ""), (0.9, 0.5, 0.4, OPEN, "")]
DOWN = [(0.8, 0.5, 0.79, OPEN, "")]
GRIP = [(0.3, 0.5, 0.79, SHUT, ""), (0.2, 0.5, 0.79, SHUT, "holds")]
PLACE = [(0.9, 1.0, 0.4, SHUT, "holds"), (0.7, 1.0, 0.79, SHUT, "holds"), (0.3, 1.0, 0.79, OPEN, "")]
DROP = [(0.5, 0.5, 0.5, SHUT, "holds"), (0.3, 0.5, 0.5, SHUT, ""), (0.2, 0.5, 0.5, OPEN, "")]
SCRIPTS = {
    None: [*REACH, *DOWN, *GRIP, (0.8, 0.5, 0.4, SHUT, "holds"), *PLACE, (0.7, 1.0, 0.35, OPEN, "")],
    "hesitation_loop": [*REACH, (0.8, 0.5, 0.65, OPEN, "")]
    + [(0.6, 0.5, 0.4, OPEN, ""), (0.6, 0.5, 0.65, OPEN, "")] * 2,
    "unstable_grasp": [*REACH, *DOWN, *(GRIP + DROP + DOWN) * 2, *GRIP],
    "early_stagnation": [*REACH, (0.5, 0.5, 0.6, OPEN, ""), (1.5, 0.5, 0.6, OPEN, "")],
}


def robot(fault, *, rate=30.0, speed=1.0, width=320, height=240, noise=2.0, seed=0, turn=lambda p: p):
    """A two-finger gripper on an arm and a block on a textured table, by the key points (seconds, x, y, opening)."""
    rng = np.random.default_rng(seed)
    back = cv2.resize(rng.uniform(60, 200, (9, 12)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    back = np.clip(back + cv2.GaussianBlur(rng.normal(0, 60, back.shape).astype(np.float32), (0, 0), 2), 0, 255)
    block, fall, out = [0.5, 0.8], 0.0, []
    for before, key in pairwise(SCRIPTS[fault]):
        for share in np.linspace(0, 1, max(1, round(key[0] / speed * rate)) + 1)[1:]:
            soft = share * share * (3 - 2 * share)
            x, y, gap = (before[k] + (key[k] - before[k]) * soft for k in (1, 2, 3))
            fall = 0.0 if key[4] else fall + 3 * speed * speed / rate
            block = [x, y + 0.01] if key[4] else [block[0], min(0.8, block[1] + fall / rate)]
            picture = back.astype(np.uint8)
            for x0, y0, x1, y1, grey in (
                (block[0] - 0.05, block[1] - 0.08, block[0] + 0.05, block[1], 225),
                (block[0] - 0.03, block[1] - 0.06, block[0] + 0.03, block[1] - 0.03, 30),
                (x - 0.03, -1, x + 0.03, y - 0.16, 60),
                (x - 0.12, y - 0.16, x + 0.12, y - 0.11, 40),
                (x - gap - 0.03, y - 0.11, x - gap, y, 25),
                (x + gap, y - 0.11, x + gap + 0.03, y, 25),
            ):
                corners = [(round(a * height), round(b * height)) for a, b in ((x0, y0), (x1, y1))]
                cv2.rectangle(picture, *corners, grey, -1)
            noisy = turn(picture) + rng.normal(0, noise, turn(picture).shape)
            out.append(np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8)))
    return out


VARIANTS = {
    "plain": {},
    "mirrored": {"turn": lambda p: p[:, ::-1]},
    "turned": {"turn": lambda p: np.rot90(p)},
    "slow": {"speed": 0.5},
    "fast": {"speed": 1.4},
    "24 fps": {"rate": 24.0},
    "15 fps": {"rate": 15.0},
    "small": {"width": 160, "height": 120},
    "noisy": {"noise": 6.0},
    "elsewhere": {"seed": 5},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("fault", SCRIPTS)
def test_drawn_robots(fault, variant):
    settings = VARIANTS[variant]
    pictures, rate = robot(fault, **settings), settings.get("rate", 30.0)
    duration = len(pictures) / rate
    assert name_of(measure(Film(pictures, rate), duration), duration) == fault


@pytest.mark.parametrize("only", ["motion", "proprio", ""])
def test_the_sample_episodes(tmp_path, only):
    embodied.make(tmp_path, 0)
    for number, episode in enumerate(embodied.EPISODES):
        table = pq.read_table(next(tmp_path.glob(f"*/data/*/episode_{number:06d}.parquet")))
        columns = [np.array(table[name].to_pylist(), float) for name in ("timestamp", "observation.state", "action")]
        info = json.loads(next(tmp_path.glob("*/meta/info.json")).read_text())
        names = info["features"]["observation.state"]["names"]
        signals = Signals(columns[0], tuple(np.ravel(names).tolist()), columns[1], columns[2])
        clip = Clip(next(tmp_path.glob(f"*/videos/*/*/episode_{number:06d}.mp4")), signals)
        facts = [a for a in measure(clip, 6.0) if a.kind.startswith(only)]
        output = compose(facts, 6.0)
        assert (None if output is None else output.fault.value) == episode.fault
        if episode.span is not None:
            assert output.span.t0 == pytest.approx(episode.span[0], abs=0.35)
            assert output.span.t1 == pytest.approx(episode.span[1], abs=0.75)


@pytest.mark.streams
@pytest.mark.parametrize(
    ("clip", "fault", "first", "last"),
    [
        ("hesitate", "hesitation_loop", (1.0, 1.6), (2.8, 3.4)),
        ("unstable", "unstable_grasp", (1.2, 2.4), (3.5, 4.4)),
        ("stagnant", "early_stagnation", (1.2, 1.6), (2.1, 2.4)),
    ],
)
def test_real_faults(streams: Path, clip: str, fault: str, first, last):
    recording = Clip(streams / "embodied" / "recovery" / f"{clip}-input.mp4")
    duration = recording.decoder.container.duration / 1e6
    output = compose(measure(recording, duration), duration)
    assert output.fault == fault
    assert first[0] <= output.span.t0 <= first[1]
    assert last[0] <= output.span.t1 <= last[1]


@pytest.mark.streams
def test_no_fault_in_sound_episodes(streams: Path):
    clips = sorted((streams / "embodied").glob("lerobot*/videos/*/*/*.mp4"))
    assert len(clips) == 7
    for path in clips:
        recording = Clip(path)
        duration = recording.decoder.container.duration / 1e6
        assert name_of(measure(recording, duration), duration) is None, path.name
