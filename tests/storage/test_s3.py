"""A corpus on S3: what holds on a disk holds there, whatever the network does. A real endpoint (moto) answers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import CorpusError
from schemas.manifest import Manifest
from schemas.outcome import RunState
from schemas.rows import Written
from schemas.triplet import Triplet
from storage import s3, snapshots
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.location import Location
from storage.maintenance import Policy, maintain
from storage.publish import publish_corpus
from storage.rollback import roll_back
from tests.storage.s3_proxy import Proxy, served

Write = Callable[..., list[Written]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Proxy]:
    pytest.importorskip("moto", reason="needs an S3 endpoint: pip install 'moto[server]'")
    with served() as proxy:
        yield proxy


@pytest.fixture
def proxy(endpoint: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The endpoint as the environment names it. One attempt of boto's, so that those of s3fs are what is tried."""
    import s3fs

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    yield endpoint
    endpoint.faults.clear()
    endpoint.requests.clear()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(proxy: Proxy) -> str:
    import s3fs

    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().call_s3("create_bucket", Bucket=name)
    return name


@pytest.fixture
def place(bucket: str) -> Location:
    return Location.of(f"s3://{bucket}/a folder # ü")


@pytest.fixture
def corpus(bucket: str) -> Corpus:
    return Corpus.open(f"s3://{bucket}/corpora/night # ü", create=True)


def rows_of(corpus: Corpus, manifest: Manifest | None) -> list[str]:
    assert manifest is not None
    assert snapshots.verify_files(corpus, manifest) == []
    return sorted(
        triplet.unit for batch in snapshots.iter_triplets(corpus, manifest, 10) for triplet in Triplet.from_table(batch)
    )


# What a location is


def test_what_is_written_is_read_back_listed_and_removed(place: Location) -> None:
    place.create("a/b.bin", b"one")
    place.replace("a/b.bin", b"three")
    assert (place.read_bytes("a/b.bin"), place.size("a/b.bin"), place.names("a")) == (b"three", 5, ["b.bin"])
    assert [(file.path, file.size) for file in place.files("a")] == [("a/b.bin", 5)]
    modified = place.modified("a/b.bin")  # a listing has fractions of seconds, a question for one object has not
    assert modified is not None
    assert abs(modified - place.files("a")[0].modified) < timedelta(seconds=2)
    assert Location.of(place.uri("a")).read_bytes("b.bin") == b"three"
    place.remove("a/b.bin")
    assert (place.size("a/b.bin"), place.names("a"), place.modified("a/b.bin")) == (None, [], None)


def test_of_many_writers_one_creates_the_object(place: Location) -> None:
    def create(number: int) -> bool:
        try:
            place.create("manifest.json", str(number).encode())
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(16)))
    assert sum(won) == 1
    assert place.read_bytes("manifest.json") == str(won.index(True)).encode()


def test_what_another_process_writes_is_seen_at_once(place: Location) -> None:
    assert place.names("snapshots") == []
    other = Location(type(place.fs)(skip_instance_cache=True), place.root)
    other.create("snapshots/000001.json", b"1")
    assert place.names("snapshots") == ["000001.json"]
    other.create("snapshots/000002.json", b"2")
    assert place.exists("snapshots/000002.json")
    assert place.names("snapshots") == ["000001.json", "000002.json"]


@pytest.mark.parametrize("create", [True, False])
def test_large_files_go_up_in_parts(place: Location, proxy: Proxy, create: bool) -> None:
    data = os.urandom(3 * s3.PART)
    (place.create if create else place.replace)("large.bin", data)
    parts = [target for method, target in proxy.requests if method == "PUT" and "partNumber=" in target]
    assert len(parts) == 3
    assert place.read_bytes("large.bin") == data
    if create:
        with pytest.raises(FileExistsError):
            place.create("large.bin", os.urandom(3 * s3.PART))
        assert place.read_bytes("large.bin") == data
    assert list(s3.open_uploads(place.fs, place.root)) == []


# Faults


