"""Recipes that came over a network reach what the worker's owner named; credentials stand in nothing that is kept."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import DataClawError, UsageError
from schemas.recipe import Recipe
from schemas.redaction import HIDDEN, has_credentials, redacted
from storage.access import HOSTS, KEYS, ROOTS, Access, confinement
from storage.catalog.catalog import Catalog
from storage.corpus import Corpus
from storage.recipes import load_recipe, load_schema, recipe_of_run, storable

PASSWORD = "hunter2"
POSTGRESQL = f"postgresql+psycopg://dataclaw:{PASSWORD}@db.example/night"
S3 = f"s3://AKIAEXAMPLE:{PASSWORD}@bucket/raw"


def recipe(folder: Path, **changes: Any) -> Recipe:
    content = {"name": "r", "corpus": f"{folder}/out", "sources": [{"uri": f"{folder}/in"}], "intents": ["a tutorial"]}
    return Recipe.model_validate(content | changes)


def serving(**keys: Any) -> dict[str, Any]:
    return {"placement": {"serving": keys}}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be reached, on a worker that talks to two servers."""
    folder = tmp_path / "root"
    (folder / "in").mkdir(parents=True)
    monkeypatch.setenv(ROOTS, f"{folder}, s3://bucket/raw")
    monkeypatch.setenv(HOSTS, "localhost:8000, 192.0.2.7, 169.254.169.254, [::1]:9000")
    monkeypatch.delenv(KEYS, raising=False)
    return folder


def refused(given: Recipe | str) -> str:
    with pytest.raises(UsageError) as error:
        recipe_of_run(given, sent=True)
    return str(error.value)


def test_a_sent_recipe_below_the_roots_is_taken(root: Path) -> None:
    fine = recipe(root, sources=[{"uri": f"{root}/in#train/0:5"}, {"uri": "s3://bucket/raw/a"}])
    assert recipe_of_run(fine, sent=True) is fine
    there = recipe(root, **serving(base_url="http://localhost:8000/v1"))
    assert recipe_of_run(there, sent=True) is there


def test_sources_of_one_run_are_held_to_the_roots_too(root: Path, tmp_path: Path) -> None:
    fine = recipe(root)
    assert recipe_of_run(fine, [f"{root}/in/new"], sent=True).sources[0].uri == f"{root}/in/new"
    for place in (str(tmp_path), f"{root}/../other", "s3://bucket/other"):
        with pytest.raises(UsageError, match="lies outside"):
            recipe_of_run(fine, [place], sent=True)


def test_without_roots_a_sent_recipe_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOTS, raising=False)
    assert ROOTS in refused(recipe(tmp_path))
    # One that is this machine's user's own reaches what the user does.
    assert confinement() is None
    assert recipe_of_run(recipe(tmp_path), sent=False) == recipe(tmp_path)


def test_with_roots_every_recipe_is_held_to_them(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lies outside"):
        recipe_of_run(recipe(tmp_path), sent=False)


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "local:///etc",
        "{root}/../secret",
        "{root}/link/inside",
        "{root}-beside",
        "s3://bucket/rawer",
        "s3://bucket/raw/../other",
        "s3://other/raw",
        "gs://bucket/raw",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/latest/",
        "https://example.org/a.tar",
        "ssh://host/raw",
        "sftp://host/raw",
        "github://owner:repo@main/a",
        "zip://a.txt::file:///etc/passwd",
        "simplecache::s3://bucket/raw/a",
        "s3://bucket/raw/a::file:///etc/passwd",
        "reference://",
        "member://0-1000/%2Fetc%2Fpasswd/a.txt",
        "memory://a",
        "data:,x://",
        "FILE:///etc/passwd",
    ],
)
@pytest.mark.parametrize("key", ["corpus", "sources", "weights", "model", "catalog"])
def test_what_leads_out_of_the_roots_is_refused_under_every_key(root: Path, tmp_path: Path, uri: str, key: str) -> None:
    (tmp_path / "secret").mkdir()
    (root / "link").symlink_to(tmp_path / "secret")
    place = uri.format(root=root)
    changes: dict[str, Any] = {
        "corpus": {"corpus": place},
        "sources": {"sources": [{"uri": f"{root}/in"}, {"uri": place}]},
        "weights": {"experts": [{"name": "whisper", "parameters": {"weights": place}}]},
        "model": {"synthesis": {"backend": "transformers", "model": {"name": place}}},
        "catalog": {"placement": {"catalog": f"sqlite:///{place}"}},
    }
    assert refused(recipe(root, **changes[key])).startswith("'")


def test_a_name_on_a_hub_is_no_place(root: Path) -> None:
    fine = recipe(root, synthesis={"backend": "transformers", "model": {"name": "Qwen/Qwen3-VL-2B"}})
    assert recipe_of_run(fine, sent=True) is fine


