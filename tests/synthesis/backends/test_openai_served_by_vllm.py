"""The openai chat against vLLM's own server: what the server with faults can only imitate."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from schemas.errors import UsageError
from schemas.recipe import ModelSpec, Serving
from synthesis.backends.chat import (
    Finish,
    Message,
    Picture,
    Request,
    Sampling,
    TooLongError,
    UnavailableError,
)
from synthesis.backends.openai import OpenAIChat

if TYPE_CHECKING:
    from tests.models.fixtures import Served

pytestmark = pytest.mark.models

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"],
    }
)


def picture(width: int, height: int) -> Picture:
    encoded = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 40)).save(encoded, "JPEG")
    return Picture(encoded.getvalue(), "image/jpeg", width, height, (("0" * 64, 0.0),))


def ask(server: Served, *requests: Request, model: str | None = None) -> list[Any]:
    """What comes of each request: its reply or its error."""
    chat = OpenAIChat(
        ModelSpec(name=model or server.model), Serving(base_url=server.base_url, concurrency=4, timeout=300)
    )

    async def all_of_them() -> list[Any]:
        try:
            return await asyncio.gather(*(chat.complete(request) for request in requests), return_exceptions=True)
        finally:
            await chat.close()

    return asyncio.run(all_of_them())


def test_a_random_model_is_held_to_the_schema_and_sees_pictures(vllm_server: Served) -> None:
    messages = (Message("system", ("You answer in JSON.",)), Message("user", ("Look:", picture(280, 280), "Write.")))
    sampled = [Sampling(temperature=1.0, seed=seed, max_tokens=64) for seed in range(6)]
    replies = ask(vllm_server, *(Request(messages, SCHEMA, sampling) for sampling in sampled))
    answers = [json.loads(reply.text) for reply in replies]
    assert all(answer.keys() == {"a", "b"} and 0 <= answer["a"] <= 99 for answer in answers)
    assert len({reply.text for reply in replies}) > 1  # seeds are heard
    assert all(reply.finish is Finish.STOP and reply.usage.completion_tokens > 0 for reply in replies)


def test_a_cut_off_answer_says_so(vllm_server: Served) -> None:
    request = Request((Message("user", ("Tell me everything.",)),), SCHEMA, Sampling(max_tokens=4))
    (reply,) = ask(vllm_server, request)
    assert (reply.finish, reply.usage.completion_tokens) == (Finish.LENGTH, 4)


@pytest.mark.parametrize(("width", "height"), [(280, 280), (768, 432), (561, 281)])
def test_pictures_take_no_more_tokens_than_guessed(vllm_server: Served, width: int, height: int) -> None:
    request = Request((Message("user", (picture(width, height),)),), None, Sampling(max_tokens=1))
    (reply,) = ask(vllm_server, request)
    guess = OpenAIChat(ModelSpec(name="any"), Serving(base_url=vllm_server.base_url)).picture_tokens(width, height)
    assert 0 < reply.usage.prompt_tokens <= guess


def test_what_cannot_be_answered_is_told_apart(vllm_server: Served) -> None:
    long = Request((Message("user", ("word " * 20_000,)),), SCHEMA)
    broken = Picture(b"no picture", "image/jpeg", 28, 28, ())
    errors = ask(vllm_server, long, Request((Message("user", (broken,)),), SCHEMA))
    assert [type(error) for error in errors] == [TooLongError, UnavailableError]
    (error,) = ask(vllm_server, Request((Message("user", ("hello",)),), None), model="no-such-model")
    assert isinstance(error, UsageError)
    assert "no-such-model" in error.problem.cause
