"""A model behind any server that speaks OpenAI's chat completions: vLLM, SGLang, llama.cpp, Ollama, OpenAI, Azure."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import httpx2

from schemas.errors import UsageError
from schemas.recipe import ModelSpec, Serving
from schemas.usage import Usage
from synthesis.backends.chat import (
    Finish,
    Message,
    Picture,
    Reply,
    Request,
    TooLongError,
    UnavailableError,
    tokens_of,
)
from synthesis.backends.constrain import constrainable
from synthesis.backends.pacing import GaveUpError, Pace, TryAgain, Turn, retry_after
from synthesis.backends.secret import Secret

log = logging.getLogger(__name__)

_CONNECT = 10.0
"""Seconds: who does not take a connection in this time takes none."""
_QUOTED = 300
"""Characters of a server's words in an error."""
_PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which it is worth asking again."""
_SETTINGS = frozenset({"model", "temperature", "top_p", "max_tokens", "max_completion_tokens"})
"""Parameters that come from the recipe: a server that refuses one of them refuses every request."""
_TOO_LONG = re.compile(
    r"context.?(length|size|window)|maximum model length|max_model_len"  # OpenAI, vLLM, SGLang, llama.cpp, Mistral
    r"|prompt is too long|maximum number of tokens|at most \d+ image",  # Anthropic, Gemini; vLLM of pictures
    re.IGNORECASE,
)
_NO_MODEL = "model_not_found"
_SECRET_NAMES = re.compile(r"key|token|secret|sig|passw|auth|credential", re.IGNORECASE)
_FORMATS = ("json_schema", "json_object")
"""How a server may be held to JSON, the best first. After them there is the prompt alone, which holds the schema."""


class OpenAIChat:
    """Asks over HTTP, as often as it takes within `serving.patience`.

    What the server turns out not to know (a response format, `max_tokens`, `seed`) is left out from then on.
    """

    def __init__(self, model: ModelSpec, serving: Serving, *, pace: Pace | None = None) -> None:
        self.model = f"{model.name}+{model.adapter}" if model.adapter else model.name
        self._served = model.adapter or model.name
        self._url = _endpoint(serving.base_url)
        self._shown = urlunsplit(urlsplit(self._url)._replace(query=""))
        """The URL for errors and logs."""
        self._key = Secret(serving.key)
        self._timeout = serving.timeout
        self._patience = serving.patience
        self._pace = pace or Pace(serving.concurrency, serving.requests_per_minute, serving.tokens_per_minute)
        self._unknown: frozenset[str] = frozenset()
        """What this server does not know, by the name that requests have for it."""
        self._client: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def complete(self, request: Request) -> Reply:
        self._key.read()
        if self._key.hidden_in(self._url) != self._url:
            raise UsageError(
                "placement.serving.base_url",
                f"the key in {self._key.variable} stands in the URL too, which is stored and logged",
                "Take it out of the URL: it is sent in the header.",
            )
        question = _Question(request, [_message(message) for message in request.messages], tokens_of(request, self))
        try:
            return await self._pace.retrying(lambda: self._attempt(question), self._patience, self._shown)
        except (TooLongError, UnavailableError) as error:
            raise error.costing(question.spent) from error.__cause__
        except GaveUpError as error:
            last, times, seconds = error.last.cause, error.attempts, error.seconds
        raise UnavailableError(
            self._shown,
            f"no answer (attempts: {times}, over {seconds:.0f} s); the last time {last}",
            "See that the server runs and can be reached from the workers; the next run asks again. "
            "placement.serving.patience is how many seconds a server may be away.",
        ).costing(question.spent)

    def tokens(self, text: str) -> int:
        """A guess without a tokenizer, by words, digits, marks and bytes. Against Qwen's and SmolLM2's tokenizers it is
        7 to 33 percent too high for English and source code and right to 3 percent for facts and numbers, of which
        prompts are full; what it is for other scripts stands in docs/backends.md.
        """
        return sum(_piece_tokens(piece) for piece in _PIECES.finditer(text))

    def picture_tokens(self, width: int, height: int) -> int:
        """A guess: one token for each patch of 28 pixels, begun ones counted whole, and two around them.

        As Qwen2-VL and Qwen2.5-VL have it (arXiv:2409.12191, section 2.1). Qwen3-VL's patches of 32 pixels make fewer.
        """
        return math.ceil(width / _PATCH) * math.ceil(height / _PATCH) + 2

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()

    # --- one attempt ----------------------------------------------------------------------------------------------

    async def _attempt(self, question: _Question) -> Reply:
        """An answer; asked anew without whatever the server turns out not to know.

        Raises:
            TryAgain: it may be had later.
        """
        unknown = self._unknown
        while True:
            async with self._pace.turn(question.estimate.tokens) as turn:
                answer = await self._post(self._body(question, unknown), question, turn)
            if isinstance(answer, Reply):
                if learned := unknown - self._unknown:
                    log.warning("%s does not know %s: asked without", self._shown, ", ".join(sorted(learned)))
                    self._unknown |= learned
                return answer
            if answer.filtered:
                return Reply(answer.words, Finish.REFUSAL, question.spent)
            lesser = self._without(answer, question, unknown)
            if lesser is None:
                raise self._refused(answer)
            unknown = lesser

    async def _post(self, body: bytes, question: _Question, turn: Turn) -> Reply | _Refusal:
        """One exchange: the reply, or why the server will not give one.

        An answer that was lost on its way has cost what it has cost: it is counted as the estimate.
        """
        begun = False
        try:
            async with asyncio.timeout(self._timeout):
                async with self._connected().stream("POST", self._url, content=body) as response:
                    begun = response.is_success
                    content = await response.aread()
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            cause = f"it takes no connection ({self._words(str(error) or type(error).__name__)})"
        except (TimeoutError, httpx2.TimeoutException):
            begun = True
            cause = f"there was no whole answer within {self._timeout:g} s (placement.serving.timeout)"
        except httpx2.HTTPError as error:
            cause = f"the connection broke ({self._words(str(error) or type(error).__name__)})"
        else:
            return self._read(response, content, question, turn)
        self._cost(question, turn, question.estimate if begun else Usage())
        raise TryAgain(cause)

    def _read(self, response: httpx2.Response, content: bytes, question: _Question, turn: Turn) -> Reply | _Refusal:
        """What an HTTP answer holds.

        Raises:
            TryAgain: nothing of use, and it may pass.
        """
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            data = None
        status = response.status_code
        if response.is_success and isinstance(data, dict) and not _choice(data) and data.get("error"):
            status = _whole(_mapping(data["error"]).get("code"), 502)  # some proxies put errors into a 200
        if not 200 <= status < 300:
            self._cost(question, turn, Usage())
            refusal = _refusal(status, data, self._words(content.decode(errors="replace")), self._key)
            if status == 429:
                self._pace.too_much(turn)
            if refusal.passes:
                after = retry_after(response.headers)
                self._pace.pause(min(after or 0.0, self._patience))
                asked = f", and asks to wait {after:.0f} s" if after else ""
                raise TryAgain(f"it said {status}: {refusal.words}{asked}", after)
            return refusal
        choice = _choice(data)
        if choice is None:
            self._cost(question, turn, self._usage(data, question, None))
            raise TryAgain(f"it said {status} and nothing that is an answer: {self._words(repr(content))}")
        message = _mapping(choice.get("message"))
        text = self._key.hidden_in(_text(message.get("content")))
        self._cost(question, turn, self._usage(data, question, text))
        ended = choice.get("finish_reason")
        if ended in ("error", "abort"):
            raise TryAgain(f"it broke off its answer ({ended})")
        self._pace.answered()
        refused = message.get("refusal")
        if refused or ended == "content_filter":
            return Reply(self._key.hidden_in(_text(refused)) or text, Finish.REFUSAL, question.spent)
        return Reply(text, Finish.LENGTH if ended == "length" else Finish.STOP, question.spent)

    def _connected(self) -> httpx2.AsyncClient:
        """The client of this event loop: connections do not outlive the loop in which they were made."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = httpx2.AsyncClient(
                auth=_Bearer(self._key),
                headers={"content-type": "application/json"},
                timeout=httpx2.Timeout(self._timeout, connect=min(_CONNECT, self._timeout)),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._pace.gate.most),
            )
        return self._client

    def _body(self, question: _Question, unknown: frozenset[str]) -> bytes:
        sampling = question.request.sampling
        body: dict[str, Any] = {
            "model": question.request.adapter or self._served,
            "messages": question.messages,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_completion_tokens" if "max_tokens" in unknown else "max_tokens": sampling.max_tokens,
        }
        if "seed" not in unknown:
            body["seed"] = sampling.seed
        known = [name for name in _FORMATS if name not in unknown]
        if question.request.schema is not None and known:
            schema = question.request.schema
            body["response_format"] = _schema_format(schema) if known[0] == "json_schema" else {"type": known[0]}
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    # --- what it costs --------------------------------------------------------------------------------------------

    def _cost(self, question: _Question, turn: Turn, usage: Usage) -> None:
        question.spent += usage
        self._pace.cost(turn, usage.tokens)

    def _usage(self, data: Any, question: _Question, text: str | None) -> Usage:
        """As the server counts; what it does not count is estimated. `text` is None when there is no answer."""
        counted = _mapping(_mapping(data).get("usage"))
        details = _mapping(counted.get("prompt_tokens_details"))
        estimate = question.estimate
        prompt = _whole(counted.get("prompt_tokens"), estimate.prompt_tokens)
        written = estimate.completion_tokens if text is None else self.tokens(text)
        seen = _mapping(details.get("multimodal_tokens")).get("image", details.get("image_tokens"))  # vLLM; DashScope
        return Usage(
            requests=1,
            prompt_tokens=prompt,
            cached_tokens=min(prompt, _whole(details.get("cached_tokens"), 0)),
            image_tokens=min(prompt, _whole(seen, estimate.image_tokens)),
            completion_tokens=_whole(counted.get("completion_tokens"), written),
            images=estimate.images,
        )

    # --- what a server refuses ------------------------------------------------------------------------------------

    def _without(self, refusal: _Refusal, question: _Question, unknown: frozenset[str]) -> frozenset[str] | None:
        """What to leave out next, given that the server refused a request without `unknown`; None: nothing."""
        if refusal.status not in (400, 422) or refusal.too_long or refusal.code == _NO_MODEL:
            return None
        if "max_tokens" not in unknown and re.search("max_completion_tokens", refusal.words):
            return unknown | {"max_tokens"}
        if "seed" not in unknown and (refusal.parameter == "seed" or re.search(r"\bseed\b", refusal.words)):
            return unknown | {"seed"}
        if refusal.parameter in _SETTINGS or question.request.schema is None:
            return None
        # Servers have no common words for a response format that they do not take, so that every other refusal may be
        # one: it is, if the request is answered without.
        return next((unknown | {name} for name in _FORMATS if name not in unknown), None)

    def _refused(self, refusal: _Refusal) -> UsageError | TooLongError | UnavailableError:
        """The error for a request that will not be answered by asking again."""
        status, words = refusal.status, refusal.words
        if refusal.too_long:
            return TooLongError(
                self._shown,
                f"the request is longer than {self._served} takes: {words}",
                "Set synthesis.model.context to what the server takes, or lower frames, image_side or anchor_tokens.",
            )
        if status == 401:
            given = f"the key in {self._key.variable}" if self._key.read() else "a request without a key"
            return UsageError(
                self._shown,
                f"the server refuses {given} (401)",
                f"Set {self._key.variable} to a key of this server, or name another variable in placement.serving.key.",
            )
        if status == 404 or refusal.code == _NO_MODEL or refusal.parameter == "model":
            return UsageError(
                self._shown,
                f"there is no model {self._served}, or nothing at all at this URL (status {status}: {words})",
                f"Give synthesis.model.name (or adapter) as the server lists it: curl {_models(self._shown)}. "
                "placement.serving.base_url mostly ends in /v1.",
            )
        if refusal.parameter in _SETTINGS:
            return UsageError(
                self._shown,
                f"{self._served} does not take this {refusal.parameter}: {words}",
                f"Change synthesis.model.{refusal.parameter}.",
            )
        if status in (400, 413, 422):
            return UnavailableError(
                self._shown,
                f"the server refuses this request (status {status}: {words})",
                "If it refuses every request, see that the model takes pictures and what its server logs.",
            )
        return UsageError(
            self._shown,
            f"the server refuses to answer (status {status}: {words})",
            "See that the account has the right and the means, and that placement.serving.base_url is right.",
        )

    def _words(self, text: str) -> str:
        return _short(self._key.hidden_in(text))


