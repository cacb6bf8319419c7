"""What the readers of robot data share: which camera to look through, and which joints move together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sources.base import Signals

_OVERVIEW = ("ego", "head", "high", "front", "top", "scene", "agentview", "exterior", "third")
_CLOSE = ("wrist", "hand", "gripper")
_PARTS = {
    "gripper": {"gripper", "claw", "jaw"},
    "hand": {"hand", "finger", "thumb", "index", "middle", "ring", "pinky", "little", "palm"},
    "arm": {"arm", "shoulder", "elbow", "wrist", "forearm"},
    "leg": {"leg", "hip", "knee", "ankle", "foot"},
    "waist": {"waist", "torso", "spine"},
    "neck": {"neck", "head"},
}


def overview_first(cameras: Iterable[str]) -> list[str]:
    """Cameras that see the scene before others, those on a wrist last; else in the order given."""

    def nearness(camera: str) -> int:
        name = re.split(r"[./]", camera)[-1].lower()
        if any(word in name for word in _OVERVIEW):
            return 0
        return 2 if any(word in name for word in _CLOSE) else 1

    return sorted(cameras, key=nearness)


def joint_groups(names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Ranges of columns that move together, by the sides and parts of a body that joint names tell."""
    groups: dict[str, tuple[int, int]] = {}
    begin, current = 0, ""
    for index, name in enumerate([*names, ""]):
        group = _group(name)
        if group != current:
            if current and current not in groups:
                groups[current] = (begin, index)
            begin, current = index, group
    return groups


def joined(times: NDArray[np.float64], blocks: Mapping[str, NDArray[np.float64]], commands: bool = False) -> Signals:
    """Signals of named blocks of (n,) or (n, d) numbers, each block a group of columns that move together.

    With `commands` they are what the robot was told to do, not where it was.
    """
    names: list[str] = []
    groups: dict[str, tuple[int, int]] = {}
    for name, block in blocks.items():
        width = 1 if block.ndim == 1 else block.shape[1]
        groups[name] = (len(names), len(names) + width)
        names += [name] if block.ndim == 1 else [f"{name}[{index}]" for index in range(width)]
    matrix = np.column_stack(list(blocks.values()))
    state, action = (None, matrix) if commands else (matrix, None)
    return Signals(times=times, names=tuple(names), state=state, action=action, groups=groups)


def _group(name: str) -> str:
    """`kLeftHandThumbBend` is of `left_hand`; a name that tells no part of a body is of none."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    side = next((word for word in words if word in ("left", "right")), "")
    part = next((part for part, signs in _PARTS.items() if signs & set(words)), "")
    return "_".join(word for word in (side, part) if word) if part else ""