@pytest.mark.parametrize("kind", ["slow down", "reset", "lose", "delay"])
def test_a_fault_that_passes_is_not_noticed(place: Location, proxy: Proxy, kind: str) -> None:
    faults = [proxy.inject(kind, "PUT", "created", times=2), proxy.inject(kind, "PUT", "replaced", times=2)]
    place.create("created", b"created" * 9999)
    place.replace("replaced", b"replaced" * 9999)
    faults.append(proxy.inject(kind, "GET", "created", times=2))
    assert place.read_bytes("created") == b"created" * 9999
    assert place.read_bytes("replaced") == b"replaced" * 9999
    assert [fault.hit for fault in faults] == ([1, 1, 1] if kind == "delay" else [2, 2, 2])
    with pytest.raises(FileExistsError):
        place.create("created", b"by another")


def test_a_reset_in_the_middle_of_a_large_upload_repeats_only_the_part(place: Location, proxy: Proxy) -> None:
    data = os.urandom(3 * s3.PART)
    fault = proxy.inject("reset", "PUT", "partNumber=2", times=2)
    place.replace("large.bin", data)
    sent = [target for method, target in proxy.requests if method == "PUT" and "partNumber=" in target]
    assert (fault.hit, len(sent)) == (2, 5)
    assert place.read_bytes("large.bin") == data


@pytest.mark.parametrize(("kind", "says"), [("slow down", "S3 answered SlowDown"), ("reset", "cannot be written")])
def test_a_fault_that_lasts_is_a_clear_error_and_leaves_nothing(
    place: Location, proxy: Proxy, kind: str, says: str
) -> None:
    proxy.inject(kind, "PUT", "large.bin", times=999)
    with pytest.raises(CorpusError, match=says) as raised:
        place.replace("large.bin", os.urandom(3 * s3.PART))
    problem = raised.value.problem
    assert problem.input == place.uri("large.bin")
    assert "nothing that was committed is lost" in problem.remedy
    proxy.faults.clear()
    assert place.size("large.bin") is None
    assert list(s3.open_uploads(place.fs, place.root)) == []


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_a_machine_whose_clock_is_wrong_is_told_to_set_it(place: Location, proxy: Proxy, method: str) -> None:
    place.replace("there", b"there")
    proxy.inject("skewed", method, "there", times=999)
    ask: dict[str, Callable[[], object]] = {
        "PUT": lambda: place.create("there", b"more"),
        "GET": lambda: place.read_bytes("there"),
        "HEAD": lambda: place.exists("there"),
    }
    with pytest.raises(CorpusError) as raised:
        ask[method]()
    assert "clock of this machine" in raised.value.problem.remedy
    if method != "HEAD":
        assert "RequestTimeTooSkewed" in raised.value.problem.cause


def test_a_read_that_keeps_failing_is_no_missing_file(place: Location, proxy: Proxy) -> None:
    place.replace("there", b"there")
    proxy.inject("reset", "HEAD", "there", times=999)
    for ask in (place.exists, place.size, place.modified):
        with pytest.raises(CorpusError, match="cannot be read"):
            ask("there")


def test_publishing_through_faults_loses_and_doubles_nothing(
    corpus: Corpus, catalog: Catalog, proxy: Proxy, write: Write, make: Any
) -> None:
    for kind in ("slow down", "reset", "lose"):
        proxy.inject(kind, "PUT", "/data/", times=2)
        proxy.inject(kind, "PUT", "/snapshots/", times=1)
        proxy.inject(kind, "GET", "/snapshots/", times=1)
    catalog.commit("run-1", write(make.done("a"), make.done("b")))
    first = publish_corpus(corpus, catalog, "run-1", "0")
    assert first is not None
    assert first.number == 1
    for kind in ("reset", "lose", "slow down"):
        proxy.inject(kind, "PUT", "/snapshots/", times=1)
    catalog.commit("run-1", write(make.done("c")))
    second = publish_corpus(corpus, catalog, "run-1", "0")
    assert second is not None
    assert all(fault.hit for fault in proxy.faults)
    assert rows_of(corpus, second) == sorted(make.sha(name) for name in "abc")
    assert snapshots.numbers(corpus) == [1, 2]
    assert publish_corpus(corpus, catalog, "run-1", "0") is None


