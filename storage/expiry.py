"""Expiry: old snapshots, and the files that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.errors import CorpusError
from schemas.manifest import Manifest
from storage import s3, snapshots
from storage.anchors import FOLDER as ANCHORS
from storage.catalog.catalog import Catalog
from storage.corpus import DATA, Corpus
from storage.location import Stored
from storage.runs import under_way


@dataclass(frozen=True)
class Orphan:
    """A file, or an upload that was never ended, that nothing needs."""

    path: str
    size: int
    upload: s3.Upload | None = None


def expired(corpus: Corpus, keep: int, days: float, now: datetime | None = None) -> tuple[list[int], list[Manifest]]:
    """The numbers of the snapshots that may go, and the manifests of those that stay: the `keep` newest, and all of
    the last `days` days. The newest stays always.

    Raises:
        CorpusError: a manifest is malformed.
    """
    since = (now or datetime.now(UTC)) - timedelta(days=days)
    manifests = [snapshots.load(corpus, number) for number in snapshots.numbers(corpus)]
    newest = {manifest.number for manifest in manifests[-max(1, keep) :]}
    staying = [manifest for manifest in manifests if manifest.number in newest or manifest.created >= since]
    gone = {manifest.number for manifest in manifests} - {manifest.number for manifest in staying}
    return sorted(gone), staying


def orphans(
    corpus: Corpus, catalog: Catalog, kept: list[Manifest], grace: timedelta, now: datetime | None = None
) -> list[Orphan]:
    """Files that no kept snapshot names, that the catalog does not know, and that no run under way may still commit:
    older than the grace period and than every run that has not ended. Uploads that were never ended as well.

    What the catalog knows stays, though no snapshot names it: a row that is not live may be taken in again one day, and
    anchors spare the next recipe a look at the stream.

    Raises:
        CorpusError: storage or catalog refuse, or the catalog is not the one of this corpus.
    """
    if snapshots.numbers(corpus) and not catalog.runs(1) and not catalog.snapshots():
        raise CorpusError(
            corpus.uri,
            "the catalog knows none of its runs and snapshots: is it the one that the corpus was built with?",
            "Name that one with --catalog: by any other, all that was not published yet would look left over",
        )
    active = under_way(catalog)
    before = min([(now or datetime.now(UTC)) - grace, *(run.started for run in active)])
    named = {shard.path for manifest in kept for shard in manifest.shards}
    # The catalog is asked after the storage was listed: what is committed in between is known, not left over.
    old = [file for file in _listed(corpus) if file.modified < before and file.path not in named]
    known = catalog.known_shards()
    unheard = {f"{ANCHORS}/{run}/" for run in catalog.unended_runs()}
    left = [
        Orphan(file.path, file.size)
        for file in old
        if file.path not in known and not any(file.path.startswith(folder) for folder in unheard)
    ]
    return left + list(_uploads(corpus, before))


def remove(corpus: Corpus, orphan: Orphan, grace: timedelta) -> bool:
    """Removes an orphan; False when it was written anew meanwhile, and so is none any more.

    Raises:
        CorpusError: the storage refuses.
    """
    location = corpus.location
    if orphan.upload is not None:
        with location.guarded("", "cannot be cleared of an unended upload"):
            s3.abort_upload(location.fs, location.root, orphan.upload)
        return True
    modified = location.modified(orphan.path)
    if modified is None or modified > datetime.now(UTC) - grace:
        return False
    location.remove(orphan.path)
    return True


def _listed(corpus: Corpus) -> Iterator[Stored]:
    for folder in (DATA, ANCHORS, snapshots.FOLDER):
        for file in corpus.location.files(folder):
            # Manifests go by age and number; in their folder only what a killed process left half written is left over.
            if folder != snapshots.FOLDER or not file.path.endswith(".json"):
                yield file


def _uploads(corpus: Corpus, before: datetime) -> Iterator[Orphan]:
    location = corpus.location
    if not s3.is_s3(location.fs):
        return
    with location.guarded("", "cannot be asked for unended uploads"):
        for upload in s3.open_uploads(location.fs, location.root):
            if upload.begun < before:
                yield Orphan(f"{upload.key} (upload {upload.id})", upload.size, upload)
