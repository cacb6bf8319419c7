"""Registers with a Prefect server what makes flows run there: work pools, deployments, automations.

Every step may be repeated: what is there is brought up to date, nothing is doubled.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from schemas.errors import DataClawError, UsageError


def register_work_pools(client: SyncPrefectClient) -> list[str]:
    """Makes the work pools that are not there, and sets the limits of those that are. Returns their names."""
    pools = _listed("work_pools.yaml")
    there = {pool.name for pool in client.read_work_pools(limit=200)}
    for pool in pools:
        if pool["name"] in there:
            update = WorkPoolUpdate(description=pool["description"], concurrency_limit=pool["concurrency_limit"])
            client.update_work_pool(pool["name"], update)
        else:
            template = asyncio.run(get_default_base_job_template_for_infrastructure_type(pool["type"]))
            client.create_work_pool(WorkPoolCreate(**pool, base_job_template=template or {}))
    return [pool["name"] for pool in pools]


def register_deployments(file: Path) -> str:
    """Runs `prefect deploy --all` on a deployment file, from its folder. Returns what Prefect said.

    Raises:
        UsageError: there is no such file.
        DataClawError: Prefect refuses it.
    """
    if not file.is_file():
        raise UsageError(file, "there is no deployment file", "Run in the folder that holds prefect.yaml, or name it")
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file.resolve())]
    folder = file.resolve().parent
    environment = os.environ | {"PWD": str(folder)}  # the folder that runs work in
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    if done.returncode:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        raise DataClawError(
            file, f"Prefect refuses it: {lines[-1] if lines else 'it said nothing'}", "Mend the file and deploy again"
        )
    return said


def registered(client: SyncPrefectClient, file: Path) -> list[str]:
    """The deployments of a file as the server now knows them: FLOW/DEPLOYMENT.

    Raises:
        DataClawError: one that the file names is not there.
    """
    wanted = {entry["name"] for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]}
    flows = {flow.id: flow.name for flow in client.read_flows(limit=200)}
    there = {item.name: f"{flows[item.flow_id]}/{item.name}" for item in client.read_deployments(limit=200)}
    if missing := wanted - there.keys():
        raise DataClawError(
            file, f"was not registered whole: {', '.join(sorted(missing))}", "Run `prefect deploy --all`"
        )
    return sorted(there[name] for name in wanted)


def notification_block(client: SyncPrefectClient, name: str) -> UUID:
    """The id of a notification block, named TYPE/NAME as Prefect lists blocks: `slack-webhook/operators`.

    Raises:
        UsageError: the server has no such block.
    """
    slug, _, own = name.partition("/")
    try:
        return client.read_block_document_by_name(own, slug).id
    except ObjectNotFound as error:
        remedy = "Make it in the Prefect UI under Blocks; `prefect block ls` lists what is there as TYPE/NAME"
        raise UsageError(name, "the server has no such notification block", remedy) from error


def register_automations(client: SyncPrefectClient, block: UUID | None) -> list[str]:
    """Makes the automations, or brings them up to date: those that act, and where there is a block those that notify
    people through it. Returns their names."""
    there = {automation.name: automation.id for automation in client.read_automations(limit=200)}
    names = []
    for entry in _listed("automations.yaml"):
        if "actions" not in entry:
            if block is None:
                continue
            action = {"type": "send-notification", "block_document_id": block}
            action |= {"subject": entry.pop("subject"), "body": entry.pop("body")}
            entry["actions"] = [action]
        automation = AutomationCore.model_validate(entry)
        if automation.name in there:
            client.update_automation(there[automation.name], automation)
        else:
            client.create_automation(automation)
        names.append(automation.name)
    return names


def _listed(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = yaml.safe_load(files("deployments").joinpath(name).read_text(encoding="utf-8"))
    return entries
