"""Brings the segments of a group together: when the last one arrives, the group goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from experts.ensemble import Stopwatch
from experts.roster import expert_class
from schemas.anchor import FactualAnchor
from schemas.errors import InputError
from schemas.outcome import Cost
from schemas.rows import ANCHORED_SCHEMA, GROUP_SCHEMA, Anchored, Group
from schemas.stream import Stream
from storage.deaths import Deaths
from storage.location import Location


class GatherGroups:
    """Maps ANCHORED rows to GROUP rows, as one worker that remembers incomplete groups.

    It holds the anchors of groups in flight and nothing else. Should it be killed, what it held is still in the anchor
    shards, and the build's next pass brings it again.

    Args:
        suspects: says how many groups a worker may have had in hand in whose place this one is there.
    """

    def __init__(self, corpus: str, run: str, suspects: Callable[[], int] = int) -> None:
        self._deaths = Deaths(Location.of(corpus), run, suspects())
        self._waiting: dict[str, list[pa.Table]] = {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        ready = []
        for index, name in enumerate(batch["group"].to_pylist()):
            row = batch.slice(index, 1)
            rows = self._waiting.setdefault(name, [])
            rows.append(row)
            if len(rows) == row["group_segments"][0].as_py():
                tables = self._waiting.pop(name)
                ready.append(self._join(Anchored.from_table(pa.concat_tables(tables).cast(ANCHORED_SCHEMA))))
        return Group.to_table(ready, GROUP_SCHEMA)

    def _join(self, rows: Sequence[Anchored]) -> Group:
        try:
            with self._deaths.holding(["gather", *(unit.unit for unit in rows[0].units)], rows[0].stream.uri):
                return join(rows)
        except InputError as error:
            return join([row.model_copy(update={"problem": error.problem, "failed": True}) for row in rows])


def join(rows: Sequence[Anchored]) -> Group:
    """One group from all its segments: anchors joined over segment borders by the expert that made them.

    A stream fails when any of its segments did; the anchors of its other segments are left out, so that nothing is
    asserted about a stream that was not seen whole.
    """
    watch = Stopwatch()
    ordered = sorted(rows, key=lambda row: (row.stream.name, row.stream.sha256, row.segment.index))
    failed = {row.stream.sha256 for row in ordered if row.failed}
    streams: dict[str, Stream] = {}
    anchors: dict[str, list[FactualAnchor]] = {}
    for row in ordered:
        if row.stream.sha256 not in failed:
            streams[row.stream.sha256] = row.stream
            anchors.setdefault(row.stream.sha256, []).extend(row.anchors)
    joined: list[FactualAnchor] = []
    with watch.running("join", calls=1):
        for sha256, stream in streams.items():
            joined += join_stream(stream, anchors[sha256])
    return Group(
        group=ordered[0].group,
        streams=tuple(streams.values()),
        anchors=tuple(joined),
        units=ordered[0].units,
        problems=tuple(row.problem for row in ordered if row.problem is not None),
        failed_streams=tuple(sorted(failed)),
        costs=_added(ordered, watch),
    )


def join_stream(stream: Stream, anchors: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    """A stream's anchors over all its segments, in the order of time."""
    joined: list[FactualAnchor] = []
    for name in sorted({anchor.expert for anchor in anchors}):
        mine = sorted((a for a in anchors if a.expert == name), key=_order)
        joined += expert_class(name).join(stream, mine)
    return sorted(joined, key=_order)


def _order(anchor: FactualAnchor) -> tuple[float, float, str, str, str]:
    return anchor.t0, anchor.t1, anchor.kind, anchor.content, str(anchor.box)


def _added(rows: Sequence[Anchored], watch: Stopwatch) -> tuple[Cost, ...]:
    for row in rows:
        for cost in row.costs:
            watch.add(cost.stage, cost.wall, cost.cpu, cost.calls)
    return watch.costs()
