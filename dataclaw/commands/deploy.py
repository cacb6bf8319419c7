"""`dataclaw deploy`: what makes flows run on a Prefect server, registered there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def deploy(
    file: Annotated[Path, typer.Option(metavar="FILE", help="The deployment file.")] = Path("prefect.yaml"),
    notify: Annotated[
        str | None,
        typer.Option(metavar="TYPE/NAME", help="A notification block of the server that tells people what went wrong."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="What was registered, as JSON.")] = False,
) -> None:
    """Register work pools, deployments, schedules, triggers and notifications with the server of PREFECT_API_URL.

    May be run again after every change: what is there is brought up to date.

    Example: `dataclaw deploy --notify slack-webhook/operators`
    """
    from dataclaw.progress import set_up_environment

    set_up_environment()
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    from dataclaw.text import print_facts, print_json
    from deployments.register import (
        notification_block,
        register_automations,
        register_deployments,
        register_work_pools,
        registered,
    )
    from schemas.errors import DataClawError, UsageError

    url = PREFECT_API_URL.value()
    if not url:
        raise UsageError(
            "PREFECT_API_URL",
            "is not set, and deployments live on a server",
            "Start one with `prefect server start`, and set PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    try:
        with get_client(sync_client=True) as client:
            block = None if notify is None else notification_block(client, notify)
            pools = register_work_pools(client)
            register_deployments(file)
            deployments = registered(client, file)
            automations = register_automations(client, block)
    except httpx.HTTPError as error:
        cause = f"the server does not do as asked: {error}"
        raise DataClawError(url, cause, "Check that PREFECT_API_URL names a running Prefect server") from error
    if json_:
        print_json({"server": url, "work_pools": pools, "deployments": deployments, "automations": automations})
        return
    print_facts(
        [
            ("server", url),
            ("work pools", ", ".join(pools)),
            ("deployments", ", ".join(deployments)),
            ("automations", ", ".join(automations)),
            ("notifications", notify or "none: name a notification block with --notify TYPE/NAME"),
        ]
    )
