"""Whatever is typed, the answer is specs or an honest error; many streams cost one reading."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import input_named

from schemas.errors import Problem, UnsuitedError
from schemas.stream import Stream
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.roster import TASKS
from synthesis.intent import meaning
from synthesis.intent.resolve import choose, resolve

INPUTS = ("film", "silent_film", "lesson", "desktop", "robot", "edit_pair", "drawing")
WORDS = (
    "tutorial questions qa temporal no not at least most between 5 3 ten dozen and or , . ; : the first last minute "
    "seconds from to 0:10 99:99 in german french hard easy multiple choice open-ended under words without rather than "
    "instead of this video only skip half trajectory fault recovery boxes clips 999999 - + & ( ) \\ [ é 视频 \u202e"
)
SENTENCES = st.one_of(
    st.text(min_size=1, max_size=80).filter(str.strip),
    st.lists(st.sampled_from(WORDS.split()), min_size=1).map(" ".join),
)


@settings(max_examples=250, deadline=None)
@given(text=SENTENCES, name=st.sampled_from([*INPUTS, None]))
def test_any_sentence_gives_specs_or_an_honest_error(text, name):
    streams = [input_named(name)] if name else []
    specs, refusal = read(text, streams)
    if refusal is not None:
        assert refusal.cause
        assert refusal.remedy
        return
    assert choose(specs)
    confidences = [spec.confidence for spec in specs]
    assert confidences == sorted(confidences, reverse=True)
    assert all(spec.because for spec in specs)


def read(text: str, streams: list[Stream]) -> tuple[list[TaskSpec], Problem | None]:
    try:
        return resolve(Intent(text=text), streams), None
    except UnsuitedError as error:
        return [], error.problem


def test_a_sentence_about_many_streams_is_embedded_once(monkeypatch):
    text = "Something useful for people who study how kettles are used, please"
    embedded: list[str] = []
    embedding = meaning.embedding
    monkeypatch.setattr(meaning, "embedding", lambda sentence: (embedded.append(sentence), embedding(sentence))[1])
    film = input_named("film")
    for number in range(50):
        resolve(Intent(text=text), [film.model_copy(update={"duration": 10.0 + number})])
    assert len([sentence for sentence in embedded if "kettles" in sentence]) <= len(TASKS.names)


@pytest.mark.parametrize("text", ["subtitles of it as questions", "questions about what is said"])
def test_speech_is_not_asked_of_a_silent_film(text):
    with pytest.raises(UnsuitedError, match=r"no track of audio or subtitles.*Possible here: .*video_qa"):
        resolve(Intent(text=text), [input_named("silent_film")])
    assert resolve(Intent(text=text), [input_named("film")])
