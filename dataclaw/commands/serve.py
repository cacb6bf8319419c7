"""`dataclaw serve`: a registered model behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from dataclaw.commands.models import CORPUS, MODEL
from dataclaw.commands.status import CATALOG


class Engine(StrEnum):
    """What runs the model."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"


def serve(
    model: Annotated[str, MODEL],
    corpus: Annotated[str, CORPUS] = ".",
    catalog: Annotated[str | None, CATALOG] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="To listen on; others than this machine see it.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0: any that is free.")] = 8000,
    engine: Annotated[
        Engine | None, typer.Option(help="What runs it.", show_default="vllm with a GPU, else transformers")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="Environment variable with the key that requests must bring."),
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, help="Requests in one batch.")] = 16,
    tensor_parallel: Annotated[
        int, typer.Option(metavar="N", min=1, help="GPUs that one engine is split over (vllm).")
    ] = 1,
    gpu_memory: Annotated[
        float, typer.Option(metavar="SHARE", min=0.05, max=1.0, help="Of a GPU's memory, for vllm.")
    ] = 0.9,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help="Number format of the weights.")] = "auto",
) -> None:
    """Serve a registered model and its base at one OpenAI-compatible endpoint, until Ctrl-C.

    Each adapter is a model of its own under its version (`tailor@3`). The name of a set of experts stands for whichever
    its router chooses (transformers only: builds with `model:NAME` choose by themselves).

    Example: `dataclaw serve tailor --corpus corpus --port 8000`
    """
    from contextlib import suppress

    from dataclaw.commands.models import open_registry
    from deployments.serving import Service, serve_by_transformers, serve_by_vllm
    from schemas.recipe import Serving
    from synthesis.backends.secret import Secret

    secret = "" if key is None else Secret(key).read()
    with open_registry(corpus, catalog) as registry:
        found = registry.get(model)
    engine = _engine(engine)
    service = Service.of(found)
    serving = Serving(concurrency=concurrency, tensor_parallel=tensor_parallel, gpu_memory=gpu_memory, dtype=dtype)
    with suppress(KeyboardInterrupt):  # it is how a server ends
        if engine is Engine.VLLM:
            serve_by_vllm(service, serving, host, port, secret, _tell)
        else:
            serve_by_transformers(service, serving, host, port, secret, _tell)


def _engine(wanted: Engine | None) -> Engine:
    """The engine that is wanted, or the one for this machine.

    Raises:
        UsageError: a package of it is missing.
    """
    from importlib.util import find_spec

    from experts.weights import not_installed
    from schemas.errors import UsageError
    from synthesis.backends import transformers, vllm

    engine = wanted or Engine.TRANSFORMERS
    if wanted is None and find_spec("torch") is not None:
        import torch

        engine = Engine.VLLM if torch.cuda.is_available() else Engine.TRANSFORMERS
    packages, extra = {
        Engine.VLLM: (("vllm",), vllm.EXTRA),
        Engine.TRANSFORMERS: (("torch", "transformers", "xgrammar", "peft"), transformers.EXTRA),
    }[engine]
    for problem in not_installed(f"dataclaw serve --engine {engine}", extra, *packages):
        raise UsageError(problem.input, problem.cause, problem.remedy)
    return engine


def _tell(line: str) -> None:
    typer.echo(line)
