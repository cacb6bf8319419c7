"""GUI streams: a shopping session on a phone in fragments with a foreign one, and a desktop episode with its logs."""

from __future__ import annotations

from pathlib import Path

from sources.samples import gui_desktop, gui_phone
from sources.samples.media import write_json


def make(folder: Path, seed: int) -> None:
    """Writes `fragments/` (of the phone), `notes_episode/` (AgentNet raw, of the desktop) and `truth.json`."""
    truth = {
        "fragments": gui_phone.make(folder / "fragments", seed),
        "notes_episode": gui_desktop.make(folder / "notes_episode", seed),
    }
    write_json(folder / "truth.json", truth)
