"""Does a model learn to tailor? SFT against its base, GRPO against SFT, the reward's parts and the routes taken away.

SmolLM2-135M on streams of `dataclaw samples`, five domains, held-out streams for validation. Everything is done by the
commands that users have, into one folder; what is there is not done again, so that a run that was interrupted goes on.
Nothing here passes or fails: the tables say what came of it.

    python tests/perf/learning.py FOLDER [--streams 36] [--seeds 3] [--sft 80] [--grpo 24] [--size 60]   (models' venv)

Over all domains: `base` asked as the others are; `held` the base told its schema and held to it; `minimal` a quarter
of SFT's steps; `sft`. Over one short form, on streams of --further seeds: `early` half of SFT's steps, after which the
form is right and not all that is claimed; `grpo` from there; `unanchored` the same with no R_anchor in the reward;
`covered` with R_cover; `minimal_grpo` from `minimal`; and `sft`. With --experts, an adapter for each domain and the
router between them, by its own choice, by Omni alone and by a wrong expert. With --builds N, corpora that rules, the
base and tuned models make of N more seeds of streams, verified.
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
SFT = ("minimal", "sft")
"""Variants that are measured over all domains."""
GRPO = {"grpo": "early", "unanchored": "early", "covered": "early", "minimal_grpo": "minimal"}
"""Variants that are measured over one form, and where they begin."""
HELD = {"brief": False, "constrained": True}
"""How the base is asked that is told its schema and held to it."""
SHORT = "daily_life"
"""GRPO's domain: a question on time takes 250 tokens and its answer 80, so that a CPU gets through hundreds of them."""


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    streams: int
    seeds: int
    sft: int
    grpo: int
    size: int
    further: int
    experts: bool
    builds: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--streams", type=int, default=36, help="seeds of sample streams")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    parser.add_argument("--sft", type=int, default=80, help="steps")
    parser.add_argument("--grpo", type=int, default=24, help="steps")
    parser.add_argument("--size", type=int, default=60, help="samples of the validation set")
    parser.add_argument("--further", type=int, default=30, help="seeds of held-out streams that GRPO is measured on")
    parser.add_argument("--experts", action="store_true")
    parser.add_argument("--builds", type=int, default=0, help="further seeds of streams that models build with")
    chosen = vars(parser.parse_args())
    learn(chosen.pop("folder").resolve(), Sizes(**chosen))


def learn(folder: Path, sizes: Sizes) -> None:
    seen, further = range(sizes.streams), range(sizes.streams, sizes.streams + sizes.further)
    corpus = build(folder, "corpus", 0.3, streams(folder, seen))
    short = build(folder, "short", 1.0, [source for source in streams(folder, further) if source["domain"] == SHORT])
    draw(folder / "val", corpus, sizes.size)
    draw(folder / "val_short", short, 2 * sizes.further)
    base = folder / "base"
    if not (base / "config.json").exists():
        make(base)
    wide, narrow = [str(base)], [str(base)]
    held = measure(folder, corpus, wide, **HELD)["base"]
    for seed in range(sizes.seeds):  # what one seed gives is known before the next one begins
        trained = {name: f"model:{tuned(folder, corpus, base, name, seed, sizes)}@1" for name in (*SFT, "early", *GRPO)}
        wide += [trained[name] for name in SFT]
        narrow += [trained[name] for name in ("early", "sft", *GRPO)]
        print(table(measure(folder, corpus, wide) | {"held": held}), flush=True)
        print(table(measure(folder, corpus, narrow, val="val_short")), flush=True)
    if sizes.experts:
        print(routes(folder, corpus, base, sizes))
    if sizes.builds:
        print(built(folder, corpus, base, sizes))


def build(folder: Path, name: str, validation: float, sources: list[dict[str, Any]]) -> Corpus:
    """A corpus, by rules."""
    recipe = {"name": name, "corpus": name, "split": {"validation_share": validation}, "sources": sources}
    file = folder / f"{name}.recipe.yaml"
    file.write_text(yaml.safe_dump(recipe, sort_keys=False))
    if not (folder / name / "snapshots").exists():
        dataclaw("build", file)
    return Corpus.open(folder / name)


