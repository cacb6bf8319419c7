"""An intent read by a language model, under a JSON schema: any language, any wording."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Protocol

from pydantic import Field

from schemas.base import Contract, schema_json
from schemas.constraints import Constraints
from schemas.task_spec import Intent
from synthesis.intent.forms import Form


class IntentModel(Protocol):
    """What a backend with a language model offers."""

    def complete_json(self, prompt: str, schema: str) -> str:
        """A completion that satisfies a JSON Schema, as JSON text."""
        ...


class FormReading(Contract):
    """One form that the intent asks for or may mean."""

    task_type: str
    confidence: Annotated[float, Field(ge=0.0, le=1.0)]
    because: tuple[str, ...] = ()
    joins_streams: bool = False


class ModelReading(Contract):
    """What a language model makes of an intent."""

    readings: Annotated[tuple[FormReading, ...], Field(min_length=1)]
    constraints: Constraints = Constraints()


def ask_model(model: IntentModel, intent: Intent, forms: Sequence[Form]) -> ModelReading:
    """The model's reading of an intent among some forms.

    Raises:
        pydantic.ValidationError: the answer does not keep the schema.
    """
    return ModelReading.model_validate_json(model.complete_json(_prompt(intent, forms), _schema(forms)))


def _prompt(intent: Intent, forms: Sequence[Form]) -> str:
    offered = "\n".join(
        f"- {form.task_type}: {form.rule.instruction} Counts: {', '.join(form.parts) or 'none'}." for form in forms
    )
    return (
        "A user says which training data to make from recordings. Choose the forms of data that are asked for.\n"
        "Confidence: 0.8 or more if named, 0.5 to 0.8 if clearly meant, less if only plausible. Give the reasons.\n"
        "Put counts, time window (seconds), language of the answers (ISO 639-1), difficulty, form of answers and the "
        f"most words into `constraints`, and nothing that is not asked.\n\nForms:\n{offered}\n\n"
        f"The user's words, as JSON: {json.dumps(intent.text, ensure_ascii=False)}"
    )


def _schema(forms: Sequence[Form]) -> str:
    schema = ModelReading.model_json_schema()
    schema["$defs"]["FormReading"]["properties"]["task_type"]["enum"] = [form.task_type for form in forms]
    return schema_json(schema)
