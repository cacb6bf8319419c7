"""A LeRobot v2.1 set: an arm that shall put a block on a plate, once well and three times not. Picture and joint
signals tell the same story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from sources.samples.media import canvas, write_json, write_jsonl, write_video

RATE = 20
SIZE = (320, 240)
TASK = "Pick up the red block and put it on the plate."
NAMES = ["arm_x", "arm_y", "gripper"]
CAMERA = "observation.images.front"

HOME, ABOVE, BLOCK, PLATE, LIFTED = (0.15, 0.25), (0.45, 0.40), (0.45, 0.72), (0.80, 0.68), (0.45, 0.35)
OPEN, CLOSED = 1.0, 0.2


@dataclass(frozen=True)
class Way:
    """A leg of the gripper's way: where to (x, y, opening), in how many seconds, and whether it holds the block."""

    to: tuple[float, float, float]
    seconds: float
    holds: bool = False


def _at(place: tuple[float, float], opening: float) -> tuple[float, float, float]:
    return (*place, opening)


_APPROACH = [Way(_at(ABOVE, OPEN), 1.0), Way(_at(BLOCK, OPEN), 0.8)]
_GRASP = [Way(_at(BLOCK, CLOSED), 0.4)]
_PLACE = [
    Way(_at(LIFTED, CLOSED), 0.8, True),
    Way(_at(PLATE, CLOSED), 1.2, True),
    Way(_at(PLATE, OPEN), 0.4),
    Way(_at((0.80, 0.30), OPEN), 0.8),
]
_NEAR, _FAR = (0.43, 0.52), (0.30, 0.36)

EPISODES: dict[str, list[Way]] = {
    "clean": [*_APPROACH, *_GRASP, *_PLACE],
    "hesitation_loop": [
        Way(_at(ABOVE, OPEN), 1.0),
        *[Way(_at(place, OPEN), 0.5) for place in (_NEAR, _FAR) * 3],
        Way(_at(BLOCK, OPEN), 0.8),
        *_GRASP,
        *_PLACE,
    ],
    "early_stagnation": [Way(_at((0.38, 0.36), OPEN), 1.0), Way(_at((0.38, 0.36), OPEN), 4.0)],
    "unstable_grasp": [
        *_APPROACH,
        *_GRASP,
        Way(_at((0.45, 0.55), CLOSED), 0.5, True),
        Way(_at((0.45, 0.45), CLOSED), 0.3),
        Way(_at((0.45, 0.45), OPEN), 0.3),
        Way(_at(BLOCK, OPEN), 0.7),
        *_GRASP,
        *_PLACE,
    ],
}
"""Fault (or `clean`) to the gripper's way. The block falls where a leg no longer holds it."""


def make(folder: Path, seed: int) -> list[Path]:
    root = folder / "block_to_plate"
    for part in ("meta", "data/chunk-000", f"videos/chunk-000/{CAMERA}"):
        (root / part).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 4])
    frames = 0
    lengths, truth = [], {}
    for number, (fault, ways) in enumerate(EPISODES.items()):
        state, blocks = _act(ways, rng)
        stem = f"episode_{number:06d}"
        _write_signals(root / f"data/chunk-000/{stem}.parquet", state, number, frames)
        pictures = (_scene(row, block) for row, block in zip(state, blocks, strict=True))
        write_video(root / f"videos/chunk-000/{CAMERA}/{stem}.mp4", pictures, RATE)
        frames += len(state)
        lengths.append(len(state))
        truth[stem] = {"fault": None if fault == "clean" else fault, "span": _span(fault), "length": len(state)}
    _write_meta(root / "meta", lengths)
    write_json(root / "truth.json", truth)
    return [root]


