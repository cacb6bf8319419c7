"""Sets drawn from a real corpus: what is in them, that they are the same again, and that they stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmark.val.draw import make
from benchmark.val.fuzzy import OPENINGS
from benchmark.val.store import CARD, MANIFEST, Val, open_val
from schemas.errors import CorpusError, UsageError
from schemas.stream import Domain
from schemas.triplet import Split, Triplet
from schemas.val import Subset
from storage import snapshots
from storage.corpus import Corpus
from storage.location import Location
from synthesis.verification.verify import passes, score_output, verify_row
from tests.benchmark.val.conftest import build
from tests.dataclaw.conftest import fault_recovery, temporal_qa, tutorial, write_corpus

pytestmark = pytest.mark.long


def draw(corpus: Corpus, out: Path, seed: int = 1, **given: int) -> tuple[str, ...]:
    manifest = snapshots.latest(corpus)
    assert manifest is not None
    sizes = {"size": 12, "fuzzy": 8} | given
    return make(corpus, manifest, Location.of(out), seed=seed, version="1", **sizes).lacks


def test_all_domains_have_their_share_and_every_row_proves_itself(val: Val) -> None:
    assert {row.domain for row in val.clear} == set(Domain)
    assert len(val.clear) == 12
    assert len({row.id for row in val.clear}) == 12
    assert all(row.split is Split.VALIDATION for row in val.clear)
    assert [problem for row in val.clear for problem in verify_row(row)] == []
    embodied = [row.task_type for row in val.clear if row.domain is Domain.EMBODIED]
    assert sorted(set(embodied)) == ["fault_recovery", "world_model"]


def test_every_acceptable_reading_of_a_request_has_an_output_that_verifies(val: Val) -> None:
    assert len(val.fuzzy) == 8
    drawn = {stream.sha256 for row in val.clear for stream in row.streams}
    wordings = {wording: opening for opening in OPENINGS for wording in opening.wordings}
    for request in val.fuzzy:
        opening = wordings[request.readings[0].intent.text]
        assert len(request.readings) >= (1 if opening.task_types is None else 2)
        assert opening.task_types is None or request.task_types <= opening.task_types
        assert {stream.sha256 for row in request.readings for stream in row.streams} <= drawn
        assert len({(row.anchors, row.evidence, row.intent) for row in request.readings}) == 1
        for row in request.readings:
            assert row.id == row.content_id()
            assert passes(score_output(row.output, row.spec, row.streams, row.anchors))
            assert row.split is Split.VALIDATION


def test_the_same_draw_is_the_same_byte_for_byte_and_another_seed_words_requests_otherwise(
    corpus: Corpus, val: Val, tmp_path: Path
) -> None:
    draw(corpus, tmp_path / "again")
    files = ("clear.parquet", "fuzzy.parquet", MANIFEST, CARD)
    first = Path(val.location.root)
    assert [name for name in files if (tmp_path / "again" / name).read_bytes() != (first / name).read_bytes()] == []
    draw(corpus, tmp_path / "other", seed=2)
    assert open_val(str(tmp_path / "other")).manifest.digest != val.manifest.digest


def test_a_corpus_that_is_built_anew_elsewhere_gives_the_same_digest(sample_streams: Path, tmp_path: Path) -> None:
    asked = {"aigc/drawings.npz": ("Drawing sequences that show each picture stroke by stroke",)}
    moved = tmp_path / "moved" / "aigc" / "drawings.npz"
    moved.parent.mkdir(parents=True)
    moved.write_bytes((sample_streams / "aigc" / "drawings.npz").read_bytes())
    for name, streams in (("one", sample_streams), ("two", tmp_path / "moved")):
        draw(build(tmp_path / name, streams, asked), tmp_path / f"{name}-val")
    one, two = (open_val(str(tmp_path / f"{name}-val")) for name in ("one", "two"))
    assert one.manifest.digest == two.manifest.digest
    assert len(one.clear) > 1


def test_no_path_of_the_machine_is_in_it(val: Val, sample_streams: Path) -> None:
    rows = [*val.clear, *(row for request in val.fuzzy for row in request.readings)]
    assert not [row.id for row in rows if str(sample_streams.parent) in row.model_dump_json(exclude={"evidence"})]
    card = (Path(val.location.root) / CARD).read_text()
    assert card.startswith("---\npretty_name: dataclaw-val 1\n")
    assert val.manifest.digest in card


def test_datasets_reads_it_with_its_pictures(val: Val) -> None:
    import datasets

    rows = datasets.load_dataset("parquet", data_files=f"{val.location.root}/clear.parquet", split="train")
    assert rows.num_rows == 12
    assert next(row for row in rows if row["evidence"])["evidence"][0]["image"].width > 0


def test_what_is_asked_for_and_not_there_is_said(corpus: Corpus, tmp_path: Path) -> None:
    lacks = draw(corpus, tmp_path / "val", size=500, fuzzy=0)
    assert len(lacks) == 1
    assert "clear examples where 500 were asked for" in lacks[0]
    assert lacks[0] in (tmp_path / "val" / CARD).read_text()


def side(row: Triplet, split: Split) -> Triplet:
    return row.model_copy(update={"split": split})


def test_a_corpus_without_validation_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no row for validation"):
        draw(write_corpus(tmp_path / "c", [side(tutorial(), Split.TRAIN)]), tmp_path / "val")
    assert not (tmp_path / "val").exists()


def test_a_validation_row_over_a_stream_of_training_is_refused(tmp_path: Path) -> None:
    kept = tutorial()
    leaked = side(temporal_qa().model_copy(update={"streams": kept.streams}), Split.VALIDATION)
    rows = [side(kept, Split.TRAIN), leaked, side(fault_recovery(), Split.VALIDATION)]
    with pytest.raises(CorpusError, match="1 validation rows share a stream with training"):
        draw(write_corpus(tmp_path / "c", rows), tmp_path / "val")
    assert not (tmp_path / "val").exists()


def test_a_set_is_never_written_over(corpus: Corpus, val: Val) -> None:
    before = (Path(val.location.root) / MANIFEST).read_bytes()
    with pytest.raises(UsageError, match="it is frozen"):
        draw(corpus, Path(val.location.root), seed=5)
    assert (Path(val.location.root) / MANIFEST).read_bytes() == before


@pytest.fixture
def copy(val: Val, tmp_path: Path) -> Path:
    for file in Path(val.location.root).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", [f"{subset}.parquet" for subset in Subset])
def test_a_changed_byte_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(CorpusError, match="not those that were published"):
        open_val(str(copy))


def test_a_manifest_that_was_made_to_fit_other_rows_is_refused(copy: Path, val: Val) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"]["clear"] = {**manifest["files"]["fuzzy"]}
    (copy / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CorpusError, match="its digest is not that of its rows"):
        open_val(str(copy))


def test_what_is_no_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no set here"):
        open_val(str(tmp_path))
