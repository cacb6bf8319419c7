"""The transformers backend with a random Qwen3-VL, and with SmolLM2 for text alone."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.recipe import ModelSpec, Serving
from synthesis.backends.chat import Finish, Reply, Request, TooLongError, UnavailableError
from synthesis.backends.transformers import TransformersChat
from tests.synthesis.backends.answers import SCHEMAS, is_sound, picture, question

pytestmark = [pytest.mark.models, pytest.mark.usefixtures("one_thread")]

SERVING = Serving(dtype="float32", concurrency=4)
CONTEXT = 4096


@pytest.fixture(scope="module")
def chat(tiny_qwen3_vl: Path) -> TransformersChat:
    return TransformersChat(ModelSpec(name=str(tiny_qwen3_vl), context=CONTEXT), SERVING)


def ask(chat: TransformersChat, *requests: Request) -> list[Reply]:
    async def all_at_once() -> list[Reply]:
        return await asyncio.gather(*(chat.complete(request) for request in requests))

    return asyncio.run(all_at_once())


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_answer_satisfies_its_schema(name: str, chat: TransformersChat) -> None:
    request = question(picture(), "What is this?", schema=SCHEMAS[name], temperature=1.0, max_tokens=200)
    (reply,) = ask(chat, request)
    assert is_sound(reply, SCHEMAS[name])
    assert reply.finish is Finish.STOP


def test_answers_of_a_batch_each_satisfy_their_own_schema(chat: TransformersChat) -> None:
    names = ["enum", "bounds", "either"]
    requests = [question(picture(), f"Give {name}. " * n, schema=SCHEMAS[name]) for n, name in enumerate(names, 1)]
    for name, reply in zip(names, ask(chat, *requests), strict=True):
        assert is_sound(reply, SCHEMAS[name])
        assert reply.finish is Finish.STOP


def test_waiting_requests_of_equal_sampling_go_together(chat: TransformersChat) -> None:
    ask(chat, question("Warm.", max_tokens=1))
    assert chat._loaded is not None
    sizes, answers = [], chat._loaded.answers

    def counted(requests: Any) -> Any:
        sizes.append(len(requests))
        return answers(requests)

    chat._loaded.answers = counted  # type: ignore[method-assign]
    try:
        ask(chat, *(question(f"Number {n}.", max_tokens=4) for n in range(6)))
        ask(chat, *(question("Number.", max_tokens=4, temperature=1.0, seed=n) for n in range(2)))
    finally:
        del chat._loaded.answers  # type: ignore[method-assign]
    assert sizes == [4, 2, 1, 1]


def test_equal_seeds_give_equal_answers_and_others_differ(chat: TransformersChat) -> None:
    one, again, other = ask(
        chat, *(question("Say anything.", temperature=1.0, seed=seed, max_tokens=30) for seed in (1, 1, 2))
    )
    assert one.text == again.text != other.text


def test_usage_counts_what_was_shown_and_written(chat: TransformersChat) -> None:
    shown = picture("tomato", 640, 360)
    longer, shorter = ask(
        chat,
        question(shown, "What is this? " * 9, schema=SCHEMAS["enum"]),
        question(shown, "And?", schema=SCHEMAS["enum"]),
    )
    seen = chat.picture_tokens(640, 360) - 2
    for reply in (longer, shorter):
        assert (reply.usage.requests, reply.usage.images, reply.usage.image_tokens) == (1, 1, seen)
        assert 0 < reply.usage.completion_tokens < 120
    told = chat.tokens("What is this? " * 9) - chat.tokens("And?")
    assert longer.usage.prompt_tokens - shorter.usage.prompt_tokens == told


def test_an_answer_that_reaches_its_bound_says_so(chat: TransformersChat) -> None:
    (reply,) = ask(chat, question("Write.", schema=SCHEMAS["nested"], max_tokens=3))
    assert (reply.finish, reply.usage.completion_tokens) == (Finish.LENGTH, 3)


def test_a_request_that_does_not_fit_is_too_long_and_others_of_its_batch_are_answered(chat: TransformersChat) -> None:
    async def both() -> list[Reply | BaseException]:
        asked = (chat.complete(question(text, max_tokens=4)) for text in ("w " * CONTEXT, "w"))
        return await asyncio.gather(*asked, return_exceptions=True)

    long, short = asyncio.run(both())
    assert isinstance(long, TooLongError)
    assert isinstance(short, Reply)


def test_memory_that_does_not_suffice_for_a_batch_may_for_each_alone(chat: TransformersChat) -> None:
    ask(chat, question("Warm.", max_tokens=1))
    assert chat._loaded is not None
    generate = chat._loaded._generate

    def short_of_memory(requests: Any) -> Any:
        if len(requests) > 1 or "huge" in requests[0].messages[-1].text:
            raise MemoryError
        return generate(requests)

    async def all_at_once() -> list[Reply | BaseException]:
        asked = (chat.complete(question(text, max_tokens=4)) for text in ("small", "huge", "little"))
        return await asyncio.gather(*asked, return_exceptions=True)

    chat._loaded._generate = short_of_memory  # type: ignore[method-assign]
    try:
        small, huge, little = asyncio.run(all_at_once())
    finally:
        del chat._loaded._generate  # type: ignore[method-assign]
    assert isinstance(small, Reply)
    assert isinstance(little, Reply)
    assert isinstance(huge, UnavailableError)


def test_a_schema_that_is_refused_is_logged_once_and_not_held_to(
    chat: TransformersChat, caplog: pytest.LogCaptureFixture
) -> None:
    refused = {"type": "string", "pattern": "(?<=a)b"}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            (reply,) = ask(chat, question("Say.", schema=refused, max_tokens=8))
            assert reply.usage.completion_tokens > 0
    assert len([each for each in caplog.records if "refuses" in each.message]) == 1


def test_the_event_loop_lives_while_the_model_writes(chat: TransformersChat) -> None:
    async def beside() -> int:
        turns, work = 0, asyncio.create_task(chat.complete(question("Write.", max_tokens=600)))
        while not work.done():
            turns += 1
            await asyncio.sleep(0.001)
        return turns

    assert asyncio.run(beside()) > 5


def test_an_adapter_changes_what_the_model_says(
    chat: TransformersChat, tiny_qwen3_vl: Path, tiny_adapter: Path
) -> None:
    model = ModelSpec(name=str(tiny_qwen3_vl), adapter=str(tiny_adapter), context=CONTEXT)
    request = question(picture(), "Say anything.", max_tokens=30)
    adapted = TransformersChat(model, SERVING)
    assert ask(adapted, request)[0].text != ask(chat, request)[0].text
    assert adapted.model.endswith(f"+{tiny_adapter}")


def test_a_model_without_eyes_answers_text_and_refuses_pictures(smollm2: Path) -> None:
    chat = TransformersChat(ModelSpec(name=str(smollm2), context=CONTEXT, frames=0), SERVING)
    (reply,) = ask(chat, question("What is the capital of France?", max_tokens=12))
    assert "Paris" in reply.text
    with pytest.raises(UsageError, match=r"frames: 0"):
        ask(chat, question(picture(), "What is this?"))


def test_missing_weights_are_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing.*hf download"):
        ask(TransformersChat(ModelSpec(name=str(tmp_path / "nothing")), SERVING), question("Say."))


def test_without_a_package_the_error_says_what_to_install(tiny_qwen3_vl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    with pytest.raises(UsageError, match=r"dataclaw-factory\[transformers\]"):
        ask(TransformersChat(ModelSpec(name=str(tiny_qwen3_vl)), SERVING), question("Say."))
