"""What contracts refuse, and what their identities depend on."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.anchor import FactualAnchor
from schemas.base import canonical_json, digest
from schemas.errors import CorpusError, UsageError, unknown_name
from schemas.geometry import Box, Point
from schemas.manifest import Shard, inside
from schemas.recipe import (
    Deduplication,
    ExpertSpec,
    Placement,
    Recipe,
    RewardSpec,
    RewardWeights,
    Sampling,
    SourceSpec,
    Splitting,
    Synthesis,
)
from schemas.segment import Segment, cut_segments
from schemas.stream import Domain, Stream

SHA = "ab" * 32
ANYWHERE = st.floats(-2, 3)
UNIT = st.floats(0, 1)


def recipe(**fields: Any) -> Recipe:
    given_fields = {"name": "r", "corpus": "out", "sources": (SourceSpec(uri="in"),), "intents": ("make",), **fields}
    return Recipe(**given_fields)


def stream(duration: float) -> Stream:
    return Stream(
        sha256=SHA, uri="a", name="a", domain=Domain.GUI, format="video", parts=(), tracks=(), duration=duration
    )


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"name": "other"},
        {"corpus": "s3://bucket/other"},
        {"sources": (SourceSpec(uri="elsewhere", domain=Domain.GUI, intents=("another",)),)},
        {"intents": ("another", "and one more")},
        {"deduplicate": Deduplication(similarity=0.5), "split": Splitting(validation_share=0.5)},
        {"placement": Placement(extract_workers=7, rows_per_shard=3, catalog="postgresql://x", ray_address="ray://y")},
    ],
)
def test_the_recipe_hash_depends_neither_on_what_is_read_nor_on_where_it_runs(elsewhere: dict[str, Any]) -> None:
    assert recipe(**elsewhere).hash == recipe().hash


@pytest.mark.parametrize(
    "other",
    [
        {"sampling": Sampling(frame_rate=3)},
        {"experts": (ExpertSpec(name="ocr"),)},
        {"synthesis": Synthesis(max_repairs=1)},
        {"reward": RewardSpec(weights=RewardWeights(format=0.2, anchor=0.7, efficiency=0.1))},
    ],
)
def test_the_recipe_hash_depends_on_all_that_a_result_depends_on(other: dict[str, Any]) -> None:
    assert recipe(**other).hash != recipe().hash


def test_a_recipe_without_intent_or_with_a_typing_error_is_refused() -> None:
    with pytest.raises(ValidationError, match="no intent"):
        recipe(intents=())
    with pytest.raises(ValidationError, match="plaecment"):
        recipe(plaecment={})
    with pytest.raises(ValidationError, match="sum to 1"):
        RewardWeights(format=0.5, anchor=0.6, efficiency=0.1)
    with pytest.raises(ValidationError):
        recipe(intents=("  \n",))


@given(ANYWHERE, ANYWHERE, ANYWHERE, ANYWHERE)
def test_a_clipped_rectangle_is_a_box_inside_the_frame(x0: float, y0: float, x1: float, y1: float) -> None:
    box = Box.clipped(x0, y0, x1, y1)
    assert box.contains(box.centre)
    assert 0 <= box.area <= 1
    assert box.iou(box) in (0.0, 1.0)


@given(st.tuples(UNIT, UNIT, UNIT, UNIT), st.tuples(UNIT, UNIT, UNIT, UNIT))
def test_overlap_is_symmetric_and_a_share(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    one, other = Box.clipped(*a), Box.clipped(*b)
    assert one.iou(other) == other.iou(one)
    assert 0 <= one.iou(other) <= 1 + 1e-9


@pytest.mark.parametrize(
    "edges", [(0.6, 0, 0.5, 1), (0, 0.6, 1, 0.5), (-0.1, 0, 1, 1), (0, 0, 1, 1.1), (0, 0, 1, float("nan"))]
)
def test_a_box_with_crossed_edges_or_outside_the_frame_is_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError):
        Box(**dict(zip(("x0", "y0", "x1", "y1"), edges, strict=True)))


def test_a_point_outside_the_frame_is_refused() -> None:
    with pytest.raises(ValidationError):
        Point(x=1.01, y=0)


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValidationError, match="t0 <= t1"):
        FactualAnchor(stream=SHA, t0=2, t1=1, kind="a.b", expert="e", version="1", confidence=1)
    with pytest.raises(ValidationError, match="t0 <= t1"):
        Segment(stream=SHA, index=0, count=1, t0=2, t1=1)
    with pytest.raises(ValidationError, match="index < count"):
        Segment(stream=SHA, index=1, count=1, t0=0, t1=1)
    with pytest.raises(ValidationError):
        FactualAnchor(stream=SHA, t0=-1, t1=1, kind="a.b", expert="e", version="1", confidence=1)


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 5_000), st.floats(1, 4000))
def test_segments_cover_a_stream_without_gaps_and_none_is_longer_than_allowed(duration: float, seconds: float) -> None:
    segments = cut_segments(stream(duration), seconds)
    assert segments[0].t0 == 0
    assert segments[-1].t1 == duration
    assert all(a.t1 == b.t0 for a, b in itertools.pairwise(segments))
    assert all(segment.t1 - segment.t0 <= seconds * (1 + 1e-5) for segment in segments)
    assert [segment.index for segment in segments] == list(range(len(segments)))
    assert all(segment.count == len(segments) for segment in segments)
    assert [segment.last for segment in segments] == [False] * (len(segments) - 1) + [True]
    assert len({segment.key for segment in segments}) == len(segments)


@pytest.mark.parametrize(
    ("duration", "seconds", "count"), [(0, 60, 1), (600, 300, 2), (20_000, 1.0009, 19983), (0.3, 0.1, 3)]
)
def test_a_whole_number_of_windows_leaves_no_crumb(duration: float, seconds: float, count: int) -> None:
    assert len({segment.key for segment in cut_segments(stream(duration), seconds)}) == count


def test_the_key_of_a_segment_does_not_depend_on_how_many_there_are() -> None:
    first = Segment(stream=SHA, index=0, count=2, t0=0, t1=10)
    assert first.key == Segment(stream=SHA, index=0, count=9, t0=0, t1=10).key
    assert first.key != Segment(stream=SHA, index=0, count=1, t0=0, t1=10).key


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "\\x", "a\\..\\x", "s3://b/x", "C:/x", "", ".."])
def test_a_path_out_of_its_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        inside(path)
    with pytest.raises(ValidationError):
        Shard(path=path, sha256=SHA, rows=1, size=1)


def test_equal_values_have_one_canonical_text() -> None:
    assert canonical_json({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}'
    assert digest({"b": 1, "a": [2]}) == digest({"a": [2], "b": 1})
    assert digest(Point(x=0.5, y=1)) == digest({"x": 0.5, "y": 1.0})


def test_an_anchor_has_an_id_over_all_that_was_measured() -> None:
    anchor = FactualAnchor(stream=SHA, t0=0, t1=1, kind="a.b", expert="e", version="1", confidence=1)
    assert len(anchor.id) == 16
    assert anchor.id == anchor.model_copy().id
    assert anchor.id != anchor.model_copy(update={"version": "2"}).id


def test_an_error_names_input_cause_and_remedy_and_crosses_process_borders() -> None:
    error = pickle.loads(pickle.dumps(CorpusError("a\nb", "is gone.", "Bring it back")))
    assert isinstance(error, CorpusError)
    assert (error.problem.input, error.problem.cause, error.problem.remedy) == ("a\nb", "is gone", "Bring it back")
    assert "is gone. Bring it back" in str(error)


def test_an_unknown_name_comes_with_the_one_that_was_meant() -> None:
    error = unknown_name("expert", "orc", ["ocr", "shots"])
    assert isinstance(error, UsageError)
    assert "Did you mean 'ocr'?" in str(error)
    assert "ocr, shots" in str(error)