@dataclass
class _Question:
    """A request, made ready once, and what all attempts at it have cost."""

    request: Request
    messages: list[dict[str, Any]] = field(repr=False)
    estimate: Usage
    spent: Usage = field(default_factory=Usage)


@dataclass(frozen=True)
class _Refusal:
    """An answer that is an error, in the server's words."""

    status: int
    words: str
    code: str = ""
    parameter: str = ""

    @property
    def too_long(self) -> bool:
        said = f"{self.code} {self.words}"
        return self.status == 413 or (self.status in (400, 422, 500) and bool(_TOO_LONG.search(said)))

    @property
    def filtered(self) -> bool:
        """Refused for what it says, by a filter before the model."""
        return self.status in (400, 403) and self.code in ("content_filter", "content_policy_violation")

    @property
    def passes(self) -> bool:
        if self.too_long or self.code == "insufficient_quota":  # OpenAI's 429 for an empty account
            return False
        return self.status in _PASSING or self.status >= 500


class _Bearer(httpx2.Auth):
    """Puts the key into the header as late as can be, so that it stands in no settings and no frame of ours."""

    def __init__(self, key: Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx2.Request) -> Any:
        if key := self._key.read():
            request.headers["authorization"] = f"Bearer {key}"
        yield request


# --- requests -----------------------------------------------------------------------------------------------------


