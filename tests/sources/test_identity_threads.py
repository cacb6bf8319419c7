"""One file of many streams is read once, however many threads want its hash."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sources import identity
from sources.base import Candidate


def test_threads_that_meet_in_one_file_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "episodes.parquet"
    shared.write_bytes(b"x" * 5_000_000)
    opened: list[str] = []
    real = identity.open_binary
    monkeypatch.setattr(identity, "open_binary", lambda uri: opened.append(uri) or real(uri))
    candidates = [Candidate(f"episode {n}", "f", str(shared), (("data", str(shared)),), str(n)) for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda candidate: identity.hash_parts(candidate, {}), candidates))
    assert len({part[0].sha256 for part in parts}) == 1
    assert opened == [str(shared)]
