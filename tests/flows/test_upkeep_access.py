"""What the flows that keep a corpus may reach when their parameters came over a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.maintain_corpus import maintain_corpus
from flows.verify_corpus import verify_corpus
from schemas.errors import DataClawError, UsageError
from storage.access import HOSTS, ROOTS
from storage.corpus import Corpus

FLOWS = [maintain_corpus.fn, verify_corpus.fn]


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that runs of a deployment may reach. The deployment is one by Prefect's own word for tests of it."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "4f3c0a0e")
    monkeypatch.setenv(ROOTS, str(root))
    monkeypatch.delenv(HOSTS, raising=False)
    return root


@pytest.mark.parametrize("flow", FLOWS)
def test_a_sent_corpus_lies_below_the_roots(flow: Callable[..., object], sent: Path, tmp_path: Path) -> None:
    (sent / "link").symlink_to(tmp_path)
    for place in (tmp_path, f"{sent}/../c", f"{sent}/link", "s3://bucket/c", "zip://c::file:///etc/a.zip", "ssh://h/c"):
        with pytest.raises(UsageError) as error:
            flow(str(place))
        assert ROOTS in str(error.value) or "not reached from here" in str(error.value)


@pytest.mark.parametrize("flow", FLOWS)
def test_without_roots_a_sent_corpus_is_refused(
    flow: Callable[..., object], sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ROOTS)
    with pytest.raises(UsageError, match=ROOTS):
        flow(str(sent / "corpus"))


@pytest.mark.parametrize("flow", FLOWS)
def test_credentials_in_the_uri_of_a_corpus_are_refused_and_not_told(
    flow: Callable[..., object], sent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id_ in ("4f3c0a0e", ""):  # of a deployment, or this machine's user
        monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", id_)
        with pytest.raises(UsageError, match="holds credentials") as error:
            flow("s3://AKIAEXAMPLE:hunter2@bucket/c")
        assert "hunter2" not in str(error.value)


def test_a_sent_catalog_is_a_file_below_the_roots_or_a_named_server(sent: Path, tmp_path: Path) -> None:
    corpus = str(sent / "corpus")
    Corpus.open(corpus, create=True)
    for catalog in (f"sqlite:///{tmp_path}/other.db", "postgresql+psycopg://elsewhere/c", "mysql://h/c"):
        with pytest.raises(UsageError, match=r"^.?catalog"):
            maintain_corpus.fn(corpus, catalog)
    assert not (tmp_path / "other.db").exists()


def test_with_roots_one_s_own_runs_are_held_to_them_too(
    sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "")
    with pytest.raises(UsageError, match=ROOTS):
        verify_corpus.fn(str(tmp_path))
    monkeypatch.delenv(ROOTS)
    with pytest.raises(DataClawError, match="corpus"):
        verify_corpus.fn(str(tmp_path))  # may be reached, and is none
