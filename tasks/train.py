"""Stages of a training: SFT, GRPO, and a candidate in the registry."""

from __future__ import annotations

import base64
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import ConfigDict

from schemas.base import Contract, canonical_json, digest
from schemas.errors import CorpusError, UsageError
from schemas.events import ModelRegistered
from schemas.model import ModelVersion
from schemas.redaction import has_credentials
from schemas.training import Training
from storage import snapshots
from storage.access import access_of_run, check_corpus_of_run, holds_credentials
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from tasks.child import run_command
from tasks.events import announce_model
from tasks.telling import telling
from tasks.words import count
from training.curves import drawn
from training.registry import register_tuned
from training.settings import training_of_run

StageName = Literal["sft", "grpo"]
_SPARE = ("data", "checkpoint-*", "broken-checkpoint-*")
"""What nobody needs of a stage whose model is registered."""


@dataclass(frozen=True)
class Course:
    """What is trained on what, and where."""

    training: Training
    corpus: Corpus
    snapshot: int
    catalog: str | None
    folder: Path
    """The same for the same training on the same snapshot: a course that died goes on there."""

    @property
    def file(self) -> Path:
        return self.folder / "training.json"


class Stage(Contract):
    """What came of a stage: what `dataclaw train --json` prints."""

    model_config = ConfigDict(allow_inf_nan=True)  # a figure that does not apply is logged as no number

    model: Path
    steps: int
    metrics: dict[str, float]
    examples: int
    left_out: dict[str, int]
    domains: dict[str, int]
    snapshot: int
    curves: tuple[Path, ...]


def course_of(
    given: Training | str, uri: str, snapshot: int | None, catalog: str | None, root: str | None, *, sent: bool
) -> Course:
    """A course, new or to be gone on with, of a run's parameters.

    Args:
        given: a training, or the place of its file.
        root: folder of this machine for what is under way. None: beside the models of a local corpus.
        sent: the parameters came over a network.

    Raises:
        UsageError: the training cannot be read or has no stage, a place may not be reached, or none is named.
        CorpusError: there is no corpus, or no such snapshot.
    """
    check_corpus_of_run(uri, catalog, sent=sent)
    training = training_of_run(given, sent=sent)
    if training.sft is None and training.grpo is None:
        raise UsageError(training.name, "its training has neither SFT nor GRPO", "Name sft or grpo in it")
    if catalog is not None and has_credentials(catalog):
        raise holds_credentials("catalog", catalog)  # models and events tell of it
    if root is not None and (access := access_of_run(sent)) is not None:
        access.check(root, "folder")
    corpus = Corpus.open(uri)
    manifest = snapshots.latest(corpus) if snapshot is None else snapshots.load(corpus, snapshot)
    if manifest is None:
        raise CorpusError(corpus.uri, "nothing is published yet", "Build it first")
    if root is None:
        if not corpus.location.is_local:
            remedy = "Name a folder of this machine that stays: a training that died goes on there"
            raise UsageError("folder", "the corpus is not on this machine, and checkpoints are", remedy)
        root = corpus.location.path(FOLDER)
    known = digest([corpus.id, manifest.number, training.identity])[:16]
    folder = Path(root).resolve() / training.name / f"training-{known}"
    folder.mkdir(parents=True, exist_ok=True)
    course = Course(training, corpus, manifest.number, catalog, folder)
    course.file.write_text(canonical_json(training), encoding="utf-8")
    return course


@task(name="train", task_run_name="{name}", cache_policy=NO_CACHE)
def train(course: Course, name: StageName, after: Stage | None = None) -> Stage:
    """One stage, in a process of its own; one that is done is not done again.

    Args:
        after: the stage whose model is tuned on. None: the training names the model.

    Raises:
        DataClawError: it failed; the next run goes on from its last checkpoint.
    """
    stage = done(course, name)
    if stage is None:
        begin = ["--from", str(after.model)] if after else []
        where = ["--out", str(course.folder / name), "--snapshot", str(course.snapshot), "--json"]
        command = ["train", name, str(course.file), course.corpus.uri, *begin, *where]
        run_command(command, course.folder, _result(name))
        stage = Stage.model_validate_json((course.folder / _result(name)).read_bytes())
    get_run_logger().info("%s", _headline(name, stage))
    with telling("the result is not shown"):
        _show(name, stage)
    return stage


