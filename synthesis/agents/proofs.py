"""Claims that marks in a schema cannot say, in the words of the agents that make them; and outputs proved in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from schemas.errors import UnsuitedError
from schemas.geometry import Box
from schemas.score import Claim, ClaimKind
from schemas.stream import Stream
from synthesis.base import Agent, Evidence
from synthesis.verification.check import EPSILON, AnchorIndex, check

_ROUNDS = 4
"""What is left after a repair can only claim less; an order over it may still have to be looked at again."""
Output = TypeVar("Output", bound=BaseModel)


def stream_of(streams: Sequence[Stream]) -> str | None:
    """The stream that claims are about, where there is only one."""
    return streams[0].sha256 if len(streams) == 1 else None


def refused(path: str, why: str) -> Claim:
    """A claim that nothing can support: the output contradicts itself here."""
    return Claim(path=path, kind=ClaimKind.TIME, text=why)


def during(path: str, stream: str | None, time: float, *kinds: str, text: str | None = None) -> Claim:
    """An anchor of these kinds (with this content) lasts at a time."""
    return Claim(path=path, kind=ClaimKind.TIME, stream=stream, t0=time, t1=time, kinds=kinds, text=text)


def edge(path: str, stream: str | None, time: float, *kinds: str, text: str | None = None) -> Claim:
    """An anchor of these kinds (with this content) begins or ends at a time."""
    return Claim(path=path, kind=ClaimKind.TIME, stream=stream, t0=time, kinds=kinds, text=text)


def whole(
    path: str,
    stream: str | None,
    t0: float,
    t1: float,
    *kinds: str,
    text: str | None = None,
    value: float | None = None,
) -> Claim:
    """An anchor of these kinds (with this content and value) lasts from t0 to t1."""
    return Claim(
        path=path, kind=ClaimKind.TIME, stream=stream, t0=t0, t1=t1, kinds=kinds, text=text, value=value, whole=True
    )


def none_between(path: str, stream: str | None, t0: float, t1: float, *kinds: str, text: str | None = None) -> Claim:
    """No anchor of these kinds (with this content) begins after t0 and before t1."""
    begin = t0 + 2 * EPSILON
    return Claim(
        path=path, kind=ClaimKind.COUNT, stream=stream, t0=begin, t1=max(begin, t1), kinds=kinds, text=text, count=0
    )


def labelled_box(path: str, stream: str | None, t0: float, t1: float, box: Box, text: str, *kinds: str) -> Claim:
    """This content was measured at this box."""
    return Claim(path=path, kind=ClaimKind.BOX, stream=stream, t0=t0, t1=t1, box=box, text=text, kinds=kinds)


def proved(agent: Agent, output: Output, evidence: Evidence) -> Output:
    """An output without the parts whose claims the evidence does not carry: verification would find them too, but a
    rule that overreaches in one part should not cost the others a repair.

    Raises:
        UnsuitedError: nothing of it is left.
    """
    index = AnchorIndex(evidence.anchors)
    kept: BaseModel | None = output
    for _ in range(_ROUNDS):
        if kept is None:
            break
        claims = agent.claims(kept.model_dump(mode="json"), evidence.streams)
        unsupported = [support for support in check(claims, index) if not support.supported]
        if not unsupported:
            assert isinstance(kept, type(output))
            return kept
        kept = agent.repair(kept, unsupported, evidence)
    raise UnsuitedError(
        evidence.streams[0].uri,
        f"what was measured in it contradicts itself: no {agent.task_type} of it can be proved",
        "Look at its anchors, or choose other experts.",
    )
