"""Our own OpenAI-compatible endpoint, over HTTP: names, keys, schemas, pictures, and errors as OpenAI tells them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from deployments.endpoint import Offer, endpoint
from schemas.errors import UsageError
from schemas.trail import Routed
from schemas.usage import Usage
from synthesis.backends.chat import Finish, Reply, Request, TooLongError, UnavailableError
from tests.synthesis.backends.answers import picture

KEY = "a-key-of-this-endpoint"
ENUM = {"type": "object", "properties": {"colour": {"enum": ["red", "green"]}}, "required": ["colour"]}


@dataclass
class Echo:
    """A chat that says which adapter it was asked for, and fails on demand."""

    model: str = "base"
    asked: list[Request] = field(default_factory=list)
    closed: bool = False

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        words = request.messages[-1].text
        if words == "long":
            raise TooLongError("base", "9000 tokens do not fit", "Ask less")
        if words == "broken":
            raise UnavailableError("base", "out of memory", "Ask less")
        if words == "blind":
            raise UsageError("base", "it sees no pictures", "Choose another")
        text = json.dumps({"adapter": request.adapter})
        return Reply(text, Finish.STOP, Usage(requests=1, prompt_tokens=7, completion_tokens=3))

    def tokens(self, text: str) -> int:
        return len(text)

    def picture_tokens(self, width: int, height: int) -> int:
        return width * height

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def chat() -> Echo:
    return Echo()


@pytest.fixture
def client(chat: Echo) -> Iterator[TestClient]:
    offer = Offer(
        adapters={"base": None, "tailor@1": "tailor@1", "tailor@2": "tailor@2"},
        routed=("tailor",),
        route=lambda words: Routed(
            by="router", expertise="omni", version=f"tailor@{1 + words.startswith('Task: second')}"
        ),
        max_tokens=99,
    )
    with TestClient(endpoint(chat, offer, KEY)) as client:
        client.headers["authorization"] = f"Bearer {KEY}"
        yield client
    assert chat.closed


def body(content: Any = "Who?", model: str = "tailor@1", **rest: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **rest}


def ask(client: TestClient, *arguments: Any, **rest: Any) -> Any:
    return client.post("/v1/chat/completions", json=body(*arguments, **rest))


def test_every_name_is_listed_and_answers_by_its_adapter(client: TestClient) -> None:
    assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["base", "tailor@1", "tailor@2", "tailor"]
    for name, adapter in (("base", None), ("tailor@2", "tailor@2")):
        answer = ask(client, model=name).json()
        assert answer["model"] == name
        assert json.loads(answer["choices"][0]["message"]["content"]) == {"adapter": adapter}
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["total_tokens"] == 10


def test_a_routed_name_answers_with_the_one_that_was_chosen_and_says_so(client: TestClient) -> None:
    for words, version in (("Task: first", "tailor@1"), ("Task: second", "tailor@2")):
        answer = ask(client, [{"type": "text", "text": words}], model="tailor").json()
        assert answer["model"] == version == answer["route"]["version"]
        assert json.loads(answer["choices"][0]["message"]["content"]) == {"adapter": version}


def test_schema_sampling_and_pictures_reach_the_model(client: TestClient, chat: Echo) -> None:
    shown = picture()
    url = f"data:image/jpeg;base64,{base64.b64encode(shown.data).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is this?"}]
    form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": ENUM, "strict": True}}
    assert ask(client, content, response_format=form, temperature=0, seed=4, max_tokens=50).status_code == 200
    (asked,) = chat.asked
    seen, text = asked.messages[0].parts
    assert (seen.data, seen.media_type, seen.width, seen.height) == (shown.data, "image/jpeg", 320, 180)  # type: ignore[union-attr]
    assert text == "What is this?"
    assert json.loads(asked.schema or "") == ENUM
    assert (asked.sampling.temperature, asked.sampling.seed, asked.sampling.max_tokens) == (0.0, 4, 50)
    ask(client, response_format={"type": "json_object"})
    assert json.loads(chat.asked[-1].schema or "") == {"type": "object"}
    assert (chat.asked[-1].sampling.temperature, chat.asked[-1].sampling.max_tokens) == (1.0, 99)


@pytest.mark.parametrize("key", [None, "another", KEY[:-1], "kéy"])
def test_without_the_key_there_is_no_answer(key: str | None, client: TestClient) -> None:
    del client.headers["authorization"]
    headers = {} if key is None else {"authorization": f"Bearer {key}".encode()}
    for answer in (client.get("/v1/models", headers=headers), client.post("/v1/chat/completions", headers=headers)):
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert KEY not in answer.text
    assert client.get("/health").status_code == 200


DAMAGED = "data:image/jpeg;base64," + base64.b64encode(picture().data[:400]).decode()


def shown(url: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}}]


@pytest.mark.parametrize(
    ("asked", "status", "parameter", "code"),
    [
        (body(model="tailor@9"), 404, "model", "model_not_found"),
        (body("long"), 400, "messages", "context_length_exceeded"),
        (body("blind"), 400, None, None),
        (body("broken"), 503, None, None),
        (body(stream=True), 400, "stream", None),
        (body(n=2), 400, "n", None),
        (body(temperature=9), 400, "temperature", None),
        (body(logit_bias={}), 400, "logit_bias", None),
        (body(shown("https://example.org/a.jpg")), 400, "messages", None),
        (body(shown("file:///etc/passwd")), 400, "messages", None),
        (body(shown("data:image/jpeg;base64,????")), 400, "messages", None),
        (body(shown("data:image/svg+xml;base64,PHN2Zy8+")), 400, "messages", None),
        (body(shown(DAMAGED)), 400, "messages", None),
        ({"model": "base"}, 400, "messages", None),
    ],
)
def test_errors_have_the_shape_of_openai(
    asked: dict[str, Any], status: int, parameter: str | None, code: str | None, client: TestClient
) -> None:
    answer = client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == (parameter, code)
    assert error["message"]


def test_many_requests_are_under_way_at_once() -> None:
    """The first is answered when the last has come."""

    class Waiting(Echo):
        def __init__(self) -> None:
            super().__init__()
            self.all_there = asyncio.Event()

        async def complete(self, request: Request) -> Reply:
            reply = await super().complete(request)
            if len(self.asked) == 3:
                self.all_there.set()
            await asyncio.wait_for(self.all_there.wait(), 10)
            return reply

    async def run() -> list[int]:
        app = endpoint(Waiting(), Offer({"base": None}))
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://here") as client:
            answers = (client.post("/v1/chat/completions", json=body(model="base")) for _ in range(3))
            return [answer.status_code for answer in await asyncio.gather(*answers)]

    assert asyncio.run(run()) == [200, 200, 200]
