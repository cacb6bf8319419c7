"""Pictures of what a run logged."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.curves import _ticks, draw, picture

SVG = "{http://www.w3.org/2000/svg}"


def points(line: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]  # type: ignore[misc]


def test_each_group_of_figures_that_was_logged_has_a_picture(tmp_path: Path) -> None:
    logged = [{"step": step, "loss": 1.0 / step, "rewards/R/mean": 0.1, "kl": 0.0} for step in (1, 2, 3)]
    assert [path.name for path in draw(logged, tmp_path / "curves")] == ["loss.svg", "reward.svg", "divergence.svg"]
    assert draw([{"step": 1, "epoch": 1.0}], tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_lines_stand_by_their_names_higher_for_more_further_right_for_later() -> None:
    root = ElementTree.fromstring(picture("reward", {"R": [(1, 0.0), (2, 1.0)], "R_<eff>": [(1, 0.5), (2, 0.5)]}))
    up, flat = (points(line) for line in root.iter(f"{SVG}polyline"))
    assert up[0][0] < up[1][0]
    assert up[0][1] > flat[0][1] > up[1][1]
    assert {"reward", "R", "R_<eff>", "step 1", "step 2"} <= {text.text for text in root.iter(f"{SVG}text")}


def test_what_does_not_apply_leaves_a_gap_and_many_steps_a_running_mean(tmp_path: Path) -> None:
    logged = [{"step": step, "loss": math.nan if step == 7 else step % 2} for step in range(1, 101)]
    (file,) = draw(logged, tmp_path)
    raw, mean = (points(line) for line in ElementTree.parse(file).getroot().iter(f"{SVG}polyline"))
    assert len(raw) == len(mean) == 99
    assert max(y for _, y in mean[10:]) - min(y for _, y in mean[10:]) < max(y for _, y in raw) - min(y for _, y in raw)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_are_few_and_hold_all_values(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    ticks = _ticks(low, high)
    slack = 1e-6 * (ticks[-1] - ticks[0])
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 10
    assert ticks == sorted(ticks)


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
def test_a_line_that_stays_is_drawn_within_the_picture(value: float) -> None:
    (line,) = ElementTree.fromstring(picture("loss", {"loss": [(1, value), (5, value)]})).iter(f"{SVG}polyline")
    assert all(56 <= y <= 284 for _, y in points(line))
