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
    context = DataContext.get_current()
    context.enable_progress_bars = False
    # The worker's own error, which names input, cause and remedy, instead of Ray's wrapping around it.
    context.raise_original_map_exception = True
    try:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str | None) -> None:
    # Ray's notes for its developers are not for the users of this command; failures reach us as exceptions.
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if address:
        ray.init(address=address, logging_level=logging.CRITICAL)
    else:
        ray.init(
            address="local",
            num_cpus=os.cpu_count(),
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            log_to_driver=False,  # what workers have to say is in rows and reasons; their raw logs are in Ray's session
            logging_level=logging.CRITICAL,
        )
