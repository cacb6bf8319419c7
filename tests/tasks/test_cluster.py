"""What a cluster's address may be, and how its CPUs are shared out."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.cluster import check_address, share


@pytest.mark.parametrize("address", [None, "auto", "local"])
def test_addresses_that_need_no_look(address: str | None) -> None:
    assert list(check_address(address)) == []


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_clients_and_jobs_are_told_how_a_build_is_submitted(address: str) -> None:
    (problem,) = check_address(address)
    assert address in problem.input
    assert "driver on a node" in problem.cause
    assert "docs/deployments.md" in problem.remedy


@pytest.mark.parametrize("address", ["head", "head:port", ":6379"])
def test_an_address_has_a_host_and_a_port(address: str) -> None:
    (problem,) = check_address(address)
    assert problem.cause == "is not HOST:PORT"


def test_a_head_that_is_not_there_is_noticed_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert list(check_address(address)) == []
    (problem,) = check_address(address)
    assert "nobody answers there" in problem.cause


@given(st.lists(st.integers(1, 64), min_size=1, max_size=8), st.integers(1, 200), st.floats(0.1, 0.9))
def test_all_workers_fit_and_every_node_keeps_what_is_set_aside(nodes: list[int], workers: int, aside: float) -> None:
    each = share(nodes, workers, aside)
    assert sum(int((node - aside) / each + 1e-6) for node in nodes) >= workers


def test_two_nodes_of_one_cpu_take_a_worker_each() -> None:
    assert share([1, 1], 2, aside=0.3) == 0.7
