"""Every behaviour over a real socket: the faults are those of `tests/models/faulty_server.py`."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import re
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from faulty_server import (
    Behaviour,
    Exchange,
    FaultyServer,
    closed,
    closed_mid_body,
    completion,
    cut_off,
    dies,
    empty,
    filtered,
    hang,
    ok,
    raw,
    refusal,
    status,
    too_long,
    trickle,
    truncated,
    without,
)

from schemas.errors import UsageError
from schemas.recipe import ModelSpec, Serving
from schemas.usage import Usage
from synthesis.backends.chat import (
    Finish,
    Message,
    Picture,
    Reply,
    Request,
    Sampling,
    TooLongError,
    UnavailableError,
    tokens_of,
)
from synthesis.backends.constrain import constrainable
from synthesis.backends.openai import OpenAIChat, is_strict
from synthesis.backends.pacing import Pace
from synthesis.backends.secret import Secret, variable_of_block

SCHEMA = json.dumps(
    {"title": "A scene!", "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
)
PICTURE = Picture(b"\xff\xd8jpeg", "image/jpeg", 560, 280, (("0" * 64, 1.0),))
ASKED = Request(
    (Message("system", ("You tailor data.",)), Message("user", ("Look:", PICTURE, "Now write JSON."))),
    SCHEMA,
    Sampling(temperature=0.3, top_p=0.9, seed=7, max_tokens=64),
)
KEY = "sk-very/secret+key-0123456789"


class Time:
    """A clock that only sleeping moves; `meanwhile` happens while the chat sleeps."""

    def __init__(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.meanwhile = meanwhile

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile()
        await asyncio.sleep(0)


def chat_of(base_url: str, time: Time | None = None, model: ModelSpec | None = None, **serving: Any) -> OpenAIChat:
    time = time or Time()
    settings = Serving(base_url=base_url, **serving)
    pace = Pace(
        settings.concurrency,
        settings.requests_per_minute,
        settings.tokens_per_minute,
        clock=lambda: time.now,
        sleep=time.sleep,
        chance=lambda: 0.5,
    )
    return OpenAIChat(model or ModelSpec(name="tailor"), settings, pace=pace)


def ask(chat: OpenAIChat, *requests: Request) -> list[Reply]:
    """The replies to requests that are made together."""

    async def all_of_them() -> list[Reply]:
        try:
            return await asyncio.gather(*(chat.complete(request) for request in requests))
        finally:
            await chat.close()

    return asyncio.run(all_of_them())


def reply_of(*script: Behaviour, request: Request = ASKED, **serving: Any) -> tuple[Reply, FaultyServer]:
    with FaultyServer(script) as server:
        return ask(chat_of(server.base_url, **serving), request)[0], server


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


# --- what is asked ------------------------------------------------------------------------------------------------


def test_a_request_has_its_messages_pictures_sampling_and_schema() -> None:
    _, server = reply_of(ok('{"a": 1}'))
    (asked,) = server.requests
    assert asked.path == "/v1/chat/completions"
    data = base64.b64encode(PICTURE.data).decode()
    assert asked.body == {
        "model": "tailor",
        "messages": [
            {"role": "system", "content": "You tailor data."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}},
                    {"type": "text", "text": "Now write JSON."},
                ],
            },
        ],
        "temperature": 0.3,
        "top_p": 0.9,
        "seed": 7,
        "max_tokens": 64,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "A_scene_", "schema": json.loads(constrainable(SCHEMA)), "strict": True},
        },
    }


def test_without_a_schema_no_format_is_asked_for() -> None:
    _, server = reply_of(ok("hello"), request=Request(ASKED.messages, None))
    assert "response_format" not in server.requests[0].body


def test_an_adapter_is_asked_for_by_the_name_it_is_served_under() -> None:
    with FaultyServer(then=ok(), models=["tailor", "tailor-gui"]) as server:
        chat = chat_of(server.base_url, model=ModelSpec(name="tailor", adapter="tailor-gui"))
        ask(chat, ASKED)
        assert server.requests[0].body["model"] == "tailor-gui"
    assert "tailor" in chat.model
    assert "tailor-gui" in chat.model


@pytest.mark.parametrize("ending", ["", "/", "/chat/completions"])
def test_the_url_may_be_given_in_every_usual_form(ending: str) -> None:
    with FaultyServer(then=ok()) as server:
        ask(chat_of(server.base_url + ending), ASKED)
        assert server.requests[0].path == "/v1/chat/completions"


def test_parameters_of_the_url_are_sent() -> None:
    with FaultyServer(then=ok()) as server:
        ask(chat_of(f"{server.base_url}?api-version=2025-01-01"), ASKED)
        assert server.requests[0].path == "/v1/chat/completions?api-version=2025-01-01"


@pytest.mark.parametrize("base_url", [None, "", "localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_a_url_that_is_none_is_refused_at_once(base_url: str | None) -> None:
    with pytest.raises(UsageError, match=r"placement\.serving\.base_url"):
        OpenAIChat(ModelSpec(name="tailor"), Serving(base_url=base_url))


def test_a_chat_serves_one_event_loop_after_another() -> None:
    with FaultyServer(then=ok()) as server:
        chat = chat_of(server.base_url)
        assert [asyncio.run(chat.complete(ASKED)).text for _ in range(3)] == ["{}"] * 3


# --- what is answered ---------------------------------------------------------------------------------------------


def test_an_answer_comes_with_what_it_cost() -> None:
    usage = {"prompt_tokens": 500, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 400}}
    reply, _ = reply_of(ok('{"a": 1}', usage=usage))
    assert (reply.text, reply.finish) == ('{"a": 1}', Finish.STOP)
    assert reply.usage == Usage(
        requests=1, prompt_tokens=500, cached_tokens=400, image_tokens=202, completion_tokens=12, images=1
    )


def test_the_tokens_of_pictures_are_the_servers_where_it_tells_them() -> None:
    details = {"cached_tokens": None, "multimodal_tokens": {"image": 180}}  # as vLLM has it
    reply, _ = reply_of(ok(usage={"prompt_tokens": 500, "completion_tokens": 1, "prompt_tokens_details": details}))
    assert (reply.usage.image_tokens, reply.usage.cached_tokens) == (180, 0)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None}, {"prompt_tokens": "many", "completion_tokens": -1}])
def test_a_server_that_does_not_count_is_estimated(usage: dict[str, Any]) -> None:
    reply, server = reply_of(ok("one two three", usage=usage))
    estimate = tokens_of(ASKED, chat_of(server.base_url))
    assert reply.usage.prompt_tokens == estimate.prompt_tokens
    assert 3 <= reply.usage.completion_tokens < 10


def test_a_cut_off_answer_is_told_from_a_whole_one() -> None:
    reply, server = reply_of(cut_off('{"a": '))
    assert (reply.text, reply.finish) == ('{"a": ', Finish.LENGTH)
    assert len(server.requests) == 1


def test_a_refusal_has_the_models_words() -> None:
    reply, _ = reply_of(refusal("I will not."))
    assert (reply.text, reply.finish) == ("I will not.", Finish.REFUSAL)


def test_what_a_filter_takes_away_is_a_refusal_before_and_after_the_model() -> None:
    assert reply_of(filtered())[0].finish is Finish.REFUSAL
    before = status(400, message="The prompt triggered a policy.", error={"code": "content_filter"})
    reply, server = reply_of(before)
    assert (reply.text, reply.finish) == ("The prompt triggered a policy.", Finish.REFUSAL)
    assert len(server.requests) == 1


def saying(content: Any) -> Behaviour:
    answer = completion("")
    answer["choices"][0]["message"]["content"] = content
    return raw(json.dumps(answer).encode())


@pytest.mark.parametrize("content", [None, "", [], [{"type": "thinking", "thinking": "hm"}]])
def test_a_silent_model_has_answered(content: Any) -> None:
    reply, server = reply_of(saying(content))
    assert (reply.text, reply.finish) == ("", Finish.STOP)
    assert len(server.requests) == 1


def test_an_answer_in_parts_is_their_text() -> None:
    parts = [{"type": "text", "text": '{"a"'}, {"type": "text", "text": ": 1}"}]
    assert reply_of(saying(parts))[0].text == '{"a": 1}'


# --- faults that pass ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        closed(),
        closed_mid_body(),
        truncated(),
        empty(),
        raw(b"<html>busy</html>"),
        raw(b"[]"),
        raw(b'{"choices": []}'),
        raw(b'{"choices": [{"message": null}]}'),
        raw(b'{"error": {"message": "upstream is gone", "code": 502}}'),
        raw(b"\xff\xfe", 200),
        raw(b"[" * 100_000),
        empty(500),
        raw(b"<html>Bad gateway</html>", 502),
        ok(finish="abort"),
        *(status(code) for code in (408, 409, 425, 429, 500, 502, 503, 504, 529)),
    ],
)
def test_a_fault_that_passes_loses_nothing(fault: Behaviour) -> None:
    reply, server = reply_of(fault, fault, ok('{"a": 1}'))
    assert (reply.text, reply.finish) == ('{"a": 1}', Finish.STOP)
    assert len(server.requests) == 3
    assert server.requests[0].body == server.requests[2].body


@pytest.mark.parametrize("silence", [hang(60), trickle(60)])
def test_an_answer_that_does_not_come_in_time_is_asked_for_again(silence: Behaviour) -> None:
    """Also one that comes byte by byte for ever."""
    reply, server = reply_of(silence, ok('{"a": 1}'), timeout=0.3)
    assert reply.text == '{"a": 1}'
    assert len(server.requests) == 2


def test_a_server_that_is_killed_and_started_again_within_patience_loses_nothing() -> None:
    requests = [replace(ASKED, sampling=Sampling(seed=number)) for number in range(12)]
    own = ok(lambda body: str(body["seed"]))
    with FaultyServer([own, dies()], then=own) as server:
        refused = 0

        def meanwhile() -> None:
            nonlocal refused
            refused += not server.alive
            if refused == 20 and not server.alive:
                server.revive()

        chat = chat_of(server.base_url, Time(meanwhile), patience=300)
        assert [reply.text for reply in ask(chat, *requests)] == [str(number) for number in range(12)]
        assert refused >= 20


def test_what_was_under_way_when_the_server_was_killed_is_asked_again() -> None:
    with FaultyServer([hang(600), dies()], then=ok('{"a": 1}')) as server:

        def meanwhile() -> None:
            if not server.alive:
                server.revive()

        replies = ask(chat_of(server.base_url, Time(meanwhile), concurrency=2), ASKED, ASKED)
        assert [reply.text for reply in replies] == ['{"a": 1}'] * 2
        assert len(server.requests) == 4


def test_a_server_that_stays_away_is_named_with_the_last_cause_and_the_remedy() -> None:
    with FaultyServer() as server:
        base_url = server.base_url
    time = Time()
    with pytest.raises(UnavailableError) as error:
        ask(chat_of(base_url, time, patience=100), ASKED)
    problem = error.value.problem
    assert problem.input == f"{base_url}/chat/completions"
    assert "takes no connection" in problem.cause
    assert "placement.serving.patience" in problem.remedy
    assert sum(time.slept) == pytest.approx(100)


def test_without_patience_a_server_is_asked_once() -> None:
    with FaultyServer(then=status(503, message="warming up")) as server:
        with pytest.raises(UnavailableError, match="503: warming up"):
            ask(chat_of(server.base_url, patience=0), ASKED)
        assert len(server.requests) == 1


@pytest.mark.parametrize("code", [429, 503])
def test_a_server_is_left_alone_for_as_long_as_it_asks(code: int) -> None:
    time = Time()
    with FaultyServer([status(code, retry_after=17), ok()]) as server:
        ask(chat_of(server.base_url, time), ASKED)
    assert 17 <= sum(time.slept) < 20


def test_a_server_may_ask_for_a_date() -> None:
    time = Time()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    with FaultyServer([status(429, retry_after=date), ok()]) as server:
        ask(chat_of(server.base_url, time), ASKED)
    assert 60 <= sum(time.slept) < 100


def test_what_one_request_is_told_to_wait_the_others_wait_too() -> None:
    at: list[float] = []

    class Waiting(Time):
        """Time stands still until a second one waits, so that one that does not would be seen to ask meanwhile."""

        async def sleep(self, seconds: float) -> None:
            until = self.now + seconds
            self.slept.append(seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while len(self.slept) < 2:
                        await asyncio.sleep(0.01)
            self.now = max(self.now, until)

    time = Waiting()

    def noted(then: Behaviour) -> Behaviour:
        def answer(exchange: Exchange) -> None:
            at.append(time.now)
            then(exchange)

        return answer

    with FaultyServer([noted(status(429, retry_after=30))], then=noted(ok())) as server:
        ask(chat_of(server.base_url, time, concurrency=1), *[ASKED] * 4)
    assert at[0] == 0
    assert len(at) == 5
    assert min(at[1:]) >= 30


def test_a_wait_longer_than_patience_fails_the_unit_now() -> None:
    time = Time()
    asking = status(429, retry_after=3600, message="daily limit")
    unavailable = pytest.raises(UnavailableError, match=r"daily limit, and asks to wait 3600 s")
    with FaultyServer([asking]) as server, unavailable:
        ask(chat_of(server.base_url, time, patience=300), ASKED)
    assert time.slept == []


# --- faults that do not pass --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wording", ["openai", "vllm", "vllm pictures", "llama.cpp"])
def test_a_request_that_does_not_fit_says_so_at_once(wording: str) -> None:
    with FaultyServer([too_long(wording)]) as server:
        with pytest.raises(TooLongError, match=r"context"):
            ask(chat_of(server.base_url), ASKED)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        # vLLM 0.32: renderers/params.py, entrypoints/serve/utils/api_utils.py, multimodal/processing/context.py
        "Input length (3000) exceeds model's maximum context length (2048).",
        "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum context length is 2048 "
        "tokens and your request has 100 input tokens (2048 > 2048 - 100).",
        "At most 4 image(s) may be provided in one prompt.",
        # SGLang
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    ],
)
def test_servers_have_many_words_for_too_long(words: str) -> None:
    with FaultyServer([status(400, message=words)]) as server:
        with pytest.raises(TooLongError):
            ask(chat_of(server.base_url), ASKED)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (status(401, message="who are you"), "without a key"),
        (status(403, message="not in your country"), "not in your country"),
        (status(404, message="The model `tailor` does not exist."), "no model tailor"),
        (status(400, error={"code": "model_not_found"}), "no model tailor"),
        (status(402, message="pay first"), "pay first"),
        (status(429, message="You exceeded your quota", error={"code": "insufficient_quota"}), "exceeded your quota"),
        (raw(b"", 301), "301"),
        (status(405), "405"),
        (status(400, message="too hot", error={"param": "temperature"}), r"synthesis\.model\.temperature"),
    ],
)
def test_what_no_retry_can_mend_is_said_at_once(fault: Behaviour, said: str) -> None:
    with FaultyServer([fault]) as server:
        with pytest.raises(UsageError, match=said):
            ask(chat_of(server.base_url), ASKED)
        assert len(server.requests) == 1


def test_one_request_that_is_refused_fails_alone() -> None:
    """A picture that a server cannot read is no reason to end a run."""
    broken = status(400, message="cannot identify image file")
    with FaultyServer(then=broken) as server, pytest.raises(UnavailableError, match="cannot identify image file"):
        ask(chat_of(server.base_url), Request(ASKED.messages, None))
    assert len(server.requests) == 1


# --- what a server does not know ----------------------------------------------------------------------------------


def formats(server: FaultyServer) -> list[str | None]:
    return [asked.body.get("response_format", {}).get("type") for asked in server.requests]


def test_a_server_without_schemas_is_asked_for_any_json_and_it_is_remembered() -> None:
    with FaultyServer(then=without("response_format.json_schema", ok("{}"))) as server:
        chat = chat_of(server.base_url)
        for _ in range(3):
            assert ask(chat, ASKED)[0].text == "{}"
        assert formats(server) == ["json_schema", "json_object", "json_object", "json_object"]


def test_a_server_without_formats_is_asked_by_the_prompt_alone_and_it_is_remembered() -> None:
    unheard_of = without("response_format", ok("{}"), message="[{'msg': 'Extra inputs are not permitted'}]", code=422)
    with FaultyServer(then=unheard_of) as server:
        chat = chat_of(server.base_url)
        for _ in range(2):
            ask(chat, ASKED)
        assert formats(server) == ["json_schema", "json_object", None, None]


def test_requests_that_learn_it_together_all_get_their_answers() -> None:
    with FaultyServer(then=without("response_format", ok("{}"))) as server:
        chat = chat_of(server.base_url, concurrency=8)
        assert len(ask(chat, *[ASKED] * 8)) == 8
        before = len(server.requests)
        ask(chat, ASKED)
        assert formats(server)[before:] == [None]


def test_a_request_that_is_refused_in_every_format_teaches_nothing() -> None:
    broken = status(400, message="cannot identify image file")
    with FaultyServer([broken, broken, broken, ok()]) as server:
        chat = chat_of(server.base_url)
        with pytest.raises(UnavailableError, match="cannot identify image file"):
            ask(chat, ASKED)
        ask(chat, ASKED)
        assert formats(server) == ["json_schema", "json_object", None, "json_schema"]


def test_a_server_may_call_the_bound_of_an_answer_by_its_newer_name() -> None:
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    with FaultyServer(then=without("max_tokens", ok(), message=words)) as server:
        chat = chat_of(server.base_url)
        ask(chat, ASKED)
        ask(chat, ASKED)
        names = [(asked.body.get("max_tokens"), asked.body.get("max_completion_tokens")) for asked in server.requests]
        assert names == [(64, None), (None, 64), (None, 64)]
        assert formats(server) == ["json_schema"] * 3


def test_a_server_without_seeds_is_asked_without() -> None:
    with FaultyServer(then=without("seed", ok())) as server:
        chat = chat_of(server.base_url)
        ask(chat, ASKED)
        ask(chat, ASKED)
        assert [asked.body.get("seed") for asked in server.requests] == [7, None, None]
        assert formats(server) == ["json_schema"] * 3


def test_strict_is_asked_only_of_schemas_that_fit_it() -> None:
    def scene(**more: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], **more}

    closed_scene = scene(additionalProperties=False)
    assert is_strict(closed_scene)
    assert is_strict({**closed_scene, "properties": {"a": {"type": "array", "items": closed_scene, "maxItems": 3}}})
    assert is_strict({**closed_scene, "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": closed_scene}})
    assert not is_strict(scene())
    assert not is_strict({**closed_scene, "required": []})
    assert not is_strict({**closed_scene, "properties": {"a": {"type": "string", "minLength": 1}}})
    assert not is_strict({**closed_scene, "properties": {"a": {"type": "array"}}})
    assert not is_strict({**closed_scene, "properties": {"a": scene()}})
    assert not is_strict({**closed_scene, "properties": {"a": {"anyOf": [{"type": "null"}, scene()]}}})
    assert not is_strict({**closed_scene, "properties": {"a": {}}})
    assert not is_strict({**closed_scene, "properties": {"a": {"enum": list(range(2000))}}})
    assert not is_strict({"anyOf": [closed_scene]})
    assert not is_strict({"type": "array", "items": closed_scene})
    assert not is_strict(True)
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(12):
        deep = {**closed_scene, "properties": {"a": deep}}
    assert not is_strict(deep)


# --- not too much -------------------------------------------------------------------------------------------------


def test_no_more_requests_are_under_way_than_allowed() -> None:
    """By the server's own count. It answers only when four are there: fewer would never be answered."""
    together = threading.Barrier(4, timeout=30)

    def text(_: dict[str, Any]) -> str:
        together.wait()
        return "{}"

    with FaultyServer(then=ok(text)) as server:
        ask(chat_of(server.base_url, concurrency=4), *[ASKED] * 24)
        assert server.most_together == 4
        assert len(server.requests) == 24


