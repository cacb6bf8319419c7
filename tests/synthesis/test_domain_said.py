"""The domain that an intent speaks of, where nobody named one."""

from __future__ import annotations

import pytest

from schemas.stream import Domain
from synthesis.intent.domain import domain_said


@pytest.mark.parametrize(
    ("intent", "domain"),
    [
        ("This is a worked-solution teaching video. Please construct tutoring data from it.", Domain.EDUCATION),
        ("These are my mobile interaction fragments. Use them to construct a task trajectory.", Domain.GUI),
        ("This is a robot manipulation video. Help me construct embodied decision data.", Domain.EMBODIED),
        ("Make temporal questions and answers", None),
        ("A lesson about robots", None),
    ],
)
def test_the_words_of_one_domain_name_it(intent: str, domain: Domain | None) -> None:
    assert domain_said([intent]) == domain