def draw(val: Path, corpus: Corpus, size: int) -> None:
    if not val.exists():
        dataclaw("bench", "make", corpus.uri, "--out", val, "--size", size, "--fuzzy", 0)


def streams(folder: Path, seeds: range) -> list[dict[str, Any]]:
    """Makes the sample streams of some seeds, and says what is asked of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        if not (folder / f"s{seed}").exists():
            dataclaw("samples", folder / f"s{seed}", "--seed", seed, "--json")
    return [
        {"uri": f"s{seed}/{place}", "domain": domain, "intents": [intent]}
        for seed in seeds
        for place, (domain, intent) in INTENTS.items()
    ]


def settings(base: Path, seed: int, sizes: Sizes, variant: str) -> dict[str, Any]:
    """A training of one variant."""
    shared = {"gradient_checkpointing": False, "save_every": 20}
    part = {"minimal": 4, "early": 2}.get(variant, 1)
    grpo = {
        **shared,
        "learning_rate": 1e-4,
        "temperature": 0.7,
        "steps": sizes.grpo,
        "generations": 8,
        "batch": 4,
        "accumulate": 4,  # two questions a step
        "max_question": 900,
        "max_answer": 200,
        "beta": 0.04,
        "domains": [SHORT],
        "rollouts": "vllm",
    }
    if variant == "unanchored":
        grpo["reward"] = {"weights": {"format": 0.75, "anchor": 0.0, "efficiency": 0.25}}
    if variant == "covered":
        grpo["coverage"] = 0.5
    return {
        "name": f"{variant}_{seed}",
        "seed": seed,
        "mixture": 0.0,  # there are five times as many decisions as outlines
        "precision": "bfloat16",  # CPUs with AMX multiply six times as fast
        "model": asked(base),
        "lora": {"rank": 32, "alpha": 64},
        "sft": {
            **shared,
            "learning_rate": 1e-3,
            "steps": max(1, sizes.sft // part),
            "batch": 1,  # rows differ much in length, and what is padded costs as much as what is not
            "accumulate": 4,
            "max_tokens": QUESTION + ANSWER,
        },
        "grpo": grpo,
    }


def asked(base: Path) -> dict[str, Any]:
    """A model, and how it is asked."""
    return {
        "name": str(base),
        "frames": 0,
        "brief": True,
        "constrained": False,  # what it writes by itself is what is measured
        "anchor_tokens": FACTS,
        "max_tokens": ANSWER,
        "context": 4096,
    }


def tuned(folder: Path, corpus: Corpus, base: Path, variant: str, seed: int, sizes: Sizes) -> str:
    """Trains a variant and registers it; gives its name."""
    name = f"{variant}_{seed}"
    before = GRPO.get(variant)
    stage = "grpo" if before else "sft"
    out = folder / "models" / name
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings(base, seed, sizes, variant), sort_keys=False))
    result = folder / f"{name}.json"
    if not result.exists():
        begin = ["--from", folder / "models" / f"{before}_{seed}" / "model"] if before else []
        result.write_text(dataclaw("train", stage, file, corpus.uri, *begin, "--out", out, "--register", "--json"))
    return name


def measure(
    folder: Path, corpus: Corpus, models: Sequence[str], *more: str, val: str = "val", **settings: bool
) -> dict[str, dict[str, float | None]]:
    """Levels and rewards of each model over the validation set."""
    given = ["--backend", "transformers", "--catalog", corpus.catalog_url(), "--concurrency", 12]
    for key, value in {**asked(folder / "base"), **settings}.items():
        if key != "name":
            given += ["--set", f"{key}={json.dumps(value)}"]
    found = json.loads(dataclaw("bench", "run", folder / val, *models, *given, *more, "--json"))
    dataclaw("bench", "report", folder / val, "--out", folder / f"{val}.html")
    return {
        Path(one["run"]["label"].partition("@")[0]).name: {
            **{level: (one["scores"]["overall"][level] or {}).get("mean") for level in LEVELS},
            **one["rewards"],
        }
        for one in found
    }


def table(measured: dict[str, dict[str, float | None]]) -> str:
    """Means over seeds with the smallest and the largest, as Markdown."""
    lines = [f"| model | {' | '.join((*LEVELS, *REWARDS))} |", "|---|" + "---:|" * (len(LEVELS) + len(REWARDS))]
    for variant in ("base", "held", *SFT, "early", *GRPO):
        rows = [values for label, values in measured.items() if variant in (label, label.rpartition("_")[0])]
        if not rows:
            continue
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
    names = [experts(folder, corpus, base, seed, sizes) for seed in range(sizes.seeds)]
    lines = [f"| route | {' | '.join((*LEVELS, *REWARDS))} |", "|---|" + "---:|" * (len(LEVELS) + len(REWARDS))]
    for route in ("router", "omni", "wrong"):
        forced = [] if route == "router" else ["--route", route]
        rows = measure(folder, corpus, [f"model:{name}" for name in names], *forced).values()
        spreads = (spread([row.get(key) for row in rows]) for key in (*LEVELS, *REWARDS))
        lines.append(f"| {route} | {' | '.join(spreads)} |")
    return "\n".join(lines)


def experts(folder: Path, corpus: Corpus, base: Path, seed: int, sizes: Sizes) -> str:
    """Trains an expert of each domain and registers them beside the Omni model of the same seed; gives their name. Each
    has a quarter of Omni's steps: with all domains alike, about as often as Omni it sees a row of its own."""
    file, result = folder / f"experts_{seed}.yaml", folder / f"experts_{seed}.json"
    given = settings(base, seed, sizes, "minimal") | {"name": f"experts_{seed}", "grpo": None}
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    if not result.exists():
        out = folder / "models" / f"experts_{seed}"
        result.write_text(
            dataclaw("train", "experts", file, corpus.uri, "--out", out, "--omni", f"sft_{seed}@1", "--json")
        )
    return str(json.loads(result.read_text())["model"])


