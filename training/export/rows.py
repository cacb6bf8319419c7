"""One published row as it is exported, or why it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.errors import UsageError
from schemas.stream import Domain
from schemas.triplet import Split, Triplet
from synthesis.backends.chat import Message, Picture
from training.examples import Example, example_of
from training.export.contracts import LeftOut, Options, Reason
from training.export.lengths import Lengths


@dataclass(frozen=True)
class Row:
    """What is exported of a row: no anchors, no scores, and pictures as the model sees them."""

    id: str
    domain: Domain
    task_type: str
    streams: tuple[str, ...]
    split: Split
    intent: str
    instruction: str
    messages: tuple[Message, ...]
    completion: str
    weight: float
    prompt_tokens: int | None
    completion_tokens: int | None

    @property
    def pictures(self) -> tuple[Picture, ...]:
        return tuple(picture for message in self.messages for picture in message.pictures)

    @property
    def size(self) -> int:
        """Bytes of its pictures and letters of its texts."""
        said = sum(len(message.text) for message in self.messages) + len(self.completion)
        return said + sum(len(picture.data) for picture in self.pictures)

    def facts(self) -> dict[str, Any]:
        """The columns that every format has."""
        return {
            "id": self.id,
            "domain": str(self.domain),
            "task_type": self.task_type,
            "streams": list(self.streams),
            "split": str(self.split),
            "weight": self.weight,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


class Rows:
    """Makes rows under the same options.

    Args:
        weights: of a row, by split and domain; 1 where there is none.

    Raises:
        UsageError: what the options name as tokenizer is none.
    """

    def __init__(self, options: Options, weights: Mapping[tuple[Split, Domain], float]) -> None:
        self._options = options
        self._model = options.model
        self._weights = weights
        self._lengths = None if options.tokenizer is None else Lengths(options.tokenizer)

    def of(self, table: pa.Table) -> Row | LeftOut:
        """A table of one triplet as a row, or the reason that it cannot be one."""

        def left_out(reason: Reason, cause: str) -> LeftOut:
            id, split = (table.column(name)[0].as_py() for name in ("id", "split"))
            return LeftOut(id=id, split=split, reason=reason, cause=cause)

        try:
            (triplet,) = Triplet.from_table(table)
            example = example_of(triplet, self._model)
            if not example.is_told:
                return left_out(Reason.UNTOLD, "its output states what its question does not tell")
            row = self._row(example)
        except UsageError as error:
            return left_out(Reason.UNKNOWN_TASK, error.problem.cause)
        except Exception as error:  # whatever is wrong with a row, or with a plugin's agent, the others are exported
            return left_out(Reason.BROKEN, f"{type(error).__name__}: {error}")
        most = self._options.max_tokens
        tokens = (row.prompt_tokens or 0) + (row.completion_tokens or 0)
        if most is not None and tokens > most:
            return left_out(Reason.TOO_LONG, f"{tokens} tokens, and at most {most} are wanted")
        return row

    def _row(self, example: Example) -> Row:
        triplet = example.triplet
        # A special token that a text spells must not act as one. Only its model says which there are.
        messages, asked, answered = example.messages, None, None
        if self._lengths is not None:
            told = self._lengths.checkpoint.told
            messages = tuple(Message(message.role, tuple(told(message))) for message in messages)
            asked, answered = self._lengths.of(messages, example.completion)
        return Row(
            id=triplet.id,
            domain=triplet.domain,
            task_type=triplet.task_type,
            streams=tuple(stream.sha256 for stream in triplet.streams),
            split=triplet.split,
            intent=triplet.intent.text,
            instruction=triplet.spec.instruction,
            messages=messages,
            completion=example.completion,
            weight=self._weights.get((triplet.split, triplet.domain), 1.0),
            prompt_tokens=asked,
            completion_tokens=answered,
        )
