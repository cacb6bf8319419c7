"""A Ray cluster of two nodes on this machine, each with processes, a temporary folder and a CPU of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")

PRETEND = """
import sys, ray
from ray._common.usage import usage_lib
from ray._raylet import GcsClient

ray.__version__ = sys.argv[2]
usage_lib.put_cluster_metadata(GcsClient(address=sys.argv[1]), ray_init_cluster=False)
"""


class RayCluster:
    """A head and a second node, named `first` and `second`, that ask for a token as clusters of the product do.

    Args:
        environment: variables of the nodes and of drivers, besides our own.
        cpus: of each node.
        hidden: a folder in whose place nodes have one of their own, as machines do that share no disk. Only root may.
    """

    def __init__(self, environment: dict[str, str], cpus: int = 1, hidden: Path | None = None) -> None:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
        self.environment = os.environ | environment | token
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))  # its sockets' paths may not be long
        self._port = free_port()
        self.address = f"127.0.0.1:{self._port}"
        self._cpus = cpus
        hiding = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs tmpfs "{hidden}" && exec "$@"', "node"]
        self._within = hiding if hidden else []
        self._nodes: dict[str, psutil.Popen] = {}

    def __enter__(self) -> RayCluster:
        self._start("first", "--head", f"--port={self._port}", f"--temp-dir={self.folder}", "--include-dashboard=false")
        return self

    def join(self) -> None:
        """Starts the second node."""
        self._start("second", f"--address={self.address}")

    def __exit__(self, *_: object) -> None:
        for name in list(self._nodes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, name: str) -> None:
        """A node with all that runs on it, as when its machine goes."""
        node = self._nodes.pop(name)
        doomed = [*node.children(recursive=True), node]
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.suspend()  # so that none sees another die
        for process in doomed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def kill_head(self) -> None:
        """The service that all nodes and drivers are connected to."""
        for process in self._nodes["first"].children():
            if "gcs_server" in process.name():
                process.kill()

    def pretend(self, ray_version: str) -> None:
        """Has the cluster say what one of another Ray would."""
        subprocess.run([sys.executable, "-c", PRETEND, self.address, ray_version], env=self.environment, check=True)

    def _start(self, name: str, *arguments: str) -> None:
        node = psutil.Popen(
            [*self._within, str(RAY), "start", "--block", f"--node-name={name}", f"--num-cpus={self._cpus}",
             "--node-ip-address=127.0.0.1", "--object-store-memory=100000000", *arguments],
            env=self.environment | {"NODE": name}, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=_end_with_parent,
        )  # fmt: skip
        self._nodes[name] = node
        said = []
        for line in node.stdout:
            said.append(line)
            if "will now block" in line:
                return
        raise AssertionError("".join(said))


def _end_with_parent() -> None:
    """Nothing is left of a test that is killed."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
