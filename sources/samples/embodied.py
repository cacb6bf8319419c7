"""A LeRobot v2.1 set of four drawn episodes: a two-finger gripper and a block, once clean and once for each fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sin
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sources.samples import variety
from sources.samples.drawing import textured, write
from sources.samples.media import write_json, write_jsonl, write_video
from sources.samples.variety import COLOURS

_SIDE = 256
_RATE = 20
_DURATION = 6.0
_CAMERA = "observation.images.front"
_NAMES = ("right_arm_x", "right_arm_y", "right_arm_z", "right_gripper_width")
_BLOCK_COLOUR, _MAT_COLOUR = "orange", "green"

_TABLE = 226.0
"""Row of the table's surface under the block."""
_BLOCK = 40.0
_OPEN, _GRIPPED = 0.08, 0.045
"""Widths of the gripper in metres: open, and around the block."""
_PIXELS = 900.0
"""Pixels per metre of gripper width in the picture."""
_DOWN = _TABLE - _BLOCK / 2
_LIFTED = 110.0
_BLOCK_X, _MAT_X = 176.0, 70.0


@dataclass(frozen=True)
class _Pose:
    """Where the grip point is at a time, in pixels, and how wide the gripper stands in metres."""

    time: float
    x: float
    y: float
    width: float


@dataclass(frozen=True)
class _Episode:
    """A path of poses; `held` are the spans in which the block goes with the gripper."""

    fault: str | None
    span: tuple[float, float] | None
    poses: tuple[_Pose, ...]
    held: tuple[tuple[float, float], ...] = ()


def _path(*poses: tuple[float, float, float, float]) -> tuple[_Pose, ...]:
    return tuple(_Pose(*pose) for pose in poses)


_CLEAN = _Episode(
    None,
    None,
    _path(
        (0.0, 60, 66, _OPEN),
        (1.1, _BLOCK_X, 110, _OPEN),
        (1.8, _BLOCK_X, _DOWN, _OPEN),
        (2.3, _BLOCK_X, _DOWN, _GRIPPED),
        (3.1, _BLOCK_X, _LIFTED, _GRIPPED),
        (4.1, _MAT_X, _LIFTED, _GRIPPED),
        (4.7, _MAT_X, _DOWN, _GRIPPED),
        (5.1, _MAT_X, _DOWN, _OPEN),
        (5.9, _MAT_X, 80, _OPEN),
    ),
    ((2.3, 4.75),),
)
_HESITATION = _Episode(
    "hesitation_loop",
    (1.2, 6.0),
    _path(
        (0.0, 60, 66, _OPEN),
        (1.2, 150, 150, _OPEN),
        (1.9, 84, 96, _OPEN),
        (2.6, 150, 150, _OPEN),
        (3.3, 84, 96, _OPEN),
        (4.0, 150, 150, _OPEN),
        (4.7, 84, 96, _OPEN),
        (5.4, 150, 150, _OPEN),
        (6.0, 84, 96, _OPEN),
    ),
)
_UNSTABLE = _Episode(
    "unstable_grasp",
    (1.4, 4.3),
    _path(
        (0.0, 110, 60, _OPEN),
        (0.6, _BLOCK_X, 110, _OPEN),
        (1.2, _BLOCK_X, _DOWN, _OPEN),
        (1.6, _BLOCK_X, _DOWN, _GRIPPED),
        (2.4, _BLOCK_X, _LIFTED, _GRIPPED),
        (2.7, _BLOCK_X, _LIFTED, _GRIPPED),
        (2.95, _BLOCK_X, _LIFTED, _OPEN),
        (3.7, _BLOCK_X, _DOWN, _OPEN),
        (4.1, _BLOCK_X, _DOWN, _GRIPPED),
        (4.9, _BLOCK_X, _LIFTED, _GRIPPED),
        (5.8, _MAT_X, _LIFTED - 10, _GRIPPED),
    ),
    ((1.6, 2.5), (4.1, 9.0)),
)
_STAGNATION = _Episode(
    "early_stagnation",
    (2.2, 6.0),
    _path((0.0, 60, 66, _OPEN), (2.2, 138, 140, _OPEN)),
)
EPISODES = (_CLEAN, _HESITATION, _UNSTABLE, _STAGNATION)


