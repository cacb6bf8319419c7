"""What the form of a run explains: Prefect makes it from the parameters of a flow."""

from __future__ import annotations

from typing import Any

import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from flows.build_corpus import build_corpus
from flows.maintain_corpus import maintain_corpus
from flows.promote_model import promote_model
from flows.retrain import retrain
from flows.run_benchmark import run_benchmark
from flows.train_grpo import train_grpo
from flows.train_sft import train_sft
from flows.verify_corpus import verify_corpus

FLOWS = [
    build_corpus,
    maintain_corpus,
    verify_corpus,
    retrain,
    train_sft,
    train_grpo,
    run_benchmark,
    promote_model,
]


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_field_of_the_form_is_explained(flow: Flow[..., Any]) -> None:
    form = parameter_schema(flow)
    sections = {"the flow": {"properties": form.properties}, **form.definitions}
    fields = {
        f"{section}.{name}": field
        for section, content in sections.items()
        for name, field in content.get("properties", {}).items()
    }
    assert len(fields) >= len(form.properties)
    # A section's own words explain the field that holds it.
    assert [name for name, field in fields.items() if not field.get("description") and "$ref" not in field] == []
    assert [name for name, section in sections.items() if name != "the flow" and not section.get("description")] == []
