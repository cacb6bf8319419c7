"""Stage announce: what a build tells the world: that it published, that the corpus grew, that too much is broken. And
what becomes of the models that are trained on it.

Growth is measured from the size at which it was last acted upon, which lies in the corpus itself
(growth/<snapshot>.json). It is noted only where an automation of the server awaits the event: growth that nobody heard
of is told again by the next build. Event first, note after: a build that is killed in between tells twice.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from prefect import get_client, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.events.schemas.automations import Automation, EventTrigger
from prefect.events.worker import EventsWorker
from pydantic import ValidationError

from schemas.errors import CorpusError
from schemas.events import (
    ActedUpon,
    CorpusEvent,
    CorpusGrew,
    CorpusPublished,
    CorpusSize,
    ModelEvent,
    QuarantineExceeded,
    VerificationFailed,
    past,
)
from schemas.manifest import Manifest
from schemas.outcome import Outcome, RunReport
from storage import snapshots
from storage.corpus import Corpus
from tasks.run import Run
from tasks.telling import telling
from tasks.verify_sample import Verdict

_FOLDER = "growth"
_NAME = re.compile(r"(\d{6,})\.json")
_DELIVERY = 30.0
"""Seconds that events may take to reach the server before growth is noted as told."""


@task(name="announce", cache_policy=NO_CACHE)
def announce(run: Run, report: RunReport, manifest: Manifest | None) -> None:
    """Emits the events of a run that ended. A server that does not answer loses events, never the run."""
    corpus = Corpus.open(run.recipe.corpus)
    said = {"corpus": corpus.uri, "corpus_id": corpus.id, "recipe": run.recipe.name, "run": run.id}
    if manifest is not None:
        size = CorpusSize.of(manifest.statistics)
        _emit(corpus, CorpusPublished(**said, snapshot=manifest.number, size=size))
    if (broken := quarantine_exceeded(report, run.recipe.alarm.quarantine_share, said)) is not None:
        get_run_logger().warning("%d of %d inputs could not be read", broken.failed, broken.inputs)
        _emit(corpus, broken)
    newest = manifest or snapshots.latest(corpus)
    if newest is None or (grew := growth(run, corpus, newest, said)) is None:
        return
    awaited = _awaited(CorpusGrew.name)
    _emit(corpus, grew)
    if awaited:
        EventsWorker.drain_all(timeout=_DELIVERY)
        note_acted_upon(corpus, newest)


@task(name="announce", cache_policy=NO_CACHE)
def announce_verdict(verdict: Verdict) -> None:
    """Emits that published rows did not verify; nothing when all hold."""
    if (failed := verification_failed(Corpus.open(verdict.corpus), verdict)) is not None:
        _emit(Corpus.open(verdict.corpus), failed)


def announce_model(event: ModelEvent) -> None:
    """Emits what became of a model, and sees that it arrives: the next step hangs on it."""
    resource = {
        "prefect.resource.id": f"dataclaw.model.{event.model.partition('@')[0]}",
        "prefect.resource.name": event.model,
    }
    emit_event(event.name, resource=resource, payload=event.model_dump(mode="json"))
    EventsWorker.drain_all(timeout=_DELIVERY)


def verification_failed(corpus: Corpus, verdict: Verdict) -> VerificationFailed | None:
    """What a verdict has against a snapshot; None when it has nothing."""
    if verdict.snapshot is None or not verdict.failures:
        return None
    return VerificationFailed(
        corpus=corpus.uri,
        corpus_id=corpus.id,
        snapshot=verdict.snapshot,
        rows=verdict.rows,
        seed=verdict.seed,
        failures=len(verdict.failures),
        first=str(verdict.failures[0]),
    )


def growth(run: Run, corpus: Corpus, newest: Manifest, said: dict[str, str]) -> CorpusGrew | None:
    """The growth since it was last acted upon; None when it is below the recipe's threshold."""
    acted = acted_upon(corpus)
    before = acted.size if acted else CorpusSize()
    size = CorpusSize.of(newest.statistics)
    if not past(run.recipe.growth, size, before):
        return None
    return CorpusGrew(
        **said,
        snapshot=newest.number,
        since=acted.snapshot if acted else None,
        rows=size.rows - before.rows,
        task_types=tuple(name for name in size.task_types if name not in before.task_types),
        domains=tuple(name for name in size.domains if name not in before.domains),
    )


def quarantine_exceeded(report: RunReport, limit: float, said: dict[str, str]) -> QuarantineExceeded | None:
    """That more of a run's inputs failed than may; None when they did not."""
    failed, inputs = report.count(Outcome.FAILED), report.inputs_found
    if not failed or failed / inputs <= limit:
        return None
    return QuarantineExceeded(**said, inputs=inputs, failed=failed, share=failed / inputs, limit=limit)


def acted_upon(corpus: Corpus) -> ActedUpon | None:
    """The size at which growth was last acted upon; None when it never was.

    Raises:
        CorpusError: the note of it is malformed.
    """
    names = [name for name in corpus.location.names(_FOLDER) if _NAME.fullmatch(name)]
    if not names:
        return None
    path = f"{_FOLDER}/{max(names, key=lambda name: int(name.partition('.')[0]))}"
    try:
        return ActedUpon.model_validate_json(corpus.location.read_bytes(path))
    except ValidationError as error:
        cause = f"is malformed ({error.errors()[0]['msg']})"
        raise CorpusError(corpus.location.uri(path), cause, "Remove it: growth is then told once more") from error


def note_acted_upon(corpus: Corpus, manifest: Manifest) -> None:
    """Notes that growth up to a snapshot is acted upon; the next is measured from there."""
    note = ActedUpon(snapshot=manifest.number, size=CorpusSize.of(manifest.statistics))
    path = f"{_FOLDER}/{manifest.number:06d}.json"
    corpus.location.replace(path, note.model_dump_json(indent=2).encode())


def _emit(corpus: Corpus, event: CorpusEvent | VerificationFailed) -> None:
    resource = {"prefect.resource.id": f"dataclaw.corpus.{corpus.id}", "prefect.resource.name": corpus.name}
    emit_event(event.name, resource=resource, payload=event.model_dump(mode="json"))


def _awaited(name: str) -> bool:
    """Whether an automation of the server expects this event."""
    with telling(f"{name} counts as awaited by nobody", retries=1), get_client(sync_client=True) as client:
        return any(_expects(automation, name) for automation in client.read_automations())
    return False


def _expects(automation: Automation, name: str) -> bool:
    trigger = automation.trigger
    return (
        automation.enabled
        and isinstance(trigger, EventTrigger)
        and any(fnmatchcase(name, pattern) for pattern in trigger.expect)
    )
