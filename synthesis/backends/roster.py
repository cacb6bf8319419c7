"""Every generation backend, loaded only when used. Plugins join by the entry point `dataclaw.backends`."""

from __future__ import annotations

from typing import cast

from schemas.roster import Roster
from synthesis.backends.base import Backend

BACKENDS = Roster(
    "backend",
    "dataclaw.backends",
    {
        "rules": "synthesis.backends.rules:RulesBackend",
        "openai": "synthesis.backends.model:OpenAIBackend",
        "vllm": "synthesis.backends.model:VLLMBackend",
        "transformers": "synthesis.backends.model:TransformersBackend",
        "model": "synthesis.backends.registered:RegisteredBackend",
    },
)


def backend_class(name: str) -> type[Backend]:
    """The class of a backend; made with the recipe's settings for synthesis and for serving. All registered models
    (`model:NAME@NUMBER`) have one.

    Raises:
        UsageError: no backend has this name.
    """
    return cast(type[Backend], BACKENDS.load(name.partition(":")[0]))
