"""An OpenAI-compatible server with the faults that a test scripts: a real one, over a socket, in threads.

    with FaultyServer([status(429, retry_after=2), closed_mid_body(), ok('{"a": 1}')]) as server:
        ... base_url=server.base_url ...
    assert [request.body["seed"] for request in server.requests] == [0, 0, 0]

Each request for a completion takes the next behaviour of the script, in order of arrival; after the script comes
`then`, again and again. What is asked is recorded, also of requests that are answered with a fault.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Text = str | Callable[[dict[str, Any]], str]
"""What is answered: a text, or what makes it from the request's JSON (and may wait, to hold the answer back)."""


@dataclass
class Asked:
    """A request for a completion, as it came."""

    path: str
    headers: dict[str, str] = field(repr=False)
    """Names in lower case."""
    body: dict[str, Any] = field(repr=False)
    at: float
    """Seconds of time.monotonic."""
    together: int
    """Requests under way when it came, itself included."""

    @property
    def text(self) -> str:
        """All that its messages say."""
        contents = [message["content"] for message in self.body["messages"]]
        parts = [[{"type": "text", "text": item}] if isinstance(item, str) else item for item in contents]
        return "\n\n".join(part["text"] for item in parts for part in item if part["type"] == "text")

    @property
    def pictures(self) -> list[str]:
        """Its data URLs."""
        contents = [message["content"] for message in self.body["messages"] if isinstance(message["content"], list)]
        return [part["image_url"]["url"] for item in contents for part in item if part["type"] == "image_url"]


@dataclass(eq=False)
class Exchange:
    """What a behaviour has in hand: the request, and the connection to answer on."""

    server: FaultyServer
    asked: Asked
    connection: socket.socket

    def send(
        self, code: int, body: bytes | dict[str, Any], headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        """A whole answer; with `length`, one that announces another length than it has."""
        self.server.answered(self)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content) if length is None else length)}
        head = "".join(f"{name}: {value}\r\n" for name, value in (fields | (headers or {})).items())
        self.connection.sendall(f"HTTP/1.1 {code} {code}\r\n{head}\r\n".encode() + content)

    def hang_up(self) -> None:
        """Ends the connection."""
        self.connection.shutdown(socket.SHUT_RDWR)


Behaviour = Callable[[Exchange], None]


