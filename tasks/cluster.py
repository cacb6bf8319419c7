"""The Ray cluster of a run: one already there, or one on this machine. And a watch over it, since Ray ends a process
that has lost its cluster without a word, and lets a pipeline wait for ever for a node that is gone."""

from __future__ import annotations

import hashlib
import heapq
import importlib
import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ray
from prefect import get_run_logger
from ray.autoscaler.sdk import request_resources
from ray.data import DataContext
from ray.exceptions import AuthenticationError, GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from schemas.errors import DataClawError, Problem, UsageError
from schemas.recipe import Recipe
from storage.corpus import Corpus
from tasks.words import count
from tasks.workers import PACKAGES, Log, Setup, listening, settings_of

Stage = TypeVar("Stage")

PATIENCE = "DATACLAW_RAY_PATIENCE"
"""The variable that says for how many seconds a build waits for a free CPU of a cluster; a minute without it. Where
nodes are started on demand, as long as one takes to start."""
_OBJECT_STORE = 1 << 30
"""Bytes of shared memory on a single machine. Rows carry anchors and a few encoded frames, never whole videos; what
does not fit waits (backpressure) instead of growing."""
_ANSWERS_WITHIN = 5.0
"""Seconds for a connection to the head."""
_NODE_ANSWERS_WITHIN = 60.0
"""Seconds in which each node has started a process and told what it has."""
_LOOKS_EVERY = 2.0
_GONE_AFTER = 3
"""Looks in a row that find nobody: no hiccup any more. Ray itself ends this process ten seconds after its node is gone,
a minute after the head is."""
_SEEN_WITHIN = 20.0
"""Seconds in which the head notices that a node is gone."""
_ENDED_BY_AUTOSCALER = 4
"""Ray's number for the death of a node that had nothing to do."""

_INTERRUPTION = signal.SIGUSR1
"""By which the watch ends what the main thread waits for."""
_SUBMIT = "Start the build on a node of the cluster, with placement.ray_address: auto (docs/deployments.md, Clusters)"


class ClusterError(DataClawError):
    """The Ray cluster is not as it must be, or is gone."""


