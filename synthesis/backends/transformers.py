"""The transformers backend: a model of the hub in this process, for machines on which vLLM does not run.

Slower than the vllm backend by far: no prefix is shared, and a batch ends with its longest answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from experts.batches import is_out_of_memory
from experts.weights import device_of
from schemas.errors import DataClawError, UsageError, extra, unknown_name
from schemas.recipe import ModelSpec, Serving
from schemas.usage import Usage
from synthesis.backends.chat import Finish, Message, Reply, Request, Sampling, TooLongError, UnavailableError
from synthesis.backends.checkpoint import TEMPLATE_SETTINGS, Checkpoint
from synthesis.backends.constrain import constrainable

log = logging.getLogger(__name__)

EXTRA = extra("transformers")
_OWN = "own"
"""What PEFT calls `model.adapter`; other adapters have the names by which requests ask for them."""


class TransformersChat:
    """A model in this process, loaded at the first request; it generates in a thread of its own.

    Requests that wait are answered together when they draw tokens alike: greedily, with equal bounds and by the same
    adapter. Those with a temperature go one by one, so that an answer depends on its own seed and not on its company. A
    batch too large for memory is taken apart. A schema that xgrammar refuses is not held to, which is logged once per
    schema.

    Args:
        adapters: folders of LoRA adapters that requests may name, besides `model.adapter`; they share the base.
    """

    def __init__(self, model: ModelSpec, serving: Serving, adapters: Mapping[str, str] = MappingProxyType({})) -> None:
        self.model = f"{model.name}+{model.adapter}" if model.adapter else model.name
        self._adapters = adapters
        self._spec = model
        self._serving = serving
        self._checkpoint = Checkpoint(model.name)
        self._waiting: deque[_Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="transformers")
        self._loaded: _Model | None = None

    async def complete(self, request: Request) -> Reply:
        """The model's answer.

        Raises:
            TooLongError: prompt and answer together do not fit into the context.
            UnavailableError: memory does not suffice for this request even alone.
            UsageError: a package or the weights are missing, or the model cannot take the request.
        """
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.reply

    def tokens(self, text: str) -> int:
        return self._checkpoint.tokens(text)

    def picture_tokens(self, width: int, height: int) -> int:
        return self._checkpoint.picture_tokens(width, height)

    async def close(self) -> None:
        if self._worker is not None:
            self._worker.cancel()
        for waiting in self._waiting:
            waiting.reply.cancel()
        self._waiting.clear()
        self._loaded = None
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        """Answers what waits, batch after batch, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(0)  # those that are about to ask join this batch
            batch = self._next()
            try:
                ends = await loop.run_in_executor(self._thread, self._answer, [each.request for each in batch])
            except Exception as error:  # reaches every one who asked, and the worker goes on for the others
                ends = [error] * len(batch)
            for each, end in zip(batch, ends, strict=True):
                if each.reply.done():
                    continue
                if isinstance(end, Reply):
                    each.reply.set_result(end)
                else:
                    each.reply.set_exception(end)

    def _next(self) -> list[_Waiting]:
        """The request that has waited longest, and those that can be answered with it."""
        batch: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        for each in self._waiting:
            if each.reply.done():  # whoever asked has gone
                continue
            fits = not batch or (
                each.alike is not None and each.alike == batch[0].alike and len(batch) < self._serving.concurrency
            )
            (batch if fits else left).append(each)
        self._waiting = left
        return batch

    def _answer(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        """An end for each request, in their order. Runs in the thread."""
        if not requests:
            return []
        if self._loaded is None:
            self._loaded = _Model(self._spec, self._serving, self._checkpoint, self._adapters)
        try:
            return self._loaded.answers(requests)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._loaded.free()
            cause = "there is not enough memory for a request"
        if len(requests) > 1:
            return [end for request in requests for end in self._answer([request])]
        return [UnavailableError(self.model, cause, "Lower model.frames, model.anchor_tokens or model.max_tokens.")]


@dataclass
class _Waiting:
    request: Request
    reply: asyncio.Future[Reply]
    alike: tuple[Sampling, bool, bool, str | None] | None = field(init=False)
    """Equal for requests that can be answered together; None for one that must be alone."""

    def __post_init__(self) -> None:
        seen = any(message.pictures for message in self.request.messages)
        greedy = self.request.sampling.temperature == 0
        likeness = (self.request.sampling, seen, self.request.schema is None, self.request.adapter)
        self.alike = likeness if greedy else None


class _Model:
    """Weights, processor and grammars, as one thread uses them."""

    def __init__(self, spec: ModelSpec, serving: Serving, checkpoint: Checkpoint, adapters: Mapping[str, str]) -> None:
        own = {} if spec.adapter is None else {_OWN: spec.adapter}
        self._adapters = {**own, **adapters}
        self._usual = next(iter(own), None)
        try:
            import torch  # noqa: F401
            import transformers
            import xgrammar
            from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

            if self._adapters:
                import peft
        except ImportError as error:
            raise UsageError("backend transformers", f"a package is missing: {error}", f"Run {EXTRA}.") from error
        self._name = spec.name
        self._checkpoint = checkpoint
        try:
            config = transformers.AutoConfig.from_pretrained(spec.name)
            self._sees = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
            kind = transformers.AutoModelForImageTextToText if self._sees else transformers.AutoModelForCausalLM
            self._device = device_of()
            model = kind.from_pretrained(spec.name, dtype=serving.dtype)
            for number, (name, folder) in enumerate(self._adapters.items()):
                if number == 0:
                    model = peft.PeftModel.from_pretrained(model, folder, adapter_name=name)
                else:
                    model.load_adapter(folder, adapter_name=name)
            self._model = model.to(self._device).eval()
            loader = transformers.AutoProcessor if self._sees else transformers.AutoTokenizer
            self._processor = loader.from_pretrained(spec.name)
        except (OSError, ValueError) as error:
            raise UsageError(spec.name, f"it cannot be loaded: {_first_line(error)}", _FETCH) from error
        except Exception as error:
            if is_out_of_memory(error):
                cause = "there is not enough memory for its weights"
                raise UsageError(spec.name, cause, "Choose a smaller model, or a machine with more memory.") from error
            raise
        text = config.get_text_config()
        self._context = min(spec.context, getattr(text, "max_position_embeddings", None) or spec.context)
        self._image_token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
        self._tokenizer = self._processor.tokenizer if self._sees else self._processor
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        # Processors take what a template does not name for a setting of their own.
        template = str(self._processor.chat_template)
        self._settings = {name: value for name, value in TEMPLATE_SETTINGS.items() if name in template}
        vocabulary = xgrammar.TokenizerInfo.from_huggingface(self._tokenizer, vocab_size=text.vocab_size)
        self._compiler = xgrammar.GrammarCompiler(vocabulary)
        self._grammars: dict[str, Any] = {}

    def answers(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        """Replies to requests of equal sampling and adapter, all with a schema or all without, all with pictures or all
        without."""
        ends: dict[int, Reply | Exception] = {}
        fitting: list[int] = []
        for number, request in enumerate(requests):
            try:
                self._check(request, self._inputs([request]))
            except DataClawError as error:
                ends[number] = error
            else:
                fitting.append(number)
        for batch in self._by_grammar(fitting, requests):
            asked = [requests[number] for number in batch]
            ends.update(zip(batch, self._generate(asked), strict=True))
        return [ends[number] for number in range(len(requests))]

    def free(self) -> None:
        """Gives cached GPU memory back."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _by_grammar(self, numbers: Sequence[int], requests: Sequence[Request]) -> list[list[int]]:
        """Requests held to a grammar apart from those that are not."""
        held = [number for number in numbers if self._grammar(requests[number]) is not None]
        free = [number for number in numbers if number not in held]
        return [batch for batch in (held, free) if batch]

    def _check(self, request: Request, inputs: Any) -> None:
        if request.adapter is not None and request.adapter not in self._adapters:
            raise unknown_name("adapter", request.adapter, self._adapters)
        length, most = inputs["input_ids"].shape[1], request.sampling.max_tokens
        if length + most > self._context:
            cause = f"{length} tokens of prompt and {most} of answer do not fit into its context of {self._context}"
            remedy = "Lower model.frames or model.anchor_tokens, or raise model.context as far as the model goes."
            raise TooLongError(self._name, cause, remedy)

    def _inputs(self, requests: Sequence[Request]) -> Any:
        """Tensors for the model, padded on the left."""
        texts, pictures = [], []
        for request in requests:
            shown: list[Any] = []
            conversation = [self._told(message, shown) for message in request.messages]
            texts.append(self._processor.apply_chat_template(conversation, tokenize=False, **self._settings))
            pictures.append(shown)
        given: dict[str, Any] = {"text": texts, "padding": True, "return_tensors": "pt", "add_special_tokens": False}
        if any(pictures):
            given["images"] = pictures
        return self._processor(**given)

    def _told(self, message: Message, shown: list[Any]) -> dict[str, Any]:
        parts = self._checkpoint.parts(message)
        if not self._sees:
            if message.pictures:
                cause = "it sees no pictures, and the request holds some"
                raise UsageError(self._name, cause, "Choose a model with vision, or set model.frames: 0.")
            return {"role": message.role, "content": "\n\n".join(str(part) for part in parts)}
        content: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                content.append({"type": "image"})
                shown.append(part)
        return {"role": message.role, "content": content}

    def _generate(self, requests: Sequence[Request]) -> list[Reply]:
        import torch
        from xgrammar.contrib.hf import LogitsProcessor

        sampling = requests[0].sampling
        dtype = self._model.dtype
        inputs = {
            name: tensor.to(self._device, dtype if tensor.is_floating_point() else tensor.dtype)
            for name, tensor in self._inputs(requests).items()
        }
        length = inputs["input_ids"].shape[1]
        settings: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling.temperature > 0:
            settings = {
                "do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0,
            }  # fmt: skip
        grammars = [self._grammar(request) for request in requests]
        if grammars[0] is not None:
            settings["logits_processor"] = [LogitsProcessor(grammars)]
        devices = [self._device] if self._device.startswith("cuda") else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices), self._as(requests[0].adapter):
            torch.manual_seed(sampling.seed)
            written = self._model.generate(
                **inputs, max_new_tokens=sampling.max_tokens, pad_token_id=self._tokenizer.pad_token_id, **settings
            )
        return [
            self._reply(request, inputs["input_ids"][row], inputs["attention_mask"][row], written[row, length:])
            for row, request in enumerate(requests)
        ]

    def _as(self, adapter: str | None) -> AbstractContextManager[Any]:
        """The model with one of its adapters, or with none."""
        named = adapter or self._usual
        if not self._adapters:
            return nullcontext()
        if named is None:
            without: AbstractContextManager[Any] = self._model.disable_adapter()
            return without
        self._model.set_adapter(named)
        return nullcontext()

    def _reply(self, request: Request, prompt: Any, mask: Any, written: Any) -> Reply:
        ends = self._model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        ids = written.tolist()
        stop = next((place for place, token in enumerate(ids) if token in ends), None)
        answer = ids if stop is None else ids[:stop]
        return Reply(
            self._tokenizer.decode(answer, skip_special_tokens=True),
            Finish.LENGTH if stop is None else Finish.STOP,
            Usage(
                requests=1,
                prompt_tokens=int(mask.sum()),
                image_tokens=0 if self._image_token is None else int((prompt == self._image_token).sum()),
                completion_tokens=len(ids) if stop is None else stop + 1,
                images=sum(len(message.pictures) for message in request.messages),
            ),
        )

    def _grammar(self, request: Request) -> Any:
        """The compiled grammar of a request's schema; None without one, or, with a warning, for one that is refused."""
        if request.schema is None:
            return None
        if request.schema not in self._grammars:
            plain = constrainable(request.schema)
            try:
                self._grammars[request.schema] = self._compiler.compile_json_schema(
                    plain, any_whitespace=False, separators=(",", ":")
                )
            except RuntimeError as error:
                log.warning("%s: answers are not held to this schema, which xgrammar refuses (%s): %s",
                            self._name, _first_line(error), plain)  # fmt: skip
                self._grammars[request.schema] = None
        return self._grammars[request.schema]


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


_FETCH = "Give model.name as the folder of a downloaded model, or fetch it once with `hf download` while online."