def test_a_store_that_stays_away_fails_the_build_and_the_next_one_goes_on(
    corpus: Corpus, catalog: Catalog, proxy: Proxy, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a")))
    proxy.inject("slow down", "PUT", "/snapshots/", times=999)
    with pytest.raises(CorpusError, match="SlowDown"):
        publish_corpus(corpus, catalog, "run-1", "0")
    proxy.faults.clear()
    manifest = publish_corpus(corpus, catalog, "run-1", "0")
    assert rows_of(corpus, manifest) == [make.sha("a")]


def test_a_manifest_whose_answer_never_comes_is_published_once(
    corpus: Corpus, catalog: Catalog, proxy: Proxy, write: Write, make: Any
) -> None:
    catalog.commit("run-1", write(make.done("a")))
    proxy.inject("lose", "PUT", "/snapshots/", times=999)
    with pytest.raises(CorpusError):
        publish_corpus(corpus, catalog, "run-1", "0")
    proxy.faults.clear()
    assert publish_corpus(corpus, catalog, "run-1", "0") is None
    assert [record.number for record in catalog.snapshots()] == snapshots.numbers(corpus) == [1]


# Cost


@pytest.mark.long
def test_a_night_with_nothing_new_asks_as_little_of_a_thousand_shards_as_of_three(
    corpus: Corpus, catalog: Catalog, proxy: Proxy, write: Write, make: Any
) -> None:
    def night() -> list[tuple[str, str]]:
        proxy.requests.clear()
        opened = Corpus.open(corpus.uri)
        assert publish_corpus(opened, catalog, "run-1", "0") is None
        return [(method, target.partition("?")[2] and "listing") for method, target in proxy.requests]

    shards = 0
    asked = []
    for wanted in (3, 1000):
        for number in range(shards, wanted):
            catalog.commit("run-1", write(make.done(str(number))))
        shards = wanted
        manifest = publish_corpus(corpus, catalog, "run-1", "0")
        assert manifest is not None
        assert len(manifest.shards) == wanted
        asked.append(night())
    assert len(asked[0]) == len(asked[1]) <= 12
    listed = [target for _, target in proxy.requests if "list-type" in target]
    assert listed
    assert all("snapshots" in target for target in listed)


def test_a_commit_asks_for_one_request_a_shard(
    corpus: Corpus, catalog: Catalog, proxy: Proxy, write: Write, make: Any
) -> None:
    proxy.requests.clear()
    write(make.done("a"))
    assert [method for method, _ in proxy.requests] == ["PUT"]


# Several processes


PROCESS = """
import sys
from pathlib import Path
from conftest import Make
from schemas.rows import RESULT_SCHEMA, Result, Written
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.publish import publish_corpus
from storage.write import WriteTriplets

uri, url, name = sys.argv[1:]
corpus = Corpus.open(uri)
with Catalog.open(url, corpus) as catalog:
    catalog.begin_run(name, "recipe", Make.sha("recipe"), "{}")
    for night in range(4):
        rows = [Make.done(f"{name} {night} {part}") for part in range(3)]
        catalog.commit(name, Written.from_table(WriteTriplets(uri)(Result.to_table(rows, RESULT_SCHEMA))))
        publish_corpus(corpus, catalog, name, "0")
"""


@pytest.mark.long
def test_two_processes_publish_into_one_corpus_and_readers_see_whole_snapshots_only(
    corpus: Corpus, tmp_path: Path, make: Any
) -> None:
    url = f"sqlite:///{tmp_path}/catalog.db"
    with Catalog.open(url, corpus):
        pass
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests' / 'storage'}"}
    builders = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, corpus.uri, url, name], env=environment, stderr=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    seen: dict[int, list[str]] = {}
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            manifest = snapshots.latest(Corpus.open(corpus.uri))
            if manifest is not None and manifest.number not in seen:
                seen[manifest.number] = rows_of(corpus, manifest)
                assert len(seen[manifest.number]) == manifest.statistics.rows

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        said = [builder.communicate(timeout=300)[1].decode() for builder in builders]
        over.set()
        reading.result()
    assert [builder.returncode for builder in builders] == [0, 0], said
    last = snapshots.latest(corpus)
    wanted = sorted(
        make.sha(f"{name} {night} {part}") for name in ("one", "two") for night in range(4) for part in "012"
    )
    assert rows_of(corpus, last) == wanted
    numbers = snapshots.numbers(corpus)
    assert numbers == list(range(1, len(numbers) + 1))
    for number in numbers:
        manifest = snapshots.load(corpus, number)
        assert manifest.statistics.rows == len(rows_of(corpus, manifest))
    with Catalog.open(url, corpus) as catalog:
        assert [record.number for record in catalog.snapshots()] == numbers
        assert publish_corpus(corpus, catalog, "three", "0") is None
    assert seen