def _endpoint(base_url: str | None) -> str:
    """Where to post, from the URL that the recipe gives.

    Raises:
        UsageError: there is none, it is none, or it holds what must not be stored.
    """
    example = "Give the root of an OpenAI-compatible server, such as http://localhost:8000/v1."
    if not base_url:
        raise UsageError("placement.serving.base_url", "the backend openai needs a server, and none is named", example)
    try:
        parts = urlsplit(base_url)
        named = bool(parts.hostname) and parts.scheme in ("http", "https") and (parts.port or True)
        hidden = "@" in parts.netloc or any(_SECRET_NAMES.search(name) for name, _ in parse_qsl(parts.query, True))
    except ValueError:
        named = hidden = False
    if hidden:
        raise UsageError(
            "placement.serving.base_url",
            "there is a key or a password in the URL, which is stored with the recipe and logged",
            "Put it into an environment variable and name that in placement.serving.key.",
        )
    if not named:
        raise UsageError("placement.serving.base_url", "it is no URL", example)
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/chat/completions", parts.query, ""))


def _models(endpoint: str) -> str:
    return endpoint.removesuffix("/chat/completions") + "/models"


def _message(message: Message) -> dict[str, Any]:
    if not message.pictures:
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [_part(part) for part in message.parts]}


def _part(part: str | Picture) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    data = base64.b64encode(part.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{data}"}}


@lru_cache(maxsize=64)
def _schema_format(schema: str) -> dict[str, Any]:
    constraint = json.loads(constrainable(schema))
    title = _mapping(json.loads(schema)).get("title")
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", title)[:64] if isinstance(title, str) else ""
    return {
        "type": "json_schema",
        "json_schema": {"name": name or "output", "schema": constraint, "strict": is_strict(constraint)},
    }


_STRICT_KEYWORDS = frozenset(
    {
        "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const", "$ref", "$defs",
        "pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems",
    }
)  # fmt: skip
_STRICT_PROPERTIES = 5000
_STRICT_DEPTH = 10
_STRICT_CHOICES = 1000


def is_strict(schema: Any) -> bool:
    """Whether a schema is in the subset that OpenAI takes with `strict` (Structured Outputs, supported schemas): an
    object at the root, every object closed with all its properties required, a bounded size. One that is not would be
    refused; without `strict` it is a hint there, while vLLM and others hold to it all the same.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object" or "anyOf" in schema:
        return False
    properties = choices = 0
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict) or not node.keys() <= _STRICT_KEYWORDS or depth > _STRICT_DEPTH:
            return False
        if not node.keys() & {"type", "anyOf", "enum", "const", "$ref"}:
            return False
        named = node.get("properties", {})
        kinds = node.get("type", ())
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        closed = node.get("additionalProperties") is False and set(node.get("required", ())) == set(named)
        if ("object" in kinds or named) and not closed:
            return False
        if "array" in kinds and "items" not in node:
            return False
        properties += len(named)
        choices += len(node.get("enum", ()))
        waiting += [(inner, depth + 1) for inner in named.values()]
        waiting += [(inner, depth) for inner in (*node.get("anyOf", ()), *node.get("$defs", {}).values())]
        if "items" in node:
            waiting.append((node["items"], depth))
    return properties <= _STRICT_PROPERTIES and choices <= _STRICT_CHOICES


# --- answers ------------------------------------------------------------------------------------------------------


def _choice(data: Any) -> Mapping[str, Any] | None:
    """The first choice of a completion that has a message; None when there is none."""
    choices = _mapping(data).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) and isinstance(first.get("message"), dict) else None


def _text(content: Any) -> str:
    """The text of a message: a string, or parts of which some are text."""
    if isinstance(content, list):
        return "".join(_text(_mapping(part).get("text")) for part in content)
    return content if isinstance(content, str) else ""


def _refusal(status: int, data: Any, whole: str, key: Secret) -> _Refusal:
    """An error body, of whatever form: OpenAI's and vLLM's `{"error": {...}}`, older vLLM's and SGLang's
    `{"message": ...}`, Ollama's `{"error": "..."}`, FastAPI's `{"detail": ...}`, or `whole`, as it is."""
    error = _mapping(data).get("error", data)
    fields = _mapping(error)
    words = error if isinstance(error, str) else fields.get("message") or fields.get("detail") or whole
    words = words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    code, kind, parameter = (str(fields.get(name) or "") for name in ("code", "type", "param"))
    code = code if code and not code.isdigit() else kind
    return _Refusal(status, _short(key.hidden_in(words)) or "without a word", code, parameter)


def _mapping(item: Any) -> Mapping[str, Any]:
    return item if isinstance(item, dict) else {}


def _whole(item: Any, otherwise: int) -> int:
    return item if isinstance(item, int) and not isinstance(item, bool) and item >= 0 else otherwise


def _short(text: str) -> str:
    return " ".join(text.split())[:_QUOTED]


# --- guesses ------------------------------------------------------------------------------------------------------

_PATCH = 28
"""Pixels."""
_PIECES = re.compile(
    r"(?P<word>[A-Z]?[a-z]+|[A-Z]+)|(?P<one>[0-9]|[ \t]+(?=[0-9])|\s*\n\s*)|(?P<marks>[!-/:-@\[-`{-~]+)"
    r"|(?P<far>[^\x00-\x7f]+)"
)
"""What tokenizers cut at. A blank before a word belongs to the word."""


def _piece_tokens(piece: re.Match[str]) -> int:
    match piece.lastgroup:
        case "word":
            return math.ceil(len(piece[0]) / 5)
        case "marks":
            return math.ceil(len(piece[0]) / 2)
        case "far":
            return math.ceil(len(piece[0].encode(errors="replace")) / 3)
        case _:
            return 1
