"""A retraining that is killed in the middle, run again, and run once more when it is done."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from dataclaw.local_server import prefect_api
from flows.retrain import retrain
from schemas.errors import DataClawError
from schemas.model import ModelState
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from tests.dataclaw.test_train import corpus, training
from training.checkpoints import SEAL
from training.trainer import LOG, logged

__all__ = ["corpus", "training"]
pytestmark = [pytest.mark.long, pytest.mark.models]
STEPS = 60


@pytest.fixture
def longer(training: Path) -> Path:
    """A training that takes long enough to be killed in its middle."""
    content = yaml.safe_load(training.read_text())
    content["sft"]["steps"] = STEPS
    training.write_text(yaml.safe_dump(content))
    return training


@contextmanager
def killed_at_its_first_checkpoint(models: Path) -> Iterator[None]:
    """Kills the process that trains, as a kernel short of memory does, as soon as it has a checkpoint."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.02):
            if any(models.rglob(f"checkpoint-*/{SEAL}")):
                alive = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
                (child,) = [one for one in alive if "train" in one.cmdline()]
                child.send_signal(signal.SIGKILL)
                return

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


def test_a_killed_retraining_goes_on_and_a_finished_one_is_not_repeated(corpus: Corpus, longer: Path) -> None:
    models = Path(corpus.location.path("models"))
    with prefect_api():
        with killed_at_its_first_checkpoint(models), pytest.raises(DataClawError, match="ended by SIGKILL"):
            retrain(str(longer), corpus.uri)
        killed = time.time()
        model = retrain(str(longer), corpus.uri)
        (log,) = models.rglob(f"sft/{LOG}")
        steps = [line for line in logged(log.parent) if "loss" in line]
        assert [line["step"] for line in steps] == list(range(1, STEPS + 1))
        assert steps[0]["time"] < killed < steps[-1]["time"], "it began where it had been"
        written = log.stat().st_mtime_ns
        again = retrain(str(longer), corpus.uri)
    assert again.reference == model.reference == "tiny@1"
    assert log.stat().st_mtime_ns == written
    assert not list(models.rglob("checkpoint-*")), "what nobody needs any more is gone"
    with Registry.open(corpus.catalog_url()) as registry:
        (known,) = registry.versions()
    assert known.state is ModelState.CANDIDATE
    assert known.snapshot is not None
    assert known.snapshot.number == 1
    assert {"sft/loss", "grpo/rewards/R/mean"} <= set(known.metrics)
