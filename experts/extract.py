"""Stage 1 as a worker runs it: segments in, anchors out, and an anchor shard beside them that outlives a crash."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pyarrow as pa

from experts.base import Expert
from experts.ensemble import Ensemble, Stopwatch
from experts.roster import expert_class, signature
from schemas.anchor import FactualAnchor
from schemas.errors import CorpusError, InputError, Problem
from schemas.recipe import ExpertSpec, Sampling
from schemas.rows import ANCHORED_SCHEMA, Anchored, Work
from sources.discovery import open_recording
from storage.anchors import read_anchors, write_anchors
from storage.deaths import Deaths
from storage.location import Location

log = logging.getLogger(__name__)


class ExtractAnchors:
    """Maps a batch of WORK rows to ANCHORED rows. Experts are loaded when the first segment needs them, then kept.

    What was measured is written as one anchor shard per batch before the batch is returned; the driver finds it there
    even when it was killed in between.

    Args:
        suspects: says how many segments a worker may have had in hand in whose place this one is there.
    """

    def __init__(
        self,
        corpus: str,
        run: str,
        experts: Sequence[ExpertSpec],
        sampling: Sampling,
        suspects: Callable[[], int] = int,
    ) -> None:
        self._corpus = Location.of(corpus)
        self._run = run
        self._deaths = Deaths(self._corpus, run, suspects())
        self._sampling = sampling
        self._specs = {spec.name: spec for spec in experts}
        self._signatures = {spec.name: signature(spec, sampling) for spec in experts}
        self._loaded: dict[str, Expert] = {}

    def __call__(self, batch: pa.Table) -> pa.Table:
        results = [self._extract(work) for work in Work.from_table(batch)]
        fresh = [
            (row.segment.key, name, self._signatures[name], anchors)
            for row, measured in results
            for name, anchors in measured.items()
        ]
        if fresh:
            write_anchors(self._corpus, self._run, fresh)
        return Anchored.to_table((row for row, _ in results), ANCHORED_SCHEMA)

    def _expert(self, name: str) -> Expert:
        if name not in self._loaded:
            self._loaded[name] = expert_class(name)(**self._specs[name].parameters)
        return self._loaded[name]

    def _extract(self, work: Work) -> tuple[Anchored, dict[str, list[FactualAnchor]]]:
        """One segment: its row, and per expert what is new and complete enough to be kept for other runs."""
        watch = Stopwatch()
        anchors: list[FactualAnchor] = []
        if work.known:
            with watch.running("known anchors", calls=1):
                wanted = {name: sig for name, sig in self._signatures.items() if name not in work.experts}
                anchors = read_anchors(self._corpus, work.known, work.segment.key, wanted)
        problem: Problem | None = None
        failed = False
        measured: dict[str, list[FactualAnchor]] = {}
        if work.experts:
            piece = (work.segment.key, *(self._signatures[name] for name in work.experts))
            try:
                with self._deaths.holding(piece, work.stream.uri):
                    with watch.running("load", calls=1):
                        ensemble = Ensemble([self._expert(name) for name in work.experts], self._sampling)
                    with watch.running("open", calls=1):
                        recording = open_recording(work.stream)
                    with recording:
                        found = ensemble(recording, work.segment, watch)
                problem = found.problem
                anchors += [anchor for members in found.anchors.values() for anchor in members]
                # A broken read is looked at again next time: the file may have been still growing.
                measured = found.anchors if problem is None else {}
            except InputError as error:
                problem, failed = error.problem, True
            except CorpusError:
                raise  # the storage is not as it must be: no stream's fault
            except MemoryError:
                problem, failed = _broken(work, "out of memory", "Lower sampling.max_pixels or use fewer workers"), True
            except Exception as error:  # one broken stream must not take the others down
                log.exception("%s: segment %d", work.stream.uri, work.segment.index)
                cause = f"{type(error).__name__} in an expert: {error}"
                problem, failed = _broken(work, cause, "Report it with the stream; the rest of the run went on"), True
        row = Anchored(
            group=work.group,
            group_segments=work.group_segments,
            stream=work.stream,
            segment=work.segment,
            units=work.units,
            anchors=tuple(anchors),
            problem=problem,
            failed=failed,
            costs=watch.costs(),
        )
        return row, measured


def _broken(work: Work, cause: str, remedy: str) -> Problem:
    return Problem(input=work.stream.uri, cause=f"{cause} (segment {work.segment.index})", remedy=remedy)
