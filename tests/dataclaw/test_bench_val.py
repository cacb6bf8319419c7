"""`dataclaw bench make|run|report`: a page in which everything of a sample is there, and nothing of it can act."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmark.metrics.score import Scorer, Truth
from benchmark.val.results import Result, write_result
from benchmark.val.store import Val, open_val
from dataclaw.main import app
from dataclaw.viewer.bench import picture
from schemas.triplet import Split, Triplet
from schemas.val import Answer, AnswerState, Subset, ValRecord, ValRun
from storage.location import Location
from tests.dataclaw.conftest import HOSTILE, temporal_qa, tutorial, write_corpus
from tests.dataclaw.test_gallery import Page

ROOT = Path(__file__).resolve().parents[2]


def bench(*words: object) -> str:
    done = CliRunner().invoke(app, ["bench", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(*words: object) -> str:
    done = CliRunner().invoke(app, ["bench", *map(str, words)])
    assert done.exit_code == 2, done.output
    return done.output


def spoilt(row: Triplet) -> Triplet:
    """A row in which every text that a stream or a user can bring is hostile."""
    output = json.loads(row.output)
    output["title"] = HOSTILE
    return row.model_copy(
        update={
            "intent": row.intent.model_copy(update={"text": HOSTILE}),
            "spec": row.spec.model_copy(update={"intent": row.intent.model_copy(update={"text": HOSTILE})}),
            "anchors": tuple(anchor.model_copy(update={"content": HOSTILE}) for anchor in row.anchors),
            "streams": tuple(stream.model_copy(update={"name": HOSTILE}) for stream in row.streams),
            "output": json.dumps(output),
            "split": Split.VALIDATION,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of a hostile tutorial, and of questions as they are; a set of both."""
    folder = tmp_path_factory.mktemp("bench")
    questions = temporal_qa().model_copy(update={"split": Split.VALIDATION})
    write_corpus(folder / "corpus", [spoilt(tutorial()), questions])
    bench("make", folder / "corpus", "--out", folder / "val", "--fuzzy", 0)
    return folder


@pytest.fixture(scope="module")
def val(folder: Path) -> Val:
    return open_val(str(folder / "val"))


def keep(val: Val, results: Path, label: str, outputs: Sequence[str], why: str = "") -> None:
    """Results of a model, as a run writes them."""
    scores = Scorer().score([Truth.of(row) for row in val.clear], outputs)
    records = [
        ValRecord(
            subset=Subset.CLEAR,
            answer=Answer(
                sample=score.sample,
                state=AnswerState.ANSWERED if output else AnswerState.DECLINED,
                output=output,
                why=why,
            ),
            score=score,
            acceptable=None,
            verified=None,
        )
        for score, output in zip(scores, outputs, strict=True)
    ]
    run = ValRun(
        label=label,
        identity=f"{abs(hash(label)):064x}",
        backend="openai",
        model=label,
        settings=None,
        prompt_version="v1",
        val=val.manifest.title,
        val_digest=val.manifest.digest,
        ended=datetime(2026, 1, 2, tzinfo=UTC),
        dataclaw_version="0",
        asked=len(records),
    )
    write_result(Location.of(results), run, Result(run, tuple(records)).records)


def test_the_page_has_the_table_the_comparison_and_every_sample_with_what_each_model_gave(
    val: Val, tmp_path: Path
) -> None:
    keep(val, tmp_path, "good", [row.output for row in val.clear])
    keep(val, tmp_path, "silent", ["", ""], why="it does not fit")
    bench("report", val.location.root, "--results", tmp_path, "--out", tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.text).split())
    assert "GUI 0 Embodied 0 AIGC 0 Daily 1 Education 1 Fuzzy 0 Overall 2" in text
    assert "DataClaw-O (omni) – 87.6 62.5 44.8" in text
    assert text.count("published elsewhere") == 1
    assert "good less silent" in text
    assert "+100.0" in text
    cards = [attributes for attributes in page.named("article") if attributes["class"] == "card"]
    assert {card["data-domain"] for card in cards} == {"education", "daily_life"}
    assert text.count("it does not fit") >= len(cards)
    assert 'When is \\"Let\'s go.\\" said?' in text
    assert "4.00-9.00 s text.subtitle" in text
    sources = [image["src"] or "" for image in page.named("img")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)


def test_nothing_of_a_row_or_an_answer_acts_in_the_page(val: Val, tmp_path: Path) -> None:
    keep(val, tmp_path, HOSTILE, [HOSTILE, json.dumps({"questions": [], HOSTILE: HOSTILE})], why=HOSTILE)
    keep(val, tmp_path, "silent", ["", ""], why=HOSTILE)
    bench("report", val.location.root, "--results", tmp_path, "--out", tmp_path / "page.html")
    raw = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(raw)
    assert page.named("script") == [{}]
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert html.unescape(raw).count("{{ 7 * 7 }}") > 5
    assert "\x1b" not in raw
    assert "\u202e" not in raw
    addresses = [
        attributes[name] or "" for _, attributes in page.tags for name in ("src", "href") if name in attributes
    ]
    assert all(address.startswith(("data:image/jpeg;base64,", "#s")) for address in addresses)
    policy = next(m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_a_picture_that_is_none_is_left_out(val: Val) -> None:
    frame = val.clear[0].evidence[0]
    broken = frame.model_copy(update={"image": frame.image.model_copy(update={"bytes": b"<svg onload=alert(1)>"})})
    assert picture(broken) is None
    assert picture(frame) is not None


def test_models_are_picked_by_name_and_results_of_another_set_are_passed_over(
    folder: Path, val: Val, tmp_path: Path
) -> None:
    keep(val, tmp_path, "good", [row.output for row in val.clear])
    keep(val, tmp_path, "silent", ["", ""], why="no")
    report = ["report", folder / "val", "--results", tmp_path, "--out", tmp_path / "p.html"]
    told = json.loads(bench(*report, "--model", "good", "--json"))
    assert [one["run"]["label"] for one in told] == ["good"]
    assert told[0]["scores"]["overall"]["semantic"]["mean"] == 1.0
    assert "Did you mean 'good'?" in refused(*report, "--model", "god")
    bench("make", folder / "corpus", "--out", tmp_path / "other", "--fuzzy", 0, "--size", 1)
    assert "no model has run over this set" in refused("report", tmp_path / "other", "--results", tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "VAL", "some/model"], "a model needs a backend"),
        (["run", "VAL", "m", "--backend", "opnai"], "Did you mean 'openai'?"),
        (["run", "VAL", "m", "--backend", "openai", "--set", "frames"], "is no KEY=VALUE"),
        (["run", "VAL", "m", "--backend", "openai", "--set", "frames=-1"], "frames"),
        (["make", "CORPUS", "--out", "VAL"], "it is frozen"),
        (["run", "CORPUS", "rules"], "there is no set here"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(folder: Path, words: list[str], said: str) -> None:
    places = {"VAL": str(folder / "val"), "CORPUS": str(folder / "corpus")}
    assert said in " ".join(refused(*(places.get(word, word) for word in words)).split())


@pytest.mark.parametrize("name", ["make", "run", "report"])
def test_every_option_is_documented(name: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page[page.index(f"`bench {name}`") :].partition("\n## ")[0]
    command = typer.main.get_command(app).commands["bench"].commands[name]  # type: ignore[attr-defined]
    for option in command.params:
        for word in option.opts:
            if word.startswith("--"):
                assert f"`{word}" in section