# Maintenance


def test_maintenance_and_rollback_work_there(
    corpus: Corpus, catalog: Catalog, proxy: Proxy, write: Write, make: Any
) -> None:
    catalog.end_run("run-1", RunState.COMPLETED)
    for night in range(3):
        catalog.commit("run-1", write(make.done(f"night {night}")))
        publish_corpus(corpus, catalog, "run-1", "0")
    (left,) = write(make.done("never committed"))
    upload = corpus.location.fs.call_s3(
        "create_multipart_upload",
        Bucket=corpus.location.root.partition("/")[0],
        Key=f"{corpus.location.root.partition('/')[2]}/data/unended.parquet",
    )
    elsewhere = corpus.location.fs.call_s3(
        "create_multipart_upload", Bucket=corpus.location.root.partition("/")[0], Key="somebody/else"
    )
    done = maintain(corpus, catalog, "0", Policy(keep=9, days=0.0, grace=timedelta(0), fewest=2))
    assert (done.compacted.before, done.published, done.orphans) == (3, 4, 2)
    assert corpus.location.size(left.shard or "") is None
    open_ = corpus.location.fs.call_s3("list_multipart_uploads", Bucket=corpus.location.root.partition("/")[0])
    assert [one["UploadId"] for one in open_["Uploads"]] == [elsewhere["UploadId"]] != [upload["UploadId"]]
    before = rows_of(corpus, snapshots.load(corpus, 2))
    roll_back(corpus, catalog, 2, "0")
    assert rows_of(corpus, snapshots.latest(corpus)) == before
    done = maintain(corpus, catalog, "0", Policy(keep=1, days=0.0, grace=timedelta(0), fewest=2))
    assert done.expired[:4] == (1, 2, 3, 4)
    assert rows_of(corpus, snapshots.latest(corpus)) == before


# Credentials


ASK = "import sys; from storage.location import Location; print(Location.of(sys.argv[1]).names('a'))"


def ask(uri: str, tmp_path: Path, **environment: str) -> str:
    """What a fresh process with this environment finds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    config = {"AWS_CONFIG_FILE": f"{tmp_path}/config", "AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/credentials"}
    away = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, uri],
        env={**kept, **config, **away, **environment},
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_credentials_and_endpoint_may_stand_in_a_profile(place: Location, proxy: Proxy, tmp_path: Path) -> None:
    place.create("a/b", b"")
    (tmp_path / "config").write_text(f"[profile nights]\nregion = us-east-1\nendpoint_url = {proxy.url}\n")
    (tmp_path / "credentials").write_text("[nights]\naws_access_key_id = test\naws_secret_access_key = test\n")
    assert ask(place.uri(), tmp_path, AWS_PROFILE="nights") == "['b']"


def test_what_is_missing_is_named(place: Location, proxy: Proxy, tmp_path: Path) -> None:
    there = {"AWS_ENDPOINT_URL": proxy.url, "AWS_DEFAULT_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    nobody = ask(place.uri(), tmp_path, **there)
    assert "credentials" in nobody
    assert "AWS_PROFILE" in nobody
    away = ask(place.uri(), tmp_path, **{**there, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, **keys)
    assert "AWS_ENDPOINT_URL" in away
    unknown = ask(place.uri(), tmp_path, **there, AWS_PROFILE="nobody")
    assert "profile" in unknown


def test_a_bucket_that_is_not_there_is_named(proxy: Proxy) -> None:
    with pytest.raises(CorpusError, match=r"NoSuchBucket.*Make the bucket"):
        Corpus.open("s3://no-such-bucket-anywhere/corpus", create=True)
