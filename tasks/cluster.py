"""The Ray cluster of a run: one already there, or one on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.data import DataContext

_OBJECT_STORE = 1 << 30
"""Bytes of shared memory on a single machine. Rows carry anchors and a few encoded frames, never whole videos; what
does not fit waits (backpressure) instead of growing."""


@contextmanager
def cluster(address: str | None) -> Iterator[int]:
    """Connects to a cluster, or starts one here and takes it down again. Yields its number of CPUs."""
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    for name in ("ray.data", "ray.data._internal.execution.streaming_executor"):
        logging.getLogger(name).setLevel(logging.WARNING)
    DataContext.get_current().enable_progress_bars = False
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str | None) -> None:
    if address:
        ray.init(address=address, logging_level=logging.WARNING)
    else:
        # Ray's core prints its notes for developers to the terminal as errors; real failures reach us as exceptions.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            logging_level=logging.WARNING,
        )
