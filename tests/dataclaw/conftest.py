"""A corpus made by hand: one triplet of every task type, with drawn frames and hostile text."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from schemas.anchor import FactualAnchor
from schemas.base import canonical_json
from schemas.geometry import Box, Point
from schemas.manifest import Manifest, Statistics
from schemas.outputs.fault_recovery import FaultRecovery
from schemas.outputs.gui_trajectory import GuiTrajectory
from schemas.outputs.image_editing import ImageEditing
from schemas.outputs.temporal_qa import TemporalQA
from schemas.outputs.tutorial import Tutorial
from schemas.score import Score, Support
from schemas.stream import Domain, Stream, StreamPart, Track, TrackKind
from schemas.task_spec import Intent, TaskSpec
from schemas.triplet import (
    TRIPLET_SCHEMA,
    EncodedImage,
    EvidenceFrame,
    ExpertVersion,
    Provenance,
    Triplet,
    triplet_id,
)
from storage import snapshots
from storage.corpus import DATA, Corpus
from storage.shards import write_shard

HOSTILE = '<script>alert("x")</script> </style><img src=x onerror=alert(1)> {{ 7 * 7 }} \x1b[31mred\u202eleft'
SCREEN_HASH = "0123456789abcdef" * 8
OUTPUTS = {
    "tutorial": Tutorial,
    "temporal_qa": TemporalQA,
    "gui_trajectory": GuiTrajectory,
    "fault_recovery": FaultRecovery,
    "image_editing": ImageEditing,
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def picture(width: int, height: int, words: str, colour: tuple[int, int, int]) -> bytes:
    image = Image.new("RGB", (width, height), (236, 234, 228))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, height // 10), fill=colour)
    for row in range(4):
        top = height * (2 + 2 * row) // 10
        draw.rounded_rectangle((width // 10, top, width * 9 // 10, top + height // 8), 8, fill=(255, 255, 255))
    draw.text((width // 8, height // 5 + 6), words, fill=(40, 40, 40))
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=80)
    return sink.getvalue()


def stream(
    name: str, domain: Domain, duration: float, kinds: Sequence[TrackKind], notes: tuple[str, ...] = ()
) -> Stream:
    tracks = tuple(
        Track(kind=kind, name=kind.value, width=1280, height=720, codec="h264")
        if kind is TrackKind.VIDEO
        else Track(kind=kind, name=kind.value)
        for kind in kinds
    )
    part = StreamPart(role="video", uri=f"/raw/{name}.mp4", sha256=sha(name + "file"), size=1_000_000)
    return Stream(
        sha256=sha(name),
        uri=part.uri,
        name=name,
        domain=domain,
        format="video",
        parts=(part,),
        tracks=tracks,
        duration=duration,
        notes=notes,
    )


def anchor(of: Stream, kind: str, t0: float, t1: float | None = None, **fields: object) -> FactualAnchor:
    base: dict[str, object] = {"expert": "hand", "version": "1", "confidence": 0.9}
    return FactualAnchor(stream=of.sha256, kind=kind, t0=t0, t1=t0 if t1 is None else t1, **(base | fields))  # type: ignore[arg-type]


def triplet(
    task_type: str,
    intent: str,
    streams: Sequence[Stream],
    anchors: Sequence[FactualAnchor],
    output: dict[str, object],
    frames: Sequence[tuple[Stream, float]],
    unsupported: int = 0,
    size: tuple[int, int] = (640, 360),
    readings: tuple[str, ...] = (),
) -> Triplet:
    domain = streams[0].domain
    asked = Intent(text=intent, domain=domain)
    spec = TaskSpec(
        task_type=task_type,
        instruction=f"Make a {task_type.replace('_', ' ')} from what is measured in the stream.",
        intent=asked,
        output_schema=canonical_json(OUTPUTS[task_type].model_json_schema()) if task_type in OUTPUTS else "{}",
        confidence=0.82,
        because=("the intent names it", f"the domain is {domain}"),
        joins_streams=len(streams) > 1,
    )
    text = canonical_json(
        json.loads(OUTPUTS[task_type].model_validate(output).model_dump_json()) if task_type in OUTPUTS else output
    )
    supports = [
        Support(path=f"/claims/{i}", kind="time", supported=True, anchors=(a.id,)) for i, a in enumerate(anchors)
    ]
    for place in range(unsupported):
        supports[place] = Support(path=f"/claims/{place}", kind="quote", supported=False, reason="nobody says this")
    share = 1.0 - unsupported / max(1, len(supports))
    return Triplet(
        id=triplet_id(tuple(streams), spec, tuple(anchors), text),
        unit=sha(intent + text),
        domain=domain,
        task_type=task_type,
        streams=tuple(streams),
        intent=asked,
        spec=spec,
        anchors=tuple(anchors),
        evidence=tuple(
            EvidenceFrame(
                stream=of.sha256,
                time=time,
                image=EncodedImage(
                    bytes=picture(*size, f"{of.name[:20]!a} {time} s", (90, 120, 170)), path="frame.jpg"
                ),
            )
            for of, time in frames
        ),
        output=text,
        score=Score(
            format=1.0, anchor=share, efficiency=0.93, reward=0.3 + 0.6 * share + 0.093, supports=tuple(supports)
        ),
        provenance=Provenance(
            run="20260102T030405-abcdef",
            recipe_hash=sha("recipe"),
            experts=(ExpertVersion(name="hand", version="1", signature=sha("hand")),),
            backend="rules",
            model=None,
            agent_version="1",
            prompt_version=None,
            repairs=0,
            readings=readings,
            created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        ),
    )


def tutorial() -> Triplet:
    lesson = stream("lesson", Domain.EDUCATION, 31.0, (TrackKind.VIDEO, TrackKind.SUBTITLES))
    said = ["Draw the height of the triangle.", "Both halves are equal.", "So the base is twice six."]
    anchors = [anchor(lesson, "text.subtitle", 4 + 8 * i, 9 + 8 * i, content=text) for i, text in enumerate(said)]
    anchors += [anchor(lesson, "screen.change", t, value=0.2, confidence=0.4 + t / 60) for t in (3.5, 11.8, 19.9, 24.0)]
    anchors += [
        anchor(lesson, "screen.state", t, t + 7.5, content="ab12", value=i) for i, t in enumerate((3.6, 12, 20))
    ]
    blocks: list[dict[str, object]] = []
    for i, text in enumerate(said):
        t0, t1 = 4.0 + 8 * i, 9.0 + 8 * i
        quote = {"t0": t0, "t1": t1, "text": text}
        blocks.append({"type": "text", "t0": t0, "t1": t1, "text": f'The teacher says "{text}"', "quotes": [quote]})
        blocks.append({"type": "frame", "time": t0 + 2, "caption": "the board" if i else f"At {t0 + 2:.1f} s"})
    return triplet(
        "tutorial",
        "This is a worked-solution teaching video. Please construct tutoring data from it.",
        [lesson],
        anchors,
        {"title": "The height of a triangle", "blocks": blocks},
        [(lesson, 6.0 + 8 * i) for i in range(3)],
        readings=("temporal_qa",),
    )


def temporal_qa() -> Triplet:
    clip = stream("friday", Domain.DAILY_LIFE, 6.2, (TrackKind.VIDEO, TrackKind.AUDIO, TrackKind.SUBTITLES))
    anchors = [
        anchor(clip, "text.subtitle", 0.3, 1.4, content="Thank God it's Friday."),
        anchor(clip, "text.subtitle", 2.1, 3.9, content="Let's go."),
        anchor(clip, "video.shot", 0.0, 6.2, value=0),
        anchor(clip, "motion.activity", 1.0, 2.4, value=0.3, confidence=0.5),
    ]
    events = [
        {"t0": 0.3, "t1": 1.4, "description": "the first line", "quote": "Thank God it's Friday."},
        {"t0": 2.1, "t1": 3.9, "description": "the second line", "quote": "Let's go."},
    ]
    questions = [
        {
            "type": "localisation",
            "difficulty": "easy",
            "question": 'When is "Let\'s go." said?',
            "answer": "From 2.1 s to 3.9 s.",
            "events": events[1:],
        },
        {
            "type": "ordering",
            "difficulty": "medium",
            "question": "Which of the two lines comes first?",
            "answer": '"Thank God it\'s Friday."',
            "events": events,
        },
    ]
    return triplet(
        "temporal_qa",
        "Make questions about when things happen.",
        [clip],
        anchors,
        {"questions": questions},
        [(clip, 0.3), (clip, 2.1)],
        unsupported=1,
    )


def gui_trajectory() -> Triplet:
    first = stream("c", Domain.GUI, 24.0, (TrackKind.VIDEO,))
    second = stream("b", Domain.GUI, 18.0, (TrackKind.VIDEO,), notes=("cut off at 18.0 s: what can be read is used",))
    other = stream("d", Domain.GUI, 9.0, (TrackKind.VIDEO,))
    anchors = [
        anchor(first, "screen.clock", 0.0, 24.0, content="1:14", value=74),
        anchor(second, "screen.clock", 0.0, 18.0, content="1:15", value=75),
        anchor(other, "screen.clock", 0.0, 9.0, content="9:41", value=581),
        anchor(first, "screen.tap", 5.5, point=Point(x=0.5, y=0.26)),
        anchor(first, "screen.scroll", 9.0, 10.5, content="up", value=0.6),
        anchor(second, "screen.tap", 4.0, point=Point(x=0.4, y=0.46)),
        anchor(second, "input.type", 7.0, 9.5, content="running shoes"),
        *(
            anchor(first, "text.screen", 2.0 * i, 2.0 * i + 3, content=f"Result {i}", confidence=0.3 + 0.08 * i)
            for i in range(8)
        ),
    ]
    box = Box(x0=0.1, y0=0.2, x1=0.9, y1=0.325).model_dump()
    steps = [
        {
            "index": 0,
            "source": "c",
            "observation_time": 5.0,
            "action_time": 5.5,
            "action": {"type": "tap", "point": {"x": 0.5, "y": 0.26}},
            "target": {"text": "Result 1", "box": box},
            "reason": "The list shows the result that is looked for.",
        },
        {
            "index": 1,
            "source": "c",
            "observation_time": 8.5,
            "action_time": 9.0,
            "action": {
                "type": "swipe",
                "point": {"x": 0.5, "y": 0.8},
                "end_point": {"x": 0.5, "y": 0.3},
                "direction": "up",
                "count": 2,
            },
            "reason": "More results stand below.",
        },
        {
            "index": 2,
            "source": "b",
            "observation_time": 6.5,
            "action_time": 7.0,
            "action": {"type": "type", "text": "running shoes"},
            "target": {"text": "Search"},
            "reason": "The field is empty and has the focus.",
        },
        {
            "index": 3,
            "source": "b",
            "observation_time": 12.0,
            "action_time": 12.5,
            "action": {"type": "navigate"},
            "reason": "The screen changes without a mark.",
        },
    ]
    output: dict[str, object] = {
        "goal": 'Look for "running shoes" and open a result',
        "source_order": ["c", "b"],
        "steps": steps,
        "links": [
            {
                "source": "c",
                "next_source": "b",
                "facts": [
                    {"basis": "clock", "before": "1:14", "before_time": 24.0, "after": "1:15", "after_time": 0.0},
                    {
                        "basis": "text",
                        "before": "Result 7",
                        "before_time": 16.0,
                        "after": "Result 7",
                        "after_time": 0.5,
                    },
                    {
                        "basis": "screen",
                        "before": SCREEN_HASH,
                        "before_time": 23.0,
                        "after": SCREEN_HASH,
                        "after_time": 0.5,
                    },
                ],
            }
        ],
        "discarded": [{"source": "d", "reason": "another app, its clock shows 9:41", "texts": ["9:41"]}],
        "omitted": [{"source": "c", "time": 20.0, "reason": "the same tap again, without effect"}],
    }
    return triplet(
        "gui_trajectory",
        "These are my mobile interaction fragments. Use them to construct a more comprehensive long-horizon task "
        "trajectory from them.",
        [first, second, other],
        anchors,
        output,
        [(first, 5.0), (first, 8.5), (second, 6.5)],
        size=(360, 780),
    )


def fault_recovery() -> Triplet:
    arm = stream("hesitate", Domain.EMBODIED, 14.0, (TrackKind.VIDEO, TrackKind.SIGNALS))
    anchors = [
        anchor(arm, "motion.activity", 0.5, 12.0, value=0.2),
        *(
            anchor(arm, "motion.reversal", 5.0 + 0.8 * i, value=-0.9, box=Box(x0=0.3, y0=0.4, x1=0.5, y1=0.7))
            for i in range(5)
        ),
        anchor(arm, "motion.oscillation", 4.8, 8.6, value=5),
        anchor(arm, "proprio.stall", 9.0, 10.0, content="right_arm"),
    ]
    output: dict[str, object] = {
        "fault": "hesitation_loop",
        "span": {"t0": 4.8, "t1": 8.6},
        "observations": [
            {"t0": 4.8, "t1": 8.6, "description": "The hand turns back 5 times without coming closer."},
            {"t0": 9.0, "t1": 10.0, "description": "The right arm stands still."},
        ],
        "diagnosis": "The hand moves to and fro in front of the object.",
        "reasoning": "Each turn undoes the one before it, so that no progress is made.",
        "recall_time": 4.8,
        "corrected_continuation": [
            {"action": "Stop at the last stable pose", "purpose": "so that the next look is sharp"},
            {"action": "Look again at the object", "purpose": "to measure where it is"},
            {"action": "Reach in one motion", "purpose": "to close the hand around it"},
        ],
    }
    return triplet(
        "fault_recovery",
        "This is a robot manipulation video. Help me construct embodied decision and "
        "world-model training data from it.",
        [arm],
        anchors,
        output,
        [(arm, 4.8), (arm, 6.4), (arm, 8.6)],
    )


def image_editing() -> Triplet:
    pair = stream("edit 3", Domain.AIGC, 2.0, (TrackKind.IMAGES, TrackKind.TEXT))
    region = Box(x0=0.55, y0=0.3, x1=0.9, y1=0.8)
    anchors = [
        anchor(pair, "edit.region", 0.0, 1.0, box=region, value=0.14),
        anchor(pair, "text.given", 0.0, 2.0, content="Remove the red car"),
    ]
    return triplet(
        "image_editing",
        "Turn these edits into instruction data.",
        [pair],
        anchors,
        {
            "instruction": "Remove the red car",
            "regions": [{"box": region.model_dump(), "changed_share": 0.14}],
            "before_time": 0.0,
            "after_time": 1.0,
        },
        [(pair, 0.0), (pair, 1.0)],
    )


def hostile() -> Triplet:
    """Markup, template syntax, escape sequences and direction marks in every text a stream can bring, as the output
    of a task type that a plugin added, with bytes that are no picture."""
    raw = stream(HOSTILE, Domain.DAILY_LIFE, 4000.0, (TrackKind.VIDEO,), notes=(HOSTILE,))
    anchors = [anchor(raw, "text.screen", 2.0 * i, 2.0 * i + 1, content=HOSTILE) for i in range(1000)]
    row = triplet("plugin_task", HOSTILE, [raw], anchors, {"text": HOSTILE}, [(raw, 1.0)])
    broken = EvidenceFrame(
        stream=raw.sha256, time=5.0, image=EncodedImage(bytes=b"<svg onload=alert(1)>", path="../../x.svg")
    )
    return row.model_copy(update={"evidence": (*row.evidence, broken)})


def write_corpus(folder: Path, rows: Sequence[Triplet]) -> Corpus:
    """Publishes rows as snapshot 1 of a corpus, two shards when there are several."""
    corpus = Corpus.open(folder, create=True)
    parts = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    shards = tuple(write_shard(corpus.location, DATA, Triplet.to_table(part, TRIPLET_SCHEMA)) for part in parts if part)
    rewards = [row.score.reward for row in rows]
    snapshots.publish(
        corpus,
        Manifest(
            corpus=corpus.name,
            number=1,
            parent=None,
            run="20260102T030405-abcdef",
            created=datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
            shards=shards,
            arrow_schema="",
            statistics=Statistics(
                rows=len(rows),
                by_domain={},
                by_task_type={},
                reward_mean=sum(rewards) / len(rewards),
                reward_min=min(rewards),
            ),
            dataclaw_version="0.1.0",
        ),
    )
    return corpus


def every_kind() -> list[Triplet]:
    return [tutorial(), gui_trajectory(), fault_recovery(), temporal_qa(), image_editing(), hostile()]


@pytest.fixture(scope="session")
def gallery_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with one row of every kind."""
    folder = tmp_path_factory.mktemp("corpora") / "by_hand"
    write_corpus(folder, every_kind())
    return folder


@pytest.fixture
def make_corpus() -> Callable[[Path, Sequence[Triplet]], Corpus]:
    return write_corpus


@pytest.fixture
def every_row() -> list[Triplet]:
    return every_kind()