def done(course: Course, name: StageName) -> Stage | None:
    """What came of a stage; None when it is not done yet."""
    result = course.folder / _result(name)
    return Stage.model_validate_json(result.read_bytes()) if result.exists() else None


@task(name="register", cache_policy=NO_CACHE)
def register_candidate(course: Course, sft: Stage | None, grpo: Stage | None) -> ModelVersion:
    """Enters the model of the last stage as a candidate, and tells of it. Done again, it is the version that it was.

    Raises:
        UsageError: the base is not on this machine.
        CorpusError: storage or catalog refuse.
    """
    training, corpus = course.training, course.corpus
    stages = [(name, stage) for name, stage in (("sft", sft), ("grpo", grpo)) if stage is not None]
    with Registry.open(corpus.catalog_url(course.catalog), create=True) as registry:
        model = register_tuned(
            registry,
            stages[-1][1].model,
            training,
            corpus,
            course.snapshot,
            f"flow run {flow_run.name}",
            {f"{name}/{figure}": value for name, stage in stages for figure, value in drawn(stage.metrics).items()},
        )
    for name, _ in stages:
        for pattern in _SPARE:
            for spare in (course.folder / name).glob(pattern):
                shutil.rmtree(spare)
    announce_model(
        ModelRegistered(model=model.reference, corpus=corpus.uri, catalog=course.catalog, snapshot=course.snapshot)
    )
    with telling("the candidate is not shown"):
        create_table_artifact(
            table=[{"metric": name, "value": value} for name, value in sorted(model.metrics.items())],
            key="candidate",
            description=_registered(model, course),
        )
    return model


def _result(name: StageName) -> str:
    return f"{name}.json"


def registered_state(model: ModelVersion, course: Course) -> State[ModelVersion]:
    """The state in which a retraining ends."""
    return Completed(message=_registered(model, course), data=model)


def trained_state(name: StageName, stage: Stage) -> State[Stage]:
    """The state in which a single stage ends."""
    return Completed(message=_headline(name, stage), data=stage)


def _registered(model: ModelVersion, course: Course) -> str:
    return f"{model.reference} from snapshot {course.snapshot} of {course.corpus.uri} is a {model.state}"


def _headline(name: StageName, stage: Stage) -> str:
    left = sum(stage.left_out.values())
    out = f", {left:,} left out" if left else ""
    return f"{name}: {count(stage.steps, 'step')} on {count(stage.examples, 'example')}{out}; {stage.model}"


def _show(name: StageName, stage: Stage) -> None:
    said = _headline(name, stage)
    domains = ((f"examples: {domain}", number) for domain, number in stage.domains.items())
    rows = [*domains, *drawn(stage.metrics).items()]
    table = [{"what": what, "value": value} for what, value in (("steps", stage.steps), *rows)]
    create_table_artifact(table=table, key=f"{name}-result", description=said)
    left = [{"examples": number, "why": why} for why, number in stage.left_out.items()]
    create_table_artifact(table=left or [{"left out": "none"}], key=f"{name}-left-out", description=said)
    create_markdown_artifact(markdown=_curves(stage), key=f"{name}-curves", description=said)


def _curves(stage: Stage) -> str:
    """The pictures, inside: an artifact of the image type would show its address, which is all of it, beside it."""
    pictures = [(path.stem, base64.b64encode(path.read_bytes()).decode()) for path in stage.curves]
    return "\n\n".join(f"![{name}](data:image/svg+xml;base64,{svg})" for name, svg in pictures)
