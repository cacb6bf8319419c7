"""The vllm backend: vLLM's engine in the worker, for production on GPUs.

The engine runs in processes of its own (V1: one core, one worker per GPU); this class asks it through AsyncLLM, which
batches all requests under way continuously and shares the prompts' common prefixes. Written against the interface that
vLLM 0.29 and 0.32 have in common.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from schemas.errors import UsageError, extra, unknown_name
from schemas.model import ADAPTER
from schemas.recipe import ModelSpec, Serving
from schemas.usage import Usage
from synthesis.backends.chat import Finish, Message, Reply, Request, TooLongError, UnavailableError
from synthesis.backends.checkpoint import TEMPLATE_SETTINGS, Checkpoint, file_of
from synthesis.backends.constrain import constrainable

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

log = logging.getLogger(__name__)

EXTRA = extra("vllm")
_OWN = "own"
"""What vLLM calls `model.adapter`; other adapters have the names by which requests ask for them."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as the greatest rank of an adapter."""
_DEATHS = 3
"""An engine that died so often with no answer in between is not started again."""
_ENVIRONMENT = {
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process that has threads, as Ray's workers have, can hang
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
CPU_ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1"}
"""GiB for the cache of keys and values. By itself vLLM takes for it what share of the memory it may have of a GPU's."""
CPU_SETTINGS = {"enforce_eager": True, "enable_chunked_prefill": False}
"""Of an engine on a CPU. Compiling takes longer there than it saves. And a question with a seed of its own that is read
in parts kills the engine (vLLM 0.32): it turns a random generator back, which only those of GPUs can."""


class VLLMChat:
    """A model in an engine of this worker. The engine starts at the first request and takes minutes for a large model.

    A schema that the grammar library (xgrammar) refuses is not held to, which is logged once per schema: verification
    judges the answer all the same. `serving.timeout` and `serving.patience` are for servers: here a request waits until
    the engine comes to it.

    Args:
        adapters: folders of LoRA adapters that requests may name, besides `model.adapter`; they share the engine.
    """

    def __init__(self, model: ModelSpec, serving: Serving, adapters: Mapping[str, str] = MappingProxyType({})) -> None:
        self.model = f"{model.name}+{model.adapter}" if model.adapter else model.name
        own = {} if model.adapter is None else {_OWN: model.adapter}
        self._adapters = {**own, **adapters}
        """Folders, by name."""
        self._usual = next(iter(own), None)
        self._spec = model
        self._serving = serving
        self._checkpoint = Checkpoint(model.name)
        self._engine: AsyncLLM | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count()
        self._constraints: dict[str, str | None] = {}
        self._deaths = 0
        self._refusal: UsageError | None = None

    async def complete(self, request: Request) -> Reply:
        """The engine's answer. An engine that dies is started again once for a request.

        Raises:
            TooLongError: prompt and answer together do not fit into the context.
            UnavailableError: the engine died again, or gave the request up.
            UsageError: vLLM is not installed, has no such model, or cannot start it on this machine.
        """
        for last in (False, True):
            engine = await self._started()
            try:
                reply = await self._answer(engine, request)
            except _engine_dead() as error:
                await self._bury(engine)
                if last:
                    cause = f"its engine died twice at one request: {error}"
                    raise UnavailableError(self.model, cause, _READ_THE_LOG) from error
                log.warning("%s: the engine died and is started again", self.model)
            else:
                self._deaths = 0
                return reply
        raise AssertionError("unreachable")

    def tokens(self, text: str) -> int:
        return self._checkpoint.tokens(text)

    def picture_tokens(self, width: int, height: int) -> int:
        return self._checkpoint.picture_tokens(width, height)

    async def close(self) -> None:
        async with self._starting:
            engine, self._engine = self._engine, None
        if engine is not None:
            await asyncio.to_thread(engine.shutdown)

    async def _started(self) -> AsyncLLM:
        async with self._starting:
            if self._engine is None:
                if self._deaths >= _DEATHS:
                    cause = f"its engine died {self._deaths} times without an answer in between"
                    raise UnavailableError(self.model, cause, _READ_THE_LOG)
                if self._refusal is not None:  # for those who waited: trying again would take minutes to fail again
                    raise self._refusal
                try:
                    # In a thread: it takes minutes, and the worker must go on answering meanwhile.
                    self._engine = await asyncio.to_thread(self._start)
                except UsageError as error:
                    if self._deaths:  # it could once
                        raise UnavailableError(self.model, error.problem.cause, error.problem.remedy) from error
                    self._refusal = error
                    raise
            return self._engine

    async def _bury(self, engine: AsyncLLM) -> None:
        """Lets a dead engine go; of several requests that saw it die, the first does."""
        shutdown = engine.shutdown
        async with self._starting:
            if self._engine is not engine:
                return
            self._engine = None
            self._deaths += 1
        await asyncio.to_thread(shutdown)

    def _start(self) -> AsyncLLM:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import torch

            gpu = torch.cuda.is_available()
            if not gpu:
                for name, value in CPU_ENVIRONMENT.items():
                    os.environ.setdefault(name, value)
            from vllm import AsyncEngineArgs
            from vllm.config import StructuredOutputsConfig
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise UsageError("backend vllm", f"vLLM cannot be imported: {error}", f"Run {EXTRA}.") from error
        spec, serving = self._spec, self._serving
        settings: dict[str, Any] = {
            "model": spec.name,
            "dtype": serving.dtype,
            "seed": spec.seed,
            "tensor_parallel_size": serving.tensor_parallel,
            "gpu_memory_utilization": serving.gpu_memory,
            "max_num_seqs": serving.concurrency,
            "enable_prefix_caching": True,
            "limit_mm_per_prompt": {"image": spec.frames + spec.thumbnails, "video": 0},
            # Named, not chosen by vLLM per schema: an engine has one grammar library for all its life, that of the
            # first request. Without free white space, of which a model can write any amount.
            "structured_outputs_config": StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True),
            "disable_log_stats": True,
        } | ({} if gpu else CPU_SETTINGS)
        if serving.tensor_parallel > 1:
            # Inside a Ray actor vLLM would ask Ray for workers of its own, for which the actor's GPUs are not free.
            settings["distributed_executor_backend"] = "mp"
        if self._adapters:
            settings |= {
                "enable_lora": True,
                "max_loras": len(self._adapters),
                "max_lora_rank": greatest_rank(self._adapters.values()),
            }
        try:
            settings["max_model_len"] = min(spec.context, _context_of(AsyncEngineArgs(**settings)))
            return AsyncLLM.from_engine_args(AsyncEngineArgs(**settings))
        except MemoryError as error:
            raise UsageError(self.model, "there is not enough memory to start it", _LESS_MEMORY) from error
        except (OSError, ValueError, RuntimeError) as error:
            raise self._unstartable(error) from error

    def _unstartable(self, error: Exception) -> UsageError:
        text = str(error)
        if isinstance(error, OSError):
            return UsageError(self.model, f"its files cannot be had: {_first_line(text)}", _FETCH)
        if "memory" in text.lower():
            return UsageError(self.model, f"there is not enough memory to start it: {_first_line(text)}", _LESS_MEMORY)
        if isinstance(error, RuntimeError):  # the engine's processes keep the reason to their own log
            return UsageError(self.model, f"vLLM's engine does not start: {_first_line(text)}", _READ_THE_LOG)
        return UsageError(self.model, f"vLLM does not take it: {_first_line(text)}", _FETCH)

    async def _answer(self, engine: AsyncLLM, request: Request) -> Reply:
        from vllm.exceptions import VLLMClientError
        from vllm.renderers import ChatParams
        from vllm.v1.engine.exceptions import EngineGenerateError

        conversation: Any = await asyncio.to_thread(lambda: [self._told(message) for message in request.messages])
        parameters = ChatParams(chat_template_kwargs=dict(TEMPLATE_SETTINGS))
        context = engine.model_config.max_model_len
        try:
            _, prompts = await engine.renderer.render_chat_async([conversation], parameters)
        except (VLLMClientError, ValueError) as error:
            if getattr(error, "parameter", None) in ("input_tokens", "input_text"):
                raise self._too_long(_first_line(str(error))) from error
            raise UsageError(
                self.model, f"the request cannot be put to it: {_first_line(str(error))}", _FEWER
            ) from error
        prompt: Any = prompts[0]
        length = len(prompt["prompt_token_ids"])
        if length + request.sampling.max_tokens > context:
            raise self._too_long(f"{length} tokens of prompt and {request.sampling.max_tokens} of answer, of {context}")
        lora = self._lora(request.adapter)
        sampling = await self._sampling(request)
        try:
            ends = [end async for end in engine.generate(prompt, sampling, f"{next(self._numbers)}", lora_request=lora)]
        except VLLMClientError as error:
            cause = f"the engine refuses the request: {_first_line(str(error))}"
            raise UsageError(self.model, cause, _FEWER) from error
        except EngineGenerateError as error:
            raise UnavailableError(self.model, f"the engine failed at the request: {error!r}", _READ_THE_LOG) from error
        output = ends[-1]
        if output.outputs[0].finish_reason not in ("stop", "length"):
            cause = f"the engine gave the request up: {output.outputs[0].finish_reason}"
            raise UnavailableError(self.model, cause, _READ_THE_LOG)
        answer = output.outputs[0]
        places = (prompt.get("mm_placeholders") or {}).get("image") or ()
        return Reply(
            answer.text,
            Finish.STOP if answer.finish_reason == "stop" else Finish.LENGTH,
            Usage(
                requests=1,
                prompt_tokens=length,
                cached_tokens=output.num_cached_tokens or 0,
                image_tokens=sum(place.length for place in places),
                completion_tokens=len(answer.token_ids),
                images=sum(len(message.pictures) for message in request.messages),
            ),
        )

    def _lora(self, adapter: str | None) -> LoRARequest | None:
        from vllm.lora.request import LoRARequest

        name = adapter or self._usual
        if name is None:
            return None
        if name not in self._adapters:
            raise unknown_name("adapter", name, self._adapters)
        return LoRARequest(name, 1 + list(self._adapters).index(name), self._adapters[name])

    def _told(self, message: Message) -> dict[str, Any]:
        parts = self._checkpoint.parts(message)
        if len(parts) == 1 and isinstance(parts[0], str):
            return {"role": message.role, "content": parts[0]}
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image_pil", "image_pil": part}
            for part in parts
        ]
        return {"role": message.role, "content": content}

    async def _sampling(self, request: Request) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        grammar = None if request.schema is None else await asyncio.to_thread(self._constraint, request.schema)
        return SamplingParams(
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            seed=request.sampling.seed,
            max_tokens=request.sampling.max_tokens,
            structured_outputs=None if grammar is None else StructuredOutputsParams(json=grammar),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def _constraint(self, schema: str) -> str | None:
        """A schema as the grammar library takes it; None, with a warning, for one that it refuses."""
        if schema not in self._constraints:
            from vllm import SamplingParams
            from vllm.sampling_params import StructuredOutputsParams
            from vllm.v1.structured_output.backend_xgrammar import validate_xgrammar_grammar

            plain = constrainable(schema)
            try:
                validate_xgrammar_grammar(SamplingParams(structured_outputs=StructuredOutputsParams(json=plain)))
            except Exception as error:  # of the library's many own kinds; in each case the schema is not held to
                log.warning("%s: answers are not held to this schema, which xgrammar refuses (%s): %s",
                            self.model, _first_line(str(error)), plain)  # fmt: skip
                self._constraints[schema] = None
            else:
                self._constraints[schema] = plain
        return self._constraints[schema]

    def _too_long(self, cause: str) -> TooLongError:
        return TooLongError(self.model, f"the request does not fit into its context: {cause}", _FEWER)


def greatest_rank(adapters: Iterable[str]) -> int:
    """The greatest rank of LoRA adapters (folders or hub ids), as vLLM can be told it.

    Raises:
        UsageError: one is no LoRA adapter, or vLLM takes none of its rank.
    """
    return max(_rank(adapter) for adapter in adapters)


def _rank(adapter: str) -> int:
    path = file_of(adapter, ADAPTER)
    if path is None:
        raise UsageError(adapter, f"it is no LoRA adapter: it has no {ADAPTER}", _ADAPTER)
    rank = int(json.loads(path.read_text()).get("r", _RANKS[0]))
    fitting = next((size for size in _RANKS if size >= rank), None)
    if fitting is None:
        raise UsageError(adapter, f"its rank is {rank}, and vLLM takes at most {_RANKS[-1]}", _ADAPTER)
    return fitting


def _engine_dead() -> type[Exception]:
    from vllm.v1.engine.exceptions import EngineDeadError

    dead: type[Exception] = EngineDeadError
    return dead


def _context_of(arguments: Any) -> int:
    """The tokens that the model itself bears."""
    return int(arguments.create_model_config().max_model_len)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")


_READ_THE_LOG = (
    "The reason stands in the log above. Where memory was lacking, lower placement.serving.gpu_memory (another "
    "process may hold the rest), model.context or placement.serving.concurrency."
)
_LESS_MEMORY = (
    "Lower placement.serving.gpu_memory (another process may hold the rest), model.context or "
    "placement.serving.concurrency, or split it over more GPUs with placement.serving.tensor_parallel."
)
_FETCH = "Give model.name as the folder of a downloaded model, or fetch it once with `hf download` while online."
_ADAPTER = "Give model.adapter as a folder that PEFT saved, with a rank of at most 512."
_FEWER = "Lower model.frames or model.anchor_tokens, or raise model.context as far as the model goes."
