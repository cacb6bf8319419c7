"""What answers during GRPO: the model itself, or vLLM, which TRL hands the tuned weights after each step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from experts.weights import device_of
from schemas.errors import UsageError, extra
from schemas.training import GRPO, Rollouts
from synthesis.backends.vllm import CPU_ENVIRONMENT


def rollout_settings(how: GRPO) -> dict[str, Any]:
    """The arguments of TRL's `GRPOConfig` that say so."""
    if how.rollouts is Rollouts.TRANSFORMERS:
        return {}
    if how.rollouts is Rollouts.SERVER:
        return {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": how.server}
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": how.memory,
        "vllm_max_model_length": how.max_question + how.max_answer,
        "vllm_enable_sleep_mode": device_of() == "cuda",  # vLLM for CPUs cannot sleep
    }


@contextmanager
def engine_starting(how: GRPO, seed: int) -> Iterator[None]:
    """While a trainer starts its engine.

    TRL offers all trainings the same port first, and two that start together both find it free: each gets one of its
    own. The engine sets the generators of the process, of which it draws, to one seed for all trainings: afterwards
    they are set to `seed`. On a CPU vLLM packs weights as it loads them, and takes no others afterwards: one that
    starts in here keeps them plain.

    Raises:
        UsageError: the engine is not installed.
    """
    if how.rollouts is not Rollouts.VLLM:
        yield
        return
    try:
        from accelerate import PartialState
        from accelerate.utils import set_seed
        from vllm.utils.network_utils import get_open_port
    except ImportError as error:
        raise UsageError("grpo.rollouts vllm", f"vLLM cannot be imported: {error}", f"Run {extra('vllm')}.") from error
    if PartialState().num_processes == 1:  # several were given one by their launcher
        os.environ.setdefault("MASTER_PORT", str(get_open_port()))
    with nullcontext() if device_of() == "cuda" else _unpacked():
        yield
    set_seed(seed, device_specific=True)


@contextmanager
def _unpacked() -> Iterator[None]:
    """While an engine for CPUs starts that keeps its weights plain."""
    import torch
    from vllm.model_executor.layers import utils

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    for name, value in CPU_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    packing = utils.dispatch_cpu_unquantized_gemm
    utils.dispatch_cpu_unquantized_gemm = plain
    try:
        yield
    finally:
        utils.dispatch_cpu_unquantized_gemm = packing
