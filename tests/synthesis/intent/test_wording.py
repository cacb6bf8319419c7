"""A sentence falls into what it asks, what it refuses and what it tells of the input; the longest name counts."""

from __future__ import annotations

import pytest

from synthesis.intent.forms import forms
from synthesis.intent.naming import mentions
from synthesis.intent.wording import mended, take_apart


@pytest.mark.parametrize(
    ("sentence", "asked", "refused", "told"),
    [
        ("write a tutorial, no questions", "write a tutorial,", "no questions", ""),
        ("no tutorial but questions", "but questions", "no tutorial", ""),
        ("anything but qa", "anything", "but qa", ""),
        ("not only a tutorial but questions", "a tutorial but questions", "", ""),
        ("this is a tutorial. make questions", "make questions", "", "this is a tutorial."),
        ("turn my clicks into steps", "turn into steps", "", "my clicks"),
        ("train my model to point at buttons", "train to point at buttons", "", "my model"),
        ("questions rather than a guide", "questions", "rather than a guide", ""),
    ],
)
def test_a_sentence_is_taken_apart(sentence, asked, refused, told):
    wording = take_apart(sentence)
    assert " ".join(wording.asked.split()) == asked
    assert wording.refused.strip() == refused
    assert wording.told.strip() == told


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("temporal questions", ["temporal questions"]),
        ("temporal questions and a tutorial", ["temporal questions", "tutorial"]),
        ("questions about the mistakes", ["questions"]),
        ("what mistakes does it make", ["mistakes"]),
        ("nothing of the kind", []),
    ],
)
def test_the_longest_name_counts_and_a_topic_is_no_name(part, words):
    assert [mention.words for mention in mentions(part, forms())] == words


def test_a_word_of_several_forms_names_them_all():
    (mention,) = mentions("questions", forms())
    assert {"temporal_qa", "video_qa"} <= set(mention.task_types)


def test_typing_errors_of_the_trade_are_put_right_and_told():
    sentence, told = mended("make a tutoral plz", frozenset({"tutorial"}))
    assert sentence == "make a tutorial plz"
    assert told == ['"tutoral" is read as "tutorial"']


def test_words_that_are_right_or_too_strange_stay():
    for sentence in ("make a kettle", "make a zzxqvbn"):
        assert mended(sentence, frozenset({"tutorial", "settle"})) == (sentence, [])
