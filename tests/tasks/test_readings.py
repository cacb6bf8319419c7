"""What is made where the first reading of an intent cannot be."""

from __future__ import annotations

import pytest

from schemas.recipe import Recipe, SourceSpec
from schemas.stream import Domain, Stream, Track, TrackKind
from tasks.asking import Asking

FILM = Stream(
    sha256="a" * 64,
    uri="/raw/film.mp4",
    name="film",
    domain=Domain.EDUCATION,
    format="video",
    parts=(),
    tracks=(Track(kind=TrackKind.VIDEO, name="video"), Track(kind=TrackKind.SUBTITLES, name="en")),
    duration=60.0,
)


def instead(text: str) -> dict[str, list[str]]:
    recipe = Recipe(name="r", corpus="memory://c", sources=(SourceSpec(uri="/raw"),), intents=(text,))
    (group,) = Asking(recipe, recipe.sources[0]).groups([FILM])
    units = group.units
    return {unit.spec.task_type: [spec.task_type for spec in unit.instead] for unit in units}


def test_a_named_form_stands_alone_unless_another_serves_the_same_wish() -> None:
    assert instead("Make a tutorial of this lesson.") == {"tutorial": []}
    assert instead("Please construct tutoring data from it.") == {"stuck_point_tutoring": ["tutorial"]}


def test_of_a_vague_intent_the_next_best_readings_are_tried() -> None:
    (others,) = instead("Make something useful from this.").values()
    assert len(others) == 3


@pytest.mark.parametrize("text", ["A tutorial, and tutoring data for stuck points."])
def test_what_is_made_anyway_is_not_made_instead(text: str) -> None:
    assert instead(text) == {"tutorial": [], "stuck_point_tutoring": []}


@pytest.mark.parametrize(
    ("text", "taken_for"),
    [
        ("Make a tutorial of this lesson.", None),
        ("Make something useful from this.", 1),
        ("A tutorial, and tutoring data for stuck points.", 2),
    ],
)
def test_an_intent_that_names_no_form_or_several_is_told_of(text: str, taken_for: int | None) -> None:
    recipe = Recipe(name="r", corpus="memory://c", sources=(SourceSpec(uri="/raw"),), intents=(text,))
    asking = Asking(recipe, recipe.sources[0])
    (group,) = asking.groups([FILM])
    made = {unit.spec.task_type for unit in group.units}
    assert asking.ambiguous == ({} if taken_for is None else {text: made})
    assert len(made) == (taken_for or 1)
