"""An export appears whole or not at all, on a disk and on object storage, whenever its process dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.manifest import Manifest
from storage.corpus import Corpus
from storage.location import Location
from tests.storage.s3_proxy import served
from training.export.contracts import Export, Options
from training.export.run import export_corpus
from training.export.target import MANIFEST, Target

DIES = """
import os, signal, sys
from storage import snapshots
from storage.corpus import Corpus
from storage.location import Location
from training.export.contracts import Options
from training.export.run import export_corpus

corpus = Corpus.open(sys.argv[1])
advance = lambda done: os.kill(os.getpid(), signal.SIGKILL)
export_corpus(corpus, snapshots.load(corpus, 1), Location.of(sys.argv[2]), Options(format="sharegpt"), advance, shard=1)
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with served() as proxy:
        yield proxy.url


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.long)])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Location]:
    """Where an export goes."""
    if request.param == "disk":
        yield Location.of(tmp_path / "exports" / "trl # ü")
        return
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("endpoint"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().call_s3("create_bucket", Bucket=bucket)
    yield Location.of(f"s3://{bucket}/exports/trl # ü")
    s3fs.S3FileSystem.clear_instance_cache()


def whole(place: Location) -> Export:
    """What export.json says, after a look that all of it, and nothing else, is there."""
    done = Export.model_validate_json(place.read_bytes(MANIFEST))
    there = {path.removeprefix(f"{place.root}/") for path in place.fs.find(place.root)}
    pictures = {path for path in there if path.startswith("images/")}
    shards = {shard.path for part in done.splits.values() for shard in part.shards}
    assert there - pictures == shards | set(done.files) | {MANIFEST}
    assert not place.fs.exists(f"{place.root}.partial")
    return done


def killed(corpus: Corpus, place: Location) -> None:
    """An export whose process dies when it has written shards."""
    died = subprocess.run([sys.executable, "-c", DIES, corpus.uri, place.uri()], cwd=Path(__file__).parents[3])
    assert died.returncode == -signal.SIGKILL
    assert place.fs.find(f"{place.root}.partial"), "it was under way"


@pytest.mark.long
def test_an_export_that_is_killed_is_none_and_leaves_the_earlier_one(
    corpus: Corpus, manifest: Manifest, place: Location
) -> None:
    killed(corpus, place)
    assert not place.exists()
    earlier = export_corpus(corpus, manifest, place, Options(format="trl"))
    assert whole(place) == earlier
    killed(corpus, place)
    assert Export.model_validate_json(place.read_bytes(MANIFEST)) == earlier
    later = export_corpus(corpus, manifest, place, Options(format="webdataset"))
    assert whole(place) == later


@pytest.mark.parametrize("place", [pytest.param("s3", marks=pytest.mark.long)], indirect=True)
def test_one_that_dies_while_it_is_copied_to_its_place_is_none(
    corpus: Corpus, manifest: Manifest, place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_corpus(corpus, manifest, place, Options(format="hf"))
    copy, left = place.fs.copy, 1

    def dies(*arguments: object) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        copy(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place.fs, "copy", dies)
        with pytest.raises(KeyboardInterrupt):
            export_corpus(corpus, manifest, place, Options(format="trl"))
    assert len(place.fs.find(place.root)) == 1
    assert not place.exists(MANIFEST)
    done = export_corpus(corpus, manifest, place, Options(format="trl"))
    assert whole(place) == done


def test_what_is_no_export_is_never_replaced(corpus: Corpus, manifest: Manifest, place: Location) -> None:
    place.replace("thesis.txt", b"years of work")
    with pytest.raises(UsageError, match="something that is no export"):
        export_corpus(corpus, manifest, place, Options(format="trl"))
    assert place.read_bytes("thesis.txt") == b"years of work"


def test_a_corpus_is_no_place_for_an_export(corpus: Corpus, manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="something that is no export"):
        export_corpus(corpus, manifest, corpus.location, Options(format="trl"))


def test_a_file_is_no_place_for_an_export(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="something that is no export"):
        Target(Location.of(tmp_path / "file"))


def test_an_empty_folder_is_one(corpus: Corpus, manifest: Manifest, tmp_path: Path) -> None:
    done = export_corpus(corpus, manifest, Location.of(tmp_path), Options(format="trl"))
    assert json.loads((tmp_path / MANIFEST).read_text())["snapshot"] == done.snapshot


def test_a_bucket_is_no_folder() -> None:
    with pytest.raises(UsageError, match="whole bucket"):
        Target(Location.of("s3://bucket"))
