"""Bounds are read from sentences as people write them; what is no bound is told, what excludes itself is a clash."""

from __future__ import annotations

import pytest

from synthesis.intent.constraints import ClashError, fitted, read_wishes

DURATION = 300.0

READ = [
    # counts
    ("at least 5 questions", "at least 5 questions"),
    ("no fewer than 3 qa", "at least 3 questions"),
    ("no more than ten clips", "at most 10 clips"),
    ("up to 12 steps", "at most 12 steps"),
    ("more than 5 questions", "at least 6 questions"),
    ("fewer than five steps", "at most 4 steps"),
    ("three to five steps", "at least 3 and at most 5 steps"),
    ("between 3 and 5 chapters", "at least 3 and at most 5 sections"),
    ("3-5 sections", "at least 3 and at most 5 sections"),
    ("5 qa pairs", "exactly 5 questions"),
    ("exactly two hints", "exactly 2 hints"),
    ("a dozen surprising questions", "exactly 12 questions"),
    ("5+ questions", "at least 5 questions"),
    ("5 or more q&a pairs", "at least 5 questions"),
    ("six or fewer decisions", "at most 6 decisions"),
    ("questions, at least 5 of them", "at least 5 items"),
    ("at least 3 and at most 5 questions", "at least 3 and at most 5 questions"),
    ("at least 5 bananas", "at least 5 bananas"),
    ("at least 4 questions and 2 hints", "at least 4 questions; exactly 2 hints"),
    ("three steps max", "at most 3 steps"),
    ("5 questions or more", "at least 5 questions"),
    ("at least 5 questions, at most 3 hints", "at least 5 questions; at most 3 hints"),
    ("use these 5 clips", ""),
    ("a question", ""),
    ("30 seconds long clips", ""),
    ("clips of 5 to 10 seconds", ""),
    # windows
    ("only the first two minutes", "only from 0 s to 120 s"),
    ("the last 30 seconds", "only from 270 s to the end"),
    ("the final minute", "only from 240 s to the end"),
    ("from 0:10 to 0:40", "only from 10 s to 40 s"),
    ("between 10s and 20s", "only from 10 s to 20 s"),
    ("from 10 to 40 seconds", "only from 10 s to 40 s"),
    ("minutes 1 to 3", "only from 60 s to 180 s"),
    ("0:30-1:15", "only from 30 s to 75 s"),
    ("skip the first minute", "only from 60 s to the end"),
    ("without the last 30 seconds", "only from 0 s to 270 s"),
    ("skip the first minute and the last 30 seconds", "only from 60 s to 270 s"),
    ("after 1:30", "only from 90 s to the end"),
    ("ignore everything before 1:00", "only from 60 s to the end"),
    ("skip what comes after 1:00", "only from 0 s to 60 s"),
    ("until 0:45", "only from 0 s to 45 s"),
    ("the second half", "only from 150 s to the end"),
    ("the first ten minutes", ""),
    # languages
    ("answers in german", "written in de"),
    ("auf deutsch", "written in de"),
    ("spanish questions", "written in es"),
    ("translated into french", "written in fr"),
    ("questions from this lecture in french", ""),
    # difficulty
    ("hard questions only", "hard ones only"),
    ("only easy ones", "easy ones only"),
    ("make them challenging", "hard ones only"),
    ("questions, hard", "hard ones only"),
    ("find the hard cuts", ""),
    # answers
    ("no multiple choice", "open answers"),
    ("multiple-choice questions", "multiple choice answers"),
    ("open-ended", "open answers"),
    ("both multiple choice and open-ended questions", ""),
    # words
    ("under 200 words", "at most 200 words"),
    ("at most 200 words", "at most 200 words"),
    ("150 words or less", "at most 150 words"),
    ("a short one", ""),
]


@pytest.mark.parametrize(("sentence", "bounds"), READ)
def test_bounds_are_read(sentence, bounds):
    assert str(read_wishes(sentence, DURATION).constraints) == bounds


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("about ten questions", "not a bound"),
        ("at least 200 words", "not an upper bound"),
        ("nothing too hard questions", "two levels"),
        ("easy questions and hard questions", "several levels"),
        ("open-ended and multiple-choice questions", "both forms"),
        ("the first ten minutes", "all of the recording"),
    ],
)
def test_what_is_not_a_bound_is_told(sentence, words):
    assert words in " ".join(read_wishes(sentence, DURATION).notes)


def test_the_end_of_an_unknown_duration_is_told():
    wishes = read_wishes("only the last 30 seconds", None)
    assert wishes.constraints.window is None
    assert "needs the duration" in wishes.notes[0]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("at least 10 questions and at most 5 questions", "exclude each other"),
        ("at least 10 and at most 5 questions", "exclude each other"),
        ("exactly 3 questions, at least 5 questions", "exclude each other"),
        ("five to three steps", "wrong way round"),
        ("from 10:00 to 12:00", "lasts 300 s"),
        ("from 0:40 to 0:10", "before it begins"),
        ("only the first minute, after 2:00", "nothing of the recording"),
        ("answers in german and french", "different languages"),
    ],
)
def test_what_excludes_itself_names_the_words(sentence, words):
    with pytest.raises(ClashError, match=words):
        read_wishes(sentence, DURATION)


def test_bounds_do_not_look_like_refusals():
    assert "no" not in read_wishes("no more than ten clips, no multiple choice", DURATION).rest.split()


def test_an_output_keeps_the_counts_that_it_has_parts_for():
    constraints = read_wishes("at least 5 qa pairs and at most 3 hints", DURATION).constraints
    kept, unknown = fitted(constraints, ["questions"])
    assert [str(count) for count in kept.counts] == ["at least 5 questions"]
    assert unknown == ["at most 3 hints"]


def test_a_count_without_a_noun_is_of_the_first_parts():
    kept, _ = fitted(read_wishes("at least 20", DURATION).constraints, ["transitions", "states"])
    assert [str(count) for count in kept.counts] == ["at least 20 transitions"]
