"""A language model reads intents of any language; where it fails, the rules read them, with a warning."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import jsonschema
import pytest
from labelled import input_named

from schemas.errors import UnsuitedError
from schemas.task_spec import Intent
from synthesis.intent.resolve import choose, resolve

GERMAN = Intent(text="Erstelle Fragen zu diesem Film, mindestens fünf, auf Deutsch.")
ANSWER = {
    "readings": [
        {"task_type": "temporal_qa", "confidence": 0.4, "because": ["Fragen könnte auch die Zeit meinen"]},
        {"task_type": "video_qa", "confidence": 0.9, "because": ["'Fragen' names it"]},
    ],
    "constraints": {"counts": [{"noun": "questions", "least": 5}], "language": "de"},
}


class Answering:
    """A model that always gives one answer, and keeps what it was asked."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def complete_json(self, prompt: str, schema: str) -> str:
        self.asked.append((prompt, schema))
        return self.answer


class OverHttp:
    """A model behind a server."""

    def __init__(self, url: str) -> None:
        self.url = url

    def complete_json(self, prompt: str, schema: str) -> str:
        body = json.dumps({"prompt": prompt, "schema": json.loads(schema)}).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url, data=body), timeout=10) as reply:
            return reply.read().decode()


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            jsonschema.validate(ANSWER, asked["schema"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(ANSWER).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_model_behind_a_server_reads_another_language(server):
    specs = resolve(GERMAN, [input_named("film")], OverHttp(server))
    assert [spec.task_type for spec in specs] == ["video_qa", "temporal_qa"]
    assert [spec.task_type for spec in choose(specs)] == ["video_qa"]
    assert str(specs[0].constraints) == "at least 5 questions; written in de"
    assert "Keep to this: at least 5 questions" in specs[0].instruction


def test_the_model_is_offered_only_what_the_input_can_give():
    model = Answering(json.dumps(ANSWER))
    resolve(GERMAN, [input_named("film")], model)
    prompt, schema = model.asked[0]
    offered = json.loads(schema)["$defs"]["FormReading"]["properties"]["task_type"]["enum"]
    assert "tutorial" in offered
    assert "fault_recovery" not in offered
    assert json.dumps(GERMAN.text, ensure_ascii=False) in prompt


@pytest.mark.parametrize(
    "answer",
    [
        "no JSON",
        "{}",
        '{"readings": []}',
        '{"readings": [{"task_type": "fault_recovery", "confidence": 0.9}]}',
        '{"readings": [{"task_type": "video_qa", "confidence": 7}]}',
    ],
)
def test_the_rules_read_what_a_model_does_not(answer):
    with pytest.warns(UserWarning, match="language model did not resolve"):
        specs = resolve(Intent(text="Write a tutorial"), [input_named("film")], Answering(answer))
    assert specs[0].task_type == "tutorial"


def test_the_rules_stay_honest_when_a_model_fails():
    with pytest.warns(UserWarning, match="rules did"), pytest.raises(UnsuitedError, match="German"):
        resolve(GERMAN, [input_named("film")], Answering("no JSON"))
