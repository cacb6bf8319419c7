"""Ports for servers of tests that are started later, killed and started again."""

from __future__ import annotations

import secrets
import socket

_PORTS = range(20_000, 32_768)
"""Below those that kernels give to connections (from 32768 on Linux, from 49152 elsewhere), which would take a port
while its server is not up, and above those of Ray's workers (10002 to 19999)."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
