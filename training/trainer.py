"""What SFT and GRPO share: the model, its adapters, checkpoints, and ends that say what to do."""

from __future__ import annotations

import errno
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experts.batches import is_out_of_memory
from schemas.errors import DataClawError, UsageError, extra
from schemas.recipe import ModelSpec
from schemas.training import GRPO, LoRA, Optimisation, Precision, Training
from synthesis.backends.checkpoint import TEMPLATE_SETTINGS
from training import checkpoints
from training.dataset import Taken

if TYPE_CHECKING:
    from transformers import TrainerCallback

log = logging.getLogger(__name__)
EXTRA = extra("train")
LOG = "log.jsonl"
"""What was logged, a step a line; a run that goes on appends to it."""
RUN = "run.json"
"""What the run is: another may not go on in its folder."""
MODEL, BOARD = "model", "tensorboard"
_ROOM = 1 << 20
"""Bytes: a disk with less is full."""
_DECISIVE = {"learning_rate", "warmup", "schedule", "weight_decay", "clip"}
"""Of what SFT and GRPO share, what a result depends on; and the product of batch and accumulate, which people trade."""
_EYES = r".*(visual|vision).*"
"""Layers without adapters: engines serve those of the language model alone."""

Tell = Callable[[int, int, Mapping[str, float]], None]
"""Hears of progress: steps done, steps in all, what was logged."""


@dataclass(frozen=True)
class Trained:
    """A tuned model: a folder with its adapter, or with all of its weights."""

    folder: Path
    steps: int
    taken: Taken
    """The examples."""
    metrics: dict[str, float] = field(default_factory=dict)
    """What was logged last of each figure."""


def leads() -> bool:
    """Whether this process is the one that writes and tells, of those that train together."""
    from accelerate import PartialState

    return bool(PartialState().is_main_process)


def vision(model: ModelSpec) -> bool:
    """Whether a base takes pictures.

    Raises:
        UsageError: there is no such model, or it takes none and is to be shown some.
    """
    from transformers import AutoConfig

    base = model.name
    try:
        config = AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        folder = "" if Path(base).is_dir() else "there is no such folder, and as a hub id it fails: "
        cause = f"no model can be read there: {folder}{str(error).splitlines()[0]}"
        raise UsageError(f"model.name {base}", cause, "Name a folder or a hub id that holds a model") from error
    sees = hasattr(config, "vision_config")
    if model.frames and not sees:
        raise UsageError(base, "it sees no pictures", "Choose a model with vision, or set model.frames: 0")
    return sees


def load_model(training: Training) -> Any:
    """The base with the adapter it has been tuned with before, if any: that one is tuned on."""
    import torch

    kind = _kind(training)
    model = kind.from_pretrained(
        training.model.name, dtype=torch.bfloat16 if bfloat16(training.precision) else torch.float32
    )
    if training.model.adapter is None:
        return model
    from peft import PeftModel

    model = PeftModel.from_pretrained(model, training.model.adapter, is_trainable=True)
    # TRL keeps a copy beside it, `ref`, to measure the divergence to, and makes it anew each time. Saved along, it
    # would be the only one that transformers reads back when a run goes on.
    model.save_pretrained = partial(model.save_pretrained, selected_adapters=["default"])
    return model


def processing(training: Training, sees: bool, **settings: Any) -> Any:
    """The processor of a model that sees, the tokenizer of one that does not."""
    from transformers import AutoProcessor, AutoTokenizer

    return (AutoProcessor if sees else AutoTokenizer).from_pretrained(training.model.name, **settings)


def template_settings(processor: Any) -> dict[str, bool]:
    """What the chat template is told, as builds tell it. One that does not ask is told nothing: transformers would warn
    of it at each row."""
    knows = "enable_thinking" in str(processor.chat_template)
    return {"enable_thinking": TEMPLATE_SETTINGS["enable_thinking"]} if knows else {}


def adapters(training: Training) -> Any:
    """The adapters to be added; None when all weights are tuned, or when there are adapters already."""
    if training.lora is None or training.model.adapter is not None:
        return None
    from peft import LoraConfig

    lora: LoRA = training.lora
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        exclude_modules=_EYES if vision(training.model) else None,
        task_type="CAUSAL_LM",
    )


def bfloat16(precision: Precision) -> bool:
    if precision is not Precision.AUTO:
        return precision is Precision.BFLOAT16
    import torch

    return bool(torch.cuda.is_available())


