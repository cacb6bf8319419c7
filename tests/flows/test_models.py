"""Nights with a model: the real flow and Ray, and a server that answers from the facts it is told, or does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds
import pytest
import yaml
from faulty_server import Exchange, FaultyServer, closed_mid_body, empty, hang, ok, status, truncated

from tests.catalog import committed
from tests.flows.clips import write_clip

pytestmark = pytest.mark.long

LINES = {
    "type": "object",
    "properties": {"lines": {"type": "array", "minItems": 1, "items": {
        "type": "object",
        "properties": {"start": {"type": "number"}, "end": {"type": "number"}, "text": {"type": "string"},
                       "mood": {"enum": ["calm", "tense"]}},
        "required": ["start", "end", "text", "mood"], "additionalProperties": False}}},
    "required": ["lines"], "additionalProperties": False,
}  # fmt: skip
"""A form that rules cannot make: nothing measured has a mood."""
KEY = "sk-never-to-be-seen-0123456789"


def told(body: dict[str, Any]) -> list[list[Any]]:
    """The facts of a conversation, as the model reads them."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content if part["type"] == "text"]
    text = "\n".join([content for content in contents if isinstance(content, str)] + [part["text"] for part in parts])
    return [json.loads(line) for line in text.rpartition("<facts>\n")[2].partition("\n</facts>")[0].split("\n")]


def truthful(body: dict[str, Any]) -> str:
    """What a good model writes: the cues it is told, and a mood of its own."""
    cues = [fact for fact in told(body) if fact[3] == "text.subtitle"]
    return json.dumps({"lines": [{"start": c[1], "end": c[2], "text": c[4], "mood": "calm"} for c in cues]})


def recipe(folder: Path, server: FaultyServer, clips: int = 4, timeout: float = 60, **rest: Any) -> Path:
    for seed in range(clips):
        if not (folder / "raw" / f"clip {seed}.mp4").exists():
            write_clip(folder / "raw" / f"clip {seed}.mp4", seed)
    (folder / "lines.json").write_text(json.dumps(LINES))
    text = {
        "name": "lines",
        "corpus": str(folder / "corpus"),
        "sources": [{"uri": str(folder / "raw"), "domain": "daily_life"}],
        "intents": ["The lines with their mood."],
        "output_schema": "lines.json",
        "synthesis": {"backend": "openai", "model": {"name": "truthful", "max_tokens": 400}},
        "placement": {
            "extract_workers": [1, 2],
            "serving": {
                "base_url": server.base_url, "key": "TEST_KEY", "patience": 30, "timeout": timeout, "concurrency": 3
            },
        },
    }  # fmt: skip
    for key, value in rest.items():
        section = text.setdefault(key, {})
        section.update(value)
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(text))
    return file


def build(file: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "build", str(file), "--json"],
        capture_output=True, text=True, timeout=600, env=os.environ | {"TEST_KEY": KEY},
    )  # fmt: skip
    assert done.stdout, done.stderr
    assert KEY not in done.stdout + done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr}


def dataclaw(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dataclaw.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"TEST_KEY": KEY})


def rows(corpus: Path) -> list[dict[str, Any]]:
    manifest = json.loads(max((corpus / "snapshots").glob("*.json")).read_text())
    return ds.dataset([str(corpus / shard["path"]) for shard in manifest["shards"]]).to_table().to_pylist()


def test_a_night_of_faults_loses_nothing_and_the_row_can_be_replayed(tmp_path: Path) -> None:
    faults = [
        status(429, retry_after=1), status(500), closed_mid_body(), truncated(), empty(), hang(8),
        ok(""), ok("not json"), ok(json.dumps({"lines": [
            {"start": 0.2, "end": 1.8, "text": "Nobody said this.", "mood": "calm"}]})),
    ]  # fmt: skip
    with FaultyServer(faults, then=ok(truthful)) as server:
        report = build(recipe(tmp_path, server, timeout=5))
        assert report["units_done"] == 4, report
        assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
        assert max(request.together for request in server.requests) <= 3
        made = rows(tmp_path / "corpus")
        assert {json.loads(row["output"])["lines"][0]["text"] for row in made} == {
            f"This is clip number {seed}." for seed in range(4)
        }
        assert any(row["provenance"]["repairs"] for row in made)
        assert dataclaw("verify", tmp_path / "corpus").returncode == 0
        for file in (tmp_path / "corpus").rglob("*"):
            assert file.is_dir() or KEY.encode() not in file.read_bytes(), file

        row = next(row for row in made if not row["provenance"]["repairs"])
        shown = dataclaw("replay", tmp_path / "corpus", row["id"][:16])
        assert shown.returncode == 0, shown.stderr
        assert "all hold" in shown.stdout
        again = dataclaw("replay", tmp_path / "corpus", row["id"][:16], "--ask")
        assert again.returncode == 0, again.stdout + again.stderr
        assert "the same answer" in again.stdout
        # Nothing new: no question is asked.
        asked = len(server.requests)
        assert build(recipe(tmp_path, server, timeout=5))["units_known"] == 4
        assert len(server.requests) == asked


