"""An OpenAI-compatible endpoint over a chat of this process: what `dataclaw serve` runs where vLLM does not.

It knows models, chat completions and structured outputs, and refuses what it does not know rather than leave it out.
Pictures come inside requests (data URLs): nothing is fetched from anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import DataClawError, UsageError
from schemas.recipe import Sampling as Looking
from schemas.trail import Routed
from synthesis.backends import chat as chats
from synthesis.backends.chat import Chat, Finish, Message, Picture, Sampling, TooLongError, UnavailableError

_TYPES: Mapping[str, Literal["image/jpeg", "image/png"]] = {"JPEG": "image/jpeg", "PNG": "image/png"}
_FINISHES = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.REFUSAL: "content_filter"}
_MOST_PIXELS = Looking().max_pixels
_PREFIX = "data:"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Text(_Strict):
    type: Literal["text"]
    text: str


class _Url(_Strict):
    url: str
    detail: str | None = None
    """Not heeded: pictures are seen as large as they are."""


class _Shown(_Strict):
    type: Literal["image_url"]
    image_url: _Url


class _Said(_Strict):
    role: Literal["system", "user", "assistant"]
    content: str | list[Annotated[_Text | _Shown, Field(discriminator="type")]]


class _Schema(_Strict):
    name: str = "output"
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None
    """Not heeded: answers are held to the schema always."""


class _Free(_Strict):
    type: Literal["text"]


class _AnyObject(_Strict):
    type: Literal["json_object"]


class _BySchema(_Strict):
    type: Literal["json_schema"]
    json_schema: _Schema


class Asked(_Strict):
    """A request for a chat completion, as far as it is known here."""

    model: str
    messages: Annotated[list[_Said], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    seed: int = 0
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    response_format: Annotated[_Free | _AnyObject | _BySchema, Field(discriminator="type")] | None = None
    n: Literal[1] = 1
    stream: Literal[False] = False
    user: str | None = None

    @property
    def schema_text(self) -> str | None:
        """The JSON Schema that the answer must satisfy."""
        match self.response_format:
            case _BySchema(json_schema=held):
                return json.dumps(held.schema_)
            case _AnyObject():
                return json.dumps({"type": "object"})
        return None


@dataclass(frozen=True)
class Offer:
    """What an endpoint has."""

    adapters: Mapping[str, str | None]
    """Names that can be asked for, and the adapter that each stands for; None: the chat as it is."""
    routed: tuple[str, ...] = ()
    """Names for which the router chooses one of the others."""
    route: Callable[[str], Routed] | None = None
    """Chooses by the words of the first question."""
    max_tokens: int = 2048
    """Of an answer, where the request does not say."""


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, kind: str, parameter: str | None = None, code: str | None = None):
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def endpoint(chat: Chat, offer: Offer, key: str = "") -> FastAPI:
    """The application. Its server closes the chat at its end.

    Args:
        chat: what answers.
        offer: under which names.
        key: that requests must bring as `Authorization: Bearer`; empty: none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await chat.close()

    async def holds_key(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if key and not (given and hmac.compare_digest(given.credentials.encode(), key.encode())):
            raise _RefusedError(401, "the key is missing or wrong", "authentication_error", code="invalid_api_key")

    v1 = APIRouter(prefix="/v1", dependencies=[Depends(holds_key)])

    @v1.get("/models")
    async def models() -> dict[str, Any]:
        names = [*offer.adapters, *offer.routed]
        listed = [{"id": name, "object": "model", "created": begun, "owned_by": "dataclaw"} for name in names]
        return {"object": "list", "data": listed}

    @v1.post("/chat/completions")
    async def complete(asked: Asked) -> dict[str, Any]:
        route = None
        if asked.model in offer.routed and offer.route is not None:
            route = await asyncio.to_thread(offer.route, _first_question(asked))
        answering = asked.model if route is None else route.version
        if answering not in offer.adapters:
            cause = f"there is no model {asked.model!r}; there are {', '.join((*offer.adapters, *offer.routed))}"
            raise _RefusedError(404, cause, "invalid_request_error", "model", "model_not_found")
        messages = await asyncio.to_thread(_messages, asked)
        most = asked.max_completion_tokens or asked.max_tokens or offer.max_tokens
        sampling = Sampling(asked.temperature, asked.top_p, asked.seed, most)
        adapter = offer.adapters[answering]
        reply = await chat.complete(chats.Request(messages, asked.schema_text, sampling, adapter))
        return _completion(reply, adapter or answering, route)

    begun = int(time.time())
    app = FastAPI(title="DataClaw", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(v1)
    app.add_api_route("/health", _healthy)
    app.add_exception_handler(_RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DataClawError, _failed)
    return app


_BEARER = HTTPBearer(auto_error=False)


async def _healthy() -> dict[str, str]:
    return {"status": "ok"}


def _first_question(asked: Asked) -> str:
    """The words that say what is wanted: builds begin their first question with the task."""
    for said in asked.messages:
        if said.role == "user":
            if isinstance(said.content, str):
                return said.content
            return " ".join(part.text for part in said.content if isinstance(part, _Text))
    return ""


def _messages(asked: Asked) -> tuple[Message, ...]:
    return tuple(
        Message(
            said.role,
            (said.content,)
            if isinstance(said.content, str)
            else tuple(part.text if isinstance(part, _Text) else _picture(part.image_url.url) for part in said.content),
        )
        for said in asked.messages
    )


def _picture(url: str) -> Picture:
    """The picture in a data URL, decoded once here, so that a broken one is the fault of its own request alone."""
    head, comma, body = url.partition(",")
    if not (url.startswith(_PREFIX) and comma and head.endswith(";base64")):
        raise _bad_picture("pictures come as data URLs (data:image/jpeg;base64,...); nothing is fetched")
    try:
        data = base64.b64decode(body, validate=True)
        with Image.open(BytesIO(data), formats=tuple(_TYPES)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise _bad_picture(f"a picture has more than {_MOST_PIXELS} pixels")
            image.load()
            return Picture(data, _TYPES[str(image.format)], image.width, image.height, ())
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _bad_picture("a picture is no JPEG or PNG in base64, or is damaged") from error


def _bad_picture(message: str) -> _RefusedError:
    return _RefusedError(400, message, "invalid_request_error", "messages")


def _completion(reply: chats.Reply, model: str, route: Routed | None) -> dict[str, Any]:
    """`model` is what answered; of a routed request `route` says why, beside OpenAI's own fields."""
    usage = reply.usage
    answer: dict[str, Any] = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": reply.text},
                "finish_reason": _FINISHES[reply.finish],
            }
        ],
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.tokens,
            "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "image_tokens": usage.image_tokens},
        },
    }
    return answer if route is None else answer | {"route": route.model_dump(mode="json")}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, _RefusedError)
    return JSONResponse(error.body, error.status)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """A body that is no request that is known here."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    refused = _RefusedError(400, f"{place or 'body'}: {first['msg']}", "invalid_request_error", place or None)
    return JSONResponse(refused.body, refused.status)


async def _failed(_: Request, error: Exception) -> JSONResponse:
    """What the chat says instead of an answer."""
    assert isinstance(error, DataClawError)
    message = error.problem.words
    if isinstance(error, TooLongError):
        refused = _RefusedError(400, message, "invalid_request_error", "messages", "context_length_exceeded")
    elif isinstance(error, UsageError):
        refused = _RefusedError(400, message, "invalid_request_error")
    else:
        status = 503 if isinstance(error, UnavailableError) else 500
        refused = _RefusedError(status, message, "server_error")
    return JSONResponse(refused.body, refused.status)
