"""Cues become anchors once, verbatim, wherever segments are cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.given_text import GivenText
from experts.subtitles import Subtitles
from schemas.errors import UsageError
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.base import Cue, Recording


class Spoken(Recording):
    def __init__(self, cues: Sequence[Cue] = (), texts: Sequence[str] = ()) -> None:
        self._cues, self._texts = cues, texts

    def close(self) -> None:
        return

    def cues(self) -> Sequence[Cue]:
        return self._cues

    def texts(self) -> Sequence[str]:
        return self._texts


def film(duration: float) -> Stream:
    return Stream(
        sha256="a" * 64,
        uri="file:///raw/film.mp4",
        name="film",
        domain=Domain.DAILY_LIFE,
        format="video",
        parts=(),
        tracks=(Track(kind=TrackKind.SUBTITLES, name="en"),),
        duration=duration,
    )


def measured(expert: Subtitles | GivenText, recording: Recording, duration: float, seconds: float):
    stream = film(duration)
    anchors = [
        anchor for segment in cut_segments(stream, seconds) for anchor in expert.start(recording, segment).finish()
    ]
    return type(expert).join(stream, anchors)


CUES = [Cue(0.0, 1.0, "One"), Cue(9.0, 12.0, "over\nthe border"), Cue(10.0, 11.0, "Two"), Cue(19.0, 25.0, "late")]


@pytest.mark.parametrize("seconds", [5.0, 10.0, 100.0])
def test_every_cue_is_one_anchor_however_the_stream_is_cut(seconds):
    found = measured(Subtitles(), Spoken(CUES), 20.0, seconds)
    assert [(a.t0, a.t1, a.content) for a in found] == [
        (0.0, 1.0, "One"),
        (9.0, 12.0, "over the border"),
        (10.0, 11.0, "Two"),
        (19.0, 20.0, "late"),
    ]
    assert {(a.kind, a.confidence) for a in found} == {("text.subtitle", 1.0)}


def test_doubles_blanks_and_what_lies_behind_the_end_are_left_out():
    cues = [Cue(0.0, 1.0, "One"), Cue(0.0, 1.0, " One "), Cue(2.0, 3.0, "  "), Cue(30.0, 31.0, "gone")]
    assert [a.content for a in measured(Subtitles(), Spoken(cues), 20.0, 5.0)] == ["One"]


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 20)), max_size=20, unique=True), st.integers(1, 30))
def test_segments_change_nothing(spans, seconds):
    cues = [Cue(t0 / 4, (t0 + length) / 4, f"cue {i}") for i, (t0, length) in enumerate(spans)]
    whole = measured(Subtitles(), Spoken(cues), 20.0, 1000.0)
    assert measured(Subtitles(), Spoken(cues), 20.0, float(seconds)) == whole
    assert len(whole) == len(cues)


@pytest.mark.parametrize("seconds", [5.0, 100.0])
def test_given_text_covers_the_stream_once(seconds):
    (found,) = measured(GivenText(), Spoken(texts=["Add two sodas", "", "Add  two sodas"]), 20.0, seconds)
    assert (found.t0, found.t1, found.content, found.kind) == (0.0, 20.0, "Add two sodas", "text.given")


@pytest.mark.parametrize("expert", [Subtitles, GivenText])
def test_unknown_parameters_are_refused(expert):
    with pytest.raises(UsageError, match="speed"):
        expert(speed=2)
