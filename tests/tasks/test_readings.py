"""What is made where the first reading of an intent cannot be."""

from __future__ import annotations

import pytest

from schemas.recipe import Recipe, SourceSpec
from schemas.stream import Domain, Stream, Track, TrackKind
from tasks.plan import Plan, groups_of

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
    (group,) = groups_of(recipe, recipe.sources[0], [FILM], Plan())
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
