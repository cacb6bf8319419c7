"""What workers are given, and how much of what they say is heard."""

from __future__ import annotations

import logging
import os

import pytest
import ray

from tasks.workers import Ear, Report, Setup, Trickle, Worker, settings_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log() -> logging.Logger:
    return logging.Logger("run")


@pytest.fixture
def said(log: logging.Logger) -> list[str]:
    handler = Said()
    log.addHandler(handler)
    return handler.lines


def worker(pid: int, node: str = "n1", actor: str = "a") -> Worker:
    return Worker("ExtractAnchors", pid, node, actor)


def test_a_trickle_lets_some_through_at_once_and_then_a_few() -> None:
    clock = Clock()
    trickle = Trickle(2, 0.5, clock)
    assert [trickle.lets_through() for _ in range(4)] == [True, True, False, False]
    assert trickle.take_held_back() == 2
    clock.now = 2.0
    assert [trickle.lets_through() for _ in range(2)] == [True, False]
    assert trickle.take_held_back() == 1
    clock.now = 100.0
    assert [trickle.lets_through() for _ in range(3)] == [True, True, False]


def test_lines_are_named_by_their_worker_and_its_node(log: logging.Logger, said: list[str]) -> None:
    ear = Ear(log, lambda: {"n1": "gpu-7"})
    ear.hear([Report(worker(5)), Report(worker(5), logging.WARNING, "experts.ocr: s3://k:password@host/x is dark")])
    assert said == ["ExtractAnchors 5 on gpu-7: experts.ocr: s3://k:***@host/x is dark"]


def test_a_worker_in_the_place_of_another_is_noticed(log: logging.Logger, said: list[str]) -> None:
    ear = Ear(log, lambda: {"n1": "gpu-7", "n2": "gpu-8"})
    ear.hear([Report(worker(5)), Report(worker(6, actor="b")), Report(worker(9, node="n2"))])
    assert said == ["worker ExtractAnchors 5 on gpu-7 died; ExtractAnchors 9 on gpu-8 is in its place"]


def test_of_a_flood_the_log_has_a_part_and_the_number_of_the_others(log: logging.Logger, said: list[str]) -> None:
    clock = Clock()
    ear = Ear(log, dict, Trickle(2, 1.0, clock))
    ear.hear([Report(worker(5), words=f"line {number}", left_out=3) for number in range(4)])
    clock.now = 1.0
    ear.hear([Report(worker(5), words="the last")])
    assert said == [
        "ExtractAnchors 5: line 0 (after 3 lines that stand in the logs of Ray alone)",
        "ExtractAnchors 5: line 1 (after 3 lines that stand in the logs of Ray alone)",
        "ExtractAnchors 5: the last (after 8 lines that stand in the logs of Ray alone)",
    ]


def test_workers_get_settings_and_keys_and_nothing_of_one_machine() -> None:
    environment = {
        "DATACLAW_ROOTS": "/data",
        "DATACLAW_SECRET_NIGHT": "s",
        "AWS_ENDPOINT_URL_S3": "http://s3",
        "AWS_SECRET_ACCESS_KEY": "k",
        "AWS_PROFILE": "me",
        "HOME": "/root",
        "RAY_AUTH_TOKEN": "t",
        "PGPASSWORD": "p",
    }
    assert settings_of(environment).keys() == {"DATACLAW_ROOTS", "AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY"}
    assert "k" not in repr(Setup({"AWS_SECRET_ACCESS_KEY": "k"})).split("(")[1]


def test_what_a_node_has_set_stays_and_its_own_account_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {"DATACLAW_ROOTS": "/ours", "AWS_ENDPOINT_URL": "http://ours", "AWS_ACCESS_KEY_ID": "ours"}
    for name in (*ours, "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATACLAW_ROOTS", "/of the node")
    monkeypatch.setenv("AWS_PROFILE", "node")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        Setup(ours).install()
        assert os.environ["DATACLAW_ROOTS"] == "/of the node"
        assert os.environ["AWS_ENDPOINT_URL"] == "http://ours"
        assert "AWS_ACCESS_KEY_ID" not in os.environ
        del os.environ["AWS_PROFILE"]
        Setup(ours).install()
        assert os.environ["AWS_ACCESS_KEY_ID"] == "ours"


class Threads:
    """A stage that says to how many threads its worker is bound."""

    def bound(self) -> str | None:
        return os.environ.get("OMP_NUM_THREADS")


@pytest.mark.long
def test_ray_bounds_the_threads_of_a_worker_and_not_those_of_an_unbound_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        workers = [ray.remote(Setup().of(Threads, unbound)).options(num_cpus=0.5).remote() for unbound in (False, True)]
        assert ray.get([worker.bound.remote() for worker in workers], timeout=120) == ["1", None]
    finally:
        ray.shutdown()
