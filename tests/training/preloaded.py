"""What every run of :mod:`tests.training.runs` imports."""

import warnings

warnings.filterwarnings("ignore", message="TRL currently supports vLLM")
import peft  # noqa: E402, F401
import tensorboard  # noqa: E402, F401
import torch.utils.tensorboard  # noqa: E402, F401
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoProcessor  # noqa: E402, F401
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer  # noqa: E402, F401

import training.grpo  # noqa: E402
import training.sft  # noqa: E402, F401
