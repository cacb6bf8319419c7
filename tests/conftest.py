"""What tests of every folder share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def streams() -> Path:
    """The real recordings beside the repository. They are never copied into it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "streams"
    if not folder.is_dir():
        pytest.skip("needs the real recordings in ../shared/streams, which are not part of the repository")
    return folder
