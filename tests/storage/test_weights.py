"""Files of models: stored by content, fetched once and checked, on a disk, in memory and on S3."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.errors import CorpusError, UsageError
from storage.location import Location
from storage.weights import describe, faults, fetch, is_stored, remove, store
from tests.storage.made_models import BASE, adapter_folder
from tests.storage.s3_proxy import Proxy, served


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Proxy]:
    pytest.importorskip("moto", reason="needs an S3 endpoint: pip install 'moto[server]'")
    with served() as proxy:
        yield proxy


@pytest.fixture
def bucket(endpoint: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().call_s3("create_bucket", Bucket=name)
    endpoint.requests.clear()
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location.of(tmp_path / "my models # ü")
    place = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else request.getfixturevalue("bucket")
    return Location.of(f"{place}/models")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dataclaw" / "models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return adapter_folder(tmp_path / "trained")


def test_what_is_stored_is_what_a_model_is_loaded_from(folder: Path, root: Location) -> None:
    weights, place = store(folder, BASE, root, "tailor")
    assert [file.path for file in weights.files] == ["adapter_config.json", "adapter_model.safetensors"]
    assert weights.is_adapter
    assert place.names() == ["adapter_config.json", "adapter_model.safetensors", "weights.json"]
    assert is_stored(place, weights)
    assert faults(place, weights) == []
    loaded = fetch(place, weights.digest)
    assert (loaded / "adapter_model.safetensors").read_bytes() == (folder / "adapter_model.safetensors").read_bytes()


def test_what_is_there_is_not_stored_again_and_what_is_missing_is(folder: Path, root: Location) -> None:
    weights, place = store(folder, BASE, root, "tailor")
    written = place.modified("adapter_model.safetensors")
    place.remove("adapter_config.json")
    assert not is_stored(place, weights)
    assert store(folder, BASE, root, "tailor") == (weights, place)
    assert is_stored(place, weights)
    assert place.modified("adapter_model.safetensors") == written


def test_other_weights_and_another_base_are_another_model(folder: Path, root: Location) -> None:
    first, _ = store(folder, BASE, root, "tailor")
    other_base = store(folder, BASE.model_copy(update={"fingerprint": "commit-2"}), root, "tailor")[0]
    assert first.digest != other_base.digest
    assert store(adapter_folder(folder, seed=1), BASE, root, "tailor")[0].digest != first.digest
    assert fetch(root.join(f"tailor/{first.digest}"), first.digest), "the first is still there"


def test_a_changed_byte_and_a_missing_file_are_found(folder: Path, root: Location) -> None:
    weights, place = store(folder, BASE, root, "tailor")
    place.replace("adapter_model.safetensors", bytes([1]) * 1000)
    assert faults(place, weights) == ["adapter_model.safetensors does not have its checksum"]
    place.replace("adapter_model.safetensors", b"short")
    assert faults(place, weights) == ["adapter_model.safetensors has 5 bytes, not 1000"]
    place.remove("adapter_model.safetensors")
    place.replace("weights.json", b"{}")
    assert faults(place, weights) == [
        "weights.json is missing or not what was registered", "adapter_model.safetensors is missing",
    ]  # fmt: skip


def test_broken_files_are_not_loaded(folder: Path, root: Location, cache: Path) -> None:
    weights, place = store(folder, BASE, root, "tailor")
    place.replace("adapter_model.safetensors", bytes([1]) * 999)
    with pytest.raises(CorpusError, match=r"adapter_model\.safetensors"):
        fetch(place, weights.digest)
    assert not (cache / weights.digest).exists(), "nothing half fetched is taken for a model later"
    place.remove("weights.json")
    with pytest.raises(CorpusError, match="not what was registered"):
        fetch(place, weights.digest)


def test_many_workers_of_a_machine_fetch_a_model_once(folder: Path, bucket: str, endpoint: Proxy, cache: Path) -> None:
    weights, place = store(folder, BASE, Location.of(f"{bucket}/models"), "tailor")
    endpoint.requests.clear()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: fetch(place, weights.digest), range(4))) == {cache / weights.digest}
    read = [target for method, target in endpoint.requests if method == "GET" and "adapter_model" in target]
    assert len(read) == 1


def test_a_large_file_goes_up_in_parts(tmp_path: Path, bucket: str, endpoint: Proxy) -> None:
    folder = adapter_folder(tmp_path / "large", size=40 << 20)
    weights, place = store(folder, BASE, Location.of(f"{bucket}/models"), "tailor")
    assert len([target for method, target in endpoint.requests if "partNumber=" in target]) >= 2
    assert faults(place, weights) == []


def test_removed_files_are_gone(folder: Path, root: Location) -> None:
    weights, place = store(folder, BASE, root, "tailor")
    remove(place, weights)
    assert place.names() == []


@pytest.mark.parametrize("leave", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_a_model_is_refused(folder: Path, leave: str) -> None:
    (folder / leave).unlink()
    with pytest.raises(UsageError, match="holds no model"):
        describe(folder)
