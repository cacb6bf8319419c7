"""A night of a deployed build that something happens to: its streams, its corpus, its processes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.dataset as ds

from schemas.manifest import Manifest
from tests.catalog import select
from tests.deployments.conftest import PATIENCE, Server
from tests.flows.clips import write_clip


@dataclass(frozen=True)
class Night:
    """One corpus that the deployment `build` makes of clips in a folder, one row of each, committed one by one."""

    server: Server
    folder: Path

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    def streams(self, clips: range) -> None:
        """Makes the clips with these numbers."""
        for seed in clips:
            write_clip(self.folder / "raw" / f"{seed:02d}.mp4", seed)
        (self.folder / "night.yaml").write_text(
            "name: night\ncorpus: corpus\nintents: [Make temporal questions and answers.]\n"
            "sources: [{uri: raw, domain: daily_life}]\nplacement: {rows_per_shard: 1}\n"
            "growth: {rows: 1000, task_types: 9, domains: 9}\n"  # nothing else is started
        )

    def order(self, **environment: str) -> str:
        """The id of a new run."""
        return self.server.order("build", environment, parameters={"recipe": str(self.folder / "night.yaml")})

    def committed(self) -> set[str]:
        """Units that are done."""
        return {unit for (unit,) in select(self.corpus, "SELECT unit FROM units WHERE outcome = 'done'")}

    def more_committed_than(self, before: set[str]) -> set[str]:
        """Units that are done, as soon as they are more."""
        return self.server.until(lambda: found if (found := self.committed()) > before else None, "commit of a unit")

    def runs(self) -> list[tuple[str, dict[str, Any]]]:
        """How the catalog says that runs ended, the oldest first, with their reports."""
        found = select(self.corpus, "SELECT state, report FROM runs ORDER BY started")
        return [(state, json.loads(report or "{}")) for state, report in found]

    def rows(self) -> list[str]:
        """The videos of the rows of the newest snapshot, read without DataClaw."""
        newest = Manifest.model_validate_json(max((self.corpus / "snapshots").glob("*.json")).read_text())
        table = ds.dataset([str(self.corpus / shard.path) for shard in newest.shards]).to_table(["streams"])
        return sorted(Path(stream["uri"]).name for row in table["streams"].to_pylist() for stream in row)

    def verify(self) -> None:
        """Proves every published claim anew."""
        command = [sys.executable, "-m", "dataclaw.main", "verify", str(self.corpus)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr


def flow_process(worker: subprocess.Popen[bytes]) -> psutil.Process:
    """The process that runs a flow for a worker."""
    (found,) = [child for child in psutil.Process(worker.pid).children() if "prefect.engine" in child.cmdline()]
    return found


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended. What nobody asks for the end of its child leaves behind is none."""
    found = []
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def of_run(run: str) -> list[psutil.Process]:
    """Processes that a run has started, and those that they have: Ray's too."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID") == run:
                found.append(process)
        except psutil.Error:
            continue  # gone, or of another account
    return alive(found)
