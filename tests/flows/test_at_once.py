"""A build that is started twice at the same moment: the two share the work, and nothing is doubled or lost."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from tests.flows.clips import write_clip
from tests.flows.test_build_corpus import rows, start

pytestmark = pytest.mark.long

CLIPS = 8


def test_two_builds_of_one_corpus_at_once_share_its_work(tmp_path: Path) -> None:
    raw, corpus = tmp_path / "raw", tmp_path / "corpus"
    for seed in range(CLIPS):
        write_clip(raw / f"{seed}.mp4", seed, seconds=2.0)
    builds = [start(raw, corpus) for _ in range(2)]
    said = [build.communicate(timeout=600) for build in builds]
    assert [build.returncode for build in builds] == [0, 0], [errors for _, errors in said]
    first, second = (json.loads(output) for output, _ in said)
    times = [(datetime.fromisoformat(one["started"]), datetime.fromisoformat(one["ended"])) for one in (first, second)]
    assert max(began for began, _ in times) < min(ended for _, ended in times), "they were at work at once"
    assert first["units_done"] + second["units_done"] == CLIPS, "each unit is made by one of them"
    for report in (first, second):
        assert {item["outcome"] for item in report["inputs"]} <= {"done", "postponed"}
    published = rows(corpus)
    assert len(published) == len({row["id"] for row in published}) == len({row["unit"] for row in published}) == CLIPS
