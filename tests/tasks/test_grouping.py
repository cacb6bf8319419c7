"""Which streams belong together."""

from __future__ import annotations

from schemas.recipe import SourceSpec
from schemas.stream import Domain, Stream
from tasks.asking import bundles


def streams(*uris: str) -> list[Stream]:
    return [
        Stream(
            sha256=f"{place:064x}",
            uri=uri,
            name=uri.rsplit("/", 1)[-1],
            domain=Domain.GUI,
            format="video",
            parts=(),
            tracks=(),
            duration=1.0,
        )
        for place, uri in enumerate(uris)
    ]


FILES = ("/raw/a/s1-x.mp4", "/raw/a/s2-x.mp4", "/raw/b/s1-y.mp4", "/raw/b/other.mp4")


def bundled(how: str | None) -> list[list[str]]:
    source = SourceSpec(uri="/raw", group_by=how)
    return [[stream.name for stream in bundle] for _, bundle in bundles(source, streams(*FILES))]


def test_without_a_word_all_streams_of_a_source_may_be_joined() -> None:
    assert bundled(None) == [["s1-x.mp4", "s2-x.mp4", "s1-y.mp4", "other.mp4"]]
    assert list(bundles(SourceSpec(uri="/raw"), [])) == []


def test_by_folder() -> None:
    assert bundled("folder") == [["s1-x.mp4", "s2-x.mp4"], ["s1-y.mp4", "other.mp4"]]


def test_by_what_a_pattern_catches_and_what_it_does_not_catch_stands_alone() -> None:
    assert bundled(r"/(s\d+)-") == [["s1-x.mp4", "s1-y.mp4"], ["s2-x.mp4"], ["other.mp4"]]
