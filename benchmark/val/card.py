"""The data card of a set: a dataset card as the Hugging Face hub reads it, with what people must know to use it."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from benchmark.val.fuzzy import OPENINGS
from schemas.val import Subset, ValManifest

_CARD = """\
# {title}

Held-out examples of tailoring: from what was measured in a recording, and an instruction, the structured output that
was published for it. It is frozen: another draw is another version. `manifest.json` has the checksums, and DataClaw
refuses the set when they differ. Content digest: `{digest}`.

Drawn by DataClaw {dataclaw} from snapshot {snapshot} of the corpus `{corpus}`, with seed {seed}.
{lacks}
## What is in it

`clear.parquet` holds {clear} published rows:

{clear_table}

`fuzzy.parquet` is DataClaw-Intent: {fuzzy} vague or ambiguous requests over recordings of the clear examples, one row
for each acceptable reading, those of one request together:

{fuzzy_table}

A row is self-contained: task and output schema (`spec`), facts (`anchors`), pictures (`evidence`) and the true output
(`output`). No raw recording is needed. Paths of the machine that built it are left out.

## How it was drawn

Only rows on the validation side of the corpus: no recording, and none that looks like it, is on the training side. The
size is shared out equally over domains, in each over task types; what a stratum lacks is taken of the others. In a
stratum rows are chosen farthest-first (greedy k-center, Gonzalez 1985) on embeddings (all-MiniLM-L6-v2) of what was
asked and of the words of the output.

## How the fuzzy requests were made

A request is written from one of a few wordings of an opening, which says what forms of data it leaves open:

{openings}

A form is an acceptable reading where it is left open, the recording can give it, and an output of it verifies: the
published one, else what rules compose of the facts. The wordings were written by one hand, without a look at what any
resolver makes of them.

## What to know before using it

- True outputs were written by: {written_by}. Every claim in them verifies against the facts of its row. They are one
  good answer, not the only one.
- Where rules wrote the truth, the rules baseline meets it by construction: its line is no competitor there.
- Rows of one recording are no independent evidence: intervals and tests draw whole families of recordings.
"""


def data_card(manifest: ValManifest, lacks: Sequence[str]) -> str:
    """README.md of a set."""
    front = {
        "pretty_name": manifest.title,
        "tags": ["dataclaw", "benchmark", "structured-output"],
        "configs": [{"config_name": str(subset), "data_files": f"{subset}.parquet"} for subset in Subset],
    }
    clear, fuzzy = manifest.counts[Subset.CLEAR], manifest.counts[Subset.FUZZY]
    body = _CARD.format(
        title=manifest.title,
        digest=manifest.digest,
        dataclaw=manifest.dataclaw_version,
        snapshot=manifest.snapshot,
        corpus=manifest.corpus,
        seed=manifest.seed,
        lacks="".join(f"\n**It lacks:** {line}.\n" for line in lacks),
        clear=_total(clear),
        fuzzy=_total(fuzzy),
        clear_table=_table("task type", clear),
        fuzzy_table=_table("what is open", fuzzy),
        openings="\n".join(
            f"- {one.name}: {', '.join(f'`{name}`' for name in sorted(one.task_types or ())) or 'every form'}; "
            f'for example "{one.wordings[0]}"'
            for one in OPENINGS
        ),
        written_by=", ".join(f"{name} ({number})" for name, number in manifest.written_by.items()),
    )
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n{body}"


def _total(counts: dict[str, dict[str, int]]) -> int:
    return sum(sum(some.values()) for some in counts.values())


def _table(what: str, counts: dict[str, dict[str, int]]) -> str:
    lines = [f"| domain | {what} | |", "|---|---|---|"]
    lines += [f"| {domain} | {name} | {number} |" for domain, some in counts.items() for name, number in some.items()]
    return "\n".join(lines)
