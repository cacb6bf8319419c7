"""Intents read by the model behind a recipe's server: each once, then remembered with the corpus."""

from __future__ import annotations

import asyncio

from schemas.base import digest
from schemas.recipe import Recipe
from schemas.usage import Usage
from storage.corpus import Corpus
from synthesis.backends.chat import Message, Request, Sampling
from synthesis.backends.model import OpenAIBackend
from synthesis.intent.model import ModelReading

FOLDER = "intents"
_MOST_TOKENS = 1500


class ServedModel:
    """An intent model over the server that writes the outputs. What it answered is kept as a file of the corpus: the
    same intent is read the same way every night, and asked of nobody again."""

    def __init__(self, recipe: Recipe) -> None:
        self._backend = OpenAIBackend(recipe.synthesis, recipe.placement.serving)
        self._corpus = Corpus.open(recipe.corpus).location
        self._read: dict[str, str] = {}
        """What was answered: storage is asked once for an intent, not once for each stream."""
        self._failed: dict[str, Exception] = {}
        """What was asked in vain: the rest of the streams need not ask it again."""
        self.usage = Usage()

    @property
    def failed(self) -> bool:
        """Whether it was asked in vain, so that rules read an intent in its stead."""
        return bool(self._failed)

    def complete_json(self, prompt: str, schema: str) -> str:
        path = f"{FOLDER}/{digest([self._backend.model, prompt, schema])}.json"
        if path in self._failed:
            raise self._failed[path]
        if path not in self._read:
            try:
                self._read[path] = self._remembered(path, prompt, schema)
            except Exception as error:
                self._failed[path] = error
                raise
        return self._read[path]

    def _remembered(self, path: str, prompt: str, schema: str) -> str:
        """The answer that the corpus holds, or a new one, which it holds from then on."""
        if self._corpus.exists(path):
            return self._corpus.read_bytes(path).decode()
        answer = asyncio.run(self._ask(prompt, schema))
        ModelReading.model_validate_json(answer)  # what is no reading is not remembered
        self._corpus.replace(path, answer.encode())
        return answer

    async def _ask(self, prompt: str, schema: str) -> str:
        told = f"{prompt}\n\nSchema of the answer:\n{schema}"
        request = Request((Message("user", (told,)),), schema, Sampling(max_tokens=_MOST_TOKENS))
        try:
            reply = await self._backend.chat.complete(request)
            self.usage += reply.usage
            return reply.text
        finally:
            await self._backend.close()


def intent_model(recipe: Recipe) -> ServedModel | None:
    """The model that reads the intents of a recipe; None where the rules do: without a model, and with an engine that
    runs in the workers, which the driver does not have."""
    return ServedModel(recipe) if recipe.synthesis.backend == OpenAIBackend.name else None
