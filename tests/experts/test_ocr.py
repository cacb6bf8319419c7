"""OCR reads what changed, keeps what stands, and finds the clock."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from drawn_screens import RATE, Film, measure, picture

from experts.ocr import OCR, Line, clock_of
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UsageError
from schemas.geometry import Box
from sources.frame import Pixels

HEAD = (40, 120, "Shopping list")
LIST = (HEAD, (40, 240, "Milk and bread"), (40, 360, "Green apples"), (40, 480, "Coffee beans"))
OTHER = ((40, 200, "Weather today"), (40, 320, "Sunny intervals"), (40, 640, "Wind from the west"))


class RowReader:
    """Finds rows of dark pixels; the text of a row is a digest of its pixels, so that equal rows read equal."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, rgb: Pixels) -> list[Line]:
        self.sizes.append(rgb.shape[0] * rgb.shape[1])
        dark = rgb.max(axis=2) < 120
        rows = np.flatnonzero(dark.any(axis=1))
        lines = []
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 4) + 1) if len(rows) else []:
            part = dark[run[0] : run[-1] + 1]
            columns = np.flatnonzero(part.any(axis=0))
            ink = part[:, columns[0] : columns[-1] + 1]
            text = "row " + hashlib.sha256(ink.tobytes()).hexdigest()[:8]
            lines.append(Line(columns[0], run[0], columns[-1] + 1, run[-1] + 1, text, 0.99))
        return lines[::-1]


@pytest.fixture
def ocr(monkeypatch: pytest.MonkeyPatch) -> OCR:
    # This reader takes no padding for paper: what it is given is what it measures.
    monkeypatch.setattr("experts.ocr._SHORT_SIDE", 1)
    expert = OCR()
    expert.reader = RowReader()
    return expert


def lines(anchors: list[FactualAnchor]) -> list[tuple[float, float, str]]:
    return [(a.t0, a.t1, a.content) for a in anchors if a.kind == AnchorKind.SCREEN_TEXT]


def reads(expert: OCR) -> list[int]:
    assert isinstance(expert.reader, RowReader)
    return expert.reader.sizes


def test_a_still_screen_is_read_once(ocr: OCR) -> None:
    found = lines(measure(ocr, Film([picture(*LIST)] * 20)))
    assert len(reads(ocr)) == 1
    assert [(t0, t1) for t0, t1, _ in found] == [(0.0, 9.5)] * 4


def test_only_what_changed_is_read_and_the_rest_lives_on(ocr: OCR) -> None:
    more = picture(*LIST, (40, 700, "Olive oil"))
    found = lines(measure(ocr, Film([picture(*LIST)] * 4 + [more] * 6)))
    assert len(reads(ocr)) == 2
    assert reads(ocr)[1] < 0.3 * reads(ocr)[0]
    assert sorted((t0, t1) for t0, t1, _ in found) == [(0.0, 4.5)] * 4 + [(2.0, 4.5)]


def test_a_changed_line_ends_and_another_begins(ocr: OCR) -> None:
    changed = (HEAD, (40, 240, "Milk and butter"), *LIST[2:])
    found = lines(measure(ocr, Film([picture(*LIST)] * 4 + [picture(*changed)] * 6)))
    assert len({text for _, _, text in found}) == 5
    assert [(t0, t1) for t0, t1, _ in found if t1 < 4.5] == [(0.0, 1.5)]
    assert [(t0, t1) for t0, t1, _ in found if t0 > 0] == [(2.0, 4.5)]


def test_a_tap_mark_is_no_reason_to_read(ocr: OCR) -> None:
    film = Film([picture(*LIST), picture(*LIST, dots=[(300, 600)])] * 3)
    found = lines(measure(ocr, film))
    assert len(reads(ocr)) == 1
    assert all((t0, t1) == (0.0, 2.5) for t0, t1, _ in found)


def test_a_screen_read_before_costs_nothing_when_it_returns(ocr: OCR) -> None:
    film = Film([picture(*LIST)] * 3 + [picture(*OTHER)] * 3 + [picture(*LIST)] * 3)
    found = lines(measure(ocr, film))
    assert len(reads(ocr)) == 2
    again = {text for t0, _, text in found if t0 == 3.0}
    assert again == {text for t0, _, text in found if t0 == 0.0}


def test_a_screen_seen_for_one_frame_is_read_in_a_short_clip(ocr: OCR) -> None:
    found = lines(measure(ocr, Film([picture(*LIST)] * 3 + [picture(*OTHER)])))
    assert sum(t0 == 1.5 for t0, _, _ in found) == 3


