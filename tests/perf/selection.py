"""Evidence selection against uniform sampling with as many frames, on recordings whose moments are labelled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experts.ensemble import Ensemble, Stopwatch
from experts.gather import join_stream
from experts.roster import expert_class
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import Problem
from schemas.recipe import Sampling, SourceSpec
from schemas.segment import Segment
from schemas.stream import Domain, Stream
from sources.discovery import discover, open_recording, probe
from sources.identity import hash_parts
from synthesis.selection import Budget, select_moments

NEAR = 0.25
"""Seconds from a labelled moment within which a frame shows it."""
MOST = 16
SUBTITLES, GRIPPER = (AnchorKind.SUBTITLE,), (AnchorKind.GRIPPER_CLOSE, AnchorKind.GRIPPER_OPEN)
SCREENS = (AnchorKind.SCREEN_CHANGE,)


def selection(recordings: Path) -> Iterator[tuple[str, str, str]]:
    """Recall of labelled moments: cuts from the ground truth beside the recordings; subtitle, screen and gripper
    changes as their experts measure them."""
    cuts = json.loads((recordings / "ground_truth_cuts.json").read_text())
    everything = ("shots", "subtitles", "motion")
    for place, domain, experts, kinds in (
        ("daily_life/bikes", Domain.DAILY_LIFE, everything, None),
        ("daily_life/tears_of_steel", Domain.DAILY_LIFE, everything, None),
        ("daily_life/friday", Domain.DAILY_LIFE, everything, SUBTITLES),
        ("daily_life/nasa", Domain.DAILY_LIFE, everything, SUBTITLES),
        ("education/geometry", Domain.EDUCATION, ("screen",), SCREENS),
        ("gui/fragments_shopping", Domain.GUI, ("screen",), SCREENS),
        ("embodied/lerobot_v21_g1", Domain.EMBODIED, ("proprioception", "motion"), GRIPPER),
    ):
        ours, even, moments = 0.0, 0.0, 0
        for stream, anchors in _measured(recordings / place, domain, experts):
            labelled = (
                _cuts(cuts, stream)
                if kinds is None
                else sorted({a.t0 for a in anchors if a.kind in kinds and a.t0 > 0})
            )
            if not labelled:
                continue
            frames = min(len(labelled), MOST)
            chosen = select_moments(anchors, 0.0, stream.duration, Budget(frames=frames))
            uniform = [stream.duration * (number + 0.5) / frames for number in range(frames)]
            ours += _shown(chosen, labelled)
            even += _shown(uniform, labelled)
            moments += len(labelled)
        if moments:
            ratio = f"{ours / even:.1f} times" if even else "none of them evenly"
            yield (
                f"moments shown: {place}",
                ratio,
                f"{ours:.0f} against {even:.0f} of {moments}, a frame per moment and {MOST} at most",
            )


def _measured(place: Path, domain: Domain, experts: Sequence[str]) -> Iterator[tuple[Stream, list[FactualAnchor]]]:
    for candidate in discover(SourceSpec(uri=str(place), domain=domain)):
        if isinstance(candidate, Problem):
            continue  # LeRobot's metadata names episodes that are not there
        stream = probe(candidate, hash_parts(candidate, {}), domain, 10**9)
        members = [expert_class(name)() for name in experts if stream.has(*expert_class(name).reads)]
        segment = Segment(stream=stream.sha256, index=0, count=1, t0=0.0, t1=stream.duration)
        with open_recording(stream) as recording:
            found = Ensemble(members, Sampling())(recording, segment, Stopwatch())
        yield stream, join_stream(stream, [anchor for own in found.anchors.values() for anchor in own])


def _cuts(truth: dict[str, Any], stream: Stream) -> list[float]:
    """The cuts of a recording in seconds, from the frame numbers of the ground truth."""
    own = next(entry for name, entry in truth.items() if stream.uri.endswith(name))
    return [frame / own["fps"] for frame in own["cuts"]]


def _shown(frames: Sequence[float], moments: Sequence[float]) -> int:
    return sum(any(abs(frame - moment) <= NEAR for frame in frames) for moment in moments)