@dataclass
class Cluster:
    """Ray, while a run is connected to it."""

    name: str
    """What errors call it."""
    setup: Setup = field(default_factory=Setup)
    lost: bool = False
    """Nothing of it answers any more."""

    def cpus(self) -> int:
        """Of all nodes."""
        return max(1, int(sum(_cpus_of_nodes())))

    def share(self, workers: int, aside: float) -> float:
        """CPUs for each of so many workers, with some set aside on every node."""
        return share(_cpus_of_nodes(), workers, aside)

    def stage(self, stage: type[Stage], unbound: bool = False) -> type[Stage]:
        """A stage as a class for workers of this cluster, `unbound` in their threads or not."""
        return self.setup.of(stage, unbound)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While it is open, a loss is noticed within seconds. One of a node ends the block, and nothing is raised: Ray
        would wait for its workers, for which there may be no room elsewhere, without an end.

        Raises:
            ClusterError: the head is gone, or this machine's part of Ray.
        """
        watch = _Watch()
        watch.begin()
        try:
            try:
                yield
                return  # what is lost now is not missed
            except RayError as error:
                if not watch.explains(error):
                    raise
        except _InterruptedByLoss:
            pass
        finally:
            watch.end()
            self.lost = bool(watch.lost)
        if watch.lost:
            ended = "".join(f"; {child}" for child in _ended_children())
            cause = f"it is gone: {watch.lost}{ended}; what was committed is kept"
            raise ClusterError(
                self.name, cause, "Run the build again when Ray is there again; its logs say why it ended"
            )
        names = ", ".join(sorted(watch.lost_nodes))
        get_run_logger().warning("%s has lost %s: what was in hand is done again on what is left", self.name, names)


@contextmanager
def cluster(recipe: Recipe) -> Iterator[Cluster]:
    """Connects to a recipe's cluster, or starts one here and takes it down again.

    Raises:
        UsageError: the address is of a kind that does not work.
        ClusterError: the cluster cannot be reached or used; the message says why.
    """
    address = None if recipe.placement.ray_address == "local" else recipe.placement.ray_address
    name = "the Ray of this machine" if address is None else f"the Ray cluster {address}"
    at, log = Cluster(name), get_run_logger()
    ours = not ray.is_initialized()
    if ours:
        with _sigterm_kept():
            _connect(address)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # The worker's own error, which names input, cause and remedy, instead of Ray's wrapping around it.
    context.raise_original_map_exception = True
    try:
        settings = {} if address is None else settings_of(os.environ)
        if address is not None:
            _wait_for_cpus(name, recipe, log)
            _look_at_nodes(name, Setup(settings), recipe.corpus)
        with listening(log, dict if address is None else _node_names) as reports:
            at.setup = Setup(settings, reports)
            yield at
    finally:
        if ours and not at.lost:  # there is nobody to say goodbye to
            with _sigterm_kept():
                ray.shutdown()


def share(nodes: Sequence[float], workers: int, aside: float) -> float:
    """CPUs for each of so many workers, so that nodes with these CPUs have room for all, and for what is set aside.

    As d'Hondt apportions seats to parties: a node takes n workers of an n-th of its room each.
    """
    rooms = [max(node - aside, 0.05 * node) for node in nodes]
    quotients = (room / number for room in rooms for number in range(1, workers + 1))
    # Ray counts in ten-thousandths, and rounds up.
    return math.floor(heapq.nlargest(workers, quotients)[-1] * 1e4) / 1e4


def check_address(address: str | None) -> Iterator[Problem]:
    """What is wrong with `placement.ray_address`, as far as it shows without connecting."""
    if address in (None, "local", "auto"):
        return
    assert address is not None
    named = f"placement.ray_address {address}"
    if "://" in address:
        cause = "is no address that a build can use: Ray Data wants its driver on a node of the cluster"
        yield Problem(input=named, cause=cause, remedy=_SUBMIT)
        return
    parts = urlsplit(f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None:
        yield Problem(input=named, cause="is not HOST:PORT", remedy="Give the head's address: head:6379, or auto")
    elif (cause_ := _unreachable(host, port, _ANSWERS_WITHIN)) is not None:
        yield Problem(input=named, cause=f"nobody answers there ({cause_})", remedy="See that the head of Ray runs")


def _unreachable(host: str, port: int, within: float) -> str | None:
    """Why nobody can be reached at an address; None when somebody can."""
    try:
        socket.create_connection((host, port), timeout=within).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _connect(address: str | None) -> None:
    # Ray's notes for its developers are not for the users of this command; failures reach us as exceptions.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # What workers have to say comes in rows, reasons and reports; their raw logs are in Ray's session.
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        size: dict[str, Any] = {"num_cpus": os.cpu_count(), "object_store_memory": _OBJECT_STORE}
        ray.init(address="local", include_dashboard=False, **size, **quiet)
        return
    for problem in check_address(address):
        kind = UsageError if "://" in address else ClusterError
        raise kind(problem.input, problem.cause, problem.remedy)
    try:
        ray.init(address=address, **quiet)
    except (RuntimeError, ConnectionError, ValueError, RayError) as error:
        ray.shutdown()
        raise _refused(address, error) from error


def _refused(address: str, error: Exception) -> ClusterError:
    """What to do when Ray does not connect."""
    named, words = f"placement.ray_address {address}", "\n".join(_chain(error))
    if AuthenticationError.__name__ in words:
        cause, remedy = "the cluster does not take our token", "Set RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN"
    elif "Version mismatch" in words:
        versions = [line.strip() for line in words.splitlines() if line.startswith(" ")]
        cause = "it runs other versions ({}, {}) than this process ({}, {})".format(*versions)
        remedy = "Use the same image on all nodes"
    else:
        cause, remedy = _last_line(error), _SUBMIT
    return ClusterError(named, cause, remedy)


def _chain(error: BaseException | None) -> Iterator[str]:
    """An error and those that it came from, which Ray tells by their text alone."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__


