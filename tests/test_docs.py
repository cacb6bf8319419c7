"""What the documents say is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from dataclaw.main import app
from experts.roster import EXPERTS
from schemas.anchor import AnchorKind
from schemas.recipe import Recipe
from schemas.training import Training
from storage.recipes import _model_in, load_recipe
from synthesis.agents.roster import TASKS
from training.settings import load_training

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GROUPS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
COMMANDS = sorted(GROUPS)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_documentation(command: str) -> None:
    page = read("docs/cli.md")
    assert f"## {command}\n" in page or f"## {command}," in page or f", {command}\n" in page
    options = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    section = page[page.index(command) :]
    for option in options:
        for name in option.opts:
            if name.startswith("--"):
                assert f"`{name}" in section, f"docs/cli.md does not explain {name} of {command}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shown_is_one_that_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    for line in _shown(document.read_text(encoding="utf-8")):
        words = shlex.split(line.replace("...", ""), comments=True)
        if words[0] == "make":
            assert set(words[1:2]) <= targets, line
        if words[0] == "dataclaw" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in COMMANDS, line
            named = words[1:3] if hasattr(GROUPS[words[1]], "commands") else words[1:2]
            help_ = CliRunner().invoke(app, [*named, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                assert option in help_, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_every_key_of_a_recipe_is_explained() -> None:
    page = read("docs/recipe.md")
    for key in _keys(Recipe):
        assert f"`{key}`" in page, f"docs/recipe.md does not explain {key}"


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_a_recipe_or_a_training(example: Path) -> None:
    load_training(example) if example.name.startswith("training") else load_recipe(example)


def test_every_key_of_a_training_is_explained() -> None:
    page = read("docs/training.md") + read("docs/recipe.md")
    for key in (key.rpartition(".")[2] for key in _keys(Training)):
        assert re.search(rf"[`.]{key}`", page), f"docs/training.md does not explain {key}"


def test_every_expert_task_type_and_anchor_kind_is_documented() -> None:
    for name in EXPERTS.names:
        assert f"`{name}`" in read("docs/experts.md")
    for name in TASKS.names:
        assert f"`{name}`" in read("docs/schemas.md")
    for kind in AnchorKind:
        assert f"`{kind}`" in read("docs/schemas.md")


def _shown(text: str) -> list[str]:
    """The commands a document shows, in fences and in the text; continued lines joined, prompts taken off."""
    fences = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`((?:dataclaw|make) [^`\n]+)`", text)
    return [line for line in [*lines, *inline] if line.startswith(("make ", "dataclaw "))]


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        keys += _keys(inner, f"{prefix}{name}.") if inner is not None else [f"{prefix}{name}"]
    return keys
