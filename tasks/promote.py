"""Stage promote: a candidate takes the place of the current version, by the rule of its training or a person's word."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Completed

from benchmark.promotion import Judgement, judge
from benchmark.val.store import open_val
from schemas.events import ModelPromoted
from schemas.model import ModelState
from storage.catalog.registry import Registry
from tasks.benchmark import Trial, result_of
from tasks.events import announce_model
from tasks.telling import telling

_POLL = 5


class Approval(RunInput):
    """What a person says of a candidate that passed its rule."""

    promote: bool
    why: str = ""


@dataclass(frozen=True)
class Decision:
    """What became of a candidate, and why."""

    promoted: bool
    why: str


@task(name="judge", cache_policy=NO_CACHE)
def judge_candidate(trial: Trial) -> Judgement:
    """Holds the candidate to its training's rule, by what it and the current version answered.

    Raises:
        CorpusError: one of them was not measured.
    """
    val = open_val(trial.how.val)
    before = None if trial.current in (None, trial.model) else result_of(val, trial.current.reference)
    judgement = judge(trial.training.promotion, result_of(val, trial.model.reference), before)
    with telling("the comparison is not shown"):
        create_markdown_artifact(
            markdown=comparison(judgement), key="comparison", description=_of(trial, val.manifest.title)
        )
    return judgement


@task(name="decide", cache_policy=NO_CACHE)
def decide(trial: Trial, judgement: Judgement) -> Decision:
    """Promotes a candidate that passed, once a person has approved of it where its training asks for one.

    Raises:
        OutrunError: another version became current meanwhile.
        FlowPauseTimeout: nobody has said anything.
    """
    rule = trial.training.promotion
    if trial.model.state is ModelState.CURRENT:  # events may come twice
        return Decision(True, "it was so already")
    if trial.model.state is ModelState.RETIRED:
        return Decision(False, "it is retired")
    if not judgement.passed:
        return Decision(False, "; ".join(condition.words for condition in judgement.conditions if not condition.met))
    by, why = f"flow run {flow_run.name}", "it passed its rule"
    if rule.approval:
        get_run_logger().info("%s passed its rule and waits for a person's word", trial.model.reference)
        asked = Approval.with_initial_data(description=f"{trial.model.reference}\n\n{comparison(judgement)}")
        said = pause_flow_run(wait_for_input=asked, timeout=int(rule.hours * 3600), poll_interval=_POLL)
        why = f"a person {'approved' if said.promote else 'refused'}" + (f": {said.why}" if said.why else "")
        if not said.promote:
            return Decision(False, why)
    over = trial.current
    with Registry.open(trial.catalog_url) as registry:
        registry.promote(trial.model.reference, over.number if over else None, f"{by}, {why}")
    announce_model(
        ModelPromoted(
            model=trial.model.reference,
            corpus=trial.corpus.uri,
            catalog=trial.catalog,
            over=over.reference if over else None,
        )
    )
    return Decision(True, why)


def decided_state(trial: Trial, judgement: Judgement, decision: Decision) -> State[Decision]:
    """The state in which a promotion ends: a candidate that is not promoted is its result, not its failure."""
    name = "Completed" if decision.promoted else "Not promoted"
    message = f"{trial.model.reference} is {'current' if decision.promoted else 'not promoted'}: {decision.why}"
    with telling("the decision is not shown"):
        create_markdown_artifact(
            markdown=f"**{message}**\n\n{comparison(judgement)}", key="promotion", description=message
        )
    return Completed(name=name, message=message, data=decision)


def comparison(judgement: Judgement) -> str:
    """The rule with its figures, and the differences by level, as Markdown."""
    lines = [f"- {'met' if condition.met else '**not met**'}: {condition.words}" for condition in judgement.conditions]
    if judgement.differences:
        lines += ["", "| level | difference | 95 % interval | p | samples | better | worse |", "|---|" + "---:|" * 6]
    for one in judgement.differences:
        interval = "–" if one.low is None else f"{one.low:+.3f} to {one.high:+.3f}"
        p = "–" if one.p is None else f"{one.p:.3f}"
        cells = [one.level or "mean", f"{one.difference:+.3f}", interval, p, one.samples, one.better, one.worse]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _of(trial: Trial, title: str) -> str:
    over = f"over {trial.current.reference}" if trial.current else "with no current version"
    return f"{trial.model.reference} {over}, on {title}"
