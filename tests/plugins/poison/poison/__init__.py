"""Code that takes its process down, as a fault in a decoder or a lack of memory does: nothing can be caught."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def die_of(words: str, stage: str) -> None:
    """Kills this process when the words say so, and leaves them as a line in the file that the environment names."""
    if f"kills {stage}" in words:
        with Path(os.environ["POISON_DEATHS"]).open("a") as deaths:
            deaths.write(f"{words}\n")
        os.kill(os.getpid(), signal.SIGKILL)
