"""What tests of every folder share."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Prefect's own database, for tests that start no server of their own: not the account's, and one for each process of
# pytest, since two servers that make a new one at once might get into each other's way. Named before Prefect is
# imported.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix=f"prefect-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)
# A shell has its background jobs ignore SIGINT, and what they start does so too: tests interrupt what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("default", deadline=None)  # what takes long on a busy machine is not wrong
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come last: where time runs out, it runs out for these."""
    late = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path in late)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begins no long test after TESTS_UNTIL, seconds since 1970: CI's machine may be a slow one, and has a limit."""
    end = os.environ.get("TESTS_UNTIL")
    if end and time.time() > float(end) and (item.get_closest_marker("long") or item.get_closest_marker("models")):
        pytest.skip("not run: the time for long tests is over (TESTS_UNTIL)")


@pytest.fixture(scope="session")
def streams() -> Path:
    """The real recordings beside the repository. They are never copied into it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "streams"
    if not folder.is_dir():
        pytest.skip("needs the real recordings in ../shared/streams, which are not part of the repository")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For tiny matrices more threads of torch only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a real file system of a size such as `1m`, in memory."""
    disk = tmp_path / "disk"

    def mount(size: str) -> Path:
        if os.name != "posix" or os.geteuid() != 0:
            pytest.skip("only root may mount a small disk")
        disk.mkdir()
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
        mounted = subprocess.run(mounting, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
        return disk

    yield mount
    if disk.is_mount():
        subprocess.run(["umount", disk], check=True)
