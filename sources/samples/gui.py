"""GUI streams: a shopping session on a phone in fragments with a foreign one, and a desktop episode with its logs."""

from __future__ import annotations

from pathlib import Path

from sources.samples import gui_desktop, gui_phone
from sources.samples.media import write_json


def make(folder: Path, seed: int) -> None:
    """Writes `phone/` (fragments), `desktop/` (an AgentNet raw episode) and `truth.json`."""
    truth = {"phone": gui_phone.make(folder / "phone", seed), "desktop": gui_desktop.make(folder / "desktop", seed)}
    write_json(folder / "truth.json", truth)
