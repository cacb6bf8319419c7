"""English is read; of any other language it is said that it was not understood."""

from __future__ import annotations

import pytest

from schemas.errors import UnsuitedError
from schemas.stream import Domain
from schemas.task_spec import Intent
from synthesis.intent.resolve import resolve


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Schreib mir ein Tutorial zu diesem Video", "German"),
        ("Écris un tutoriel à partir de cette vidéo", "French"),
        ("Escribe preguntas y respuestas sobre el vídeo", "Spanish"),
        ("Scrivi delle domande su questo video per favore", "Italian"),
        ("Напиши вопросы по этому видео", "Russian"),
        ("请根据这个视频写一个教程", "Chinese"),
        ("この動画についての質問を作ってください", "Japanese"),
        ("이 영상에 대한 질문을 만들어 주세요", "Korean"),
    ],
)
def test_another_language_is_named_and_not_guessed(text, language):
    with pytest.raises(UnsuitedError, match=f"reads as {language}.*Say it in English"):
        resolve(Intent(text=text, domain=Domain.DAILY_LIFE), [])


@pytest.mark.parametrize(
    "text",
    [
        "QA",
        "temporal question answering",
        "t2v clips pls",
        "tutorial auf Deutsch",
        "Write a tutorial with answers in Français",
        "grounding data 4 my UI agent",
        "World-model transitions; failure analysis; spatio-temporal VQA",
        "I wud like sum questions abut this vidoe",
    ],
)
def test_short_and_misspelt_english_is_english(text):
    assert resolve(Intent(text=text), [])
