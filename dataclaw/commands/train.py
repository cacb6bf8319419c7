"""`dataclaw train`: a snapshot in, a tuned model out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataclaw.commands.status import CATALOG, CORPUS
from dataclaw.text import count, print_facts, seconds

if TYPE_CHECKING:
    from training.trainer import Tell, Trained

train = typer.Typer(
    no_args_is_help=True,
    help="Tune the model that writes outputs: on published rows (SFT), then on the verifier's reward (GRPO).",
    epilog="Start with `dataclaw train sft examples/training_small.yaml corpus --out tuned/sft`.",
)

_EVERY = 10.0
"""Seconds between two lines of progress in a pipe."""
_SHOWN = {
    "loss": "loss",
    "mean_token_accuracy": "accuracy",
    "rewards/R/mean": "R",
    "rewards/R_format/mean": "R_format",
    "rewards/R_anchor/mean": "R_anchor",
    "rewards/R_eff/mean": "R_eff",
    "rewards/R_cover/mean": "R_cover",
    "kl": "KL",
    "completions/mean_length": "tokens of an answer",
    "reward_share": "share of a step that scoring took",
}
"""Final figures for people, by their names in the log."""
TRAINING = typer.Argument(metavar="TRAINING", help="Its settings, a YAML file: docs/training.md.")
OUT = typer.Option(
    "--out", "-o", metavar="FOLDER", help="For checkpoints, logs, curves and the model. An unfinished run goes on."
)
SNAPSHOT = typer.Option(help="Its number.", show_default="the newest")
REGISTER = typer.Option("--register", help="Enter the model into the registry, by the training's name, as a candidate.")
JSON = typer.Option("--json", help="The result as JSON.")


@train.command()
def sft(
    training: Annotated[Path, TRAINING],
    corpus: Annotated[str, CORPUS],
    out: Annotated[Path, OUT],
    snapshot: Annotated[int | None, SNAPSHOT] = None,
    register: Annotated[bool, REGISTER] = False,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Teach a base the published outputs of a snapshot's training side.

    The same command after an interruption goes on from the last whole checkpoint, and ends as it would have.

    Example: `dataclaw train sft examples/training_small.yaml corpus --out tuned/sft`
    """
    _run("sft", training, corpus, out, snapshot, register, catalog, json_)