def test_after_429_half_as_many_are_under_way_and_then_slowly_more() -> None:
    full = threading.Barrier(8, timeout=30)
    half = threading.Barrier(4, timeout=30)

    def refused(exchange: Exchange) -> None:
        full.wait()
        status(429)(exchange)

    seen: list[int] = []

    def text(_: dict[str, Any]) -> str:
        half.wait()
        server.stopping.wait(0.3)  # time for a fifth to come, if it may
        seen.append(len(server.requests))
        half.wait()
        return "{}"

    with FaultyServer([refused] * 8 + [ok(text)] * 4, then=ok()) as server:
        chat = chat_of(server.base_url, concurrency=8)
        assert len(ask(chat, *[ASKED] * 64)) == 64
        assert max(asked.together for asked in server.requests[:8]) == 8
        assert seen == [12] * 4
        assert chat._pace.gate.limit == 8


def test_requests_a_minute_are_kept() -> None:
    time = Time()
    with FaultyServer(then=ok()) as server:
        ask(chat_of(server.base_url, time, requests_per_minute=30, concurrency=1), *[ASKED] * 61)
    assert time.now >= 120


def test_tokens_a_minute_are_kept_by_what_answers_cost() -> None:
    time = Time()
    with FaultyServer(then=ok(usage={"prompt_tokens": 900, "completion_tokens": 100})) as server:
        ask(chat_of(server.base_url, time, tokens_per_minute=10_000, concurrency=1), *[ASKED] * 21)
    assert 120 <= time.now < 150