def test_a_screen_that_never_rests_does_not_cost_a_read_each_time(ocr: OCR) -> None:
    film = Film([picture(*LIST, (40, 600 + 7 * (n % 20), f"Frame {n}")) for n in range(120)])
    measure(ocr, film)
    assert len(reads(ocr)) < 40


def test_segment_borders_change_nothing(ocr: OCR) -> None:
    pictures = [picture(*LIST)] * 6 + [picture(*OTHER)] * 6
    assert lines(measure(ocr, Film(pictures))) == lines(measure(ocr, Film(pictures), segments=2.0))


def test_the_order_in_which_the_engine_reads_does_not_matter() -> None:
    class Backwards(RowReader):
        def __call__(self, rgb: Pixels) -> list[Line]:
            return super().__call__(rgb)[::-1]

    film = Film([picture(*LIST)] * 2 + [picture(*OTHER)] * 2)
    one, other = OCR(), OCR()
    one.reader, other.reader = RowReader(), Backwards()
    assert measure(one, film) == measure(other, film)


@pytest.mark.parametrize(
    ("text", "box", "expected"),
    [
        ("1:14", (0.01, 0.0, 0.1, 0.02), ("1:14", 74.0)),
        ("8:36 N", (0.08, 0.045, 0.18, 0.07), ("8:36", 516.0)),
        ("1:05 PM", (0.4, 0.01, 0.5, 0.03), ("1:05 PM", 785.0)),
        ("18:56:32", (0.92, 0.95, 0.98, 0.97), ("18:56:32", 1136.0)),
        ("1:14", (0.4, 0.5, 0.5, 0.52), None),
        ("25:99", (0.01, 0.0, 0.1, 0.02), None),
        ("9:30 train to the station is late", (0.01, 0.0, 0.9, 0.02), None),
        ("12", (0.01, 0.0, 0.1, 0.02), None),
    ],
)
def test_the_clock(text: str, box: tuple[float, float, float, float], expected: tuple[str, float] | None) -> None:
    x0, y0, x1, y1 = box
    assert clock_of(text, Box(x0=x0, y0=y0, x1=x1, y1=y1)) == expected


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(UsageError, match="max_side"):
        OCR(maxside=3)


@pytest.mark.long
def test_rapidocr_reads_what_is_drawn() -> None:
    film = Film([picture((14, 8, "9:41"), *LIST)] * 2 + [picture((14, 8, "9:42"), *OTHER)] * 2)
    first, second = measure(OCR(), film), measure(OCR(), film)
    assert first == second
    read = {a.content for a in first if a.kind == AnchorKind.SCREEN_TEXT}
    assert {"Shopping list", "Milk and bread", "Green apples", "Coffee beans", "Weather today"} <= read
    clocks = [(a.t0, a.content, a.value) for a in first if a.kind == AnchorKind.CLOCK]
    assert clocks == [(0.0, "9:41", 581.0), (1.0, "9:42", 582.0)]


@pytest.mark.long
@pytest.mark.streams
def test_the_words_of_a_real_clip_are_found_with_half_the_reads(streams: Path) -> None:
    from sources.video import VideoRecording

    path = str(streams / "gui" / "fragments_shopping" / "fragment-a.mp4")
    with VideoRecording(path) as recording:
        pictures = [frame.rgb(1600) for frame in recording.frames(0.0, 60.0, RATE, include_end=True)]
    counted, expert = [], OCR()
    reader = expert.reader
    expert.reader = lambda rgb: counted.append(1) or reader(rgb)
    found = measure(expert, Film(pictures))
    assert len(counted) <= 0.6 * len(pictures)
    whole = hits = 0
    for index in (1, 5, 9):
        time = index / RATE
        shown = " ".join(
            a.content for a in found if a.kind == AnchorKind.SCREEN_TEXT and a.t0 - 1e-3 <= time <= a.t1 + 1e-3
        )
        for line in reader(pictures[index]):
            for word in line.text.split():
                if line.confidence >= 0.8 and len(word) >= 3:
                    whole += 1
                    hits += word in shown
    assert hits >= 0.95 * whole


@pytest.mark.long
def test_a_new_line_of_large_type_is_read_whole() -> None:
    """A part of a small frame is enlarged as the frame is: enlarged to the engine's own measure it fell into words."""
    board = picture((20, 40, "Solve 3x + 5 = 20"), size=(640, 360))
    more = picture((20, 40, "Solve 3x + 5 = 20"), (20, 130, "Subtract 5 from both sides"), size=(640, 360))
    found = [text for _, _, text in lines(measure(OCR(), Film([board] * 3 + [more] * 3)))]
    assert "Subtract 5 from both sides" in found
