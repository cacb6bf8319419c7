"""Progress of the stage tailor, as people see it."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.outcome import Outcome
from schemas.recipe import Recipe
from storage.anchors import write_anchors
from storage.corpus import Corpus
from tasks import tailor
from tasks.plan import Plan
from tasks.run import Run


class Said(logging.Handler):
    """Keeps what is logged, and tells when something is."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.more = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self.more.set()

    def wait(self) -> None:
        """Until another line is said."""
        self.more.clear()
        assert self.more.wait(timeout=10)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    handler = Said()
    log = logging.Logger("progress")
    log.addHandler(handler)
    monkeypatch.setattr(tailor, "get_run_logger", lambda: log)
    monkeypatch.setattr(tailor, "create_progress_artifact", lambda **_: None)
    monkeypatch.setattr(tailor, "update_progress_artifact", lambda *_, **__: None)
    return handler


@pytest.fixture
def run(tmp_path: Path) -> Run:
    Corpus.open(tmp_path / "corpus", create=True)
    recipe = Recipe.model_validate(
        {"name": "r", "corpus": str(tmp_path / "corpus"), "sources": [{"uri": "x"}], "intents": ["Make a tutorial"]}
    )
    return Run(id="run-1", recipe=recipe, catalog_url="", started=datetime.now(UTC))


def test_progress_counts_segments_before_any_unit_has_ended(
    run: Run, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailor, "_LEAST_PAUSE", 0.01)
    corpus = Corpus.open(run.recipe.corpus).location
    with tailor._Progress(run, Plan(pending={"u"}, segments_new=3)):
        said.wait()
        assert said.lines[-1] == "0 of 3 segments looked at; 0 of 1 unit ended"
        write_anchors(corpus, run.id, [("s1", "ocr", "a", []), ("s1", "shots", "b", []), ("s2", "ocr", "a", [])])
        write_anchors(corpus, "another run", [("s3", "ocr", "a", [])])
        said.wait()
        said.wait()
        assert said.lines[-1].startswith("2 of 3 segments looked at")


def test_the_last_word_of_progress_is_said_once(run: Run, said: Said) -> None:
    done = tailor.Tailored(ended={"u": (Outcome.DONE, ""), "v": (Outcome.FILTERED, "no")})
    with tailor._Progress(run, Plan(pending={"u", "v"})) as progress:
        progress.ended(done)
        progress._tell()
    assert said.lines == ["2 of 2 units ended: 1 done, 1 filtered, 0 failed"]


def test_words_of_progress_get_rarer_within_bounds() -> None:
    assert [tailor._pause(gone) for gone in (0, 60, 400, 1e6)] == [5, 5, 20, 60]
