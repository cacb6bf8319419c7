"""One sample put to one model: the question of a build, from the facts and pictures in the row, and how it ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from benchmark.val.store import FuzzyRequest
from schemas.errors import InputError, UnsuitedError
from schemas.recipe import ModelSpec
from schemas.task_spec import TaskSpec
from schemas.trail import Routed, Step
from schemas.triplet import Triplet
from schemas.usage import Usage
from schemas.val import Answer, AnswerState
from synthesis import prompt
from synthesis.agents.roster import agent_of
from synthesis.backends.base import Backend, Writer
from synthesis.backends.chat import Chat, Message, Request, Sampling, TooLongError, UnavailableError, tokens_of
from synthesis.backends.model import ModelBackend, ModelWriter, OpenAIBackend
from synthesis.base import Evidence
from synthesis.intent.model import IntentModel
from synthesis.intent.resolve import BUILD_FROM, choose, resolve
from synthesis.purse import Purse, StreamSpentError
from training.examples import example_of

_READING_TOKENS = 1500
_NEXT_BEST = 3
"""As builds do: so many further readings are tried of a request that names no form."""


class Examiner:
    """Puts samples to one backend. Many may be under way at once in one event loop."""

    def __init__(self, backend: Backend, purse: Purse) -> None:
        self._backend = backend
        self._purse = purse

    async def clear(self, row: Triplet) -> Answer:
        """What is answered to the task of a row.

        Raises:
            SpentError: the budget of the run is met.
            UsageError: the model cannot be asked at all.
        """
        return await self._ended(row.id, (), row, row.spec)

    async def fuzzy(self, request: FuzzyRequest) -> Answer:
        """What is made of a request: it is read and made as a build does it, the best reading, or where nothing can be
        made of it the next ones.

        Raises:
            SpentError: the budget of the run is met.
            UsageError: the model cannot be asked at all.
        """
        row = request.readings[0]
        reader = None
        if isinstance(self._backend, OpenAIBackend):  # as in builds: engines in workers leave it to rules
            reader = _Reader(self._backend.chat, Purse(within=self._purse), asyncio.get_running_loop())
        readings: list[TaskSpec] = []
        not_understood = ""
        try:
            # In a thread: who reads by a model waits for it.
            readings = await asyncio.to_thread(resolve, row.intent, row.streams, reader)
        except UnsuitedError as error:
            not_understood = f"the request was not understood: {error.problem.cause}"
        if reader is not None and reader.unheard is not None:  # rules have read it in its stead, which tells nothing
            return Answer(sample=request.id, state=AnswerState.FAILED, why=reader.unheard.problem.cause)
        usage = Usage() if reader is None else reader.usage
        if not readings:
            return Answer(sample=request.id, state=AnswerState.DECLINED, why=not_understood, usage=usage)
        tried: list[str] = []
        for spec in _in_turn(readings):
            tried.append(spec.task_type)
            answer = await self._ended(request.id, tuple(tried), row, spec)
            usage += answer.usage
            if answer.state is not AnswerState.DECLINED:
                break
        return answer.model_copy(update={"usage": usage})

    async def _ended(self, sample: str, readings: tuple[str, ...], row: Triplet, spec: TaskSpec) -> Answer:
        began = time.monotonic()
        writer = self._writer(row, spec)
        output, why, state = "", "", AnswerState.ANSWERED
        try:
            output = await writer.write()
        except (UnsuitedError, TooLongError, StreamSpentError) as error:
            state, why = AnswerState.DECLINED, error.problem.cause
        except (UnavailableError, InputError) as error:
            state, why = AnswerState.FAILED, error.problem.cause
        return Answer(
            sample=sample,
            state=state,
            output=output,
            why=why,
            readings=readings,
            usage=writer.usage,
            seconds=round(time.monotonic() - began, 3),
            told=writer.told if isinstance(writer, _RowWriter) and not readings else None,
        )

    def _writer(self, row: Triplet, spec: TaskSpec) -> Writer:
        agent = agent_of(spec)
        evidence = Evidence(streams=row.streams, anchors=row.anchors, spec=spec)
        purse = Purse(within=self._purse)
        if isinstance(self._backend, ModelBackend):
            chat, route = self._backend.chat_for(evidence)
            return _RowWriter(chat, self._backend.settings, row, evidence, purse, route)
        return self._backend.start(agent, evidence, purse)


def _in_turn(readings: Sequence[TaskSpec]) -> list[TaskSpec]:
    """What a build makes of readings: the best one, and what it makes in its place when that cannot be made."""
    best, *others = choose(readings)[:1] + [spec for spec in readings if spec not in choose(readings)]
    if best.confidence < BUILD_FROM:
        return [best, *others[:_NEXT_BEST]]
    return [best, *(spec for spec in others if spec.task_type in agent_of(best).instead)]


class _RowWriter(ModelWriter):
    """Asks as a build does, but shows the frames of the row: there is no raw stream, and nothing to choose."""

    def __init__(
        self, chat: Chat, settings: ModelSpec, row: Triplet, evidence: Evidence, purse: Purse, route: Routed | None
    ) -> None:
        super().__init__(chat, settings, agent_of(evidence.spec), evidence, purse, route)
        # The true output is no part of a question: what is not there cannot leak.
        self._row = row.model_copy(update={"spec": evidence.spec, "output": "{}"})
        self._true = row
        self.told: bool | None = None
        """Whether the last question told all that the true output states."""

    async def _choose(self) -> list[prompt.Window]:
        return prompt.whole(self._evidence)

    async def _write(self, windows: Sequence[prompt.Window], share: float) -> str:
        settings = self._settings
        shown = {"frames": int(settings.frames * share), "anchor_tokens": max(64, int(settings.anchor_tokens * share))}
        example = await asyncio.to_thread(example_of, self._row, settings.model_copy(update=shown))
        self.told = replace(example, triplet=self._true).is_told
        reply = await self._ask(Step.WRITE, example.messages, self._held_to)
        return reply.text


class _Reader(IntentModel):
    """Reads requests by the model that writes; for threads beside the event loop in which the model answers."""

    def __init__(self, chat: Chat, purse: Purse, loop: asyncio.AbstractEventLoop) -> None:
        self._chat = chat
        self._purse = purse
        self._loop = loop
        self.usage = Usage()
        self.unheard: UnavailableError | None = None
        """Why no answer could be had."""

    def complete_json(self, prompt: str, schema: str) -> str:
        told = f"{prompt}\n\nSchema of the answer:\n{schema}"
        request = Request((Message("user", (told,)),), schema, Sampling(max_tokens=_READING_TOKENS))
        estimate = tokens_of(request, self._chat)
        self._purse.reserve(estimate)
        used = Usage()
        try:
            reply = asyncio.run_coroutine_threadsafe(self._chat.complete(request), self._loop).result()
            used = reply.usage
        except UnavailableError as error:
            self.unheard = error
            raise
        finally:
            self._purse.settle(estimate, used)
            self.usage += used
        return reply.text
