"""Where a training works, and what is refused before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import CorpusError, UsageError
from schemas.recipe import ModelSpec
from schemas.training import GRPO, Benchmarking, Promotion, Training
from storage.corpus import Corpus
from tasks.train import Course, course_of, done
from tests.dataclaw.test_train import corpus
from training.settings import load_training

__all__ = ["corpus"]
TRAINING = Training(name="tailor", model=ModelSpec(name="some/base"))


def course(corpus: Corpus, training: Training = TRAINING, folder: Path | None = None) -> Course:
    return course_of(training, corpus.uri, None, None, None if folder is None else str(folder), sent=False)


def changed(**more: object) -> Training:
    return TRAINING.model_copy(update=more)


def test_the_same_training_of_the_same_snapshot_goes_on_where_it_was(corpus: Corpus) -> None:
    first = course(corpus)
    assert first.folder.parent == Path(corpus.location.path("models/tailor"))
    assert load_training(first.file) == TRAINING
    measured = changed(benchmark=Benchmarking(val="elsewhere"), promotion=Promotion(approval=True))
    assert course(corpus, measured).folder == first.folder, "what comes after it changes no model"
    for other in (changed(seed=1), changed(grpo=GRPO()), changed(model=ModelSpec(name="another/base"))):
        assert course(corpus, other).folder != first.folder


def test_another_place_for_what_is_under_way_can_be_named(corpus: Corpus, tmp_path: Path) -> None:
    assert course(corpus, folder=tmp_path / "disk").folder.parent == tmp_path / "disk" / "tailor"
    assert done(course(corpus), "sft") is None


def test_what_cannot_be_trained_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither SFT nor GRPO"):
        course(corpus, changed(sft=None))
    with pytest.raises(UsageError, match="holds credentials") as error:
        course_of(TRAINING, corpus.uri, None, "postgresql+psycopg://ann:hunter2@host/models", None, sent=False)
    assert "hunter2" not in str(error.value)
    with pytest.raises(CorpusError, match="nothing is published yet"):
        course(Corpus.open(tmp_path / "empty", create=True))


def test_a_corpus_elsewhere_needs_a_folder_here(corpus: Corpus) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    memory = MemoryFileSystem()
    memory.put(corpus.location.path(""), "/chain", recursive=True)
    with pytest.raises(UsageError, match="checkpoints are"):
        course_of(TRAINING, "memory://chain", None, None, None, sent=False)
