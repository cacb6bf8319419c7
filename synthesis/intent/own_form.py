"""An intent that comes with a schema: the form is given, the sentence still sets bounds on it."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import UnsuitedError
from schemas.stream import Stream
from schemas.task_spec import Intent, TaskSpec
from synthesis.agents.own_schema.agent import OwnSchemaAgent, own_spec
from synthesis.intent.constraints import ClashError, fitted, read_wishes
from synthesis.intent.wording import one_line


def resolve_own(intent: Intent, schema: str, streams: Sequence[Stream]) -> TaskSpec:
    """The task spec of an intent and a user's own schema (JSON text).

    Raises:
        UsageError: the schema is malformed, or nothing can satisfy it; names the place.
        UnsuitedError: what the sentence asks contradicts itself or the input.
    """
    plain = own_spec(intent, schema)
    lists = OwnSchemaAgent(plain.output_schema).parts
    lengths = {stream.duration for stream in streams}
    try:
        wishes = read_wishes(one_line(intent.text), lengths.pop() if len(lengths) == 1 else None, lists)
    except ClashError as clash:
        where = streams[0].uri if streams else intent.text
        raise UnsuitedError(where, str(clash), "Say which of them holds.") from clash
    bounds, unknown = fitted(wishes.constraints, lists)
    spec = own_spec(intent, schema, bounds)
    left_out = [f"{words} cannot be counted in this schema: not checked" for words in unknown]
    return spec.model_copy(update={"because": (*spec.because, *wishes.notes, *left_out)})