def test_a_recipe_file_is_read_below_the_roots_alone_and_what_it_names_too(root: Path, tmp_path: Path) -> None:
    text = "name: r\ncorpus: out\nsources: [{uri: in}]\nintents: [a tutorial]\n"
    (root / "a.yaml").write_text(text)
    assert recipe_of_run(str(root / "a.yaml"), sent=True).corpus == str(root / "out")
    (tmp_path / "a.yaml").write_text(text)
    assert "lies outside" in refused(str(tmp_path / "a.yaml"))
    (tmp_path / "schema.json").write_text('{"secret": 1}')
    (root / "b.yaml").write_text(text + "output_schema: ../schema.json\n")
    assert "lies outside" in refused(str(root / "b.yaml"))


def test_a_sent_recipe_imports_nothing(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dataclaw_trap.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    (root / "a.yaml").write_text(
        "name: r\ncorpus: out\nsources: [{uri: in}]\nintents: [x]\noutput_schema: dataclaw_trap:Model\n"
    )
    assert "imports nothing" in refused(str(root / "a.yaml"))
    with pytest.raises(SystemExit, match="it ran"):  # what a recipe of one's own may do
        load_schema("dataclaw_trap:Model")


@pytest.mark.parametrize(
    ("placement", "cause"),
    [
        ({"serving": {"base_url": "http://evil.example/v1"}}, "no server"),
        ({"serving": {"base_url": "http://localhost:9999/v1"}}, "no server"),
        ({"serving": {"base_url": "http://127.0.0.1:8000/v1"}}, "no server"),
        ({"serving": {"base_url": "http://169.254.169.254/v1"}}, "credentials of their machines"),
        ({"serving": {"base_url": "file:///etc/passwd"}}, "no web server"),
        ({"serving": {"base_url": f"http://user:{PASSWORD}@192.0.2.7/v1"}}, "holds credentials"),
        ({"serving": {"base_url": "http://192.0.2.7/v1", "key": "AWS_SECRET_ACCESS_KEY"}}, "no key"),
        ({"serving": {"key": "prefect:another"}}, "no key"),
        ({"ray_address": "ray://evil.example:10001"}, "no server"),
        ({"ray_address": "evil.example:6379"}, "no server"),
        ({"catalog": "postgresql+psycopg://evil.example/db"}, "no server"),
        ({"catalog": "postgresql+psycopg://192.0.2.7/db?host=evil.example"}, "may name files or hosts"),
        ({"catalog": "postgresql+psycopg://192.0.2.7/db?passfile=/etc/passwd"}, "may name files or hosts"),
        ({"catalog": POSTGRESQL}, "holds credentials"),
        ({"catalog": "mysql://192.0.2.7/db"}, "no catalog"),
        ({"catalog": "sqlite:////etc/a.db"}, "lies outside"),
        ({"catalog": "sqlite:///file:/etc/a.db?uri=true"}, "may name any file"),
        ({"catalog": "nonsense"}, "malformed"),
    ],
)
def test_servers_databases_and_keys_are_those_that_were_named(
    root: Path, placement: dict[str, Any], cause: str
) -> None:
    said = refused(recipe(root, placement=placement))
    assert cause in said
    assert PASSWORD not in said


def test_named_servers_and_keys_are_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS, "NIGHT_KEY,prefect:night")
    for placement in (
        {"serving": {"base_url": "http://192.0.2.7:8000/v1", "key": "NIGHT_KEY"}},
        {"serving": {"base_url": "http://[::1]:9000/v1", "key": "prefect:night"}},
        {"ray_address": "ray://192.0.2.7:10001"},
        {"ray_address": "auto"},
        {"catalog": "postgresql+psycopg://dataclaw@192.0.2.7/night?sslmode=verify-full"},
        {"catalog": f"sqlite:///{root}/catalog.db"},
    ):
        recipe_of_run(recipe(root, placement=placement), sent=True)


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        ("169.254.169.254", "credentials of their machines"),
        ("::ffff:169.254.169.254", "credentials of their machines"),
        ("64:ff9b::a9fe:a9fe", "credentials of their machines"),
        ("fd00:ec2::254", "credentials of their machines"),
        ("fe80::1", "credentials of their machines"),
        ("127.0.0.1", "this machine itself"),
        ("127.8.8.8", "this machine itself"),
        ("::1", "this machine itself"),
        ("::ffff:127.0.0.1", "this machine itself"),
        ("0.0.0.0", "this machine itself"),
    ],
)
def test_a_named_host_that_leads_to_the_wrong_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str, cause: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def resolve(host: str, *_: object, **__: object) -> list[Any]:
        assert host == "models.example"
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))
        return [good, (family, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(UsageError, match=cause):
        Access(hosts=frozenset({"models.example"})).check_server("models.example", 443, "base_url")
    if cause.startswith("credentials"):
        web = Access(roots=("https://models.example/sets",))
        assert cause in (web.refusal("https://models.example/sets/a.tar") or "")


def test_a_web_root_is_its_host_and_folder_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [good])
    web = Access(roots=("https://data.example/sets",))
    assert web.refusal("https://data.example/sets/a.tar") is None
    for uri in (
        "https://data.example/other",
        "https://data.example.evil.example/sets/a",
        "https://data.example@evil.example/sets/a",
        "https://data.example/sets/%2e%2e/other",
        "https://data.example/sets/%252e%252e/other",
        "https://data.example/sets/..\\other",
        "http://data.example/sets/a.tar",
    ):
        assert web.refusal(uri), uri


def test_roots_of_unknown_schemes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROOTS, "ssh://host/raw")
    with pytest.raises(UsageError, match="no root has the scheme ssh"):
        confinement()