# --- what it costs ------------------------------------------------------------------------------------------------


def test_attempts_that_cost_tokens_are_counted_and_others_are_not() -> None:
    usage = {"prompt_tokens": 300, "completion_tokens": 10}
    no_choice = json.dumps({"choices": [], "usage": usage}).encode()
    reply, server = reply_of(status(500), raw(no_choice), status(429), closed(), ok("{}", usage=usage))
    assert len(server.requests) == 5
    assert reply.usage.requests == 2
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.images) == (600, 20, 2)


@pytest.mark.parametrize("lost", [closed_mid_body(), truncated(), hang(60)])
def test_an_answer_that_was_lost_is_counted_as_the_estimate(lost: Behaviour) -> None:
    usage = {"prompt_tokens": 300, "completion_tokens": 10}
    reply, server = reply_of(lost, ok("{}", usage=usage), timeout=0.5)
    estimate = tokens_of(ASKED, chat_of(server.base_url))
    assert reply.usage.requests == 2
    assert reply.usage.tokens == estimate.tokens + 310


def test_usage_is_of_its_own_request_alone() -> None:
    usage = {"prompt_tokens": 300, "completion_tokens": 10}
    with FaultyServer(then=ok(usage=usage)) as server:
        replies = ask(chat_of(server.base_url), *[ASKED] * 5)
    assert {reply.usage.tokens for reply in replies} == {310}


