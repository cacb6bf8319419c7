"""The head of a language model on machines without a GPU: answers are scored, questions are not."""

from __future__ import annotations

import functools
import types
from typing import Any

_RESCALING = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
    "output_router_logits",
)
"""Keys of a configuration with which logits, or the loss, are more than the head makes them."""


def score_answers_alone(model: Any, temperature: float = 1.0) -> None:
    """Has a model whose head TRL has fused (`add_fused_lm_head`) score the positions alone that have a label.

    On a GPU TRL does so itself. Elsewhere it scores the question too: with SmolLM2-135M, two fifths of a step
    (docs/measurements/2026-11-21-learning.md). Models that rescale their logits are left to TRL, and so are those
    on a GPU.

    Args:
        model: as a trainer of TRL holds it, within adapters or not.
        temperature: logits are divided by it.
    """
    import torch
    from trl.trainer.utils import FusedCausalLMOutput

    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    text = inner.config.get_text_config()
    if inner.device.type != "cpu" or any(getattr(text, key, None) for key in _RESCALING):
        return
    fused = inner.forward

    # `generate` holds its arguments to the model's own signature.
    @functools.wraps(type(inner).forward)
    def forward(
        self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, shift_labels: Any = None, **rest: Any
    ) -> Any:
        if not fused_lm_head or labels is None or shift_labels is not None:
            return fused(*args, fused_lm_head=fused_lm_head, labels=labels, shift_labels=shift_labels, **rest)
        total = rest.pop("num_items_in_batch", None)
        hidden = self.base_model(*args, **{**rest, "use_cache": False}).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        known = targets != -100
        wanted = targets[known]
        logits = self.get_output_embeddings()(hidden[known]).float() / temperature
        spread = torch.log_softmax(logits, -1)
        with torch.no_grad():
            right = logits.argmax(-1) == wanted
        chances = spread.gather(-1, wanted[:, None])[:, 0]
        entropy = -(spread.exp() * spread).sum(-1)

        def placed(values: Any) -> Any:
            return values.new_zeros(known.shape).masked_scatter(known, values)

        return FusedCausalLMOutput(
            loss=-chances.sum() / (known.sum().clamp(min=1) if total is None else total),
            log_probs=placed(chances),
            entropy=placed(entropy),
            is_top1=placed(right),
            label_mask=known,
        )

    inner.forward = types.MethodType(forward, inner)
