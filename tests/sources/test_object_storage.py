"""Raw streams that lie on S3 are the same streams as on a disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from schemas.errors import Problem
from schemas.recipe import SourceSpec
from schemas.stream import Stream
from sources import discovery
from sources.identity import hash_parts
from sources.samples import make_samples
from tests.storage.s3_proxy import served

pytestmark = pytest.mark.long
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "streams"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder)
    return folder


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket, at the endpoint that the environment names."""
    s3fs = pytest.importorskip("s3fs")
    pytest.importorskip("moto", reason="needs an S3 endpoint: pip install 'moto[server]'")
    with served() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", endpoint.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().call_s3("create_bucket", Bucket="raw")
        yield "s3://raw"
        s3fs.S3FileSystem.clear_instance_cache()


def found(place: str) -> dict[str, Stream | Problem]:
    """The first that is found at a place, by name. (A file of a thousand drawings would be hashed a thousand times.)"""
    streams: dict[str, Stream | Problem] = {}
    for one in islice(discovery.discover(SourceSpec(uri=place)), 20):
        if isinstance(one, Problem):
            streams[one.input.removeprefix(place)] = one
        else:
            streams[one.name] = discovery.probe(one, hash_parts(one, {}), None, 10**9)
    return streams


def content(stream: Stream) -> list[object]:
    """What the readers of a stream give: its first pictures and all of its side tracks."""
    with discovery.open_recording(stream) as recording:
        frames = [
            (frame.time, frame.rgb().tobytes()) for frame in recording.frames(0.0, min(stream.duration, 2.0), 2.0)
        ]
        signals = recording.signals()
        moved = None if signals is None else [signals.times.tolist(), repr(signals.state), repr(signals.action)]
        strokes = [stroke.points.tolist() for stroke in recording.strokes()]
        return [frames, recording.cues(), recording.texts(), recording.events(), moved, strokes]


@pytest.mark.parametrize("domain", ["aigc", "daily_life", "education", "embodied", "gui"])
def test_the_samples_of_a_domain(samples: Path, bucket: str, domain: str) -> None:
    same_there_and_here(samples / domain, bucket)


@pytest.mark.streams
@pytest.mark.parametrize("folder", sorted(path.name for path in RECORDINGS.glob("*") if path.is_dir()))
def test_the_recordings_of_a_domain(bucket: str, folder: str) -> None:
    same_there_and_here(RECORDINGS / folder, bucket)


def same_there_and_here(folder: Path, bucket: str) -> None:
    import s3fs

    there = f"{bucket}/{folder.name}"
    s3fs.S3FileSystem().put(str(folder), there, recursive=True)
    try:
        remote, local = found(there), found(str(folder))
        assert remote.keys() == local.keys()
        for name, stream in local.items():
            twin = remote[name]
            if isinstance(stream, Problem) or isinstance(twin, Problem):
                assert type(stream) is type(twin), (stream, twin)
            else:
                assert twin.uri.startswith(there)
                assert (twin.sha256, twin.tracks, twin.notes) == (stream.sha256, stream.tracks, stream.notes)
                assert content(twin) == content(stream), name
    finally:
        s3fs.S3FileSystem().rm(there, recursive=True)