@dataclass(frozen=True)
class _Setting:
    """What differs from seed to seed: `tempo` stretches time, `shift` moves block, mat and path, in pixels."""

    block: str = _BLOCK_COLOUR
    mat: str = _MAT_COLOUR
    tempo: float = 1.0
    shift: int = 0

    @classmethod
    def of(cls, seed: int) -> _Setting:
        if seed == 0:
            return cls()
        rng = np.random.default_rng([seed, 14])
        block, mat = variety.some_of(rng, ("orange", "red", "yellow", "pink", "green", "purple", "white"), 2)
        return cls(block, mat, round(float(rng.uniform(0.85, 1.3)), 2), int(rng.integers(-14, 15)))

    @property
    def task(self) -> str:
        return f"Pick up the {self.block} block and put it on the {self.mat} mat."

    @property
    def seconds(self) -> float:
        return round(_DURATION * self.tempo * _RATE) / _RATE

    def placed(self, episode: _Episode) -> _Episode:
        """An episode as it goes here."""
        tempo = self.tempo
        return _Episode(
            episode.fault,
            episode.span and (round(episode.span[0] * tempo, 2), min(round(episode.span[1] * tempo, 2), self.seconds)),
            tuple(_Pose(pose.time * tempo, pose.x + self.shift, pose.y, pose.width) for pose in episode.poses),
            tuple((t0 * tempo, t1 * tempo) for t0, t1 in episode.held),
        )


def make(folder: Path, seed: int) -> None:
    """Writes the data set `pick_and_place/` and `truth.json`."""
    setting = _Setting.of(seed)
    episodes = [setting.placed(episode) for episode in EPISODES]
    root = folder / "pick_and_place"
    for part in ("meta", "data/chunk-000", f"videos/chunk-000/{_CAMERA}"):
        (root / part).mkdir(parents=True, exist_ok=True)
    count = round(setting.seconds * _RATE)
    for number, episode in enumerate(episodes):
        rng = np.random.default_rng([seed, 4, number])
        path = _sampled(episode.poses, count)
        blocks = _blocks(episode, path, setting)
        video = root / "videos" / "chunk-000" / _CAMERA / f"episode_{number:06d}.mp4"
        write_video(video, _pictures(path, blocks, setting, rng), _RATE)
        _write_table(root / "data" / "chunk-000" / f"episode_{number:06d}.parquet", number, path, rng)
    write_json(root / "meta" / "info.json", _info(count))
    write_jsonl(root / "meta" / "tasks.jsonl", [{"task_index": 0, "task": setting.task}])
    listed = [{"episode_index": n, "tasks": [setting.task], "length": count} for n in range(len(EPISODES))]
    write_jsonl(root / "meta" / "episodes.jsonl", listed)
    truth = [
        {"episode": n, "fault": one.fault, "span": list(one.span) if one.span else None, "duration": setting.seconds}
        for n, one in enumerate(episodes)
    ]
    write_json(folder / "truth.json", {"pick_and_place": truth})


def _sampled(poses: Sequence[_Pose], count: int) -> NDArray[np.float64]:
    """(count, 3): x, y in pixels and width in metres; each way begins and ends softly."""
    keys = np.array([(p.x, p.y, p.width) for p in poses])
    times = np.array([p.time for p in poses])
    moments = np.minimum(np.arange(count) / _RATE, times[-1])
    leg = np.clip(np.searchsorted(times, moments, side="right") - 1, 0, len(times) - 2)
    share = (moments - times[leg]) / (times[leg + 1] - times[leg])
    share = (share * share * (3 - 2 * share))[:, None]
    return np.asarray(keys[leg] * (1 - share) + keys[leg + 1] * share)


def _blocks(episode: _Episode, path: NDArray[np.float64], setting: _Setting) -> NDArray[np.float64]:
    """(count, 2): the block's centre. It goes with the gripper while held, and falls to the table when not."""
    x, y, fall = _BLOCK_X + setting.shift, _DOWN, 0.0
    found = np.empty((len(path), 2))
    for index, (grip_x, grip_y, _) in enumerate(path):
        time = index / _RATE
        if any(t0 <= time < t1 for t0, t1 in episode.held):
            x, y, fall = grip_x, grip_y, 0.0
        elif y < _DOWN:
            fall += 900.0 / _RATE
            y = min(y + fall / _RATE + 6, _DOWN)
        found[index] = x, y
    return found