def settings(training: Training, how: Optimisation, out: Path) -> dict[str, Any]:
    """The arguments that TRL's configurations of SFT and GRPO share."""
    import torch
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()  # progress is ours to show
    disable_progress_bar()
    return {
        "output_dir": str(out),
        "learning_rate": how.learning_rate,
        "per_device_train_batch_size": how.batch,
        "gradient_accumulation_steps": how.accumulate,
        "lr_scheduler_type": how.schedule,
        "warmup_steps": how.warmup,  # below 1: a share of all steps
        "weight_decay": how.weight_decay,
        "max_grad_norm": how.clip,
        "save_strategy": "steps",
        "save_steps": how.save_every,
        "save_total_limit": how.keep,
        "gradient_checkpointing": how.gradient_checkpointing,
        "bf16": bfloat16(training.precision),
        "use_cpu": not torch.cuda.is_available(),
        "seed": training.seed,
        "data_seed": training.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is no number ends the run instead
        "report_to": "none",  # the watcher writes for TensorBoard: TRL's figures that do not apply are None
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


class BadLossError(DataClawError):
    """The loss is not a number any more."""


def bad_loss(what: str, step: int, rows: Iterable[str], out: Path) -> BadLossError:
    """What is not finite any more, and the rows of the step that made it so."""
    named = ", ".join(dict.fromkeys(row[:12] for row in rows))
    return BadLossError(
        f"step {step}, rows {named}",
        what,
        f"Look at these rows; lower learning_rate or clip. {out} keeps the checkpoints from before",
    )


def careful(kind: type) -> type:
    """TRL's trainer of a kind, which ends when its loss or gradient is no number any more, and says on which rows."""

    class Careful(kind):  # type: ignore[misc]
        _at = -1
        _rows: tuple[str, ...] = ()

        def create_model_card(self, *args: Any, **kwargs: Any) -> None:
            """TRL's is a template; ours is written with the model."""

        def about(self, rows: Iterable[str]) -> None:
            """Notes the ids of rows that the step under way learns from."""
            if self._at != self.state.global_step:
                self._at, self._rows = self.state.global_step, ()
            self._rows = (*self._rows, *rows)

        def check(self, loss: float) -> None:
            if not math.isfinite(loss):
                raise bad_loss(
                    f"the loss is {loss}", self.state.global_step + 1, self._rows, Path(self.args.output_dir)
                )

        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
            super().log(logs, *args, **kwargs)
            norm = logs.get("grad_norm")
            if norm is not None and not math.isfinite(norm):
                what = f"the norm of the gradient is {norm}"
                raise bad_loss(what, self.state.global_step, self._rows, Path(self.args.output_dir))

    return Careful


def train(trainer: Any, training: Training, how: Optimisation, taken: Taken, tell: Tell | None) -> Trained:
    """Runs a trainer from the last whole checkpoint to its end, and saves the model.

    Raises:
        UsageError: its folder holds another run.
    """
    from transformers import PrinterCallback

    out = Path(trainer.args.output_dir)
    _claim(out, training, how, taken)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watcher(out, tell))
    begun = _resumed(out)
    steps = _ended_after(begun, sharded=trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled)
    if begun is None or steps is None:
        trainer.train(resume_from_checkpoint=begun)
        trainer.save_model(str(out / MODEL))
        steps = trainer.state.global_step
    elif not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):  # killed between the last step and the model
        trainer._load_from_checkpoint(begun)
        trainer.save_model(str(out / MODEL))
    figures: dict[str, float] = {}
    for line in logged(out):
        figures |= line
    if leads():
        (out / MODEL / "README.md").write_text(card(training, how, taken, steps, figures), encoding="utf-8")
    return Trained(out / MODEL, steps, taken, figures)


def _ended_after(checkpoint: str | None, sharded: bool) -> int | None:
    """The steps of a run that its last checkpoint has ended; None where there is something left to do. Trainers would
    do one step more."""
    if checkpoint is None:
        return None
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text())
    if sharded and not any((Path(checkpoint).parent / MODEL).glob("*.safetensors")):
        return None
    return int(state["global_step"]) if state["global_step"] >= state["max_steps"] else None