# --- keys ---------------------------------------------------------------------------------------------------------


def headers(server: FaultyServer) -> str | None:
    return server.requests[0].headers.get("authorization")


def test_the_key_is_that_of_the_variable_the_recipe_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another-key")
    monkeypatch.setenv("TAILOR_KEY", f"{KEY}\n")
    with FaultyServer(then=ok(), key=KEY) as server:
        ask(chat_of(server.base_url, key="TAILOR_KEY"), ASKED)
        assert headers(server) == f"Bearer {KEY}"


def test_by_default_it_is_openai_api_key_where_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert headers(reply_of(ok())[1]) is None
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert headers(reply_of(ok())[1]) == f"Bearer {KEY}"


def test_the_key_of_a_prefect_block_is_in_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable_of_block("tailor-key"), KEY)
    assert headers(reply_of(ok(), key="prefect:tailor-key")[1]) == f"Bearer {KEY}"


@pytest.mark.parametrize("reference", ["TAILOR_KEY", "prefect:tailor-key"])
def test_a_variable_that_is_not_set_is_named_before_anything_is_sent(reference: str) -> None:
    with FaultyServer(then=ok()) as server:
        with pytest.raises(UsageError, match=Secret(reference).variable):
            ask(chat_of(server.base_url, key=reference), ASKED)
        assert server.requests == []


