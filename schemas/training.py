"""How a tailoring model is tuned: one frozen, typed object, as a recipe is for a corpus."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import digest
from schemas.recipe import ModelSpec, RewardSpec, Section
from schemas.stream import Domain
from schemas.task_spec import Name


class Precision(StrEnum):
    """Of weights and gradients in the forward pass."""

    AUTO = "auto"
    """bfloat16 on a GPU, float32 on a CPU."""
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Rollouts(StrEnum):
    """What answers during GRPO."""

    TRANSFORMERS = "transformers"
    """The model that is tuned, as it is."""
    VLLM = "vllm"
    """A vLLM engine on the same GPUs, or on the CPU. What it draws does not hang on the seed alone: a run that was
    interrupted goes on, with other answers than it would have had."""
    SERVER = "server"
    """A vLLM server of TRL's (`trl vllm-serve`) on GPUs of its own."""


class LoRA(Section):
    """Low-rank adapters (Hu et al. 2021): W + (alpha / rank) B A."""

    rank: Annotated[int, Field(ge=1)] = 16
    """Of A and B."""
    alpha: Annotated[int, Field(ge=1)] = 32
    """Scales what they add."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of an adapter's inputs that are left out in training."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that get adapters, or `all-linear`."""


class Optimisation(Section):
    """What SFT and GRPO share."""

    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-4
    """The highest."""
    batch: Annotated[int, Field(ge=1)] = 1
    """Examples that go through the model at once, on each device."""
    accumulate: Annotated[int, Field(ge=1)] = 8
    """Batches whose gradients are summed before a step."""
    warmup: Annotated[float, Field(ge=0.0, le=1.0)] = 0.03
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """How the learning rate falls."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Of AdamW."""
    clip: Annotated[float, Field(gt=0.0)] = 1.0
    """Largest norm of a gradient."""
    save_every: Annotated[int, Field(ge=1)] = 50
    """Steps between two checkpoints."""
    keep: Annotated[int, Field(ge=2)] = 2
    """Newest checkpoints that stay: one that is broken is passed over for the one before."""
    gradient_checkpointing: bool = True
    """Activations are computed anew instead of kept: a third more time for a fraction of the memory."""


class SFT(Optimisation):
    """Supervised fine-tuning on published outputs; the loss is that of the answer alone."""

    epochs: Annotated[float, Field(gt=0.0)] = 2.0
    """Times that each example is learned from."""
    steps: Annotated[int, Field(ge=1)] | None = None
    """Instead of epochs."""
    max_tokens: Annotated[int, Field(ge=64)] = 8192
    """Of question and answer. Longer examples are left out and counted: one that is cut off teaches broken JSON."""


class GRPO(Optimisation):
    """Group relative policy optimisation (Shao et al. 2024) with the verifier's reward."""

    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-6
    """The highest."""
    steps: Annotated[int, Field(ge=1)] = 200
    """In all."""
    domains: tuple[Domain, ...] = ()
    """Whose rows are asked; none named: all. Where a model is right or hopeless, its answers all earn the same, and
    steps spent there teach it nothing."""
    generations: Annotated[int, Field(ge=2)] = 8
    """Answers to each question, within which advantages are normalised."""
    batch: Annotated[int, Field(ge=1)] = 8
    """Answers that go through the model at once, on each device."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches whose gradients are summed before a step."""
    max_question: Annotated[int, Field(ge=64)] = 6144
    """Tokens of a question; longer ones are left out and counted."""
    max_answer: Annotated[int, Field(ge=16)] = 2048
    """Tokens of an answer."""
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """At which answers are drawn."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Answers are drawn of the likeliest tokens that together have this probability."""
    beta: Annotated[float, Field(ge=0.0)] = 0.04
    """Weight of the KL divergence to the model before GRPO."""
    epsilon: Annotated[float, Field(gt=0.0)] = 0.2
    """The ratio to the old policy is clipped to 1 - epsilon ... 1 + epsilon."""
    iterations: Annotated[int, Field(ge=1)] = 1
    """Optimisation steps on each set of answers."""
    normalise: Literal["group", "batch", "none"] = "group"
    """Where the standard deviation comes from that advantages are divided by."""
    rollouts: Rollouts = Rollouts.TRANSFORMERS
    server: str | None = None
    """URL of the server that answers, with `rollouts: server`."""
    memory: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """Share of a GPU's memory for the engine, with `rollouts: vllm`."""
    reward: RewardSpec = RewardSpec()
    """The verifier's own; weights of 0 leave a part out, as an ablation does."""
    coverage: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of R_cover beside the verifier's reward, whose weight is 1: as many supported facts as the published row
    has. Without it, leaving out what is doubtful pays."""

    @model_validator(mode="after")
    def _agreeing(self) -> Self:
        if self.rollouts is Rollouts.SERVER and self.server is None:
            raise ValueError("rollouts: server names no server; set server to its URL")
        if self.save_every % self.iterations:
            # A run that goes on draws new answers first, so it must not go on in the middle of some.
            raise ValueError(
                f"save_every {self.save_every} is no multiple of iterations {self.iterations}: "
                "a checkpoint between two steps on the same answers cannot be gone on from"
            )
        return self


class Benchmarking(Section):
    """How a candidate is measured, beside rules and the version that is current."""

    val: Annotated[str, Field(min_length=1)]
    """Folder or URI of a frozen set, as `dataclaw bench make` writes one."""
    draw: Annotated[int, Field(ge=1)] | None = None
    """Where there is no set yet, one with so many clear examples is drawn from the snapshot that the candidate was
    trained on. None: there must be one."""
    base_url: str | None = None
    """Of a server that serves candidate and current version by their references (`tailor@3`). None: an engine here."""
    concurrency: Annotated[int, Field(ge=1)] = 16
    """Questions under way at once."""
    gpus: Annotated[float, Field(ge=0.0)] = 0.0
    """Of an engine here; with none, transformers."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """That each model may use. None: no bound."""


class Promotion(Section):
    """When a candidate takes the place of the version that is current."""

    margin: Annotated[float, Field(ge=0.0, le=1.0)] = 0.02
    """The mean difference to the current version must be above 0, and the lower end of its 95 % interval may lie no
    further below 0 than this."""
    valid: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """Share of the candidate's outputs that must be valid JSON, and no less than the current version's. Where none is
    current, it decides alone."""
    approval: bool = False
    """A candidate that passes waits for a person, who approves or refuses it in Prefect's UI."""
    hours: Annotated[float, Field(gt=0.0)] = 24.0
    """So long it waits; then the run fails, and `promote` may be run again."""


class Training(Section):
    """The tuning of one model."""

    name: Name
    """The model's, in the registry."""
    model: ModelSpec
    """The base and how it is asked: builds with the tuned model ask in the same way."""
    lora: LoRA | None = LoRA()
    """None: all weights are tuned."""
    precision: Precision = Precision.AUTO
    seed: int = 0
    """Of all that chance decides."""
    mixture: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Domains are learned from in proportion to their rows to this power (Conneau et al. 2020): 1 as they are, 0 all
    alike. Rows of the smaller domains come more often; none is left out."""
    sft: SFT | None = SFT()
    """None: it is left out."""
    grpo: GRPO | None = None
    """None: it is left out."""
    benchmark: Benchmarking | None = None
    """None: a candidate is not measured, and so not promoted, by itself."""
    promotion: Promotion = Promotion()

    @property
    def identity(self) -> str:
        """Digest of what the tuned model depends on."""
        return digest(self.model_dump(mode="json", exclude={"benchmark", "promotion"}))
