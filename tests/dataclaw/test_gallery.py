"""The gallery: everything of a row is there, nothing of a row can act, and it stays small."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from dataclaw.main import app
from dataclaw.viewer.gallery import write_gallery
from dataclaw.viewer.timeline import MAX_DRAWN, clock, span, timeline
from schemas.anchor import FactualAnchor
from schemas.triplet import Triplet
from storage import snapshots
from storage.corpus import Corpus


class Page(HTMLParser):
    """Tags with their attributes, and whether every tag is closed in order."""

    VOID = frozenset({"meta", "img", "br", "line", "circle", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def index(gallery_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gallery")
    done = CliRunner().invoke(app, ["view", str(gallery_corpus), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["rows"] == 6
    return Path(answer["index"])


@pytest.fixture(scope="module")
def page(index: Path) -> Page:
    return Page(index.read_text(encoding="utf-8"))


def test_every_row_has_a_card_with_intent_output_timeline_and_verdict(page: Page) -> None:
    cards = [attributes for attributes in page.named("article") if attributes["class"] == "card"]
    assert {card["data-task"] for card in cards} >= {"tutorial", "temporal_qa", "gui_trajectory", "plugin_task"}
    text = " ".join(" ".join(page.text).split())
    for words in (
        "This is a worked-solution teaching video.",
        "The height of a triangle",
        'When is "Let\'s go." said?',
        "another app, its clock shows 9:41",
        "hesitation loop",
        "Remove the red car",
        "cut off at 18.0 s: what can be read is used",
        "nobody says this",
        "other readings: temporal qa",
    ):
        assert words in text
    assert any((svg.get("class") or "").startswith("lane") for svg in page.named("svg"))


def test_what_the_output_points_at_is_drawn_over_its_frame(page: Page) -> None:
    boxes = [span["style"] for span in page.named("span") if span.get("class") == "box"]
    assert any(style and "left:10.0%;top:20.0%" in style for style in boxes)
    assert [span for span in page.named("span") if span.get("class") == "point"]


def test_pictures_lie_beside_the_page_under_names_no_input_can_choose(page: Page, index: Path) -> None:
    sources = {image["src"] for image in page.named("img")}
    assert sources
    for source in sources:
        assert source is not None
        assert re.fullmatch(r"images/[0-9a-f]{24}\.jpg", source)
        assert (index.parent / source).is_file()
    assert len(list((index.parent / "images").iterdir())) == len(sources)


def test_the_hash_of_a_screen_is_shown_by_its_beginning_and_kept_whole_beside_it(page: Page) -> None:
    whole = "0123456789abcdef" * 8
    assert "01234567…" in page.text
    assert [code for code in page.named("code") if code.get("title") == whole]
    assert not [text for text in page.text if whole in text and not text.lstrip().startswith("{")]


def test_a_frame_tells_its_time_once(page: Page) -> None:
    assert not [text for text in page.text if "At 6.0 s" in text and not text.lstrip().startswith("{")]
    assert "6.0 s" in page.text


def test_the_page_is_named_after_the_place_of_the_corpus_and_explains_the_reward(
    page: Page, gallery_corpus: Path
) -> None:
    assert f"{gallery_corpus.parent.name}/{gallery_corpus.name}" in page.text
    text = " ".join(" ".join(page.text).split())
    assert "the share of its claims that measurements support" in text
    titles = [part["title"] or "" for part in page.named("span") if part.get("class") == "part"]
    assert {title.partition(":")[0] for title in titles} == {"format", "anchor", "efficiency"}


def test_the_command_names_the_page_as_a_link(gallery_corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["view", str(gallery_corpus), "--out", str(tmp_path / "a b")])
    assert done.stdout.strip().endswith((tmp_path / "a b" / "index.html").as_uri())


def test_hostile_text_is_only_text(page: Page, index: Path) -> None:
    raw = index.read_text(encoding="utf-8")
    assert page.named("script") == [{}]
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "{{ 7 * 7 }}" in html.unescape(raw)
    assert "\x1b" not in raw
    assert "\u202e" not in raw
    policy = next(m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy


def test_nothing_is_fetched_from_a_network(page: Page) -> None:
    for _, attributes in page.tags:
        for name in ("src", "href", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("images/", "#", "page-", "index.html"))
    assert not page.named("link")


def test_many_rows_become_pages_and_old_pages_go(
    tmp_path: Path, make_corpus: Callable[[Path, Sequence[Triplet]], Corpus], every_row: list[Triplet]
) -> None:
    corpus = make_corpus(tmp_path / "c", every_row)
    manifest = snapshots.latest(corpus)
    assert manifest is not None
    out = tmp_path / "g"
    assert write_gallery(corpus, manifest, out, per_page=2)[1] == 6
    assert sorted(path.name for path in out.glob("*.html")) == ["index.html", "page-2.html", "page-3.html"]
    assert 'href="page-3.html"' in (out / "page-2.html").read_text(encoding="utf-8")
    assert write_gallery(corpus, manifest, out, per_page=2, limit=3)[1] == 3
    assert sorted(path.name for path in out.glob("*.html")) == ["index.html", "page-2.html"]
    assert "3 of 6 rows are shown" in (out / "page-2.html").read_text(encoding="utf-8")
    assert write_gallery(corpus, manifest, out, per_page=6)[1] == 6
    assert sorted(path.name for path in out.glob("*.html")) == ["index.html"]


def test_a_timeline_stays_small_whatever_it_holds(every_row: list[Triplet]) -> None:
    row = next(row for row in every_row if row.task_type == "plugin_task")
    (lane,) = timeline(row.streams[0], row.anchors, []).lanes
    assert lane.count == 1000
    assert len(lane.bars) <= MAX_DRAWN
    assert all(bar.x >= 0 and bar.x + bar.width <= 100.01 for bar in lane.bars)


def test_a_stream_without_duration_still_has_an_axis(every_row: list[Triplet]) -> None:
    stream = every_row[0].streams[0].model_copy(update={"duration": 0.0})
    anchor = FactualAnchor(stream=stream.sha256, t0=0, t1=0, kind="new.kind", expert="e", version="1", confidence=1.0)
    drawn = timeline(stream, [anchor], [0.0])
    assert drawn.ticks[0].x == 0
    assert drawn.lanes[0].group == "other"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1:00.0"), (127.34, "2:07.3"), (3727.3, "1:02:07.3")]
)
def test_moments_read_as_people_write_them(seconds: float, words: str) -> None:
    assert clock(seconds) == words


def test_a_span_of_one_moment_is_a_moment() -> None:
    assert span(1.0, 1.01) == "1.0 s"
    assert span(1.0, 2.0) == "1.0 – 2.0 s"


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page(index: Path, tmp_path: Path, scheme: str) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    picture = tmp_path / "page.png"
    dark = ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", *dark,
         f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", "--window-size=1400,3000",
         index.as_uri()],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape[:2] == (3000, 1400)
    paper = pixels[5, 5].mean()
    assert paper > 200 if scheme == "light" else paper < 60
    assert (np.abs(pixels.astype(int) - pixels[5, 5]).max(axis=2) > 24).mean() > 0.02  # there is something on it
