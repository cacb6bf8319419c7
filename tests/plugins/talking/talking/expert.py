"""An expert that logs each segment, leaves a mark of who looked at it, and waits while it is told to."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import ClassVar

from experts.base import Expert, Observer
from schemas.anchor import FactualAnchor
from schemas.segment import Segment
from schemas.stream import Domain, TrackKind
from sources.base import Recording

log = logging.getLogger(__name__)


class Talking(Expert):
    """In the folder TALKING: the file `hold` says from which clip on it waits, until it is gone; each segment leaves a
    file NODE.PROCESS.CLIP."""

    name: ClassVar[str] = "talking"
    version: ClassVar[str] = "1"
    reads: ClassVar[frozenset[TrackKind]] = frozenset({TrackKind.SUBTITLES})
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.DAILY_LIFE})

    def start(self, recording: Recording, segment: Segment) -> Observer:
        words = " ".join(cue.text for cue in recording.cues())
        clip = int(re.findall(r"clip number (\d+)", words)[0])
        log.warning("heard clip %d", clip)
        folder = Path(os.environ["TALKING"])
        (folder / f"{os.environ.get('NODE', 'here')}.{os.getpid()}.{clip}").touch()
        while (folder / "hold").exists() and clip >= int((folder / "hold").read_text() or "0"):
            time.sleep(0.02)
        return Nothing()


class Nothing(Observer):
    def finish(self) -> list[FactualAnchor]:
        return []
