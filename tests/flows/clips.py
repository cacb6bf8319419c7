"""Small raw streams for the flow tests, made on the spot."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np


def write_clip(path: Path, seed: int, seconds: float = 4.0, cues: bool = True) -> Path:
    """A 160x120 clip of two scenes of random colours, with a subtitle file of two cues beside it."""
    rng = np.random.default_rng(seed)
    scenes = rng.integers(0, 255, (2, 6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(int(seconds * 10)):
            scene = scenes[index * 2 // int(seconds * 10)].repeat(20, axis=0).repeat(20, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene, format="rgb24")))
        container.mux(stream.encode())
    if cues:
        half = seconds / 2
        path.with_suffix(".srt").write_text(
            f"1\n{_stamp(0.2)} --> {_stamp(half - 0.2)}\nThis is clip number {seed}.\n\n"
            f"2\n{_stamp(half + 0.2)} --> {_stamp(seconds - 0.2)}\nAnd this ends clip {seed}.\n"
        )
    return path


def _stamp(seconds: float) -> str:
    return f"00:00:{int(seconds):02d},{round(seconds % 1 * 1000):03d}"