def test_relative_roots_are_those_of_the_folder_where_the_process_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ROOTS, ".")
    assert Access.from_environment().refusal(str(tmp_path / "a")) is None
    assert Access.from_environment().refusal(str(tmp_path.parent)) is not None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (POSTGRESQL, f"postgresql+psycopg://dataclaw:{HIDDEN}@db.example/night"),
        (S3, f"s3://AKIAEXAMPLE:{HIDDEN}@bucket/raw"),
        ("postgresql://u:p@ss@host/db", f"postgresql://u:{HIDDEN}@host/db"),
        ("postgresql://u:a/b@host/db", f"postgresql://u:{HIDDEN}@host/db"),
        ("postgresql://:secret@host/db", f"postgresql://:{HIDDEN}@host/db"),
        ("https://ghp_abc@host/a", f"https://{HIDDEN}@host/a"),
        ("https://b/a?X-Amz-Signature=abc&x=1", f"https://b/a?X-Amz-Signature={HIDDEN}&x=1"),
        ("https://b/a?sv=1&sig=abc%3D", f"https://b/a?sv=1&sig={HIDDEN}"),
        ("postgresql://h/db?user=a&password=b", f"postgresql://h/db?user=a&password={HIDDEN}"),
        ("cannot connect with host=db password='a b' user=x", f"cannot connect with host=db password={HIDDEN} user=x"),
        (
            f"'{S3}': no such bucket. See {POSTGRESQL}.",
            f"'{redacted(S3)}': no such bucket. See {redacted(POSTGRESQL)}.",
        ),
    ],
)
def test_credentials_are_blotted_out_and_the_rest_stays(text: str, shown: str) -> None:
    assert redacted(text) == shown
    assert redacted(shown) == shown
    assert has_credentials(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://dataclaw@host:5432/night",
        "s3://bucket/raw/a@b.mp4",
        "lerobot_set#29@wrist",
        "sqlite:////data/catalog.db",
        "http://localhost:8000/v1",
        "/data/a:b@c.mp4",
        "https://host/a?page=2&tokens=7",
        "mail me@example.org: done",
    ],
)
def test_what_is_no_credential_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize("key", ["corpus", "sources"])
def test_credentials_in_places_are_refused_whoever_wrote_them(tmp_path: Path, key: str) -> None:
    changes: dict[str, Any] = {"corpus": S3} if key == "corpus" else {"sources": [{"uri": S3}]}
    with pytest.raises(UsageError, match="holds credentials") as error:
        recipe_of_run(recipe(tmp_path, **changes), sent=False)
    assert PASSWORD not in str(error.value)
    assert "AWS_PROFILE" in str(error.value)
    lines = {"corpus": "out", "sources": [{"uri": "in"}]} | changes
    # Without an intent the recipe is wrong in another way, whose error names the source.
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps({"name": "r"} | lines))
    with pytest.raises(UsageError) as error:
        load_recipe(path)
    assert PASSWORD not in str(error.value)


def test_credentials_in_the_place_of_a_recipe_are_not_told() -> None:
    with pytest.raises(DataClawError) as error:
        load_recipe(f"{S3}/a.yaml")
    assert PASSWORD not in str(error.value)


def test_the_password_of_the_catalog_is_used_and_kept_nowhere(
    tmp_path: Path, postgresql: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with_password = postgresql.replace("://postgres@", f"://postgres:{PASSWORD}@")
    assert PASSWORD in with_password
    given = recipe(tmp_path, placement={"catalog": with_password})
    assert given.placement.catalog == with_password
    corpus = Corpus.open(given.corpus, create=True)
    with caplog.at_level(logging.DEBUG), Catalog.open(with_password, corpus) as catalog:
        catalog.begin_run("run-1", given.name, given.hash, storable(given))
        kept = catalog.recipe_of("run-1")
    assert kept is not None
    assert PASSWORD not in kept
    assert f"postgres:{HIDDEN}@" in kept
    assert Recipe.model_validate_json(kept).hash == given.hash
    assert PASSWORD not in caplog.text
    assert PASSWORD not in "".join(capfd.readouterr())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]


def test_a_catalog_that_cannot_be_reached_tells_no_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    monkeypatch.setattr("storage.catalog.engine.PATIENCE_AT_FIRST", 0.0)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        url = f"postgresql+psycopg://dataclaw:{PASSWORD}@127.0.0.1:{held.getsockname()[1]}/night"
        corpus = Corpus.open(tmp_path / "out", create=True)
        with caplog.at_level(logging.DEBUG), pytest.raises(DataClawError) as error, Catalog.open(url, corpus):
            pass
    assert PASSWORD not in str(error.value)
    assert PASSWORD not in caplog.text