def card(training: Training, how: Optimisation, taken: Taken, steps: int, figures: Mapping[str, float]) -> str:
    """What a tuned model is, for whoever finds its folder."""
    base, stage = training.model.name, type(how).__name__
    head = ["library_name: " + ("transformers" if training.lora is None else "peft"), "tags: [dataclaw]"]
    if not Path(base).is_dir():  # the hub knows no folders
        head.append(f"base_model: {base}")
    asked = training.model.model_dump(mode="json", exclude={"name", "adapter", "seed"})
    lines = [
        f"# {training.name}",
        "",
        f"Tuned by DataClaw ({stage}, {steps} steps, seed {training.seed}) from `{base}`"
        + (f" with the adapter `{training.model.adapter}`" if training.model.adapter else "")
        + ", to turn facts measured in recordings into structured training data.",
        "",
        f"- learned from: {taken.taken} rows ("
        + ", ".join(f"{number} {domain}" for domain, number in taken.by_domain.most_common())
        + f"), digest `{taken.digest[:16]}`",
        *(f"- left out: {number}, {why}" for why, number in taken.left_out.most_common()),
        f"- asked with: `{json.dumps(asked)}`",
        f"- {stage}: `{json.dumps(how.model_dump(mode='json'))}`",
        *(f"- {name} of the last step: {figures[name]:.4g}" for name in ("loss", "rewards/R/mean") if name in figures),
        "",
        "DataClaw asks it (`--backend model:NAME` once it is registered); it was tuned for nothing else.",
        "What it writes must be verified: `dataclaw bench run` measures how good it is.",
        "",
    ]
    return "\n".join(["---", *head, "---", "", *lines])


def _claim(out: Path, training: Training, how: Optimisation, taken: Taken) -> None:
    """Notes in a run's folder what the run is. What decides only where and how fast it runs may change."""
    from accelerate import PartialState

    placed = {*Optimisation.model_fields, "rollouts", "server", "memory"} - _DECISIVE
    run = {
        "what": type(how).__name__,
        "model": training.model.model_dump(mode="json"),
        "lora": training.lora and training.lora.model_dump(mode="json"),
        "seed": training.seed,
        "mixture": training.mixture,
        "batch": how.batch * how.accumulate * PartialState().num_processes,
        "settings": how.model_dump(mode="json", exclude=placed),
        "examples": taken.digest,
    }
    if not leads():
        return
    noted = out / RUN
    if not noted.exists():
        noted.write_text(json.dumps(run, indent=1))
        return
    before, now = _flat(json.loads(noted.read_text())), _flat(run)
    if other := [key for key in now if before.get(key) != now[key]]:
        told = ", ".join(f"{key} {_shown(before.get(key))} (now {_shown(now[key])})" for key in other)
        cause = f"it holds another run: {told}"
        raise UsageError(out, cause, "Give another folder, or remove this one to begin anew")


def _flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys with dots between them."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flat(item, f"{above}{key}.") if isinstance(item, Mapping) else {f"{above}{key}": item}
    return found


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _watcher(out: Path, tell: Tell | None) -> TrainerCallback:
    """Writes what is logged, seals checkpoints, and tells of progress."""
    from accelerate import PartialState
    from torch.utils.tensorboard import SummaryWriter
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

    class Watcher(TrainerCallback):  # type: ignore[misc]  # untyped where transformers is not installed
        _board: SummaryWriter | None = None

        def on_train_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
        ) -> None:
            if state.is_world_process_zero:
                self._board = SummaryWriter(str(out / BOARD), purge_step=state.global_step + 1)

        def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
            if not state.is_world_process_zero:
                return
            figures = {k: float(v) for k, v in (kwargs.get("logs") or {}).items() if isinstance(v, int | float)}
            with (out / LOG).open("a") as file:
                file.write(json.dumps({"step": state.global_step, "time": time.time(), **figures}) + "\n")
            if self._board is not None:
                for name, value in figures.items():
                    self._board.add_scalar(name, value, state.global_step)
                self._board.flush()
            if tell is not None:
                tell(state.global_step, state.max_steps, figures)

        def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
            PartialState().wait_for_everyone()  # each process writes a part of it
            if state.is_world_process_zero:
                checkpoints.seal(out / f"checkpoint-{state.global_step}")

    return Watcher()


