"""What operators see: Prefect's pages in a real browser, of deployments that `dataclaw deploy` made and a build that a
worker carried out.

`DATACLAW_SCREENSHOTS` names a folder in which pictures of the pages are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from schemas.recipe import Recipe
from tests.deployments.conftest import Server
from tests.flows.clips import write_clip
from tests.models.faulty_server import FaultyServer, ok

pytestmark = pytest.mark.long
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SLOW = 120_000
"""Milliseconds that a page may take to show something, on a busy machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, timeout=SLOW)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Ui:
    """The UI of a server in a browser; what was looked at is kept as pictures."""

    page: Page
    home: str
    pictures: Path

    def open(self, place: str) -> Page:
        self.page.goto(f"{self.home}/{place}")
        return self.page

    def keep(self, name: str) -> None:
        """A picture of the whole page, as tall as it is."""
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def ui(server: Server, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Ui:
    expect.set_options(timeout=SLOW)
    page = browser.new_page(viewport={"width": 1400, "height": 1600})
    page.set_default_timeout(SLOW)
    pictures = Path(os.environ.get("DATACLAW_SCREENSHOTS") or tmp_path_factory.mktemp("pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    return Ui(page, server.api.removesuffix("/api"), pictures)


@pytest.fixture(scope="module")
def deployed(server: Server) -> None:
    server.run("dataclaw", "deploy")


# --- the form of a run --------------------------------------------------------------------------------------------


def form(ui: Ui, server: Server, deployment: str) -> Page:
    page = ui.open(f"deployments/deployment/{server.deployment(deployment)['id']}/run")
    expect(page.get_by_role("button", name="Submit")).to_be_visible()
    return page


def parameter(form: Page | Locator, name: str) -> Locator:
    """The part of a form, or of a part, about one parameter."""
    page = form if isinstance(form, Page) else form.page
    label = page.locator(".schema-form-property__label").get_by_text(re.compile(rf"^{name}( \(Optional\))?$"))
    return form.locator(".schema-form-property", has=label).first


def submit(page: Page, server: Server, name: str) -> dict[str, Any]:
    """The run that the server made of a form, known by the name that was typed for it."""
    page.locator("input.p-text-input__control").first.fill(name)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/deployments/deployment/[^/]+$|/runs/flow-run/"))
    (run,) = server.ask("flow_runs/filter", flow_runs={"name": {"any_": [name]}})
    return run


def typed(page: Page, server: Server) -> dict[str, Any]:
    """The parameters that come of a form. No worker carries the run out."""
    run = submit(page, server, "typed")
    server.send("DELETE", f"flow_runs/{run['id']}", {})
    return run["parameters"]


CONTROLS = {
    "string": "textarea",
    "integer": "input[type=number]",
    "number": "input[type=number]",
    "boolean": "input[type=checkbox]",
    "array": "button:has-text('Add item')",
    "null": "button:has-text('None')",
    "object": "button:has-text('Recipe')",
}
"""What a form has for a type: what it is typed into, or the button that chooses it."""


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("deployment", ["build", "build-gpu", "maintain", "verify"])
def test_the_form_of_a_run_shows_every_parameter_with_its_words_and_its_type(
    ui: Ui, server: Server, deployment: str
) -> None:
    page = form(ui, server, deployment)
    known = server.deployment(deployment)["parameter_openapi_schema"]["properties"]
    for name, content in known.items():
        part = parameter(page, name)
        words = part.locator(".schema-form-property__description").first.inner_text()
        assert words.split() == content["description"].replace("`", "").split()
        for one in content.get("anyOf", [content]):
            kind = one.get("type", "object")
            if "anyOf" in content and kind in ("integer", "string"):
                expect(part.get_by_role("button", name=kind[:3], exact=True)).to_be_visible()
            else:
                expect(part.locator(CONTROLS[kind]).first).to_be_attached()
    ui.keep(f"form-{deployment}")


def add(part: Locator, *items: str) -> None:
    """Types items into a list."""
    for number, item in enumerate(items):
        part.get_by_role("button", name="Add item").last.click()
        part.locator("textarea").nth(number).fill(item)


@pytest.mark.usefixtures("deployed")
def test_typed_values_are_those_of_the_run(ui: Ui, server: Server) -> None:
    page = form(ui, server, "maintain")
    parameter(page, "corpus").locator("textarea").fill("s3://bucket/corpus")
    parameter(page, "keep").locator("input").fill("3")
    parameter(page, "days").locator("input").fill("1.5")
    parameter(page, "dry_run").get_by_role("switch").click()
    values = {"corpus": "s3://bucket/corpus", "keep": 3, "days": 1.5, "dry_run": True}
    assert typed(page, server).items() >= values.items()

    page = form(ui, server, "verify")
    seed = parameter(page, "seed")
    seed.get_by_role("button", name="int").click()
    seed.locator("input").fill("7")
    assert typed(page, server).items() >= {"corpus": "demo/corpus", "seed": 7}.items()


@pytest.mark.usefixtures("deployed")
def test_a_whole_recipe_can_be_typed(ui: Ui, server: Server) -> None:
    page = form(ui, server, "build")
    recipe = parameter(page, "recipe")
    recipe.get_by_role("button", name="Recipe", exact=True).click()
    parameter(recipe, "Name").locator("textarea").fill("typed")
    parameter(recipe, "Corpus").locator("textarea").fill("corpus")
    add(parameter(recipe, "Intents"), "Make a tutorial.")
    sources = parameter(recipe, "Sources")
    sources.get_by_role("button", name="Add item").click()
    parameter(sources, "Uri").locator("textarea").fill("raw")
    ui.keep("form-recipe")
    plain = {"name": "typed", "corpus": "corpus", "sources": [{"uri": "raw"}], "intents": ["Make a tutorial."]}
    assert Recipe.model_validate(typed(page, server)["recipe"]) == Recipe.model_validate(plain)


# --- a build ------------------------------------------------------------------------------------------------------

LINE = {
    "type": "object",
    "properties": {"start": {"type": "number"}, "end": {"type": "number"}, "text": {"type": "string"}},
    "required": ["start", "end", "text"],
}
SAID = json.dumps({"start": 0.2, "end": 1.8, "text": "This is clip number 3."})
"""What the model says of every clip: it is true of one."""
PUBLISHED = "snapshot 1: 1 row in 1 shard"
"""What the build logs of it."""


@pytest.fixture(scope="module")
def built(ui: Ui, server: Server, deployed: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run of a build that was started by its form: one input that became data, one that did not, a broken one."""
    folder = tmp_path_factory.mktemp("night")
    write_clip(folder / "raw" / "clip.mp4", 3)
    write_clip(folder / "raw" / "silent.mp4", 4, cues=False)
    (folder / "raw" / "broken.mp4").write_bytes(b"no film at all" * 50)
    with FaultyServer([], then=ok(SAID)) as model:
        recipe = {
            "name": "nightly",
            "corpus": "corpus",
            "sources": [{"uri": "of-other-nights", "domain": "daily_life"}],
            "intents": ["Nothing that this run is asked."],
            "output_schema": LINE,
            "synthesis": {"backend": "openai", "model": {"name": "m", "max_tokens": 400, "thumbnails": 0}},
            "placement": {"serving": {"base_url": model.base_url}, "gallery": "http://localhost/gallery"},
        }
        (folder / "nightly.yaml").write_text(yaml.safe_dump(recipe))
        page = form(ui, server, "build")
        parameter(page, "recipe").locator("textarea").fill(str(folder / "nightly.yaml"))
        add(parameter(page, "sources"), str(folder / "raw"))
        add(parameter(page, "intents"), "The first line.")
        tokens = parameter(page, "run_tokens")
        tokens.get_by_role("button", name="int").click()
        tokens.locator("input").fill("100000")
        ui.keep("form-build-filled")
        run = submit(page, server, "by hand")
        assert run["parameters"] == {
            "recipe": str(folder / "nightly.yaml"),
            "sources": [str(folder / "raw")],
            "intents": ["The first line."],
            "run_tokens": 100_000,
        }
        access = {"DATACLAW_ROOTS": tempfile.gettempdir(), "DATACLAW_HOSTS": urlsplit(model.base_url).netloc}
        server.send("PATCH", f"flow_runs/{run['id']}", {"job_variables": {"env": access}})
        # Of themselves logs would go to the server when the run's process ends, or never.
        with server.worker("dataclaw-cpu", PREFECT_LOGGING_TO_API_BATCH_INTERVAL="600"):
            server.ended(run["id"])
            logged = server.logged(run["id"])
    (run,) = server.ask("flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert run["state"]["name"] == "Completed with rejects", run["state"]
    assert PUBLISHED in logged, f"{logged}\n{server.printed}"
    return run


def test_the_page_of_a_run_tells_how_it_ended_and_what_it_did(ui: Ui, built: dict[str, Any]) -> None:
    page = ui.open(f"runs/flow-run/{built['id']}")
    assert re.fullmatch(r"nightly 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", built["name"])
    expect(page.get_by_text(built["name"], exact=True).first).to_be_visible()
    expect(page.get_by_text("Completed with rejects", exact=True).first).to_be_visible()
    expect(page.get_by_text(PUBLISHED)).to_be_visible()
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_text("3 inputs: 1 done, 1 filtered, 1 failed; snapshot 1 with 1 row.").first).to_be_visible()
    ui.keep("run-details")
    page.get_by_text("Task Runs", exact=True).click()
    for stage in ("preflight", "discover", "plan", "tailor", "admit", "publish", "report", "announce"):
        expect(page.get_by_role("link", name=re.compile(rf"^{stage}-"))).to_be_visible()
    ui.keep("run-tasks")


def artifact(ui: Ui, server: Server, run: dict[str, Any], key: str) -> Page:
    of_run = {"flow_run_id": {"any_": [run["id"]]}, "key": {"any_": [key]}}
    (found,) = server.ask("artifacts/filter", artifacts=of_run)
    page = ui.open(f"artifacts/artifact/{found['id']}")
    expect(page.get_by_text("Show raw data")).to_be_visible()
    ui.keep(f"artifact-{key}")
    return page


def cell(page: Page, what: str) -> Locator:
    """What stands beside some words in a table."""
    return page.locator("tr", has=page.get_by_text(what, exact=True)).get_by_role("cell").nth(1)


def test_the_result_is_a_table_with_its_costs(ui: Ui, server: Server, built: dict[str, Any]) -> None:
    page = artifact(ui, server, built, "build-result")
    expect(cell(page, "inputs")).to_have_text("3")
    expect(cell(page, "triplets made")).to_have_text("1")
    expect(cell(page, "CPU seconds: commit")).to_have_text(re.compile(r"\d"))
    page = artifact(ui, server, built, "model-usage")
    expect(cell(page, "requests")).to_have_text(re.compile(r"[1-9]"))
    expect(page.get_by_text("for 1 row of this run")).to_be_visible()


def test_rejects_are_told_with_their_whole_reasons(ui: Ui, server: Server, built: dict[str, Any]) -> None:
    page = artifact(ui, server, built, "build-rejects")
    reason = page.get_by_role("listitem").filter(has_text="1 unit")
    expect(reason).to_be_visible()
    assert reason.evaluate("item => item.scrollWidth <= item.clientWidth"), "it is cut off"
    expect(page.get_by_role("listitem").filter(has_text=re.compile(r"failed \S+/broken.mp4: "))).to_be_visible()


def test_the_quarantine_tells_what_to_do(ui: Ui, server: Server, built: dict[str, Any]) -> None:
    page = artifact(ui, server, built, "build-quarantine")
    expect(page.get_by_role("row").filter(has_text="broken.mp4")).to_contain_text("Give a video file")


def test_growth_is_a_picture_that_is_shown(ui: Ui, server: Server, built: dict[str, Any]) -> None:
    page = artifact(ui, server, built, "corpus-growth")
    picture = page.get_by_role("img", name="rows by time")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 0
    expect(page.get_by_role("cell", name="+1", exact=True)).to_be_visible()


def test_the_gallery_is_a_link(ui: Ui, server: Server, built: dict[str, Any]) -> None:
    page = artifact(ui, server, built, "gallery")
    link = page.get_by_role("link", name="Gallery of nightly")
    expect(link).to_have_attribute("href", "http://localhost/gallery")


# --- upkeep -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deployment", "key", "told", "shown"),
    [
        ("maintain", "maintenance", "shards: none that are small; expired: 0 snapshots", "snapshots"),
        ("verify", "verification", "1 row", "failures"),
    ],
)
def test_upkeep_tells_what_it_found(
    ui: Ui, server: Server, built: dict[str, Any], deployment: str, key: str, told: str, shown: str
) -> None:
    corpus = Path(built["parameters"]["recipe"]).parent / "corpus"
    page = form(ui, server, deployment)
    parameter(page, "corpus").locator("textarea").fill(str(corpus))
    run = submit(page, server, f"{deployment} by hand")
    access = {"DATACLAW_ROOTS": tempfile.gettempdir()}
    server.send("PATCH", f"flow_runs/{run['id']}", {"job_variables": {"env": access}})
    with server.worker("dataclaw-cpu"):
        server.ended(run["id"])
    (run,) = server.ask("flow_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert run["state"]["type"] == "COMPLETED", run["state"]
    page = ui.open(f"runs/flow-run/{run['id']}")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible()
    page.get_by_text("Details", exact=True).click()
    expect(page.get_by_text(re.compile(told)).first).to_be_visible()
    ui.keep(f"run-{deployment}")
    page = artifact(ui, server, run, key)
    expect(page.get_by_text(re.compile(shown)).first).to_be_visible()
