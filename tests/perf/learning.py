"""Does a model learn to tailor? SFT against its base, GRPO against SFT, the reward's parts and the routes taken away.

SmolLM2-135M on streams of `dataclaw samples`, five domains, held-out streams for validation. Everything is done by the
commands that users have, into one folder; what is there is not done again, so that a run that was interrupted goes on.
Nothing here passes or fails: the tables say what came of it.

    python tests/perf/learning.py FOLDER [--streams 36] [--seeds 3] [--sft 120] [--grpo 30] [--size 60]   (models' venv)

Variants: `base` as it is; `minimal` a quarter of SFT's steps, so that it knows the form at all; `sft`; `grpo` from
`sft`; `unanchored` the same with no R_anchor in the reward; `minimal_grpo` GRPO from `minimal`. With --experts, an
adapter for each domain and the router between them, by its own choice, by Omni alone and by a wrong expert.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from storage.corpus import Corpus  # noqa: E402
from tests.models.tiny_smollm2 import make  # noqa: E402

INTENTS = {
    "daily_life": ("daily_life", "Make temporal questions and answers, at most 1"),
    "education": ("education", "An outline of the lesson with at most 2 sections"),
    "gui/notes_episode": ("gui", "UI grounding pairs, at most 1"),
    "embodied": ("embodied", "Make planning decisions from the robot recording, at most 1"),
    "aigc/edit_pairs": ("aigc", "Turn these edits into image editing instructions"),
}
"""What is asked of each folder of samples: forms with short outputs, so that a CPU gets through many."""
LEVELS = ("json_valid", "field", "semantic", "sequence")
REWARDS = ("R_format", "R_anchor", "R_eff", "R")
FACTS, QUESTION, ANSWER = 1550, 1792, 560
"""Tokens. All questions tell all that their answers state; longer rows would be left out."""
VARIANTS = ("minimal", "sft", "grpo", "unanchored", "minimal_grpo")


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    streams: int
    seeds: int
    sft: int
    grpo: int
    size: int
    experts: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--streams", type=int, default=36, help="seeds of sample streams")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--sft", type=int, default=120, help="steps")
    parser.add_argument("--grpo", type=int, default=30, help="steps")
    parser.add_argument("--size", type=int, default=60, help="samples of the validation set")
    parser.add_argument("--experts", action="store_true")
    chosen = parser.parse_args()
    folder = chosen.folder.resolve()
    learn(folder, Sizes(chosen.streams, chosen.seeds, chosen.sft, chosen.grpo, chosen.size, chosen.experts))


def learn(folder: Path, sizes: Sizes) -> None:
    corpus = build(folder, sizes)
    if not (folder / "val").exists():
        dataclaw("bench", "make", corpus.uri, "--out", folder / "val", "--size", sizes.size, "--fuzzy", 0)
    base = folder / "base"
    if not (base / "config.json").exists():
        make(base)
    models = [str(base)]
    for seed in range(sizes.seeds):  # what one seed gives is known before the next one begins
        models += [f"model:{tuned(folder, corpus, base, variant, seed, sizes)}@1" for variant in VARIANTS]
        print(table(measure(folder, corpus, models), str(base)), flush=True)
    if sizes.experts:
        print(routes(folder, corpus, base, sizes))


def build(folder: Path, sizes: Sizes) -> Corpus:
    """The corpus, by rules."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = []
    for seed in range(sizes.streams):
        raw = folder / f"s{seed}"
        if not raw.exists():
            dataclaw("samples", raw, "--seed", seed, "--json")
        sources += [
            {"uri": f"s{seed}/{place}", "domain": domain, "intents": [intent]}
            for place, (domain, intent) in INTENTS.items()
        ]
    recipe = {"name": "learn", "corpus": "corpus", "split": {"validation_share": 0.3}, "sources": sources}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    if not (folder / "corpus" / "snapshots").exists():
        dataclaw("build", folder / "recipe.yaml")
    return Corpus.open(folder / "corpus")


