"""The one small protocol behind every backend with a model: messages with pictures and a schema in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, Self

from schemas.errors import DataClawError, UnsuitedError
from schemas.usage import Usage


@dataclass(frozen=True)
class Picture:
    """A picture in a message: its encoded bytes, and where it is from, so that it can be made again.

    `moments` are (stream SHA-256, seconds): one for a frame, several for a contact sheet. `width` and `height` in
    pixels.
    """

    data: bytes = field(repr=False)
    media_type: Literal["image/jpeg", "image/png"]
    width: int
    height: int
    moments: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Message:
    """What one side says: texts and pictures in their order."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | Picture, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(part for part in self.parts if isinstance(part, Picture))


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_tokens: int = 2048
    """Of the answer."""


@dataclass(frozen=True)
class Request:
    """One question to a model. `schema` is a JSON Schema that the answer must satisfy; None for free text. `adapter`
    names one of several that the chat has; None asks the model as it is."""

    messages: tuple[Message, ...]
    schema: str | None
    sampling: Sampling = Sampling()
    adapter: str | None = None


class Finish(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    """It reached `max_tokens`: it is cut off."""
    REFUSAL = "refusal"
    """The model, or a filter of the server, refused."""


@dataclass(frozen=True)
class Reply:
    """A model's answer, as it came: it may be empty, cut off or no JSON at all."""

    text: str
    finish: Finish
    usage: Usage


class Chat(Protocol):
    """A model that answers. Made in a worker without loading anything; `complete` may run many times at once in one
    event loop, and loads what is needed at its first call.
    """

    model: str
    """What goes into provenance: the model's name, with its adapter when it has one."""

    async def complete(self, request: Request) -> Reply:
        """The answer to a request. What can be had by asking again is asked again here.

        Raises:
            TooLongError: the request does not fit into the model's context.
            UnavailableError: no answer could be had, after all retries.
            schemas.errors.UsageError: the request can never be answered (no such model, a wrong key).
        """
        ...

    def tokens(self, text: str) -> int:
        """How many tokens a text takes, exactly or as a cautious guess. Loads no weights."""
        ...

    def picture_tokens(self, width: int, height: int) -> int:
        """How many tokens a picture of so many pixels takes, exactly or as a cautious guess."""
        ...

    async def close(self) -> None:
        """Lets connections and engines go."""
        ...


class _UnansweredError(DataClawError):
    usage = Usage()
    """What the attempts cost all the same."""

    def costing(self, usage: Usage) -> Self:
        self.usage = usage
        return self


class TooLongError(_UnansweredError):
    """A request does not fit into the model's context: ask with less evidence."""


class UnavailableError(_UnansweredError):
    """A server or an engine gives no answer: the unit fails, and a later run tries it again."""


class RefusedError(UnsuitedError):
    """The model refuses to answer: filtered, with its words."""


def tokens_of(request: Request, chat: Chat) -> Usage:
    """What a request will take at most: the estimate that budgets are kept with."""
    text = sum(chat.tokens(message.text) + _PER_MESSAGE for message in request.messages)
    pictures: Sequence[Picture] = [picture for message in request.messages for picture in message.pictures]
    seen = sum(chat.picture_tokens(picture.width, picture.height) for picture in pictures)
    return Usage(
        requests=1,
        prompt_tokens=text + seen,
        image_tokens=seen,
        completion_tokens=request.sampling.max_tokens,
        images=len(pictures),
    )


_PER_MESSAGE = 8
"""Tokens that a chat template puts around a message."""
