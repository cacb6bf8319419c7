"""The main job, end to end: the real flow, the real Ray, a real catalog, streams made on the spot."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from schemas.manifest import Manifest
from tests.flows.clips import write_clip

pytestmark = pytest.mark.long

INTENT = "Make temporal questions and answers about when things are said."


def build(*arguments: object, check: bool = True) -> dict:
    """Runs `dataclaw build` as a user does and returns its report."""
    done = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "build", *map(str, arguments), "--json"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    if check:
        assert done.returncode == 0, done.stderr
        assert {"discover", "plan", "publish"} <= set(done.stderr.split()), "every stage has its line"
    return {"code": done.returncode, "stderr": done.stderr} | (json.loads(done.stdout) if done.stdout.strip() else {})


def verify(corpus: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "verify", str(corpus)], capture_output=True, text=True, timeout=120
    )


def latest(corpus: Path) -> Manifest:
    return Manifest.model_validate_json(max((corpus / "snapshots").glob("*.json")).read_text())


def rows(corpus: Path) -> list[dict]:
    """All rows of the newest snapshot, read without DataClaw."""
    return ds.dataset([str(corpus / shard.path) for shard in latest(corpus).shards]).to_table().to_pylist()


def ends(report: dict) -> dict[str, int]:
    counted = {"done": report["inputs_settled"], "filtered": 0, "failed": 0}
    for item in report["inputs"]:
        counted[item["outcome"]] += 1
    return counted


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(3):
        write_clip(folder / f"clip {seed}.mp4", seed)
    return folder


def test_the_nights_of_a_corpus(clips: Path, tmp_path: Path) -> None:
    """One corpus over several nights: first build, nothing new, another intent, changed content, a second name."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in clips.iterdir():
        (raw / file.name).write_bytes(file.read_bytes())
    corpus = tmp_path / "corpus"

    first = build(raw, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    assert ends(first) == {"done": 3, "filtered": 0, "failed": 0}
    assert len(rows(corpus)) == first["rows"] == 3
    assert verify(corpus).returncode == 0

    second = build(raw, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    assert second["units_known"] == 3
    assert second["segments_extracted"] == 0
    assert not any(cost["stage"].startswith("expert:") for cost in second["costs"])
    assert "no expert ran" in second["message"]
    assert ends(second) == {"done": 3, "filtered": 0, "failed": 0}
    assert latest(corpus).number == 1

    third = build(raw, "--domain", "daily_life", "--intent", INTENT, "--intent", "Write a tutorial", "--out", corpus)
    assert third["segments_extracted"] == 0, "a new intent must not run an expert again"
    assert third["units_known"] == 3
    assert third["units_done"] == 3
    assert len(rows(corpus)) == 6

    write_clip(raw / "clip 1.mp4", 77)
    (raw / "another name.mp4").write_bytes((raw / "clip 0.mp4").read_bytes())
    (raw / "another name.srt").write_bytes((raw / "clip 0.srt").read_bytes())
    fourth = build(raw, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    assert fourth["segments_extracted"] == 1, "only the changed clip is looked at"
    assert ends(fourth) == {"done": 3, "filtered": 1, "failed": 0}
    published = rows(corpus)
    assert len(published) == 6, "the row of the changed content replaced the older one"
    text = json.dumps([row["output"] for row in published if row["task_type"] == "temporal_qa"])
    assert "clip number 77" in text
    assert "clip number 1." not in text
    assert len({row["id"] for row in published}) == 6
    assert verify(corpus).returncode == 0


def test_a_row_changed_by_hand_fails_verification(clips: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    build(clips, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    shard = corpus / latest(corpus).shards[0].path
    table = pq.read_table(shard)
    outputs = table["output"].to_pylist()
    outputs[0] = outputs[0].replace("This is clip", "That was clip")
    field = table.schema.field("output")
    changed = table.set_column(table.schema.get_field_index("output"), field, pa.array(outputs, field.type))
    pq.write_table(changed, shard)
    done = verify(corpus)
    assert done.returncode == 1
    assert "That was clip" in done.stdout + done.stderr


def test_bad_inputs_end_in_the_quarantine_and_harm_nothing(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    write_clip(raw / "good.mp4", 5)
    write_clip(raw / "naïve 日本\nnew line.mp4", 6)
    (raw / "empty.mp4").write_bytes(b"")
    (raw / "text.mp4").write_text("I am not a film.\n")
    write_clip(raw / "broken subtitles.mp4", 7, cues=False)
    (raw / "broken subtitles.srt").write_text("no cue here\n\x00\x01")
    report = build(raw, "--domain", "daily_life", "--intent", INTENT, "--out", tmp_path / "corpus")
    by_name = {Path(item["uri"]).name: item for item in report["inputs"]}
    assert by_name["good.mp4"]["outcome"] == "done"
    assert by_name["naïve 日本\nnew line.mp4"]["outcome"] == "done"
    assert by_name["empty.mp4"]["outcome"] == "failed"
    assert by_name["text.mp4"]["outcome"] == "failed"
    assert sum(ends(report).values()) == len(report["inputs"]) == 5
    for name in ("empty.mp4", "text.mp4"):
        assert by_name[name]["reasons"]
    listed = subprocess.run(
        [sys.executable, "-m", "dataclaw.main", "quarantine", str(tmp_path / "corpus"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "empty.mp4" in listed
    assert "text.mp4" in listed
    assert verify(tmp_path / "corpus").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--domain", "gardening"], "gardening"),
        (["--domain", "daily_life", "--format", "vdeo"], "video"),
        (["--domain", "daily_life", "--backend", "ruless"], "rules"),
    ],
)
def test_unknown_names_are_refused_before_any_work(
    clips: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = build(clips, "--intent", INTENT, "--out", tmp_path / "corpus", *arguments, check=False)
    assert done["code"] == 2
    assert words in done["stderr"]
    assert "Traceback" not in done["stderr"]
    assert not (tmp_path / "corpus" / "snapshots").exists() or not list((tmp_path / "corpus" / "snapshots").iterdir())


def start(raw: Path, corpus: Path) -> subprocess.Popen[str]:
    asked = ["--domain", "daily_life", "--intent", INTENT, "--out", str(corpus), "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "dataclaw.main", "build", str(raw), *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(condition, seconds: float = 480.0) -> None:  # type: ignore[no-untyped-def]
    """Waits for something another process does; there is no event to wait for across the process border."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def anchor_shards(corpus: Path) -> list[Path]:
    return list(corpus.glob("anchors/*/*.parquet"))


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_driver_stopped_in_the_middle_loses_and_doubles_nothing(tmp_path: Path, sign: signal.Signals) -> None:
    raw, corpus = tmp_path / "raw", tmp_path / "corpus"
    for seed in range(24):
        write_clip(raw / f"{seed:02d}.mp4", seed)
    driver = start(raw, corpus)
    until(lambda: len(anchor_shards(corpus)) >= 2)
    os.killpg(driver.pid, sign) if sign is signal.SIGINT else os.kill(driver.pid, sign)
    driver.communicate(timeout=300)
    assert driver.returncode != 0
    report = build(raw, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    assert ends(report) == {"done": 24, "filtered": 0, "failed": 0}
    assert report["segments_known"] >= 2, "what workers had measured is not measured again"
    published = rows(corpus)
    assert len(published) == len({row["id"] for row in published}) == 24
    assert verify(corpus).returncode == 0


def test_killed_workers_are_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    raw, corpus = tmp_path / "raw", tmp_path / "corpus"
    for seed in range(24):
        write_clip(raw / f"{seed:02d}.mp4", seed)
    driver = start(raw, corpus)
    until(lambda: len(anchor_shards(corpus)) >= 1)
    killed = []
    for process in psutil.Process(driver.pid).children(recursive=True):  # other tests' builds have workers too
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("ray::MapWorker" in part for part in process.cmdline()):
                process.kill()
                killed.append(process.pid)
    assert killed
    output, errors = driver.communicate(timeout=600)
    assert driver.returncode == 0, errors
    assert ends(json.loads(output)) == {"done": 24, "filtered": 0, "failed": 0}
    published = rows(corpus)
    assert len(published) == len({row["id"] for row in published}) == 24


def test_a_worker_that_cannot_write_ends_the_run_with_one_clear_line(clips: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "data").write_text("a file where the folder of shards must be")
    done = build(clips, "--domain", "daily_life", "--intent", INTENT, "--out", corpus, check=False)
    assert done["code"] == 1
    last = done["stderr"].strip().splitlines()[-1]
    assert str(corpus / "data") in last
    assert "A file stands where a folder must be" in last
    assert "Traceback" not in done["stderr"]
    assert not list((corpus / "snapshots").glob("*.json"))
    (corpus / "data").unlink()
    again = build(clips, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    assert ends(again)["done"] == 3
    assert again["segments_known"] == 3, "what was measured before the failure is not measured again"


def test_a_disk_that_fills_up_ends_the_run_with_one_clear_line(disk_of: Callable[[str], Path], tmp_path: Path) -> None:
    raw, disk = tmp_path / "raw", disk_of("600m")
    for seed in range(24):
        write_clip(raw / f"{seed:02d}.mp4", seed)
    driver = start(raw, disk / "corpus")
    until(lambda: len(anchor_shards(disk / "corpus")) >= 1)
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - (8 << 20))
        file.seek(0, os.SEEK_END)
        while True:
            file.write(b"0" * (1 << 16))
    _, errors = driver.communicate(timeout=600)
    assert driver.returncode == 1, errors
    last = errors.strip().splitlines()[-1]
    assert "full" in last.lower() or "No space left" in last, last
    assert "Traceback" not in errors
    assert not list((disk / "corpus" / "snapshots").glob("*.json"))
    filler.unlink()
    again = build(raw, "--domain", "daily_life", "--intent", INTENT, "--out", disk / "corpus")
    assert ends(again) == {"done": 24, "filtered": 0, "failed": 0}
    assert verify(disk / "corpus").returncode == 0


def test_the_catalog_knows_the_runs(clips: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    build(clips, "--domain", "daily_life", "--intent", INTENT, "--out", corpus)
    with sqlite3.connect(corpus / "catalog.db") as catalog:
        assert catalog.execute("select count(*) from runs where state = 'completed'").fetchone() == (1,)
