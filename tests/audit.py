"""Asks a database of known weaknesses (OSV) about every pinned package: `python tests/audit.py`.

Exit 0: none is known, or the database could not be asked (said on stderr; `--strict` makes it exit 3). Exit 1: there
are weaknesses that ACCEPTED does not name. Nothing is installed and no package is imported.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PINS = ("constraints.txt", "constraints-models.txt")
ACCEPTED: dict[str, str] = {}
"""Weaknesses that do not reach us, by their id, each with the reason. An entry that no pin has any more is an error."""
_WITHIN = 600
"""Seconds for one file of pins."""


class UnaskedError(Exception):
    """The database could not be asked."""


@dataclass(frozen=True)
class Weakness:
    """A known weakness of one pinned package, and the versions that mend it."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    mended: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.id, *self.aliases))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Known weaknesses of the pinned packages.")
    parser.add_argument("pins", nargs="*", type=Path, default=[ROOT / name for name in PINS])
    parser.add_argument("--strict", action="store_true", help="a database that cannot be asked is an error: exit 3")
    options = parser.parse_args(arguments)
    try:
        found = {weakness for pins in options.pins for weakness in ask(pins)}
    except UnaskedError as error:
        print(f"Not audited: {error}", file=sys.stderr)
        return 3 if options.strict else 0
    open_ones = sorted((one for one in found if not one.names & ACCEPTED.keys()), key=lambda one: (one.package, one.id))
    for one in open_ones:
        mended = f"mended in {', '.join(one.mended)}" if one.mended else "not mended yet"
        print(f"{one.package} {one.version}: {one.id} ({', '.join(one.aliases) or 'no other name'}), {mended}")
    stale = sorted(ACCEPTED.keys() - {name for one in found for name in one.names})
    for name in stale:
        print(f"ACCEPTED names {name}, which no pinned package has any more: take it out")
    if not open_ones and not stale:
        print(f"No open weakness is known of {', '.join(pins.name for pins in options.pins)}")
    return 1 if open_ones or stale else 0


def ask(pins: Path) -> list[Weakness]:
    """What is known of the packages pinned in a file.

    Raises:
        UnaskedError: pip-audit is not installed, or got no answer.
    """
    program = shutil.which("pip-audit")
    if program is None:
        raise UnaskedError("pip-audit is not installed: pip install pip-audit")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / pins.name
        plain.write_text("\n".join(pinned(pins.read_text(encoding="utf-8"))) + "\n", encoding="utf-8")
        # OSV, not the package registry: a registry is not there to be asked for every package in turn.
        command = [program, "--requirement", str(plain), "--no-deps", "--disable-pip", "--vulnerability-service", "osv"]
        try:
            done = subprocess.run(
                [*command, "--format", "json", "--progress-spinner", "off"],
                capture_output=True,
                text=True,
                timeout=_WITHIN,
            )
        except subprocess.TimeoutExpired:
            raise UnaskedError(f"no answer within {_WITHIN} s") from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines()
        raise UnaskedError(said[-1] if said else f"pip-audit ended with {done.returncode} without a word") from None
    return list(_weaknesses(answer))


def pinned(text: str) -> Iterator[str]:
    """The pins of a constraints file, `name==version`; a local version (`2.13.0+cpu`) as the public one."""
    for line in text.splitlines():
        if match := re.match(r"\s*([A-Za-z0-9][\w.\-]*)(?:\[[^\]]*\])?==([^\s;+#]+)", line):
            yield f"{match[1]}=={match[2]}"


def _weaknesses(answer: Any) -> Iterator[Weakness]:
    for package in answer["dependencies"]:
        for known in package.get("vulns", ()):
            yield Weakness(
                package["name"],
                package["version"],
                known["id"],
                tuple(sorted(known.get("aliases", ()))),
                tuple(known.get("fix_versions", ())),
            )


if __name__ == "__main__":
    sys.exit(main())