def _act(ways: Sequence[Way], rng: np.random.Generator) -> tuple[NDArray[np.float32], list[tuple[float, float]]]:
    """State (n, 3) and place of the block, for each frame. Legs are eased in and out; joints tremble a little."""
    at = np.array(_at(HOME, OPEN))
    rows: list[NDArray[np.float64]] = []
    held: list[bool] = []
    for way in ways:
        steps = round(way.seconds * RATE)
        for step in range(1, steps + 1):
            share = (1 - np.cos(np.pi * step / steps)) / 2
            rows.append(at + (np.array(way.to) - at) * share)
            held.append(way.holds)
        at = np.array(way.to)
    state = np.array(rows) + rng.normal(0, 0.0004, (len(rows), 3))
    block, blocks = BLOCK, []
    for row, holds in zip(state, held, strict=True):
        if holds:
            block = (float(row[0]), float(row[1]))
        elif block not in (BLOCK,):
            # Let go, it falls to the table or lies on the plate.
            block = (block[0], min(block[1] + 0.06, PLATE[1] if abs(block[0] - PLATE[0]) < 0.1 else BLOCK[1]))
        blocks.append(block)
    return state.astype(np.float32), blocks


def _span(fault: str) -> list[float] | None:
    """Seconds over which the fault is seen."""
    legs = [way.seconds for way in EPISODES[fault]]
    ends = np.cumsum(legs)
    spans = {"hesitation_loop": (0, 6), "early_stagnation": (0, 1), "unstable_grasp": (2, 7)}
    if fault not in spans:
        return None
    first, last = spans[fault]
    return [round(float(ends[first]), 3), round(float(ends[last]), 3)]


def _scene(state: NDArray[np.float32], block: tuple[float, float]) -> Image.Image:
    picture, pen = canvas(SIZE, (205, 215, 220))
    width, height = SIZE
    pen.rectangle((0, 0.78 * height, width, height), (150, 115, 80))
    pen.ellipse((0.70 * width, 0.74 * height, 0.90 * width, 0.82 * height), (245, 245, 245), (120, 120, 120))
    x, y, opening = float(state[0]) * width, float(state[1]) * height, float(state[2])
    bx, by = block[0] * width, block[1] * height
    pen.rectangle((bx - 10, by - 10, bx + 10, by + 10), (200, 30, 30))
    pen.line((20, 10, x, y - 34), (90, 90, 100), 12)
    pen.rectangle((x - 20, y - 40, x + 20, y - 28), (60, 60, 70))
    spread = 9 + 10 * opening
    for side in (-1, 1):
        pen.rectangle((x + side * spread - 3, y - 30, x + side * spread + 3, y + 8), (60, 60, 70))
    return picture


def _write_signals(path: Path, state: NDArray[np.float32], episode: int, first: int) -> None:
    count = len(state)
    # What is commanded now is reached with the next frame.
    action = np.concatenate([state[1:], state[-1:]])
    table = pa.table(
        {
            "observation.state": pa.array(list(state), pa.list_(pa.float32())),
            "action": pa.array(list(action), pa.list_(pa.float32())),
            "timestamp": pa.array(np.arange(count, dtype=np.float32) / RATE),
            "frame_index": pa.array(np.arange(count)),
            "episode_index": pa.array(np.full(count, episode)),
            "index": pa.array(np.arange(first, first + count)),
            "task_index": pa.array(np.zeros(count, np.int64)),
        }
    )
    pq.write_table(table, path)


def _write_meta(folder: Path, lengths: Sequence[int]) -> None:
    joints = {"dtype": "float32", "shape": [len(NAMES)], "names": NAMES}
    number = {"dtype": "int64", "shape": [1], "names": None}
    write_json(
        folder / "info.json",
        {
            "codebase_version": "v2.1",
            "robot_type": "sample_arm",
            "total_episodes": len(lengths),
            "total_frames": sum(lengths),
            "total_tasks": 1,
            "total_videos": len(lengths),
            "total_chunks": 1,
            "chunks_size": 1000,
            "fps": RATE,
            "splits": {"train": f"0:{len(lengths)}"},
            "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
            "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
            "features": {
                CAMERA: {"dtype": "video", "shape": [SIZE[1], SIZE[0], 3], "names": ["height", "width", "channels"]},
                "observation.state": joints,
                "action": joints,
                "timestamp": {"dtype": "float32", "shape": [1], "names": None},
                **dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), number),
            },
        },
    )
    write_jsonl(
        folder / "episodes.jsonl",
        ({"episode_index": index, "tasks": [TASK], "length": length} for index, length in enumerate(lengths)),
    )
    write_jsonl(folder / "tasks.jsonl", [{"task_index": 0, "task": TASK}])
