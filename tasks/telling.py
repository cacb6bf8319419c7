"""What runs show on the Prefect server besides how they ended: nothing that a build would fail or wait for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect import get_run_logger
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings


@contextmanager
def telling(otherwise: str, retries: int | None = None) -> Iterator[None]:
    """Lets a block fail that talks to the Prefect server. One that is away or refuses loses the rest of the block, and
    the work goes on.

    Args:
        otherwise: what then is not so, for the log.
        retries: how often a request is tried again, each time after twice as long a pause; 2 seconds at first. None: as
            often as Prefect is set to.
    """
    patience = {} if retries is None else {PREFECT_CLIENT_MAX_RETRIES: retries}
    try:
        with temporary_settings(patience):
            yield
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("%s, since the Prefect server does not do as asked: %s", otherwise, error)


def send_log() -> None:
    """Has the Prefect server get what the run has logged so far; waits at most seconds for one that is away. By itself
    it gets the last lines after the run's end, when a page that is open looks no more, and never from a process that is
    killed then."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.flush()
