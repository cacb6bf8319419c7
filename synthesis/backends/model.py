"""Every backend with a model: it chooses where to look, looks closely, writes, and mends what did not verify.

Coarse to fine: first the timeline of facts and contact sheets of small pictures, from which the model names the
stretches that matter; then their facts and full-size frames, from which it writes; then the verifier's report.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from experts.weights import not_installed
from schemas.base import canonical_json
from schemas.errors import Problem, UsageError
from schemas.recipe import ModelSpec, Serving, Synthesis
from schemas.score import Score
from schemas.trail import Routed, Step, Trail
from schemas.usage import Usage
from synthesis import prompt, showing
from synthesis.backends.chat import (
    Chat,
    Finish,
    Message,
    RefusedError,
    Reply,
    Request,
    Sampling,
    TooLongError,
    UnavailableError,
    tokens_of,
)
from synthesis.backends.checkpoint import Checkpoint
from synthesis.backends.secret import Secret
from synthesis.base import Agent, Evidence
from synthesis.prompts import VERSION
from synthesis.purse import Purse, StreamSpentError
from synthesis.selection import Budget, select_moments
from synthesis.trails import exchange

_SECONDS_PER_FRAME = 2.0
"""Where full-size frames are this close anyway, there is nothing to choose."""
_LEAST_WINDOW = 1.0
"""Seconds."""
_HALVINGS = 4
"""How often what is shown is halved when it does not fit."""


class ModelBackend(ABC):
    """A backend over a :class:`Chat`."""

    name: str
    prompt_version: str | None = VERSION

    def __init__(
        self, settings: Synthesis, serving: Serving, adapters: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        if settings.model is None:
            raise UsageError(
                f"backend {self.name}",
                "it needs a model, and the recipe names none",
                "Set synthesis.model.name (or --model): a hub id, a folder, or the name that the server knows.",
            )
        self.settings = settings.model
        self.serving = serving
        self.adapters = adapters
        """Folders of those that requests may name."""
        self.chat = self.open_chat(settings.model, serving)
        self.model: str | None = self.chat.model

    def lacks(self) -> list[Problem]:
        """What this machine lacks for the model to be asked."""
        return []

    @abstractmethod
    def open_chat(self, model: ModelSpec, serving: Serving) -> Chat:
        """The chat of this backend. Loads no weights yet."""

    def chat_for(self, evidence: Evidence) -> tuple[Chat, Routed | None]:
        """Who answers a task, and where there are several, why it is that one."""
        return self.chat, None

    def chat_of(self, trail: Trail) -> Chat:
        """Who answered."""
        return self.chat

    def start(self, agent: Agent, evidence: Evidence, purse: Purse) -> ModelWriter:
        chat, route = self.chat_for(evidence)
        return ModelWriter(chat, self.settings, agent, evidence, purse, route)

    async def close(self) -> None:
        await self.chat.close()


class OpenAIBackend(ModelBackend):
    """Any server that speaks OpenAI's chat completions."""

    name = "openai"

    def open_chat(self, model: ModelSpec, serving: Serving) -> Chat:
        from synthesis.backends.openai import OpenAIChat

        return OpenAIChat(model, serving)

    def lacks(self) -> list[Problem]:
        """The key that the recipe names."""
        try:
            Secret(self.serving.key).read()
        except UsageError as error:
            return [error.problem]
        return []


class VLLMBackend(ModelBackend):
    """A vLLM engine in the worker."""

    name = "vllm"

    def open_chat(self, model: ModelSpec, serving: Serving) -> Chat:
        from synthesis.backends.vllm import VLLMChat

        return VLLMChat(model, serving, self.adapters)

    def lacks(self) -> list[Problem]:
        from synthesis.backends.vllm import EXTRA

        return [*not_installed(f"backend {self.name}", EXTRA, "vllm"), *cannot_see(self.settings)]


