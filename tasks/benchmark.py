"""Stage benchmark: a candidate, the current version and rules over one frozen set."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import ValidationError

from benchmark.metrics.aggregate import overall
from benchmark.val.candidates import RULES
from benchmark.val.draw import make
from benchmark.val.results import Result, beside, read_results
from benchmark.val.run import at, columns
from benchmark.val.store import MANIFEST, Val, open_val
from schemas.errors import CorpusError, DataClawError, UsageError
from schemas.events import ModelBenchmarked
from schemas.model import ModelState, ModelVersion
from schemas.sample_score import Estimate, Level
from schemas.training import Benchmarking, Training
from storage import snapshots
from storage.access import access_of_run
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.location import Location
from tasks.child import run_command
from tasks.events import announce_model
from tasks.telling import telling

_REPORT = "report.html"


@dataclass(frozen=True)
class Trial:
    """A candidate, what it is measured against, and how its training says that it is to be measured and promoted."""

    corpus: Corpus
    catalog: str | None
    model: ModelVersion
    current: ModelVersion | None
    """Of its name and kind; None when none is."""
    training: Training
    how: Benchmarking

    @property
    def catalog_url(self) -> str:
        return self.corpus.catalog_url(self.catalog)


def trial_of(reference: str, uri: str, catalog: str | None, *, sent: bool) -> Trial:
    """What is tried when a version is.

    Args:
        sent: the parameters came over a network.

    Raises:
        UsageError: there is no such version, its training names no benchmark, or one that may not be reached.
        CorpusError: there is no corpus or catalog.
    """
    corpus = Corpus.open(uri)
    with Registry.open(corpus.catalog_url(catalog)) as registry:
        model = registry.get(reference)
        others = registry.versions(model.name)
    try:
        training = Training.model_validate(model.recipe)
    except ValidationError as error:
        cause = "it was registered by hand, without the training that says how it is measured"
        raise UsageError(model.reference, cause, "`dataclaw bench run` and `dataclaw models promote` do") from error
    if training.benchmark is None:
        remedy = "Name benchmark.val in the training; `dataclaw bench run` measures what is registered already"
        raise UsageError(model.reference, "its training names no benchmark", remedy)
    if (access := access_of_run(sent)) is not None:
        access.check_training(training)  # the registry names places too
    currents = [one for one in others if one.kind == model.kind and one.state is ModelState.CURRENT]
    return Trial(corpus, catalog, model, currents[0] if currents else None, training, training.benchmark)


@task(name="draw", cache_policy=NO_CACHE)
def have_set(trial: Trial) -> None:
    """Draws the set where there is none yet and the training says of how many examples.

    Raises:
        UsageError: the snapshot has no row for validation.
    """
    place = Location.of(trial.how.val)
    if trial.how.draw is None or place.exists(MANIFEST):
        return
    source = trial.model.snapshot
    if source is None or source.corpus != trial.corpus.id:
        cause = "was not trained on this corpus, and a set is drawn of what its training kept apart"
        raise UsageError(trial.model.reference, cause, "Make the set: dataclaw bench make CORPUS --out VAL")
    manifest = snapshots.load(trial.corpus, source.number)
    size = trial.how.draw
    drawn = make(trial.corpus, manifest, place, size=size, fuzzy=size // 4, seed=0, version=str(source.number))
    for line in drawn.lacks:
        get_run_logger().warning("fewer than asked for: %s", line)


@task(name="measure", cache_policy=NO_CACHE)
def measure(trial: Trial) -> list[Result]:
    """Rules, the current version and the candidate over the set, in a process of its own. What was answered before is
    not asked again.

    Raises:
        DataClawError: a model cannot be asked; what was answered is kept.
    """
    how = trial.how
    models = [RULES, *(one.backend for one in (trial.current, trial.model) if one is not None)]
    options = ["--catalog", trial.catalog_url, "--concurrency", str(how.concurrency), "--gpus", str(how.gpus)]
    options += ["--base-url", how.base_url] if how.base_url else []
    options += ["--tokens", str(how.tokens)] if how.tokens else []
    with tempfile.TemporaryDirectory(prefix="dataclaw-bench-") as folder:
        run_command(["bench", "run", how.val, *dict.fromkeys(models), *options, "--json"], Path(folder), "runs.json")
    val = open_val(how.val)
    results = [result_of(val, model.removeprefix("model:")) for model in dict.fromkeys(models)]
    with telling("the result is not shown"):
        _show(trial, val, results)
    return results


@task(name="announce", cache_policy=NO_CACHE)
def announce_benchmarked(trial: Trial, results: list[Result]) -> None:
    """Tells that a candidate was measured."""
    announce_model(
        ModelBenchmarked(
            model=trial.model.reference,
            corpus=trial.corpus.uri,
            catalog=trial.catalog,
            over=trial.current.reference if trial.current else None,
            val=results[-1].run.val,
            mean=_mean(results[-1]),
        )
    )


def result_of(val: Val, label: str) -> Result:
    """The newest run of a model over a set.

    Raises:
        CorpusError: there is none.
    """
    found = [result for result in read_results(beside(val.location), val.manifest) if result.run.label == label]
    if not found:
        raise CorpusError(label, f"was not measured on {val.manifest.title}", "Run the deployment `benchmark` for it")
    return max(found, key=lambda result: result.run.ended)


def benchmarked_state(trial: Trial, results: list[Result]) -> State[list[Result]]:
    """The state in which a benchmark ends."""
    said = ", ".join(f"{result.run.label} {_mean(result):.1%}" for result in results)
    return Completed(message=f"{trial.model.reference} on {results[-1].run.val}: {said}", data=results)


def _mean(result: Result) -> float:
    return overall([record.score for record in result.records]).mean.mean


def _show(trial: Trial, val: Val, results: list[Result]) -> None:
    title = f"{trial.model.reference} on {val.manifest.title}"
    place = beside(val.location)
    markdown = [*_table(results), "", f"Results: {place.uri()}"]
    create_markdown_artifact(markdown="\n".join(markdown), key="benchmark", description=title)
    if not place.is_local:
        return
    page = Path(place.path(_REPORT))
    with tempfile.TemporaryDirectory(prefix="dataclaw-bench-") as folder:
        try:
            run_command(["bench", "report", trial.how.val, "--out", str(page)], Path(folder), "said")
        except DataClawError as error:
            get_run_logger().warning("the page is not written: %s", error)
        else:
            create_link_artifact(link=page.as_uri(), link_text=title, key="benchmark-report", description=title)


def _table(results: list[Result]) -> list[str]:
    """Means in per cent with their 95 % intervals, by model, part of the set and level."""
    lines = ["| model | of | samples | " + " | ".join(Level) + " |", "|---|---|---:|" + "---:|" * len(Level)]
    for result in results:
        for name, levels in columns(result).items():
            cells = [_cell(at(levels, level)) for level in Level]
            lines.append(f"| {result.run.label} | {name} | {levels.json_valid.samples} | {' | '.join(cells)} |")
    return lines


def _cell(one: Estimate | None) -> str:
    if one is None:
        return "–"
    interval = "" if one.low is None or one.high is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f})"
    return f"{100 * one.mean:.1f}{interval}"