def _pictures(
    path: NDArray[np.float64], blocks: NDArray[np.float64], setting: _Setting, rng: np.random.Generator
) -> Iterator[Image.Image]:
    table = _scene(setting, rng)
    block = textured(int(_BLOCK), int(_BLOCK), COLOURS[setting.block], 26, rng)
    ImageDraw.Draw(block).rectangle((0, 0, _BLOCK - 1, _BLOCK - 1), outline=(150, 70, 12), width=3)
    write(ImageDraw.Draw(block), (20, 20), "A", 24, (90, 40, 4), "mm")
    arm = textured(44, 240, (176, 182, 190), 24, rng)
    pen = ImageDraw.Draw(arm)
    for stripe in range(0, 240, 30):
        pen.rectangle((0, stripe, 43, stripe + 7), fill=(72, 78, 92))
    palm = textured(104, 22, (58, 64, 78), 16, rng)
    finger = textured(14, 66, (110, 118, 132), 24, rng)
    ImageDraw.Draw(finger).rectangle((0, 50, 13, 65), fill=(30, 160, 190))
    for (x, y, width), (block_x, block_y) in zip(path, blocks, strict=True):
        image = table.copy()
        image.paste(block, (round(block_x - _BLOCK / 2), round(block_y - _BLOCK / 2)))
        top = round(y) - 50
        image.paste(arm, (round(x) - 22, top - 236))
        image.paste(palm, (round(x) - 52, top - 16))
        apart = round(width * _PIXELS / 2)
        image.paste(finger, (round(x) - apart - 14, top))
        image.paste(finger, (round(x) + apart, top))
        yield image


def _scene(setting: _Setting, rng: np.random.Generator) -> Image.Image:
    image = textured(_SIDE, _SIDE, (206, 210, 214), 6, rng)
    image.paste(textured(_SIDE, 70, (44, 92, 150), 14, rng), (0, 186))
    draw = ImageDraw.Draw(image)
    mat = _MAT_X + setting.shift
    colour = (76, 160, 84) if setting.mat == _MAT_COLOUR else COLOURS[setting.mat]
    draw.ellipse((mat - 46, 214, mat + 46, 240), fill=colour, outline=(40, 110, 52), width=3)
    draw.rectangle((10, 20, 36, 60), fill=(236, 232, 220), outline=(150, 140, 120), width=2)
    return image


def _write_table(path: Path, number: int, states: NDArray[np.float64], rng: np.random.Generator) -> None:
    count = len(states)
    times = np.arange(count) / _RATE
    depth = np.array([0.3 + 0.002 * sin(time) for time in times])
    exact = np.column_stack([states[:, 0] / 400, depth, (_SIDE - states[:, 1]) / 400, states[:, 2]])
    state = exact + rng.normal(0, [4e-4, 4e-4, 4e-4, 2e-4], exact.shape)
    # The command leads by one step, and closes further than the block lets the fingers go.
    action = np.vstack([exact[1:], exact[-1:]])
    action[:, 3] = np.where(action[:, 3] < _GRIPPED + 1e-3, _GRIPPED - 0.02, action[:, 3])
    vector = pa.list_(pa.float32(), len(_NAMES))
    columns = {
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(state.ravel(), pa.float32()), type=vector),
        "action": pa.FixedSizeListArray.from_arrays(pa.array(action.ravel(), pa.float32()), type=vector),
        "timestamp": pa.array(times, pa.float32()),
        "frame_index": pa.array(range(count), pa.int64()),
        "episode_index": pa.array([number] * count, pa.int64()),
        "index": pa.array(range(number * count, (number + 1) * count), pa.int64()),
        "task_index": pa.array([0] * count, pa.int64()),
    }
    pq.write_table(pa.table(columns), path)


def _info(count: int) -> dict[str, object]:
    episodes = len(EPISODES)
    joints = {"dtype": "float32", "shape": [len(_NAMES)], "names": list(_NAMES)}
    features: dict[str, object] = {"observation.state": joints, "action": joints}
    features[_CAMERA] = {
        "dtype": "video",
        "shape": [_SIDE, _SIDE, 3],
        "names": ["height", "width", "channel"],
        "info": {"video.fps": _RATE, "video.codec": "h264", "video.pix_fmt": "yuv420p", "has_audio": False},
    }
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    for name in ("frame_index", "episode_index", "index", "task_index"):
        features[name] = {"dtype": "int64", "shape": [1], "names": None}
    return {
        "codebase_version": "v2.1",
        "robot_type": "drawn_gripper",
        "total_episodes": episodes,
        "total_frames": episodes * count,
        "total_tasks": 1,
        "total_videos": episodes,
        "total_chunks": 1,
        "chunks_size": 1000,
        "fps": _RATE,
        "splits": {"train": f"0:{episodes}"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": features,
    }