def _resumed(out: Path) -> str | None:
    """The checkpoint from which a run goes on; what was logged after it is forgotten, since it comes again."""
    from accelerate.utils import broadcast_object_list

    chosen: list[str | None] = [None]
    if leads():  # the others would find the folder while it is put in order
        found = checkpoints.newest(out)
        step = 0 if found is None else int(found.name.rpartition("-")[2])
        written = out / LOG
        if written.exists():
            kept = [line for line in written.read_text().splitlines() if 0 <= _step(line) <= step]
            written.write_text("".join(f"{line}\n" for line in kept))
        chosen = [None if found is None else str(found)]
    broadcast_object_list(chosen)
    return chosen[0]


def logged(out: Path) -> list[dict[str, float]]:
    """What a run logged, in order."""
    return [json.loads(line) for line in (out / LOG).read_text().splitlines()] if (out / LOG).exists() else []


@contextmanager
def clear_ends(out: Path, training: Training, how: Optimisation, tokens: int) -> Iterator[None]:
    """Turns what goes wrong on machines into what to do about it.

    Args:
        tokens: of the longest example.

    Raises:
        DataClawError: memory does not suffice, or the disk is full. Checkpoints stay, and the same call goes on.
    """
    needs = memory(training, how, tokens)
    log.info("a step takes up to %s", needs)
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            cause = f"the memory does not suffice: a step takes up to {needs}"
            raise DataClawError(training.name, cause, _less(training, how)) from error
        if _is_full(error, out):
            for part in out.glob("checkpoint-*"):
                if checkpoints.broken(part) is not None:
                    shutil.rmtree(part, ignore_errors=True)
            raise DataClawError(
                out, "the disk is full", "Make room and start again: it goes on from its last checkpoint"
            ) from error
        raise


def memory(training: Training, how: Optimisation, tokens: int) -> str:
    """What a step takes, in words: weights (of a reference model too, if GRPO needs one), gradients with Adam's two
    moments, activations (Korthikanti et al. 2022: 34 s b h bytes a layer without recomputation, 2 s b h with, in 16
    bits). TRL makes logits a few at a time."""
    import torch
    from peft import get_peft_model
    from transformers import AutoConfig

    with torch.device("meta"):  # shapes without numbers
        model = _kind(training).from_config(AutoConfig.from_pretrained(training.model.name))
        config, weights = model.config.get_text_config(), sum(p.numel() for p in model.parameters())
        added = adapters(training) if training.model.adapter is None else _adapter(training.model.adapter)
        if added is not None:
            model = get_peft_model(model, added)
    tuned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    size = 2 if bfloat16(training.precision) else 4
    whole = tuned == weights
    copies = 2 if whole and isinstance(how, GRPO) and how.beta else 1
    wide = tokens * how.batch * config.hidden_size * size / 2
    parts = {
        "weights": weights * size * copies,
        "gradients and optimiser": tuned * (3 * size if whole else 16),  # adapters are kept in 32 bits
        "activations": wide * ((2 if how.gradient_checkpointing else 34) * config.num_hidden_layers + 34),
    }
    return ", ".join(f"{name} {value / 1e9:.2f} GB" for name, value in parts.items())


def _adapter(name: str) -> Any:
    """The configuration of an adapter that is tuned on.

    Raises:
        UsageError: there is none.
    """
    from peft import PeftConfig

    try:
        config = PeftConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        cause = f"no adapter can be read there: {str(error).splitlines()[0]}"
        raise UsageError(name, cause, "Name the folder that SFT wrote") from error
    config.inference_mode = False
    return config


def _less(training: Training, how: Optimisation) -> str:
    """Which settings take less, most helpful first."""
    ways = []
    if training.lora is None and training.model.adapter is None:
        ways.append("tune adapters instead of all weights (lora)")
    if how.batch > 1:
        ways.append(f"batch 1 instead of {how.batch}, accumulate {how.batch} times more")
    if not how.gradient_checkpointing:
        ways.append("gradient_checkpointing: true")
    ways.append("a lower max_tokens (SFT) or max_question and max_answer (GRPO)")
    ways.append("more devices: accelerate launch with deployments/accelerate/fsdp.yaml")
    return "; ".join(ways)


def _is_full(error: BaseException, out: Path) -> bool:
    """Whether a disk took no more. What is written by native code has no number of an error; safetensors says why in
    words, and torch only that it could not write."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if "No space left" in str(error) or "quota exceeded" in str(error):
        return True
    return isinstance(error, RuntimeError) and out.exists() and shutil.disk_usage(out).free < _ROOM


def _kind(training: Training) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if vision(training.model) else AutoModelForCausalLM


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError):
        return -1  # the last line of a killed run