@pytest.mark.parametrize("wrong", ["two words-and-a-key", "schlüssel-0123456789", "line\nbreak-0123456789"])
def test_what_no_header_can_carry_is_no_key(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAILOR_KEY", wrong)
    with FaultyServer(then=ok()) as server, pytest.raises(UsageError, match="TAILOR_KEY") as error:
        ask(chat_of(server.base_url, key="TAILOR_KEY"), ASKED)
    assert wrong not in str(error.value)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that any library logs at any level."""
    with caplog.at_level(logging.DEBUG):
        yield lambda: "\n".join([caplog.text, *(repr(record.args) for record in caplog.records)])


def leaks(text: str) -> bool:
    forms = (KEY, KEY.replace("/", "%2F").replace("+", "%2B"), base64.b64encode(KEY.encode()).decode())
    return any(form in text for form in forms)


def everything_in(error: BaseException) -> str:
    """What any report of an error could show: messages, causes, contexts, arguments, traceback with locals, pickle."""
    shown = [str(pickle.dumps(error)) if isinstance(error, UsageError | UnavailableError | TooLongError) else ""]
    seen: BaseException | None = error
    while seen is not None:
        lines = traceback.TracebackException.from_exception(seen, capture_locals=True).format(chain=False)
        # The test's own frames hold the key.
        shown += [str(seen), repr(seen), repr(seen.args), repr(vars(seen))]
        shown += re.split(r"test_openai\.py", "".join(lines))[-1:]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(shown)


ECHOES = [
    status(401, message=f"Incorrect API key provided: {KEY}"),
    status(403, message=f"{KEY} may not"),
    status(404, message=f"no model for {KEY}"),
    status(400, message=f"bad request by {KEY.replace('/', '%2F').replace('+', '%2B')}"),
    status(400, message=f"context length exceeded for {KEY}"),
    status(429, message=f"{KEY} is too fast", retry_after=10_000),
    status(500, message="x" * 290 + KEY),
    raw(f"<html>{KEY}</html>".encode(), 503),
    raw(f"<html>{KEY}</html>".encode()),
    raw(json.dumps({"detail": [{"input": {"authorization": f"Bearer {KEY}"}}]}).encode(), 422),
    raw(json.dumps({"error": KEY}).encode(), 500),
    closed(),
    hang(60),
]


@pytest.mark.parametrize("echo", ECHOES)
def test_the_key_is_in_no_error_and_no_log(
    echo: Behaviour, monkeypatch: pytest.MonkeyPatch, everything_logged: Callable[[], str]
) -> None:
    monkeypatch.setenv("TAILOR_KEY", KEY)
    with FaultyServer(then=echo) as server:
        chat = chat_of(server.base_url, key="TAILOR_KEY", patience=1, timeout=0.5)
        with pytest.raises((UsageError, UnavailableError, TooLongError)) as error:
            ask(chat, ASKED)
        assert headers(server) == f"Bearer {KEY}"
    assert not leaks(everything_in(error.value))
    assert not leaks(everything_logged())
    assert not leaks(repr(chat) + repr(vars(chat)) + repr(vars(chat._key)) + str(pickle.dumps(chat._key)))


@pytest.mark.parametrize("echo", [ok(f"my key is {KEY}"), refusal(f"I do not like {KEY}")])
def test_the_key_is_in_no_reply(
    echo: Behaviour, monkeypatch: pytest.MonkeyPatch, everything_logged: Callable[[], str]
) -> None:
    monkeypatch.setenv("TAILOR_KEY", KEY)
    reply, _ = reply_of(echo, key="TAILOR_KEY")
    assert not leaks(repr(reply))
    assert "***" in reply.text
    assert not leaks(everything_logged())


def test_a_placeholder_for_a_key_blots_out_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    assert reply_of(ok("the cup is EMPTY"))[0].text == "the cup is EMPTY"


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{KEY.replace('/', '_')}@127.0.0.1:{{port}}/v1",
        f"http://{KEY.replace('/', '_')}@127.0.0.1:{{port}}/v1",
        "http://127.0.0.1:{port}/v1?api_key=" + KEY.replace("/", "%2F"),
        "http://127.0.0.1:{port}/v1?sig=" + KEY,
        "http://127.0.0.1:{port}/" + KEY.replace("/", "%2F").replace("+", "%2B") + "/v1",
        "http://127.0.0.1:{port}/" + KEY + "/v1",
        "http://127.0.0.1:{port}/v1?who=" + KEY,
    ],
)
def test_a_key_in_the_url_is_refused_unseen(
    url: str, monkeypatch: pytest.MonkeyPatch, everything_logged: Callable[[], str]
) -> None:
    """It would be stored with the recipe."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with FaultyServer(then=ok()) as server:
        with pytest.raises(UsageError, match=r"placement\.serving\.base_url") as error:
            ask(chat_of(url.format(port=server.port)), ASKED)
        assert server.requests == []
    for form in (KEY, KEY.replace("/", "_"), KEY.replace("/", "%2F"), KEY.replace("/", "%2F").replace("+", "%2B")):
        assert form not in str(error.value)
        assert form not in everything_logged()


# --- guesses ------------------------------------------------------------------------------------------------------


def test_a_text_is_guessed_at_by_its_words_digits_marks_and_bytes() -> None:
    chat = OpenAIChat(ModelSpec(name="tailor"), Serving(base_url="http://localhost/v1"))
    assert chat.tokens("") == 0
    assert chat.tokens("a b c d") >= 4
    assert chat.tokens("12.34 56.78") == 11  # each digit, each mark, the blank before a digit
    assert chat.tokens("厨房里准备晚餐") == 7
    assert chat.tokens("\ud800") >= 1  # no text that a model can send breaks it


def test_a_picture_takes_a_token_for_each_patch() -> None:
    chat = OpenAIChat(ModelSpec(name="tailor"), Serving(base_url="http://localhost/v1"))
    assert chat.picture_tokens(560, 280) == 20 * 10 + 2
    assert chat.picture_tokens(561, 281) == 21 * 11 + 2
    assert chat.picture_tokens(1, 1) == 3
