"""Cameras of one episode in one sample: what was measured is told of one of them, and every one shows its moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from schemas.errors import UnsuitedError
from schemas.stream import Stream, TrackKind

SAME_END = 0.5
"""Seconds by which cameras of one episode may end apart."""


def main_of(streams: Sequence[Stream]) -> Stream:
    """The stream that claims are about: the one with the robot's signals, else the first. A camera on a wrist moves
    with it: what moves in its picture says nothing that the scene's own camera does not say better."""
    return next((stream for stream in streams if stream.has(TrackKind.SIGNALS)), streams[0])


def require_paired(streams: Sequence[Stream]) -> None:
    """Refuses streams that cannot be cameras of one episode: they would be told as one on a clock they do not share.

    Raises:
        UnsuitedError: they do not end together, or more than one has signals of its own.
    """
    main = main_of(streams)
    odd = next((stream for stream in streams if abs(stream.duration - main.duration) > SAME_END), None)
    many = [stream.name for stream in streams if stream.has(TrackKind.SIGNALS)]
    why = ""
    if odd is not None:
        why = f"{odd.name} lasts {odd.duration:.2f} s and {main.name} {main.duration:.2f} s"
    elif len(many) > 1:
        why = f"{many[0]} and {many[1]} each have signals of their own"
    if why:
        raise UnsuitedError(
            main.uri,
            f"the streams of its group are not cameras of one episode: {why}",
            "Group the cameras of one episode only (group_by in the recipe), or take group_by out.",
        )


def paired(streams: Sequence[Stream]) -> bool:
    """Whether streams can be cameras of one episode."""
    try:
        require_paired(streams)
    except UnsuitedError:
        return False
    return True


def seen_by_all(streams: Sequence[Stream], times: Iterable[float]) -> list[tuple[str, float]]:
    """Moments as every camera shows them, side by side: (SHA-256, seconds), the main stream's frame first."""
    main = main_of(streams)
    ordered = [main, *(stream for stream in streams if stream is not main)]
    return [(stream.sha256, time) for time in dict.fromkeys(times) for stream in ordered]
