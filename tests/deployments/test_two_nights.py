"""Nights come and go by themselves: schedule, build on two Ray nodes, event, trigger, verification."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.deployments.two_nights import two_nights
from tests.storage import postgresql

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if reason := postgresql.missing():
        pytest.skip(reason)
    report = two_nights(tmp_path_factory.mktemp("nights"), minutes=1.5)
    assert report["verify"]["failures"] == []
    return report["nights"]


def test_the_schedule_builds_what_came(nights: list[dict[str, Any]]) -> None:
    first, second = (night["build"] for night in nights)
    assert first["started by"] == second["started by"] == "IntervalSchedule"
    assert datetime.fromisoformat(first["ended"]) < datetime.fromisoformat(second["started"])
    assert first["message"].startswith("6 inputs: 6 done")
    assert ", 1 failed; snapshot 2 " in second["message"], "the broken film is set aside, and the night goes on"
    for build in (first, second):
        assert {"build-result", "build-rejects", "build-quarantine", "corpus-growth"} <= set(build["artifacts"])


def test_growth_has_itself_verified(nights: list[dict[str, Any]]) -> None:
    for number, night in enumerate(nights, 1):
        assert night["grew"]["snapshot"] == night["verify"]["snapshot"] == number
        assert night["verify"]["started by"] == "dataclaw corpus grew"
        assert night["verify"]["state"] == "Completed"
        assert "all hold" in night["verify"]["message"]
        assert night["verify"]["artifacts"] == ["verification"]
    assert [night["grew"]["since"] for night in nights] == [None, 1]
