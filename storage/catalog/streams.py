"""The catalog on what goes in: files, streams, inputs that are settled or set aside, and what experts measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from schemas.errors import Problem
from schemas.manifest import Shard
from schemas.stream import Stream
from storage.anchors import Settled as Anchored
from storage.catalog.models import AnchorsRow, FileRow, LocationRow, QuarantineRow, StreamRow, uri_key
from storage.catalog.part import Part
from storage.catalog.records import Quarantined, SettledFolder, SettledFolders

KnownFile = tuple[str, str, int]
"""Fingerprint, SHA-256 and bytes of a file."""


class Streams(Part):
    """Files and streams, inputs, anchors, and the quarantine."""

    def known_files(self, uris: Iterable[str]) -> dict[str, KnownFile]:
        """What is known of files by these URIs: fingerprint, SHA-256, bytes."""
        keys = [uri_key(uri) for uri in uris]
        return self._db.read(
            lambda session: {
                row.uri: (row.fingerprint, row.sha256, row.size)
                for row in self._db.among(session, FileRow, FileRow.uri_key, keys)
            }
        )

    def record_files(self, files: Iterable[tuple[str, str, str, int]]) -> None:
        """Records files that were hashed: URI, fingerprint, SHA-256, bytes. A URI known before is overwritten."""
        rows = [
            {"uri_key": uri_key(uri), "uri": uri, "fingerprint": fingerprint, "sha256": sha256, "size": size}
            for uri, fingerprint, sha256, size in files
        ]
        self._db.transact(lambda session: self._db.upsert(session, FileRow, FileRow.uri_key, rows))

    def known_streams(self, sha256s: Iterable[str]) -> dict[str, Stream]:
        """Streams by their SHA-256, as they were last seen."""
        keys = list(sha256s)
        rows = self._db.read(
            lambda session: {
                row.sha256: row.record for row in self._db.among(session, StreamRow, StreamRow.sha256, keys)
            }
        )
        return {sha256: Stream.model_validate(record) for sha256, record in rows.items()}

    def record_streams(self, streams: Iterable[Stream], run_id: str) -> None:
        """Records streams a run has seen, and under which URIs."""
        seen = list(streams)
        rows = [
            {
                "sha256": stream.sha256,
                "domain": stream.domain.value,
                "duration": stream.duration,
                "record": stream.model_dump(mode="json"),
                "first_run": run_id,
                "last_run": run_id,
            }
            for stream in seen
        ]
        places = [
            {
                "uri_key": uri_key(stream.uri),
                "sha256": stream.sha256,
                "uri": stream.uri,
                "first_run": run_id,
                "last_run": run_id,
            }
            for stream in seen
        ]

        def work(session: Session) -> None:
            self._db.upsert(session, StreamRow, StreamRow.sha256, rows, keep=("first_run",))
            self._db.upsert(session, LocationRow, LocationRow.uri_key, places, keep=("first_run",))

        self._db.transact(work)

    def locations(self, uris: Iterable[str]) -> dict[str, set[str]]:
        """The SHA-256 of every stream ever seen under each of these URIs."""
        keys = [uri_key(uri) for uri in uris]
        found: dict[str, set[str]] = {}

        def work(session: Session) -> None:
            for row in self._db.among(session, LocationRow, LocationRow.uri_key, keys):
                found.setdefault(row.uri, set()).add(row.sha256)

        self._db.read(work)
        return found

    def sweep_inputs(self) -> None:
        """Settles the inputs of which all that is asked was done since, and forgets those of which it is no longer."""
        self._db.transact(self._inputs.sweep)

    def settled_inputs(self, keys: Iterable[str]) -> dict[str, int]:
        """Which of some inputs were settled at the last sweep, by their keys (storage.catalog.inputs), and how many
        units each has."""
        wanted = list(keys)
        return self._db.read(lambda session: self._inputs.settled(session, wanted))

    def record_inputs(self, asked: Mapping[str, Collection[tuple[str, str]]]) -> None:
        """Records the units, as (slot, unit), that are asked of inputs, by key. Sweeps find out when they are done."""
        self._db.transact(lambda session: self._inputs.record(session, asked))

    def settled_folders(self) -> SettledFolders:
        """The folders all of whose inputs were settled at the last sweep."""
        return self._db.read(self._inputs.folders)

    def record_folders(self, before: SettledFolders, found: Mapping[str, SettledFolder]) -> None:
        """Records folders all of whose inputs were found settled since `before` was read, by place."""
        self._db.transact(lambda session: self._inputs.record_folders(session, before, found))

    def anchored(self, segment_keys: Iterable[str]) -> dict[Anchored, str]:
        """The anchor shard of every (segment, expert, signature) that is settled, for these segments."""
        keys = list(segment_keys)
        return self._db.read(
            lambda session: {
                (row.segment_key, row.expert, row.signature): row.shard
                for row in self._db.among(session, AnchorsRow, AnchorsRow.segment_key, keys)
            }
        )

    def record_anchors(self, run: str, shards: Iterable[tuple[Shard, Sequence[Anchored]]]) -> int:
        """Records what anchor shards settle, as `storage.anchors.scan` finds it; returns how much of it was new.

        What is settled already stays with the shard it has.
        """
        rows = [
            {"segment_key": key, "expert": expert, "signature": signature, "shard": shard.path, "run_id": run}
            for shard, settled in shards
            for key, expert, signature in settled
        ]
        return self._db.transact(
            lambda session: self._db.insert_missing(session, AnchorsRow, AnchorsRow.segment_key, rows)
        )

    def quarantine(self, run_id: str, problems: Iterable[tuple[str, str | None, Problem]]) -> None:
        """Sets inputs aside that could not be read: URI, SHA-256 when known, problem."""
        now = datetime.now(UTC)
        rows = [
            {
                "uri_key": uri_key(uri),
                "uri": uri,
                "sha256": sha256,
                "problem": problem.model_dump(),
                "first_run": run_id,
                "last_run": run_id,
                "since": now,
                "released_run": None,
            }
            for uri, sha256, problem in problems
        ]
        self._db.transact(
            lambda session: self._db.upsert(
                session, QuarantineRow, QuarantineRow.uri_key, rows, keep=("first_run", "since")
            )
        )

    def set_aside(self) -> set[str]:
        """The URIs of all inputs that are in the quarantine."""
        query = select(QuarantineRow.uri).where(self._db.of(QuarantineRow), QuarantineRow.released_run.is_(None))
        return self._db.read(lambda session: set(session.scalars(query)))

    def quarantined(self, limit: int = 100, offset: int = 0) -> list[Quarantined]:
        """Inputs set aside and not read since, newest first."""
        query = select(QuarantineRow).where(self._db.of(QuarantineRow), QuarantineRow.released_run.is_(None))
        query = query.order_by(QuarantineRow.since.desc(), QuarantineRow.uri_key).limit(limit).offset(offset)
        return self._db.read(
            lambda session: [
                Quarantined(
                    uri=row.uri,
                    sha256=row.sha256,
                    problem=Problem.model_validate(row.problem),
                    first_run=row.first_run,
                    last_run=row.last_run,
                    since=row.since,
                )
                for row in session.scalars(query)
            ]
        )
