"""The head that scores answers alone: what TRL's own gives, for less."""

from __future__ import annotations

from typing import Any

import pytest

from training.head import score_answers_alone

pytestmark = pytest.mark.models

FIELDS = ("loss", "log_probs", "entropy", "is_top1", "label_mask")
TEMPERATURE = 0.7


def fused(**more: Any) -> Any:
    """A random model within adapters, as TRL's trainers prepare it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    sizes = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    model = AutoModelForCausalLM.from_config((Gemma2Config if more else LlamaConfig)(**sizes, **heads, **more))
    add_fused_lm_head(model, TEMPERATURE, outputs=("log_probs", "entropy", "is_top1"))
    return get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False))


def asked(model: Any) -> tuple[Any, dict[str, Any]]:
    """What it says of two answers of unequal lengths, and the gradients of its loss."""
    import torch

    tokens = torch.arange(24).reshape(2, 12) % 97
    labels = tokens.clone()
    labels[0, :5], labels[1, :9] = -100, -100
    found = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=labels, fused_lm_head=True)
    model.zero_grad()
    (found.loss + found.entropy.sum()).backward()
    return found, {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}


def test_losses_and_gradients_are_those_of_trl() -> None:
    import torch

    model = fused()
    before, gradients = asked(model)
    score_answers_alone(model, TEMPERATURE)
    after, ours = asked(model)
    for name in FIELDS:
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=1e-4, atol=1e-5)
    assert ours.keys() == gradients.keys()
    assert ours
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-5)


def test_without_labels_it_gives_logits_and_generates_as_before() -> None:
    import torch

    model = fused().eval()
    tokens = torch.arange(6)[None]
    before, said = model(input_ids=tokens).logits, model.generate(input_ids=tokens, max_new_tokens=4, do_sample=False)
    score_answers_alone(model)
    assert torch.equal(model(input_ids=tokens).logits, before)
    assert torch.equal(model.generate(input_ids=tokens, max_new_tokens=4, do_sample=False), said)


def test_a_model_that_rescales_its_logits_is_left_alone() -> None:
    model = fused(final_logit_softcapping=30.0)
    forward = model.get_base_model().forward
    score_answers_alone(model)
    assert model.get_base_model().forward == forward
