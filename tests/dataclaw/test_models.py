"""`dataclaw models`: what a person types to look at models and to choose the one in use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dataclaw.main import app
from schemas.recipe import ModelSpec
from schemas.stream import Domain
from storage.catalog.registry import Registry
from storage.corpus import Corpus
from storage.weights import FOLDER
from tests.storage.made_models import adapter_folder
from training.registry import register

runner = CliRunner()
FIELD, SEMANTIC = "val/overall/field", "val/overall/semantic"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Three versions of a model and an expert."""
    corpus = Corpus.open(tmp_path / "corpus", create=True)
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_bytes(b"base")
    root = corpus.location.join(FOLDER)
    with Registry.open(corpus.catalog_url(), create=True) as registry:
        for seed in range(3):
            folder = adapter_folder(tmp_path / f"trained {seed}", seed)
            parents = (f"tailor@{seed}",) if seed else ()
            metrics = {SEMANTIC: 0.5 + seed / 10} | ({FIELD: 0.9} if seed == 2 else {})
            register(
                registry, folder, root, "tailor", ModelSpec(name=str(base)), "a test", metrics=metrics, parents=parents
            )
        folder = adapter_folder(tmp_path / "expert", 3)
        register(registry, folder, root, "tailor", ModelSpec(name=str(base)), "a test", kind=Domain.GUI)
    return corpus


def models(corpus: Corpus, *arguments: object) -> Result:
    place = ["--corpus", corpus.uri]
    return runner.invoke(app, ["models", *map(str, arguments), *place])


@pytest.mark.parametrize("command", ["show", "compare", "promote", "rollback", "retire", "delete", "verify"])
def test_every_command_has_help_with_an_example_and_json(command: str) -> None:
    done = runner.invoke(app, ["models", command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert done.exit_code == 0
    assert f"Example: dataclaw models {command}" in done.output
    assert "--json" in done.output


def test_models_are_listed_the_newest_first(corpus: Corpus) -> None:
    title, *lines = [line.split("\t") for line in models(corpus).output.splitlines()]
    assert "per cent" in title[0]
    assert lines[0][5:] == ["registered", "parents", "Field", "Semantic"]
    assert [line[:3] for line in lines[1:]] == [
        ["tailor@4", "gui", "candidate"],
        ["tailor@3", "omni", "candidate"],
        ["tailor@2", "omni", "candidate"],
        ["tailor@1", "omni", "candidate"],
    ]
    assert lines[2][6:] == ["tailor@2", "90.0", "70.0"]
    listed = json.loads(models(corpus, "--json").output)
    assert [one["reference"] for one in listed] == ["tailor@4", "tailor@3", "tailor@2", "tailor@1"]
    assert listed[1]["weights"]["files"][0]["path"] == "adapter_config.json"


def test_the_folder_one_is_in_may_be_the_corpus(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.uri)
    assert "tailor@4" in runner.invoke(app, ["models"]).output
    assert "tailor@4" in runner.invoke(app, ["models", "--catalog", corpus.catalog_url()]).output
    monkeypatch.chdir(tmp_path)
    lost = runner.invoke(app, ["models"])
    assert lost.exit_code == 1
    assert (
        "there is no corpus here. Name the corpus or the database with the models: --corpus, --catalog" in lost.output
    )


def test_a_model_is_shown_with_all_that_is_known(corpus: Corpus) -> None:
    shown = models(corpus, "show", "tailor@3").output
    for word in (
        "backend\tmodel:tailor@3",
        "adapter, 2 files",
        "parents\ttailor@2",
        f"{SEMANTIC}\t0.7",
        "promoted\tnever",
    ):
        assert word in shown
    assert json.loads(models(corpus, "show", "tailor@3", "--json").output)["prompting"]["brief"] is False


def test_two_models_are_compared_side_by_side(corpus: Corpus) -> None:
    lines = models(corpus, "compare", "tailor@1", "tailor@3").output.splitlines()
    assert lines == ["metric\ttailor@1\ttailor@3\tdifference", f"{FIELD}\t\t0.9", f"{SEMANTIC}\t0.5\t0.7\t+0.2"]
    (_, semantic) = json.loads(models(corpus, "compare", "tailor@1", "tailor@3", "--json").output)
    assert semantic["difference"] == pytest.approx(0.2)


def test_promotion_and_rollback_say_what_is_current_now(corpus: Corpus) -> None:
    assert models(corpus, "promote", "tailor@1").output == "tailor@1 (omni) is current\n"
    assert models(corpus, "promote", "tailor@3").output == "tailor@3 (omni) is current, in the place of tailor@1\n"
    assert models(corpus, "promote", "tailor@3").output == "tailor@3 (omni) is current already\n"
    assert models(corpus, "promote", "tailor@4").output == "tailor@4 (gui) is current\n"
    assert "promoted\tnever" not in models(corpus, "show", "tailor").output
    assert models(corpus, "rollback", "tailor").output == "tailor@1 (omni) is current again, in the place of tailor@3\n"
    nowhere = models(corpus, "rollback", "tailor", "--kind", "gui")
    assert nowhere.exit_code == 2
    assert "it replaced no version" in nowhere.output


def test_a_candidate_is_retired_and_deleted(corpus: Corpus) -> None:
    assert models(corpus, "delete", "tailor@4").exit_code == 2
    assert models(corpus, "retire", "tailor@4").output == "tailor@4 (gui) is retired\n"
    assert models(corpus, "delete", "tailor@4").output == "tailor@4 (gui) is deleted\n"
    assert "tailor@4" not in models(corpus).output
    models(corpus, "retire", "tailor@1")
    needed = models(corpus, "delete", "tailor@1")
    assert needed.exit_code == 2
    assert "it cannot be deleted: tailor@2 was made from it" in needed.output
    assert models(corpus, "retire", "tailor@1", "--undo").output == "tailor@1 (omni) is a candidate again\n"


def test_files_that_changed_are_found(corpus: Corpus) -> None:
    assert models(corpus, "verify").exit_code == 0
    place = json.loads(models(corpus, "show", "tailor@2", "--json").output)["place"]
    Path(place, "adapter_config.json").unlink()
    done = models(corpus, "verify")
    assert done.exit_code == 1
    assert "tailor@2\tadapter_config.json is missing" in done.output
    assert models(corpus, "verify", "tailor@1").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "tailer"], "Did you mean 'tailor'"),
        (["show", "tailor"], "no current version"),
        (["promote", "tailor"], "names no version. Write its number, such as tailor@1"),
        (["rollback", "tailor", "--kind", "guy"], "Did you mean 'gui'"),
    ],
)
def test_what_cannot_be_is_told_with_what_can(corpus: Corpus, arguments: list[str], says: str) -> None:
    done = models(corpus, *arguments)
    assert done.exit_code == 2
    assert says in done.output


def test_options_before_a_subcommand_are_not_dropped_silently(corpus: Corpus) -> None:
    done = runner.invoke(app, ["models", "--corpus", corpus.uri, "show", "tailor@1"])
    assert done.exit_code == 2
    assert "options of a subcommand stand after it" in done.output