def built(folder: Path, corpus: Corpus, base: Path, sizes: Sizes) -> str:
    """What becomes of streams that no model has learned from, by who writes the outputs; every corpus is verified."""
    first = sizes.streams + sizes.further
    sources = streams(folder, range(first, first + sizes.builds))
    held = {"backend": "transformers", "model": asked(base) | HELD}
    writers: dict[str, dict[str, Any]] = {"rules": {}, "held": held}
    writers |= {name: {"backend": f"model:{name}_0@1"} for name in SFT}
    lines = ["| written by | units | rows | rejected | failed | questions | tokens written |", "|---|" + "---:|" * 6]
    for number, (writer, synthesis) in enumerate(writers.items()):
        recipe = {
            "name": f"built_{number}",
            "corpus": f"built_{number}",
            "sources": sources,
            "synthesis": synthesis,
            "placement": {"catalog": corpus.catalog_url()},
        }
        file = folder / f"built_{number}.yaml"
        file.write_text(yaml.safe_dump(recipe, sort_keys=False))
        report = folder / f"built_{number}.json"
        if not report.exists():
            report.write_text(dataclaw("build", file, "--json", may_fail=True))
        said = json.loads(report.read_text())
        if said["rows"]:
            dataclaw("verify", folder / f"built_{number}")
        done, filtered, failed = (said[f"units_{outcome}"] for outcome in ("done", "filtered", "failed"))
        asked_for = [said["usage"][key] for key in ("requests", "completion_tokens")]
        counts = map(str, (done + filtered + failed, said["rows"], filtered, failed, *asked_for))
        lines.append(f"| {writer} | {' | '.join(counts)} |")
    return "\n".join(lines)


def dataclaw(*arguments: object, may_fail: bool = False) -> str:
    """What a command prints; its progress goes to ours. A build of which nothing could be published ends
    with 1, and reports all the same."""
    command = [sys.executable, "-m", "dataclaw", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    if done.returncode and not (may_fail and done.returncode == 1):
        raise SystemExit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