class TransformersBackend(ModelBackend):
    """A model in the worker through transformers: for small machines."""

    name = "transformers"

    def open_chat(self, model: ModelSpec, serving: Serving) -> Chat:
        from synthesis.backends.transformers import TransformersChat

        return TransformersChat(model, serving, self.adapters)

    def lacks(self) -> list[Problem]:
        from synthesis.backends.transformers import EXTRA

        adapted = ("peft",) if self.settings.adapter or self.adapters else ()
        missing = not_installed(f"backend {self.name}", EXTRA, "torch", "transformers", *adapted)
        return [*missing, *cannot_see(self.settings)]


def cannot_see(model: ModelSpec) -> Iterator[Problem]:
    """A model of text alone that is to be shown frames, known before a stream was read."""
    if model.frames and Checkpoint(model.name).blind:
        cause = f"it sees no pictures, and frames is {model.frames}"
        yield Problem(input=model.name, cause=cause, remedy="Choose a model with vision, or set model.frames: 0.")


class ModelWriter:
    """One output by a model."""

    def __init__(
        self,
        chat: Chat,
        settings: ModelSpec,
        agent: Agent,
        evidence: Evidence,
        purse: Purse,
        route: Routed | None = None,
    ) -> None:
        self._chat = chat
        self._settings = settings
        self._agent = agent
        self._evidence = evidence
        self._purse = purse
        self._conversation: tuple[Message, ...] = ()
        self.usage = Usage()
        self.trail: Trail | None = Trail(model=chat.model, prompt_version=VERSION, route=route)

    async def write(self) -> str:
        windows = await self._choose()
        return await self._fitting(lambda share: self._write(windows, share))

    async def mend(self, output: str, score: Score) -> str | None:
        """Asks for the whole output again, with what the verifier said of this one."""
        conversation = (*self._conversation, Message("assistant", (output,)), prompt.repairing(score))
        try:
            reply = await self._ask(Step.REPAIR, conversation, self._held_to)
        except (TooLongError, StreamSpentError):
            return None  # there is no room to say it in: the verdict on what there is stands
        self._conversation = conversation
        mended = _canonical(reply.text)
        return None if mended == output else mended

    # --- the steps -----------------------------------------------------------------------------------------------

    async def _choose(self) -> list[prompt.Window]:
        """Where to look: the model's choice, or everything where that can be looked at anyway."""
        evidence = self._evidence
        everything = prompt.whole(evidence)
        if not asks_where(evidence, self._settings):
            return everything
        answer = await self._fitting(self._ask_where)
        return prompt.windows_of(answer, evidence, _LEAST_WINDOW)

    async def _ask_where(self, share: float) -> str:
        most = max(1, int(self._settings.thumbnails * share))
        moments = self._moments(prompt.whole(self._evidence), most)
        sheets = await asyncio.to_thread(showing.contact_sheets, self._evidence.streams, moments)
        asked = prompt.choosing(self._evidence, sheets, int(self._settings.anchor_tokens * share))
        conversation = prompt.conversation(self._agent, self._evidence, asked, self._settings.brief)
        reply = await self._ask(Step.CHOOSE, conversation, prompt.windows_schema(self._evidence))
        return reply.text

    async def _write(self, windows: Sequence[prompt.Window], share: float) -> str:
        moments = self._moments(windows, int(self._settings.frames * share))
        streams = self._evidence.streams
        frames = await asyncio.to_thread(showing.frames, streams, moments, self._settings.image_side)
        told = prompt.told(self._agent, self._evidence, windows, int(self._settings.anchor_tokens * share))
        asked = prompt.writing(self._agent, self._evidence, told, frames)
        conversation = prompt.conversation(self._agent, self._evidence, asked, self._settings.brief)
        reply = await self._ask(Step.WRITE, conversation, self._held_to)
        self._conversation = conversation
        return _canonical(reply.text)

    async def _fitting(self, step: Callable[[float], Awaitable[str]]) -> str:
        """A step with as much shown as fits: half as much, and half of that, where it is too long for the model's
        context or for what the stream may cost."""
        share = 1.0
        for _ in range(_HALVINGS):
            try:
                return await step(share)
            except (TooLongError, StreamSpentError):
                share /= 2
        return await step(share)

    @property
    def _held_to(self) -> str | None:
        """The schema that the engine holds an output to."""
        return self._agent.schema if self._settings.constrained else None

    # --- one question ---------------------------------------------------------------------------------------------

    async def _ask(self, step: Step, conversation: tuple[Message, ...], schema: str | None) -> Reply:
        """The answer to a question; asked once more when it is empty or cut off.

        Raises:
            RefusedError: the model refuses.
            TooLongError: it does not fit.
            SpentError, StreamSpentError: it would cost more than there is.
        """
        settings = self._settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.seed, settings.max_tokens)
        reply = await self._once(step, Request(conversation, schema, sampling))
        if reply.finish is Finish.LENGTH:
            longer = replace(sampling, max_tokens=2 * sampling.max_tokens)
            request = Request(conversation, schema, longer)
            if tokens_of(request, self._chat).tokens <= settings.context:
                reply = await self._once(step, request)
        elif reply.finish is Finish.STOP and not reply.text.strip():
            # Greedy and equally seeded it would be silent again.
            other = replace(sampling, seed=sampling.seed + 1, temperature=max(sampling.temperature, 0.3))
            reply = await self._once(step, Request(conversation, schema, other))
        if reply.finish is Finish.REFUSAL:
            words = " ".join(reply.text.split())[:200] or "without a word"
            raise RefusedError(
                self._evidence.streams[0].uri,
                f"the model {self._chat.model} refuses: {words}",
                "Look at the stream and at the intent, or choose another model.",
            )
        return reply

    async def _once(self, step: Step, request: Request) -> Reply:
        estimate = tokens_of(request, self._chat)
        if estimate.tokens > self._settings.context:
            raise TooLongError(
                self._evidence.streams[0].uri,
                f"{estimate.prompt_tokens} tokens of question and {request.sampling.max_tokens} of answer do not fit "
                f"into a context of {self._settings.context}",
                "Raise synthesis.model.context, or lower frames, image_side, anchor_tokens or max_tokens.",
            )
        self._purse.reserve(estimate)
        used = Usage()
        try:
            reply = await self._chat.complete(request)
            used = reply.usage
        except (TooLongError, UnavailableError) as error:
            used = error.usage
            raise
        finally:
            self._purse.settle(estimate, used)
            self.usage += used
        if self.trail is not None:
            self.trail = self.trail.model_copy(
                update={"exchanges": (*self.trail.exchanges, exchange(step, request, reply, self.trail))}
            )
        return reply

    def _moments(self, windows: Sequence[prompt.Window], frames: int) -> list[showing.Moment]:
        """The moments to show of these windows, most to those that last longest."""
        lasting = sum(window.t1 - window.t0 for window in windows)
        seeing = {stream.sha256 for stream in self._evidence.streams if showing.has_pictures(stream)}
        moments: list[showing.Moment] = []
        for window in windows:
            if window.stream not in seeing:
                continue
            part = (window.t1 - window.t0) / lasting if lasting > 0 else 1 / len(windows)
            budget = Budget(max(1, round(frames * part)))
            anchors = self._evidence.by_stream[window.stream]
            times = select_moments(anchors, window.t0, window.t1, budget)
            moments += [(window.stream, time) for time in times if (window.stream, time) not in moments]
        return moments[:frames]


def asks_where(evidence: Evidence, settings: ModelSpec) -> bool:
    """Whether there is something to choose: more time with pictures than full-size frames show anyway. A model
    that is shown none chooses none."""
    lasting = sum(window.t1 - window.t0 for window in prompt.whole(evidence))
    if not settings.frames or not settings.thumbnails or lasting <= settings.frames * _SECONDS_PER_FRAME:
        return False
    return any(showing.has_pictures(stream) for stream in evidence.streams)


def _canonical(text: str) -> str:
    """An answer as rows hold it; one that is no JSON stays as it came."""
    try:
        return canonical_json(json.loads(text))
    except (ValueError, RecursionError):
        return text