def settings(base: Path, seed: int, sizes: Sizes, variant: str) -> dict[str, Any]:
    """A training of one variant."""
    shared = {"gradient_checkpointing": False, "save_every": 20}
    steps = max(1, sizes.sft // 4) if variant.startswith("minimal") else sizes.sft
    grpo = {
        **shared,
        "learning_rate": 1e-4,
        "temperature": 0.8,
        "steps": sizes.grpo,
        "generations": 8,  # of one question a step: two would be padded to the longer one
        "batch": 4,
        "accumulate": 2,
        "max_question": QUESTION,
        "max_answer": ANSWER,
        "beta": 0.04,
        **(
            {"reward": {"weights": {"format": 0.75, "anchor": 0.0, "efficiency": 0.25}}}
            if variant == "unanchored"
            else {}
        ),
    }
    return {
        "name": f"{variant}_{seed}",
        "seed": seed,
        "mixture": 0.0,  # there are five times as many decisions as outlines
        "precision": "bfloat16",  # CPUs with AMX multiply six times as fast
        "model": {
            "name": str(base),
            "frames": 0,
            "brief": True,
            "constrained": False,  # what it writes by itself is what is measured
            "anchor_tokens": FACTS,
            "max_tokens": ANSWER,
            "context": 4096,
        },
        "lora": {"rank": 32, "alpha": 64},
        "sft": {
            **shared,
            "learning_rate": 1e-3,
            "steps": steps,
            "batch": 1,  # rows differ much in length, and what is padded costs as much as what is not
            "accumulate": 4,
            "max_tokens": QUESTION + ANSWER,
        },
        "grpo": grpo,
    }


def tuned(folder: Path, corpus: Corpus, base: Path, variant: str, seed: int, sizes: Sizes) -> str:
    """Trains a variant and registers it; gives its name."""
    name = f"{variant}_{seed}"
    before = {"grpo": "sft", "unanchored": "sft", "minimal_grpo": "minimal"}.get(variant)
    stage = "grpo" if before else "sft"
    out = folder / "models" / name
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings(base, seed, sizes, variant), sort_keys=False))
    result = folder / f"{name}.json"
    if not result.exists():
        begin = ["--from", folder / "models" / f"{before}_{seed}" / "model"] if before else []
        result.write_text(dataclaw("train", stage, file, corpus.uri, *begin, "--out", out, "--register", "--json"))
    return name


def measure(folder: Path, corpus: Corpus, models: Sequence[str], *more: str) -> dict[str, dict[str, float]]:
    """Levels and rewards of each model over the validation set."""
    given = ["--backend", "transformers", "--catalog", corpus.catalog_url(), "--concurrency", 12]
    own = settings(folder / "base", 0, Sizes(0, 0, 1, 1, 1, False), "sft")["model"]
    for key, value in own.items():
        if key != "name":
            given += ["--set", f"{key}={json.dumps(value)}"]
    found = json.loads(dataclaw("bench", "run", folder / "val", *models, *given, *more, "--json"))
    dataclaw("bench", "report", folder / "val", "--out", folder / "report.html")
    return {
        one["run"]["label"].partition("@")[0]: {
            **{level: (one["scores"]["overall"][level] or {}).get("mean") for level in LEVELS},
            **one["rewards"],
        }
        for one in found
    }


def table(measured: dict[str, dict[str, float]], base: str) -> str:
    """Means over seeds with the smallest and the largest, as Markdown."""
    lines = [f"| model | {' | '.join((*LEVELS, *REWARDS))} |", "|---|" + "---:|" * (len(LEVELS) + len(REWARDS))]
    for variant in ("base", *VARIANTS):
        rows = [
            values
            for label, values in measured.items()
            if (label == base if variant == "base" else label.rpartition("_")[0] == variant)
        ]
        lines.append(
            f"| {variant} | " + " | ".join(spread([row.get(key) for row in rows]) for key in (*LEVELS, *REWARDS)) + " |"
        )
    return "\n".join(lines)


def spread(values: Sequence[float | None]) -> str:
    known = [100 * value for value in values if value is not None]
    if not known:
        return "–"
    if len(known) == 1:
        return f"{known[0]:.1f}"
    return f"{statistics.mean(known):.1f} ({min(known):.1f} to {max(known):.1f})"


def routes(folder: Path, corpus: Corpus, base: Path, sizes: Sizes) -> str:
    """An expert for each domain: by the router, by Omni alone, and by a wrong one."""
    file = folder / "experts.yaml"
    given = settings(base, 0, sizes, "sft") | {"name": "experts", "grpo": None}
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    if not (folder / "experts.json").exists():
        out = folder / "models" / "experts"
        said = dataclaw("train", "experts", file, corpus.uri, "--out", out, "--omni", "sft_0@1", "--json")
        (folder / "experts.json").write_text(said)
    name = json.loads((folder / "experts.json").read_text())["model"]
    lines = [f"| route | {' | '.join((*LEVELS, *REWARDS))} |", "|---|" + "---:|" * (len(LEVELS) + len(REWARDS))]
    for route in ("router", "omni", "wrong"):
        forced = [] if route == "router" else ["--route", route]
        (values,) = measure(folder, corpus, [f"model:{name}"], *forced).values()
        lines.append(f"| {route} | " + " | ".join(spread([values.get(key)]) for key in (*LEVELS, *REWARDS)) + " |")
    return "\n".join(lines)


def dataclaw(*arguments: object) -> str:
    """What a command prints; its progress goes to ours."""
    command = [sys.executable, "-m", "dataclaw", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