@train.command()
def grpo(
    training: Annotated[Path, TRAINING],
    corpus: Annotated[str, CORPUS],
    out: Annotated[Path, OUT],
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="The model that SFT made.", show_default="model.adapter of TRAINING"
        ),
    ] = None,
    snapshot: Annotated[int | None, SNAPSHOT] = None,
    register: Annotated[bool, REGISTER] = False,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Reinforce a model by the verifier's reward of its own answers to a snapshot's training side.

    The same command after an interruption goes on from the last whole checkpoint, and ends as it would have.

    Example: `dataclaw train grpo examples/training_small.yaml corpus --from tuned/sft/model --out tuned/grpo`
    """
    _run("grpo", training, corpus, out, snapshot, register, catalog, json_, from_)


@train.command()
def experts(
    training: Annotated[Path, TRAINING],
    corpus: Annotated[str, CORPUS],
    out: Annotated[Path, OUT],
    omni: Annotated[
        str | None,
        typer.Option(metavar="NAME@N", help="A registered adapter for what the router is not sure of."),
    ] = None,
    snapshot: Annotated[int | None, SNAPSHOT] = None,
    catalog: Annotated[str | None, CATALOG] = None,
    json_: Annotated[bool, JSON] = False,
) -> None:
    """Tune an adapter for each domain of a snapshot, fit the router between them, and register all as one set.

    The same command after an interruption goes on from the last whole checkpoint.

    Example: `dataclaw train experts examples/training_small.yaml corpus --out tuned/experts`
    """
    from dataclaw.commands.models import who
    from dataclaw.opened import open_snapshot
    from dataclaw.text import print_json
    from storage.catalog.registry import Registry
    from training.settings import load_training
    from training.trainer import leads

    _need_packages()
    from training.experts import register_trained, train_experts

    settings = load_training(training)
    opened, manifest = open_snapshot(corpus, snapshot)
    with Registry.open(opened.catalog_url(catalog)) as registry:
        joining = None if omni is None else registry.get(omni)
        done = train_experts(settings, opened, manifest, out, _telling)
        if not leads():
            return
        made = register_trained(registry, done, settings, opened, manifest, who(), joining)
    if json_:
        print_json({"model": made.reference, "experts": made.parents, "metrics": made.metrics})
        return
    print(f"{made.reference}: {count(len(made.parents), 'expert')} and a router, a candidate")
    print_facts(
        [
            *(
                (str(domain), f"{count(one.taken.taken, 'example')}, {one.folder}")
                for domain, one in done.trained.items()
            ),
            *((name, f"{value:.3g}") for name, value in made.metrics.items()),
        ]
    )
    print(f"Next: dataclaw models promote {made.reference} --corpus {corpus}")


def _run(
    stage: str,
    file: Path,
    uri: str,
    out: Path,
    snapshot: int | None,
    register: bool,
    catalog: str | None,
    json_: bool,
    from_: Path | None = None,
) -> None:
    from dataclaw.commands.models import who
    from dataclaw.opened import open_snapshot
    from dataclaw.text import print_json
    from schemas.triplet import Split
    from storage.catalog.registry import Registry
    from training.curves import draw, drawn
    from training.examples import examples
    from training.registry import register_tuned
    from training.settings import going_on, load_training
    from training.trainer import leads, logged

    settings = load_training(file)
    training = settings if from_ is None else going_on(settings, from_.resolve())
    learn = _trainer(stage)
    corpus, manifest = open_snapshot(uri, snapshot)
    url = corpus.catalog_url(catalog) if register else None
    if url is not None and leads():
        with Registry.open(url, create=True):
            pass  # it can be reached: known before hours go by
    domains = training.grpo.domains if stage == "grpo" and training.grpo is not None else ()
    with _progress() as tell:
        done = learn(training, examples(corpus, manifest, training.model, Split.TRAIN, domains), out, tell)
    if not leads():
        return
    curves, model = draw(logged(out), out / "curves"), None
    if url is not None:
        with Registry.open(url) as registry:
            figures = drawn(done.metrics)
            model = register_tuned(registry, done.folder, settings, corpus, manifest.number, who(), figures).reference
    if json_:
        entered = {"registered": model} if model else {}
        result = {"model": str(done.folder), **entered, "steps": done.steps, "metrics": done.metrics}
        taken = {"examples": done.taken.taken, "left_out": done.taken.left_out, "domains": done.taken.by_domain}
        print_json(result | taken | {"snapshot": manifest.number, "curves": [str(path) for path in curves]})
    else:
        _show(stage, file, done, out, curves, uri, model, url or "")


def _trainer(stage: str) -> Callable[..., Trained]:
    """The function that trains."""
    _need_packages()
    if stage == "sft":
        from training.sft import train_sft

        return train_sft
    from training.grpo import train_grpo

    return train_grpo


def _need_packages() -> None:
    """Raises UsageError where packages are missing."""
    from schemas.errors import UsageError

    missing = [name for name in ("torch", "transformers", "trl", "peft", "tensorboard") if find_spec(name) is None]
    if missing:
        from training.trainer import EXTRA

        raise UsageError("dataclaw train", f"training needs packages that are missing: {', '.join(missing)}", EXTRA)


def _telling(what: str) -> AbstractContextManager[Tell]:
    """Progress of one of several trainings."""
    sys.stderr.write(f"{what}\n")
    return _progress()


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar with the time left on a terminal; in a pipe a line at first, at last and every few seconds."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading the model", total=None)

        def tell(step: int, steps: int, figures: Mapping[str, float]) -> None:
            if bar.tasks[task].total is None:
                bar.reset(task, total=steps, completed=step)  # one that goes on has not done the steps before
            bar.update(task, completed=step, description=_figures(figures))

        yield tell


def _lines() -> Tell:
    begun, first, told = time.monotonic(), -1, float("-inf")

    def tell(step: int, steps: int, figures: Mapping[str, float]) -> None:
        nonlocal begun, first, told
        now = time.monotonic()
        if "loss" not in figures or (step < steps and now - told < _EVERY):
            return
        left = (
            f"; {seconds((now - begun) / (step - first) * (steps - step))} left" if first >= 0 and step < steps else ""
        )
        if first < 0:  # what comes before the first step is no measure of those that follow
            begun, first = now, step
        told = now
        sys.stderr.write(f"step {step:,} of {steps:,}: {_figures(figures)}{left}\n")
        sys.stderr.flush()

    return tell


def _figures(figures: Mapping[str, float]) -> str:
    named = ("loss", "rewards/R/mean", "kl")
    return ", ".join(f"{_SHOWN[name]} {figures[name]:.4g}" for name in named if name in figures)


def _show(
    stage: str, file: Path, done: Trained, out: Path, curves: list[Path], corpus: str, model: str | None, catalog: str
) -> None:
    import shlex

    taken = done.taken
    print(f"{stage}: {count(done.steps, 'step')} on {count(taken.taken, 'example')}")
    print_facts(
        [
            ("model", done.folder),
            *([("registered", f"{model}, a candidate")] if model else []),
            *((label, f"{done.metrics[name]:.4g}") for name, label in _SHOWN.items() if name in done.metrics),
            ("examples", ", ".join(f"{number} {domain}" for domain, number in taken.by_domain.most_common())),
            *(("left out", f"{number}: {why}") for why, number in taken.left_out.most_common()),
            ("curves", ", ".join(str(path) for path in curves)),
        ]
    )
    following = out.with_name(f"{out.name}-grpo")
    reinforce = shlex.join(
        ["dataclaw", "train", "grpo", str(file), corpus, "--from", str(done.folder), "--out", str(following)]
    )
    board = shlex.join(["tensorboard", "--logdir", str(out / "tensorboard")])
    measure = shlex.join(["dataclaw", "bench", "run", "VAL", f"model:{model}", "--catalog", catalog]) if model else None
    print("Next: " + "    ".join(filter(None, (board, reinforce if stage == "sft" else None, measure))))