def _wait_for_cpus(name: str, recipe: Recipe, log: Log) -> None:
    """Until a CPU is free. A cluster that starts nodes on demand is asked for one."""
    patience = float(os.environ.get(PATIENCE, "60"))
    end, told = time.monotonic() + patience, False
    try:
        while ray.available_resources().get("CPU", 0.0) < 1:
            if time.monotonic() > end:
                cause = f"none of its {count(int(sum(_cpus_of_nodes())), 'CPU')} became free in {patience:g} s"
                raise ClusterError(name, cause, f"Wait for other work, add a node, or set {PATIENCE} to more seconds")
            if not told:
                log.info("waiting for a free CPU of %s", name)
                workers = recipe.placement.extract_workers or 1
                request_resources(num_cpus=workers if isinstance(workers, int) else workers[0])
                told = True
            time.sleep(min(1.0, patience))
    finally:
        if told:
            request_resources(num_cpus=0)


def _look_at_nodes(name: str, setup: Setup, corpus: str) -> None:
    """Each node has our code, and finds the corpus that this process has open."""
    look = ray.remote(num_cpus=0, max_retries=0)(_what_is_there)
    answers = {
        node["NodeID"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(setup, corpus)
        for node in _working_nodes()
    }
    names, ours = _node_names(), _what_is_there(Setup(), corpus)
    for node, answer in answers.items():
        where = f"node {names[node]} of {name}"
        try:
            code, identity = ray.get(answer, timeout=_NODE_ANSWERS_WITHIN)
        except GetTimeoutError:
            cause = f"did not answer within {_NODE_ANSWERS_WITHIN:g} s"
            raise ClusterError(where, cause, "Look at its logs, or take it out of the cluster") from None
        except RayTaskError as error:
            cause = error.cause.problem.cause if isinstance(error.cause, DataClawError) else _last_line(error)
            remedy = f"All nodes need the image of this process, and must reach {corpus}"
            raise ClusterError(where, cause, remedy) from error
        except RayError as error:
            raise ClusterError(where, _last_line(error), "Look at its logs, or take it out of the cluster") from error
        if code != ours[0]:
            raise ClusterError(where, "runs another version of DataClaw", "Use the same image on all nodes")
        if identity != ours[1]:
            cause = f"finds another corpus at {corpus} than this process does"
            raise ClusterError(where, cause, "Put the corpus where all nodes reach it: a shared folder, or a store")


def _what_is_there(setup: Setup, corpus: str) -> tuple[str, str]:
    """On a node: a digest of the code that workers would run there, and the identity of the corpus."""
    setup.install()
    digest = hashlib.sha256()
    for name in PACKAGES:
        root = Path(importlib.import_module(name).__path__[0])
        for file in sorted(root.rglob("*.py")):
            digest.update(f"{name}/{file.relative_to(root).as_posix()}".encode() + file.read_bytes())
    return digest.hexdigest(), Corpus.open(corpus).id


def _ended_children() -> Iterator[str]:
    """How processes that this one started, as it does those of a Ray of its own, ended. They stay to be waited for."""
    children: list[int] = []
    for file in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # that thread has ended meanwhile
            children += map(int, file.read_text().split())
    for child in children:
        with suppress(OSError, ValueError):  # waited for by another, or ended by a signal without a name
            found = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is not None:
                by_signal = found.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
                how = signal.Signals(found.si_status).name if by_signal else f"exit code {found.si_status}"
                yield f"{Path(f'/proc/{child}/comm').read_text().strip()} ended with {how}"


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]


def _works(node: Mapping[str, Any]) -> bool:
    """Whether a node is there and takes work. Heads and nodes of drivers may offer no CPU."""
    return bool(node["Alive"] and node["Resources"].get("CPU", 0.0) > 0)