def test_a_budget_that_is_met_ends_the_night_and_the_next_goes_on(tmp_path: Path) -> None:
    with FaultyServer([], then=ok(truthful)) as server:
        file = recipe(tmp_path, server, clips=6, budget={"run_tokens": 3000})
        nights = []
        for _ in range(6):
            report = build(file)
            assert report["usage"]["prompt_tokens"] + report["usage"]["completion_tokens"] <= 3000
            nights.append((report["units_done"], report["units_postponed"]))
            if not report["units_postponed"]:
                break
        assert len(nights) > 1
        assert sum(done for done, _ in nights) == 6
        assert len({request.text for request in server.requests}) == len(server.requests), "no question is asked twice"
    assert len(rows(tmp_path / "corpus")) == 6


def test_a_server_that_is_gone_fails_units_which_the_next_night_makes(tmp_path: Path) -> None:
    with FaultyServer([ok(truthful)], then=status(503)) as server:
        file = recipe(tmp_path, server, placement={"serving": {
            "base_url": server.base_url, "key": "TEST_KEY", "patience": 2, "timeout": 5}})  # fmt: skip
        first = build(file)
        assert (first["units_done"], first["units_failed"]) == (1, 3)
        assert any("503" in reason for item in first["inputs"] for reason in item["reasons"])
    with FaultyServer([], then=ok(truthful)) as server:
        file = recipe(tmp_path, server)
        second = build(file)
    assert (second["units_known"], second["units_done"], second["units_failed"]) == (1, 3, 0)
    assert len(rows(tmp_path / "corpus")) == 4


def test_a_killed_worker_asks_again_and_nothing_is_doubled(tmp_path: Path) -> None:
    killed: list[str] = []
    one_by_one = threading.Lock()

    def kill_once(exchange: Exchange) -> None:
        """Kills the worker that asks: the process at the other end of the connection. Both ends are compared, since a
        local port alone may be that of other connections too, of Ray's head among them."""
        with one_by_one:
            first = not killed
            if first:
                kill_other_end(exchange)
        if first:
            time.sleep(0.5)
        else:
            ok(truthful)(exchange)

    def kill_other_end(exchange: Exchange) -> None:
        ends = (exchange.connection.getpeername(), exchange.connection.getsockname())
        for process in psutil.process_iter():
            try:
                connections = process.net_connections("tcp4")
            except psutil.Error:
                continue
            if ends in [(c.laddr, c.raddr) for c in connections] and process.pid != os.getpid():
                killed.append(process.cmdline()[0])
                process.kill()
                return

    with FaultyServer([], then=kill_once) as server:
        report = build(recipe(tmp_path, server))
    assert len(killed) == 1
    assert killed[0].startswith("ray::")
    assert report["units_done"] == 4
    assert len(rows(tmp_path / "corpus")) == 4


def test_a_killed_build_keeps_what_a_model_has_answered(tmp_path: Path) -> None:
    """Of six units, asked three at a time, the first three are answered."""
    with FaultyServer([ok(truthful)] * 3, then=hang(600)) as server:
        patient = {"base_url": server.base_url, "key": "TEST_KEY", "patience": 600, "timeout": 300, "concurrency": 3}
        file = recipe(tmp_path, server, clips=6, placement={"serving": patient})
        command = [sys.executable, "-m", "dataclaw.main", "build", str(file)]
        driver = psutil.Popen(command, env=os.environ | {"TEST_KEY": KEY}, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 480
        while committed(tmp_path / "corpus") < 3:
            assert driver.poll() is None
            assert time.monotonic() < end, "nothing was kept"
            time.sleep(0.2)
        driver.kill()
        driver.wait()
        asked = {request.text for request in server.requests[:3]}
    with FaultyServer([], then=ok(truthful)) as server:
        report = build(recipe(tmp_path, server, clips=6))
    assert (report["units_known"], report["units_done"]) == (3, 3)
    assert not asked & {request.text for request in server.requests}
    assert len(rows(tmp_path / "corpus")) == 6
