"""A random LoRA adapter for a model's language layers, as PEFT saves one."""

from __future__ import annotations

from pathlib import Path


def make(folder: Path, model: Path, rank: int = 4, seed: int = 0) -> Path:
    """Saves an adapter for the checkpoint in `model` into `folder`, and returns it. It changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    sees = type(AutoConfig.from_pretrained(model)) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    base = (AutoModelForImageTextToText if sees else AutoModelForCausalLM).from_pretrained(model)
    names = [
        name
        for name, _ in base.named_modules()
        if name.endswith(("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")) and "visual" not in name
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = get_peft_model(base, LoraConfig(r=rank, lora_alpha=64, target_modules=names))
        for name, weights in adapted.named_parameters():
            if "lora_B" in name:  # PEFT starts at nothing
                torch.nn.init.normal_(weights, std=0.5)
    adapted.save_pretrained(folder)
    return folder
