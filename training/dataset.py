"""Examples as TRL takes them: conversations on disk, of which a step reads its own."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import DataClawError
from synthesis.backends.chat import Message, Picture
from synthesis.backends.checkpoint import Checkpoint
from training.examples import Example
from training.export.lengths import Lengths
from training.rewards import facts_of

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)
EXAMPLES, TAKEN = "examples.arrow", "examples.json"


@dataclass
class Taken:
    """What became of the examples that were offered."""

    taken: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """By reason."""
    by_domain: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    """SHA-256 of the ids of the rows taken, in order: what tells two sets of examples apart."""


@dataclass(frozen=True)
class Bounds:
    """Tokens that an example may have; None: no bound."""

    whole: int | None = None
    question: int | None = None


def on_disk(offered: Iterable[Example], base: str, sees: bool, bounds: Bounds, folder: Path) -> tuple[Dataset, Taken]:
    """Examples as a dataset in `folder`, of which memory holds what is being read.

    Columns: `prompt` and `completion` (conversations), `images` (of models that see), `facts` (what an answer is judged
    by, JSON), `domain`, `row` (a running number) and `id` (of the triplet).

    Args:
        base: folder or hub id, whose tokenizer and chat template count.
        sees: whether the model takes pictures; otherwise it is asked without.

    Raises:
        UsageError: the base has no tokenizer or no chat template.
        DataClawError: no example is within the bounds.
    """
    from accelerate import PartialState
    from datasets import Dataset

    processes = PartialState()
    # One process reads and writes; the others wait, then map the same file.
    with processes.main_process_first():
        if processes.is_main_process:
            _write(offered, Lengths(base), sees, bounds, folder)
    noted = json.loads((folder / TAKEN).read_text())
    taken = Taken(**noted | {name: Counter(noted[name]) for name in ("left_out", "by_domain")})
    if not taken.taken:
        reasons = ", ".join(f"{number} {why}" for why, number in taken.left_out.most_common())
        cause = f"no example can be used: {reasons}" if reasons else "the training side has no row of its domains"
        remedy = "Raise max_tokens (SFT) or max_question (GRPO)" if reasons else "Change grpo.domains"
        raise DataClawError("training data", cause, f"{remedy}, or build more")
    return Dataset.from_file(str(folder / EXAMPLES)), taken


def mixed(data: Dataset, power: float) -> Dataset:
    """Rows as often as the share of their domain wants them.

    With n_d of all N rows in domain d, its share is in proportion to n_d ** power. The largest domain has each row
    once, and others (n_max / n_d) ** (1 - power) times: where that is no whole number, some rows once more than others.
    """
    domains = data.data.column("domain").to_pylist()
    counts = Counter(domains)
    if power == 1.0 or len(counts) < 2:
        return data
    most = max(counts.values())
    times = {domain: (most / number) ** (1.0 - power) for domain, number in counts.items()}
    seen: Counter[str] = Counter()
    places: list[int] = []
    for place, domain in enumerate(domains):
        before, after = seen[domain], seen[domain] + 1
        seen[domain] = after
        places += [place] * (_whole(after * times[domain]) - _whole(before * times[domain]))
    return data.select(places)


def _whole(number: float) -> int:
    return math.floor(number + 1e-9)


def _write(offered: Iterable[Example], lengths: Lengths, sees: bool, bounds: Bounds, folder: Path) -> None:
    from datasets import Features, Image, Sequence, Value
    from datasets.arrow_writer import ArrowWriter

    text = {"type": Value("string"), "text": Value("string")} if sees else Value("string")
    said = [{"role": Value("string"), "content": [text] if sees else text}]
    columns = {
        "prompt": said,
        "completion": said,
        "facts": Value("string"),
        "domain": Value("string"),
        "row": Value("int64"),
        "id": Value("string"),
    }
    if sees:
        columns["images"] = Sequence(Image())
    features = Features(columns)
    taken, ids = Taken(), hashlib.sha256()
    folder.mkdir(parents=True, exist_ok=True)
    with ArrowWriter(path=str(folder / EXAMPLES), features=features, writer_batch_size=32) as writer:
        for example in offered:
            why = _unfit(example, lengths, bounds)
            if why is not None:
                taken.left_out[why] += 1
                log.info("row %s is left out: %s", example.triplet.id[:12], why)
                continue
            writer.write(features.encode_example(record(example, lengths.checkpoint, sees) | {"row": taken.taken}))
            taken.taken += 1
            taken.by_domain[str(example.domain)] += 1
            ids.update(example.triplet.id.encode())
        writer.finalize()
    taken.digest = ids.hexdigest()
    (folder / TAKEN).write_text(json.dumps(vars(taken), indent=1))


def record(example: Example, checkpoint: Checkpoint, sees: bool) -> dict[str, Any]:
    """An example as a row of a conversational prompt-completion dataset."""
    row: dict[str, Any] = {
        "prompt": [
            {"role": message.role, "content": _content(message, checkpoint, sees)} for message in example.messages
        ],
        "completion": [
            {
                "role": "assistant",
                "content": [{"type": "text", "text": example.completion}] if sees else example.completion,
            }
        ],
        "facts": facts_of(example.triplet),
        "domain": str(example.domain),
        "id": example.triplet.id,
    }
    if sees:
        row["images"] = [{"bytes": picture.data, "path": None} for picture in example.pictures]
    return row


def _content(message: Message, checkpoint: Checkpoint, sees: bool) -> Any:
    """A message as the backends put it: texts kept apart, and what stands on a screen spells no special token."""
    told = checkpoint.told(message)
    if not sees:
        return "\n\n".join(str(part) for part in told)
    return [
        {"type": "image", "text": None} if isinstance(part, Picture) else {"type": "text", "text": part}
        for part in told
    ]


def _unfit(example: Example, lengths: Lengths, bounds: Bounds) -> str | None:
    """Why an example is not learned from."""
    if example.triplet.score.format < 1.0:
        return "its output does not satisfy its schema"
    if not example.is_told:
        return "its question does not tell all that its answer states (raise model.anchor_tokens, or show frames)"
    question, answer = lengths.of(example.messages, example.completion)
    if bounds.question is not None and question > bounds.question:
        return f"its question has more than {bounds.question} tokens"
    if bounds.whole is not None and question + answer > bounds.whole:
        return f"it has more than {bounds.whole} tokens"
    return None