def completion(
    text: str | None,
    finish: str = "stop",
    *,
    refusal: str | None = None,
    usage: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The JSON of a completion; the usage is counted in words unless it is given. `usage={}` leaves it out."""
    written = len((text or refusal or "").split())
    counted = {"prompt_tokens": 100, "completion_tokens": written, "total_tokens": 100 + written}
    message = {"role": "assistant", "content": text, **({"refusal": refusal} if refusal else {})}
    answer = {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "faulty",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    return answer | ({"usage": counted if usage is None else usage} if usage != {} else {})


# --- behaviours ---------------------------------------------------------------------------------------------------


def ok(text: Text = "{}", finish: str = "stop", usage: dict[str, Any] | None = None) -> Behaviour:
    """A good answer."""

    def answer(exchange: Exchange) -> None:
        said = text(exchange.asked.body) if callable(text) else text
        exchange.send(200, completion(said, finish, usage=usage))

    return answer


def cut_off(text: str = '{"scenes": [{"start": 1.0, "des') -> Behaviour:
    """An answer that reached max_tokens in the middle of its JSON."""
    return ok(text, finish="length")


def refusal(words: str = "I cannot help with that.") -> Behaviour:
    """The model refuses in so many words."""
    return lambda exchange: exchange.send(200, completion(None, refusal=words))


def filtered() -> Behaviour:
    """A filter of the server took the answer away."""
    return ok("", finish="content_filter")


def status(
    code: int,
    retry_after: float | str | None = None,
    message: str = "something went wrong",
    error: dict[str, Any] | None = None,
) -> Behaviour:
    """An error as OpenAI words it. `retry_after` is in seconds, or a date as HTTP has it."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    fields = {"message": message, "type": "error", "param": None, "code": None, **(error or {})}
    return lambda exchange: exchange.send(code, {"error": fields}, headers)


def too_long(wording: str = "openai") -> Behaviour:
    """A request that does not fit: 400 in the words of `openai`, `vllm`, `vllm pictures` or `llama.cpp`."""
    words = {
        "openai": "This model's maximum context length is 4097 tokens. However, you requested 5120 tokens (4120 in the "
        "messages, 1000 in the completion). Please reduce the length of the messages or completion.",
        "vllm": "This model's maximum context length is 2048 tokens. However, your prompt contains at least 2049 input "
        "tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        "prompt.",
        "vllm pictures": "The decoder prompt (length 3000) is longer than the maximum model length of 2048. Make sure "
        "that `max_model_len` is no smaller than the number of text tokens plus multimodal tokens.",
        "llama.cpp": "the request exceeds the available context size. try increasing the context size",
    }[wording]
    errors: dict[str, dict[str, Any]] = {
        "openai": {"type": "invalid_request_error", "param": "messages", "code": "context_length_exceeded"},
        "llama.cpp": {"type": "exceed_context_size_error", "code": 400},
    }
    return status(400, message=words, error=errors.get(wording, {"type": "BadRequestError", "code": 400}))


def without(parameter: str, then: Behaviour, message: str | None = None, code: int = 400) -> Behaviour:
    """A server that does not know a parameter (`response_format`, `response_format.json_schema`, `max_tokens`...):
    it refuses requests that have it, and does `then` with the others."""
    name, _, kind = parameter.partition(".")
    said = message or f"Unsupported parameter: '{name}' is not supported with this model."

    def answer(exchange: Exchange) -> None:
        value = exchange.asked.body.get(name)
        if value is None or (kind and value.get("type") != kind):
            then(exchange)
        else:
            status(code, message=said)(exchange)

    return answer


def hang(seconds: float, then: Behaviour | None = None) -> Behaviour:
    """Silence for so long, or until the server is stopped; then an answer."""

    def answer(exchange: Exchange) -> None:
        if not exchange.server.stopping.wait(seconds):
            (then or ok())(exchange)

    return answer


def trickle(seconds: float) -> Behaviour:
    """A body that comes byte by byte: no pause is long, and the whole is."""

    def answer(exchange: Exchange) -> None:
        exchange.send(200, b"", length=1_000_000)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not exchange.server.stopping.wait(0.01):
            exchange.connection.sendall(b" ")
        exchange.hang_up()

    return answer


def empty(code: int = 200) -> Behaviour:
    """An answer without a body."""
    return lambda exchange: exchange.send(code, b"")


def raw(body: bytes, code: int = 200) -> Behaviour:
    """Any body at all, such as a proxy's HTML."""
    return lambda exchange: exchange.send(code, body)


def truncated(text: str = "{}") -> Behaviour:
    """A whole HTTP answer whose JSON stops in the middle."""
    content = json.dumps(completion(text)).encode()
    return raw(content[: len(content) // 2])


def closed_mid_body(text: str = "{}") -> Behaviour:
    """The connection ends before the announced length."""
    content = json.dumps(completion(text)).encode()

    def answer(exchange: Exchange) -> None:
        exchange.send(200, content[: len(content) // 2], length=len(content))
        exchange.hang_up()

    return answer


def closed() -> Behaviour:
    """The connection ends without a word, as one that was kept alive for too long."""
    return lambda exchange: exchange.hang_up()


def dies() -> Behaviour:
    """The server is killed by this request; :meth:`FaultyServer.revive` starts it again."""
    return lambda exchange: exchange.server.die()


# --- the server ---------------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # of connections that wait: beyond the usual 5, a busy machine breaks some


class FaultyServer:
    """Serves from `with` on.

    Args:
        script: behaviours, taken one by one; may be endless.
        then: what is done when the script is over. None: status 418, which no client should try again.
        key: what `Authorization: Bearer` must hold; 401 otherwise.
        models: the names it serves; 404 for others. None: any.
    """

    def __init__(
        self,
        script: Iterable[Behaviour] = (),
        then: Behaviour | None = None,
        *,
        key: str | None = None,
        models: Iterable[str] | None = None,
    ) -> None:
        self._script = iter(script)
        self._then = then or status(418, message="the script is over")
        self._key = key
        self._models = None if models is None else frozenset(models)
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._connections: set[socket.socket] = set()
        self._under_way: set[Exchange] = set()
        self.port = 0
        self.stopping = threading.Event()
        self.requests: list[Asked] = []
        """Every request for a completion that was read, in order of arrival."""
        self.most_together = 0
        """Most requests that were under way at once."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> FaultyServer:
        self.revive()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.die()

    def revive(self) -> None:
        """Starts it, on the port that it had."""
        server = _Server(("127.0.0.1", self.port), self._handler())
        server.daemon_threads = True
        server.block_on_close = False
        self.port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        """Closes the socket and breaks every connection, as a killed process does. Requests under way are lost."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with suppress(OSError):  # the client was faster
                connection.shutdown(socket.SHUT_RDWR)  # closing alone waits for the thread that serves it

    @property
    def alive(self) -> bool:
        return self._server is not None

    def next(self) -> Behaviour:
        with self._lock:
            return next(self._script, self._then)

    def _answer(self, path: str, headers: dict[str, str], content: bytes, connection: socket.socket) -> None:
        if not path.partition("?")[0].endswith("/chat/completions"):
            Exchange(self, Asked(path, headers, {}, 0.0, 0), connection).send(404, {"detail": "Not Found"})
            return
        with self._lock:
            together = len(self._under_way) + 1
            self.most_together = max(self.most_together, together)
            asked = Asked(path, headers, json.loads(content), time.monotonic(), together)
            self.requests.append(asked)
            exchange = Exchange(self, asked, connection)
            self._under_way.add(exchange)
        try:
            self._behaviour(asked)(exchange)
        finally:
            self.answered(exchange)

    def answered(self, exchange: Exchange) -> None:
        """Notes that a request is under way no longer: before its answer, which the client may follow with the next."""
        with self._lock:
            self._under_way.discard(exchange)

    def _behaviour(self, asked: Asked) -> Behaviour:
        if self._key is not None and asked.headers.get("authorization") != f"Bearer {self._key}":
            return status(401, message="Incorrect API key provided", error={"code": "invalid_api_key"})
        if self._models is not None and asked.body.get("model") not in self._models:
            name = asked.body.get("model")
            return status(404, message=f"The model `{name}` does not exist.", error={"code": "model_not_found"})
        return self.next()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with outer._lock:
                    outer._connections.add(self.connection)

            def finish(self) -> None:
                with outer._lock:
                    outer._connections.discard(self.connection)
                super().finish()

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    self.close_connection = True  # the connection is gone, by the script or by the client

            def do_GET(self) -> None:
                exchange = Exchange(outer, Asked(self.path, {}, {}, 0.0, 0), self.connection)
                if self.path.endswith("/models"):
                    names = sorted(outer._models or {"faulty"})
                    exchange.send(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
                else:
                    exchange.send(200 if self.path.endswith("/health") else 404, {})

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer._answer(self.path, headers, content, self.connection)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
