"""Prints what an image installs: the needs of pyproject.toml and of the extras named, and what only clusters need."""

from __future__ import annotations

import sys
import tomllib

CLUSTER = ["ray[default]", "psycopg[binary]"]
"""The dashboard and its agent, which KubeRay's probes and jobs ask, and the driver for a catalog in PostgreSQL."""


def requirements(extras: list[str]) -> list[str]:
    with open("pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    return [*project["dependencies"], *CLUSTER, *(need for e in extras for need in project["optional-dependencies"][e])]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
