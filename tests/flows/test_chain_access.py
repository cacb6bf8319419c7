"""What the flows of models may reach when their parameters came over a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.promote_model import promote_model
from flows.retrain import retrain
from flows.run_benchmark import run_benchmark
from flows.train_grpo import train_grpo
from flows.train_sft import train_sft
from schemas.errors import CorpusError, UsageError
from schemas.recipe import ModelSpec
from schemas.training import GRPO, Benchmarking, Rollouts, Training
from storage.access import HOSTS, ROOTS
from storage.corpus import Corpus
from tests.flows.test_upkeep_access import sent

__all__ = ["sent"]
TRAINING = Training(name="tailor", model=ModelSpec(name="some/base"))
TRAININGS = [retrain.fn, train_sft.fn, train_grpo.fn]


@pytest.mark.parametrize("flow", [*TRAININGS, run_benchmark.fn, promote_model.fn])
def test_a_sent_corpus_lies_below_the_roots(flow: Callable[..., object], sent: Path, tmp_path: Path) -> None:
    first: Any = TRAINING if flow in TRAININGS else "tailor@1"
    for place in (tmp_path, f"{sent}/../c", "s3://bucket/c", "ssh://h/c"):
        with pytest.raises(UsageError) as error:
            flow(first, str(place))
        assert ROOTS in str(error.value) or "not reached from here" in str(error.value)


@pytest.mark.parametrize("flow", TRAININGS)
def test_a_sent_training_leads_nowhere_else(flow: Callable[..., object], sent: Path, tmp_path: Path) -> None:
    corpus = str(sent / "corpus")
    Corpus.open(corpus, create=True)
    server = GRPO(rollouts=Rollouts.SERVER, server="http://elsewhere:8000")
    elsewhere: list[tuple[str, Training | str]] = [
        ("training", str(tmp_path / "training.yaml")),
        ("model.name", TRAINING.model_copy(update={"model": ModelSpec(name=str(tmp_path))})),
        ("model.adapter", TRAINING.model_copy(update={"model": ModelSpec(name="some/base", adapter=str(tmp_path))})),
        ("grpo.server", TRAINING.model_copy(update={"grpo": server})),
        ("benchmark.val", TRAINING.model_copy(update={"benchmark": Benchmarking(val=str(tmp_path / "val"))})),
        (
            "benchmark.base_url",
            TRAINING.model_copy(update={"benchmark": Benchmarking(val=str(sent), base_url="http://h/v1")}),
        ),
    ]
    for key, training in elsewhere:
        with pytest.raises(UsageError, match=rf"^.?{key} ") as error:
            flow(training, corpus)
        assert ROOTS in str(error.value) or HOSTS in str(error.value)
    with pytest.raises(UsageError, match=r"^.?folder "):
        flow(TRAINING, corpus, folder=str(tmp_path))
    with pytest.raises(CorpusError, match="nothing is published yet"):
        flow(TRAINING, corpus)  # may be reached, and is empty
