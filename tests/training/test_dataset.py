"""Rows of domains that are few come more often, and none is left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from schemas.recipe import ModelSpec
from schemas.stream import Domain
from schemas.training import SFT, LoRA, Training
from tests.training.rows import row
from tests.training.runs import train
from training.examples import example_of

pytestmark = pytest.mark.models


@pytest.mark.parametrize(
    ("power", "few", "some"), [(1.0, 2, 5), (0.5, 4, 6), (0.0, 8, 8)], ids=["as they are", "root", "alike"]
)
def test_domains_come_as_often_as_the_power_says(power: float, few: int, some: int) -> None:
    from datasets import Dataset

    from training.dataset import mixed

    domains = ["gui", "aigc", "education"] * 2 + ["aigc", "education"] * 3 + ["aigc"] * 3
    data = Dataset.from_dict({"domain": domains, "row": range(len(domains))})
    got = mixed(data, power)
    assert Counter(got["domain"]) == {"gui": few, "education": some, "aigc": 8}
    assert set(got["row"]) == set(range(len(domains)))
    times = Counter(got["row"])
    for domain in set(domains):
        own = [times[number] for number, its in enumerate(domains) if its == domain]
        assert max(own) - min(own) <= 1


def test_an_epoch_is_longer_by_what_comes_again(tiny_qwen3: Path, tmp_path: Path) -> None:
    settings = ModelSpec(name=str(tiny_qwen3), brief=True, frames=0, anchor_tokens=64)
    training = Training(
        name="tiny",
        model=settings,
        lora=LoRA(rank=2, alpha=2),
        mixture=0.0,
        sft=SFT(epochs=1, batch=1, accumulate=1, gradient_checkpointing=False),
    )
    rows = [
        example_of(row(number).model_copy(update={"domain": Domain.GUI if number < 2 else Domain.AIGC}), settings)
        for number in range(8)
    ]
    ended = train("sft", training, rows, tmp_path)
    assert ended.error is None
    assert ended.result.steps == 12
