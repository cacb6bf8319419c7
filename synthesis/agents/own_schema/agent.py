"""own_schema: data in a form that the user brings as a JSON Schema.

The rules backend maps evidence to fields by their names, types and descriptions; a model backend writes freely under
the same schema. Either way verification grounds every field whose mark says what it asserts, and says which it cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from jsonschema import Draft202012Validator
from pydantic import BaseModel, RootModel

from schemas.base import canonical_json, schema_json
from schemas.constraints import AnswerForm, Constraints
from schemas.errors import NeedsModelError, UnsuitedError
from schemas.score import Support
from schemas.stream import Domain
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.own_schema.fill import UnfillableError, fill
from synthesis.agents.own_schema.marks import families, marked, types_of, unprovable
from synthesis.agents.own_schema.soundness import sound
from synthesis.agents.proofs import proved
from synthesis.base import Agent, Evidence, GroundedAgent, Recognition
from synthesis.verification.format import parse, steps
from synthesis.verification.grounding import resolved, schema_of

TASK_TYPE = "own_schema"


class OwnForm(RootModel[Any]):
    """A value of any form."""


class OwnSchemaAgent(GroundedAgent):
    """Fills a user's schema. `bound_to` gives the agent for one schema."""

    task_type: ClassVar[str] = TASK_TYPE
    version: ClassVar[str] = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset(Domain)
    output: ClassVar[type[BaseModel]] = OwnForm
    joins: ClassVar[bool] = True
    answers: ClassVar[frozenset[AnswerForm]] = frozenset(AnswerForm)
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write data in the form of the given schema, every field from what was measured."
    )

    def __init__(self, schema: str = "{}") -> None:
        self._schema = schema
        root = schema_of(schema)
        lists = [name for name, node in root.get("properties", {}).items() if "array" in types_of(resolved(node, root))]
        self.parts = {name.lower(): name for name in lists}  # type: ignore[misc]  # each schema has lists of its own

    @property
    def schema(self) -> str:
        return self._schema

    def bound_to(self, spec: TaskSpec) -> Agent:
        return self if spec.output_schema == self._schema else OwnSchemaAgent(spec.output_schema)

    def compose(self, evidence: Evidence) -> BaseModel:
        uri = evidence.streams[0].uri
        if not evidence.anchors:
            raise UnsuitedError(uri, "nothing was measured in it", "Choose experts that see what happens in it.")
        try:
            value = fill(schema_of(self._schema), evidence)
        except UnfillableError as error:
            raise NeedsModelError(
                uri,
                f"the field {error.place} of the schema cannot be filled by rules: {error.why}",
                "Make it optional, name it after something measured (start, end, text, label, box), or choose a "
                "backend with a model.",
            ) from error
        invalid = parse(canonical_json(value), self._schema)
        if not invalid.valid:
            raise UnsuitedError(
                uri, f"what was measured does not fit the schema: {invalid.errors[0]}", "Relax it there."
            )
        # A question may quote lines and moments beyond the stretch that its item gives: such items cannot be proved.
        return proved(self, OwnForm(value), evidence)

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> BaseModel | None:
        """The innermost list items that hold an unsupported claim go, as long as the schema bears it."""
        value = output.model_dump()
        for place in sorted({_item_of(support.path) for support in unsupported}, key=_from_the_end, reverse=True):
            if place is None or not _remove(value, place):
                return None
        valid = Draft202012Validator(schema_of(self._schema)).is_valid(value)
        return OwnForm(value) if valid else None


def own_spec(intent: Intent, schema: str, constraints: Constraints | None = None) -> TaskSpec:
    """The task spec of an intent that comes with a schema: there is nothing to guess.

    Raises:
        UsageError: the schema is malformed, or nothing can satisfy it; names the place.
    """
    output_schema, because = _understood(schema)
    bounds = constraints or Constraints()
    asked = f" Keep to this: {bounds}." if str(bounds) else ""
    return TaskSpec(
        task_type=TASK_TYPE,
        instruction=f"{OwnSchemaAgent.recognition.instruction} The user asked: {intent.sentence}{asked}",
        intent=intent,
        output_schema=output_schema,
        confidence=1.0,
        because=because,
        constraints=bounds,
    )


@lru_cache(maxsize=16)
def _understood(schema: str) -> tuple[str, tuple[str, ...]]:
    """A user's schema with its marks, and what is to be said of it. Once, however many streams it is asked of."""
    root = marked(sound(schema))
    because = ["the schema that came with the intent is the form"]
    held = [f"{name} holds {', '.join(kinds)}" for name, kinds in families(root).items()]
    because += ["; ".join(held)] if held else []
    if open_fields := unprovable(root):
        because.append(f"checked for their form only, since no anchor can prove them: {', '.join(open_fields)}")
    return schema_json(root), tuple(because)


def _item_of(path: str) -> tuple[str, ...] | None:
    """The innermost list item on the way to a place; None when there is none."""
    place = steps(path)
    while place and not place[-1].isdigit():
        place.pop()
    return tuple(place) or None


def _from_the_end(place: tuple[str, ...] | None) -> list[tuple[int, str]]:
    return [(int(step), "") if step.isdigit() else (-1, step) for step in place or ()]


def _remove(value: Any, place: tuple[str, ...]) -> bool:
    """Takes an item out of its list; False when it is not in one."""
    for step in place[:-1]:
        value = value[int(step)] if isinstance(value, list) else value[step]
    if not isinstance(value, list):
        return False
    del value[int(place[-1])]
    return True
