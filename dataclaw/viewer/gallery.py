"""Writes the gallery of a snapshot: pages of cards with an overview on top. Memory does not grow with the corpus."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dataclaw.text import count, seconds, shortened
from dataclaw.viewer.card import Card, card
from dataclaw.viewer.images import ImageFolder
from dataclaw.viewer.timeline import clock, span
from schemas.manifest import Manifest
from schemas.triplet import Triplet
from storage import snapshots
from storage.corpus import Corpus

CARDS_PER_PAGE = 24
_BATCH = 8
_BINS = 20
_HERE = Path(__file__).parent
_REWARD_PARTS = {
    "format": "1 when the output is valid under its schema, otherwise 0",
    "anchor": "the share of its claims that measurements support",
    "efficiency": "1 while its words are few for the evidence it uses, less the more it says around it",
}
"""What each part of the reward tells; docs/verification.md has the formulas."""


@dataclass
class Overview:
    """A snapshot in figures, from the light columns of all its rows. `outcomes` is None without a catalog."""

    rows: int = 0
    by_domain: Counter[str] = field(default_factory=Counter)
    by_task_type: Counter[str] = field(default_factory=Counter)
    rewards: list[int] = field(default_factory=lambda: [0] * _BINS)
    """Rows by reward, in equal bins from 0 to 1."""
    reward_sum: float = 0.0
    reward_min: float = 1.0
    claims: int = 0
    unsupported: int = 0
    outcomes: dict[str, int] | None = None

    @property
    def reward_mean(self) -> float:
        return self.reward_sum / self.rows if self.rows else 0.0

    def add(self, domain: str, task_type: str, score: dict[str, Any]) -> None:
        """Counts one row."""
        reward = float(score["reward"])
        self.rows += 1
        self.by_domain[domain] += 1
        self.by_task_type[task_type] += 1
        self.rewards[min(int(reward * _BINS), _BINS - 1)] += 1
        self.reward_sum += reward
        self.reward_min = min(self.reward_min, reward)
        self.claims += len(score["supports"])
        self.unsupported += sum(not support["supported"] for support in score["supports"])


def write_gallery(
    corpus: Corpus,
    manifest: Manifest,
    folder: Path,
    *,
    limit: int | None = None,
    outcomes: dict[str, int] | None = None,
    per_page: int = CARDS_PER_PAGE,
    advance: Callable[[int], object] = lambda done: None,
) -> tuple[Path, int]:
    """Writes index.html, page-2.html... and images/ into a folder; gives the first page and the number of cards.

    Raises:
        CorpusError: a shard is missing or damaged.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    overview = _overview(corpus, manifest)
    overview.outcomes = outcomes
    shown = overview.rows if limit is None else min(limit, overview.rows)
    pages = max(1, -(-shown // per_page))
    template = environment().get_template("page.html")
    images = ImageFolder(folder)
    rows = _rows(corpus, manifest, shown)
    for page in range(1, pages + 1):
        cards = _cards(rows, images, first=(page - 1) * per_page, count=min(per_page, shown - (page - 1) * per_page))
        stream = template.stream(
            name="/".join(corpus.location.root.split("/")[-2:]),
            uri=corpus.uri,
            manifest=manifest,
            overview=overview,
            cards=cards,
            page=page,
            pages=pages,
            shown=shown,
            address=_address,
        )
        temporary = folder / f".{_address(page)}.tmp"
        temporary.unlink(missing_ok=True)  # of a run that was killed, or a link that somebody left there
        with temporary.open("x", encoding="utf-8") as file:
            for piece in stream:
                file.write(piece)
        temporary.replace(folder / _address(page))
        advance(min(per_page, shown))
    _remove_stale(folder, pages)
    return folder / _address(1), shown


def environment() -> Environment:
    """Templates with every value escaped. Text from streams is hostile until shown otherwise."""
    style = (_HERE / "gallery.css").read_text(encoding="utf-8")
    script = (_HERE / "gallery.js").read_text(encoding="utf-8")
    env = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "clock": clock,
        "span": span,
        "seconds": seconds,
        "shortened": lambda text: shortened(text, 24),
        "counted": count,
        "words": lambda name: str(name).replace("_", " "),
    }
    env.globals |= {
        "reward_parts": _REWARD_PARTS,
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return env


def _visible(value: Any) -> Any:
    """Control and direction-changing characters become visible escapes, so that no text can dress up as another."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn")
        else f"\\u{ord(letter):04x}"
        for letter in value
    )


def _overview(corpus: Corpus, manifest: Manifest) -> Overview:
    overview = Overview()
    for table in snapshots.iter_triplets(corpus, manifest, 256, columns=["domain", "task_type", "score"]):
        for row in table.to_pylist():
            overview.add(row["domain"], row["task_type"], row["score"])
    return overview


def _rows(corpus: Corpus, manifest: Manifest, count: int) -> Iterator[Triplet]:
    left = count
    for table in snapshots.iter_triplets(corpus, manifest, _BATCH):
        for triplet in Triplet.from_table(table.slice(0, left)):
            left -= 1
            yield triplet
        if left <= 0:
            return


def _cards(rows: Iterator[Triplet], images: ImageFolder, first: int, count: int) -> Iterator[Card]:
    for number in range(first + 1, first + count + 1):
        yield card(next(rows), number, images)


def _address(page: int) -> str:
    return "index.html" if page == 1 else f"page-{page}.html"


def _remove_stale(folder: Path, pages: int) -> None:
    """Pages of an earlier, longer gallery in the same folder would show rows that are no more."""
    page = pages + 1
    while (stale := folder / _address(page)).exists():
        stale.unlink()
        page += 1
