"""The readers, loaded only when used. Plugins join by the entry point `dataclaw.sources`."""

from __future__ import annotations

from functools import cache
from typing import cast

from schemas.roster import Roster
from sources.base import Source

# In the order in which they are asked whether a place is theirs: structured formats first.
SOURCES = Roster(
    "format",
    "dataclaw.sources",
    {
        "agentnet": "sources.agentnet:AgentNetSource",
        "lerobot": "sources.lerobot:LeRobotSource",
        "rlds": "sources.rlds:RldsSource",
        "robomimic": "sources.robomimic:RobomimicSource",
        "webdataset": "sources.webdataset:WebDatasetSource",
        "image_edits": "sources.image_edits:ImageEditSource",
        "gui_episodes": "sources.gui_episodes:GuiEpisodeSource",
        "miniwob": "sources.miniwob:MiniWobSource",
        "generation_log": "sources.generation_log:GenerationLogSource",
        "drawings": "sources.drawings:DrawingsSource",
        "video": "sources.video:VideoSource",
        "images": "sources.images:ImageSource",
    },
)


@cache
def reader(name: str) -> Source:
    """The reader of a format. Readers hold no state, so one of each is enough.

    Raises:
        UsageError: no reader has this name.
    """
    return cast(Source, SOURCES.load(name)())
