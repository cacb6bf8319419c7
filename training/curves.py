"""The figures of a run over its steps, as pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Line = Sequence[tuple[float, float]]
"""Points (step, value)."""

PICTURES = {
    "loss": {"loss": "loss"},
    "accuracy": {"mean_token_accuracy": "share of tokens of the answer that the model would write"},
    "reward": {
        "rewards/R/mean": "R",
        "rewards/R_format/mean": "R_format",
        "rewards/R_anchor/mean": "R_anchor",
        "rewards/R_eff/mean": "R_eff",
        "rewards/R_cover/mean": "R_cover",
    },
    "divergence": {"kl": "KL divergence to the model before GRPO"},
    "length": {"completions/mean_length": "tokens of an answer", "completions/clipped_ratio": "share cut off"},
}
"""Pictures, and the logged figures that each shows under what names."""
_COLOURS = ("#22242a", "#5b7db1", "#c26a3c", "#3f8f7a", "#8a5a9e")
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 320, 64, 20, 56, 36
_RAW = 40
"""Steps above which single values are drawn pale and a running mean over a twentieth of the steps strong."""


def drawn(figures: Mapping[str, float]) -> dict[str, float]:
    """Those of some figures that are drawn, where they are numbers."""
    names = [name for picture in PICTURES.values() for name in picture]
    return {name: figures[name] for name in names if math.isfinite(figures.get(name, math.nan))}


def draw(logged: Sequence[Mapping[str, float]], folder: Path) -> list[Path]:
    """Writes a picture for each group of figures that a run logged, and gives their paths.

    Args:
        logged: lines of its log: `step`, and figures by name.
        folder: made when it is not there.
    """
    written = []
    for name, figures in PICTURES.items():
        lines = {
            label: [(line["step"], line[figure]) for line in logged if math.isfinite(line.get(figure, math.nan))]
            for figure, label in figures.items()
        }
        lines = {label: points for label, points in lines.items() if points}
        if lines:
            folder.mkdir(parents=True, exist_ok=True)
            written.append(folder / f"{name}.svg")
            written[-1].write_text(picture(name, lines), encoding="utf-8")
    return written


def picture(title: str, lines: Mapping[str, Line]) -> str:
    """Lines over steps as SVG."""
    points = [point for line in lines.values() for point in line]
    first, last = min(step for step, _ in points), max(step for step, _ in points)
    ticks = _ticks(min(value for _, value in points), max(value for _, value in points))
    low, high = ticks[0], ticks[-1]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(step: float) -> float:
        return _LEFT + (step - first) / max(last - first, 1) * (right - _LEFT)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - _TOP)

    def path(line: Line, width: float, opacity: float) -> str:
        drawn = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in line)
        look = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-opacity="{opacity}"'
        return f'<polyline points="{drawn}" {look} stroke-linecap="round" stroke-linejoin="round"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" fill="#6c6f78">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="20" y="24" font-size="15" font-weight="600" fill="#22242a">{escape(title)}</text>',
        f'<text x="{_LEFT}" y="{bottom + 22}">step {first:g}</text>',
        f'<text x="{right}" y="{bottom + 22}" text-anchor="end">step {last:g}</text>',
    ]
    for tick in ticks:
        parts.append(f'<path d="M{_LEFT} {y(tick):.1f}H{right}" stroke="#e4e2dc"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>')
    along = float(_LEFT)
    for (label, line), colour in zip(lines.items(), _COLOURS, strict=False):
        many = len(line) > _RAW
        parts.append(path(line, 1.0 if many else 2.0, 0.3 if many else 1.0))
        if many:
            parts.append(path(_running_mean(line, len(line) // 20), 2.0, 1.0))
        if len(line) == 1:
            parts.append(f'<circle cx="{x(line[0][0]):.1f}" cy="{y(line[0][1]):.1f}" r="3" fill="{colour}"/>')
        parts.append(f'<circle cx="{along + 4:.0f}" cy="42" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{along + 14:.0f}" y="46">{escape(label)}</text>')
        along += 34 + 6.5 * len(label)
    return "".join([*parts, "</svg>"])


def _running_mean(line: Line, width: int) -> list[tuple[float, float]]:
    """Each point with the mean of its value and those before it, `width` in all."""
    found, total = [], 0.0
    for place, (step, value) in enumerate(line):
        total += value - (line[place - width][1] if place >= width else 0.0)
        found.append((step, total / min(place + 1, width)))
    return found


_LEAST = 1e-300
"""Between values that are told apart: below, what they are divided by loses its digits."""


def _ticks(low: float, high: float) -> list[float]:
    """A few round numbers, from at most `low` to at least `high`."""
    if high - low < _LEAST:
        size = max(abs(low), abs(high))
        half = (size if size > _LEAST else 1.0) / 2
        low, high = low - half, high + half
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = next(power * part for part in (10.0, 5.0, 2.0, 1.0) if power * part <= (high - low) / 3 * (1 + 1e-9))
    begin = math.floor(low / step + 1e-9)
    return [step * number for number in range(begin, math.ceil(high / step - 1e-9) + 1)]