def _working_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if _works(node)]


def _cpus_of_nodes() -> list[float]:
    return [float(node["Resources"]["CPU"]) for node in _working_nodes()]


def _name(node: Mapping[str, Any]) -> str:
    return str(node["NodeName"] or node["NodeManagerAddress"])


def _node_names() -> dict[str, str]:
    return {node["NodeID"]: _name(node) for node in ray.nodes()}


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """What SIGTERM did before the block it does after it: Prefect's handler ends the flow as whoever sent it meant.

    Ray's own, set when it connects, takes a cancelled run for a crashed one, prints a dump and aborts the process three
    seconds later, whatever is still to be recorded. When it disconnects, it leaves a signal that kills at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Ray leaves the signals alone there too
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


class _InterruptedByLoss(BaseException):
    """Ends the block that is watched. Like a KeyboardInterrupt, it is no error that code in between may handle."""


class _Watch:
    """Looks every few seconds whether the head, this machine's node and all others are there, and interrupts the main
    thread when not. In another thread nothing is interrupted; what Ray itself raises is still explained."""

    def __init__(self) -> None:
        here = ray.get_runtime_context()
        nodes = {node["NodeID"]: node for node in ray.nodes()}
        own = nodes[here.get_node_id()]
        head, _, port = here.gcs_address.rpartition(":")
        self._ports = {
            f"its head ({here.gcs_address})": (head.strip("[]"), int(port)),
            "its node on this machine": (own["NodeManagerAddress"], own["NodeManagerPort"]),
        }
        self._working = {node for node, row in nodes.items() if _works(row)}
        self._over = threading.Event()
        self._sending = threading.Lock()
        self._main = threading.current_thread() is threading.main_thread()
        self.lost = ""
        """Who does not answer, where Ray as a whole is lost, and why."""
        self.lost_nodes: set[str] = set()

    def begin(self) -> None:
        if self._main:
            self._before = signal.signal(_INTERRUPTION, self._interrupt)
        # The head is asked about nodes by a thread of its own, since a question to one that is gone takes a minute.
        for look in (self._look_at_ports, self._look_at_nodes):
            threading.Thread(target=look, daemon=True).start()

    def end(self) -> None:
        self._over.set()
        if self._main:
            with self._sending:  # a signal that came after its handler has gone would end the process
                signal.signal(_INTERRUPTION, self._before)

    def explains(self, error: RayError) -> bool:
        """Whether an error of Ray comes from a loss, which may show a little later."""
        if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError):
            return False
        end = time.monotonic() + _SEEN_WITHIN
        while not (self.lost or self.lost_nodes) and time.monotonic() < end:
            time.sleep(_LOOKS_EVERY)
        return bool(self.lost or self.lost_nodes)

    def _interrupt(self, signal_number: int, frame: FrameType | None) -> None:
        if not self._over.is_set():
            raise _InterruptedByLoss

    def _end_block(self) -> None:
        with self._sending:
            if self._main and not self._over.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, _INTERRUPTION)

    def _look_at_ports(self) -> None:
        missed = dict.fromkeys(self._ports, 0)
        while not self._over.wait(_LOOKS_EVERY):
            for who, (host, port) in self._ports.items():
                reason = _unreachable(host, port, _LOOKS_EVERY)
                missed[who] = 0 if reason is None else missed[who] + 1
                if missed[who] and missed[who] % _GONE_AFTER == 0:  # again when Ray keeps the main thread all the same
                    self.lost = self.lost or f"{who} does not answer ({reason})"
                    self._end_block()

    def _look_at_nodes(self) -> None:
        while not self._over.wait(_LOOKS_EVERY):
            for row in ray.nodes():
                if _works(row):
                    self._working.add(row["NodeID"])
                elif row["NodeID"] in self._working and row["DeathReason"] != _ENDED_BY_AUTOSCALER:
                    self.lost_nodes.add(_name(row))
            if self.lost_nodes:
                self._end_block()
                return
