"""`dataclaw doctor`: what this machine has, and what to do about what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import typer

_MEMORY = 2 << 30
_DISK = 2 << 30


class Finding(NamedTuple):
    """One thing looked at. `state` is `ok`, `missing` (a build will fail) or `optional` (a build does without)."""

    what: str
    state: str
    found: str
    remedy: str = ""


def doctor(
    folder: Annotated[str, typer.Option(metavar="DIR", help="Where corpora will go: space and write access.")] = ".",
    json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Look at this machine: Python, memory, disk, codecs, OCR weights, GPU, Ray, Prefect; exit 1 if a build would fail.

    Example: `dataclaw doctor --folder corpora`
    """
    from dataclaw.progress import set_up_environment
    from dataclaw.text import print_json, print_table

    set_up_environment()
    findings = list(_findings(folder))
    missing = [finding for finding in findings if finding.state == "missing"]
    if json_:
        print_json({"ok": not missing, "findings": [finding._asdict() for finding in findings]})
    else:
        print_table(["what", "state", "found", "what to do"], findings)
        print("Ready to build." if not missing else f"{len(missing)} of {len(findings)} needed things are missing.")
    if missing:
        raise typer.Exit(1)


def _findings(folder: str) -> Iterator[Finding]:
    """Every finding; a check that breaks is a finding too, so that one bad package hides nothing else."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("CPUs", _cpus),
        ("memory", _memory),
        ("disk", lambda: _disk(folder)),
        ("write access", lambda: _write_access(folder)),
        ("codecs", _codecs),
        ("decoding", _decoding),
        ("OCR weights", _ocr),
        ("Ray", _ray),
        ("Prefect", _prefect),
        ("GPU", _gpu),
        ("Chromium", _chromium),
    ]
    for what, check in checks:
        try:
            yield check()
        except Exception as error:
            yield Finding(
                what, "missing", f"{type(error).__name__}: {error}", "Install again: pip install dataclaw-factory"
            )


def _python() -> Finding:
    import platform
    import sys

    suits = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Finding(
        "Python", "ok" if suits else "missing", platform.python_version(), "" if suits else "Use 3.11 or 3.12"
    )


def _cpus() -> Finding:
    import os

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("CPUs", "ok", f"{usable}")


def _memory() -> Finding:
    import os

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _cgroup_limit()
    usable = min(total, limit) if limit else total
    enough = usable >= _MEMORY
    return Finding(
        "memory", "ok" if enough else "missing", _gib(usable), "" if enough else f"Give it {_gib(_MEMORY)} or more"
    )


def _cgroup_limit() -> int | None:
    """The memory limit of a container, which the machine's own figure does not show."""
    from pathlib import Path

    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < 1 << 60:
            return int(text)
    return None


def _disk(folder: str) -> Finding:
    import shutil
    from pathlib import Path

    place = Path(folder).expanduser().absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    enough = free >= _DISK
    return Finding("disk", "ok" if enough else "missing", f"{_gib(free)} free", "" if enough else f"Free {_gib(_DISK)}")


def _write_access(folder: str) -> Finding:
    import os
    from pathlib import Path

    place = Path(folder).expanduser().absolute()
    while not place.exists():
        place = place.parent
    writable = os.access(place, os.W_OK | os.X_OK)
    remedy = "" if writable else "Choose another folder, or change its permissions"
    return Finding("write access", "ok" if writable else "missing", str(place), remedy)


def _codecs() -> Finding:
    import av

    from tasks.preflight import check_codecs

    problems = list(check_codecs())
    remedy = "; ".join(dict.fromkeys(problem.remedy for problem in problems))
    found = (
        ", ".join(problem.input for problem in problems) + " missing" if problems else f"all, in PyAV {av.__version__}"
    )
    return Finding("codecs", "missing" if problems else "ok", found, remedy)


def _decoding() -> Finding:
    """A codec that is listed can still be broken: a tiny GIF is written and read in memory."""
    import io

    import av
    import numpy as np

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="gif") as writer:
        stream = writer.add_stream("gif", rate=5)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb8"
        for shade in (0, 255):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), shade, np.uint8), format="rgb24")
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as container:
        frames = len(list(container.decode(video=0)))
    right = frames == 2
    return Finding(
        "decoding", "ok" if right else "missing", f"{frames} of 2 frames", "" if right else "Install av from its wheel"
    )


def _ocr() -> Finding:
    from experts.roster import expert_class

    problems = list(expert_class("ocr").lacks())
    if problems:
        return Finding("OCR weights", "missing", problems[0].cause, problems[0].remedy)
    from importlib.metadata import version

    return Finding("OCR weights", "ok", f"inside rapidocr {version('rapidocr')}")


def _ray() -> Finding:
    from importlib.metadata import version

    return Finding("Ray", "ok", version("ray"))


def _prefect() -> Finding:
    """A server that is configured must answer; without one Prefect starts its own for each run."""
    from importlib.metadata import version

    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    found = version("prefect")
    if not url:
        return Finding("Prefect", "ok", f"{found}, starts a server of its own for each run")
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        remedy = "Start it (prefect server start), or unset PREFECT_API_URL"
        return Finding("Prefect", "missing", f"{found}, {url} does not answer ({type(error).__name__})", remedy)
    return Finding("Prefect", "ok", f"{found}, server at {url}")


def _gpu() -> Finding:
    import shutil
    import subprocess

    program = shutil.which("nvidia-smi")
    if program is None:
        return Finding("GPU", "optional", "none", "Nothing: everything in this version runs on CPUs")
    done = subprocess.run(
        [program, "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True, text=True, timeout=30
    )
    names = "; ".join(line.strip() for line in done.stdout.splitlines() if line.strip())
    return Finding("GPU", "ok" if names else "optional", names or "driver does not answer")


def _chromium() -> Finding:
    import shutil

    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found:
        return Finding("Chromium", "ok", found)
    return Finding("Chromium", "optional", "none", "Only needed by tests of pages in a browser")


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
