"""What is said: a Whisper-family model through transformers, with its own timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experts.batches import Batches
from experts.voice import RATE
from experts.weights import device_of, weights_folder
from schemas.errors import UsageError, unknown_name
from sources.base import Samples

_TICK = 0.02
"""Seconds that a timestamp token counts in."""
_REST = 1.0
"""Seconds of a sound left behind the model's last timestamp that are worth hearing again."""


@dataclass(frozen=True)
class Said:
    """Words said together: seconds from the start of the sound, the text, the mean probability of its tokens. `closed`
    says that the model gave its end."""

    t0: float
    t1: float
    text: str
    confidence: float
    closed: bool = True


@dataclass(frozen=True)
class Alphabet:
    """Token numbers: text lies below `end_of_text`, times from `first_time` (0.00 s) on, signs between them."""

    end_of_text: int
    first_time: int


def spoken(
    tokens: Sequence[int], sureness: Sequence[float], alphabet: Alphabet, length: float
) -> list[tuple[float, float, list[int], float, bool]]:
    """Splits what the model wrote at its timestamps: begin, end, text tokens, mean sureness, and whether it gave the
    end. Text behind the last timestamp goes on to the end of the sound (`length` seconds); times that run backwards
    are moved on. What the model dates behind the end of the sound is not in it: the silence that fills its window
    makes it write."""
    found = []
    begin = 0.0
    text: list[int] = []
    sure: list[float] = []
    for token, probability in zip(tokens, sureness, strict=True):
        if token == alphabet.end_of_text:
            break
        if token >= alphabet.first_time:
            time = max((token - alphabet.first_time) * _TICK, begin)
            if text and begin < length:
                found.append((begin, min(time, length), text, float(np.mean(sure)), True))
            text, sure = [], []
            begin = time
        elif token < alphabet.end_of_text:
            text.append(token)
            sure.append(probability)
    if text and begin < length:
        found.append((begin, length, text, float(np.mean(sure)), False))
    return found


class _Sureness:
    """Stands behind the model's own rules for scores and notes how probable each token is that greedy decoding takes:
    keeping all scores would take gigabytes."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        """For each step the probabilities, one for each sound of the batch."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.steps.append(scores.float().log_softmax(dim=-1).amax(dim=-1).exp())
        return scores


class Whisper:
    """Greedy decoding in batches. Sounds are at most 30 s long: the model's window.

    Args:
        weights: a folder or hub id of a Whisper-family model.
        language: its code (`en`) or name; None lets a multilingual model find out for each sound.

    Raises:
        schemas.errors.UsageError: the weights cannot be had or are of another family, or do not know the language.
    """

    def __init__(self, weights: str, language: str | None, device: str, batch_size: int) -> None:
        import torch
        from transformers import AutoConfig, WhisperForConditionalGeneration, WhisperProcessor

        folder = weights_folder("speech", weights)
        try:
            family = AutoConfig.from_pretrained(folder).model_type
        except (OSError, ValueError) as error:
            cause = f"its weights {weights!r} hold no readable config.json"
            raise UsageError("expert speech", cause, "Give the folder of a Whisper-family model.") from error
        if family != "whisper":
            cause = f"its weights {weights!r} are of the family {family}"
            raise UsageError("expert speech", cause, "Give a Whisper-family model, for instance openai/whisper-small.")
        self._device = device_of(device)
        half = self._device.startswith("cuda")
        self._type = torch.float16 if half else torch.float32
        self._processor: Any = WhisperProcessor.from_pretrained(folder)
        self._model: Any = WhisperForConditionalGeneration.from_pretrained(folder, dtype=self._type)
        self._model.to(self._device).eval()
        self._batches = Batches(batch_size)
        self._options = self._spoken_options(language)
        self._alphabet = Alphabet(
            end_of_text=self._processor.tokenizer.convert_tokens_to_ids("<|endoftext|>"),
            first_time=self._processor.tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1,
        )
        self.calls = 0
        """Batches that the model has heard."""

    def _spoken_options(self, language: str | None) -> dict[str, str]:
        """What the model is told of the language; models for English alone are told nothing."""
        config = self._model.generation_config
        if not getattr(config, "is_multilingual", True):
            if language not in (None, "en", "english"):
                cause = f"its model knows English alone, not {language!r}"
                raise UsageError("expert speech", cause, "Leave `language` out, or give a multilingual model.")
            return {}
        options = {"task": "transcribe"}
        if language is not None:
            from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

            codes = sorted(sign[2:-2] for sign in getattr(config, "lang_to_id", {}))
            code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
            if code not in codes:
                raise unknown_name("language of the expert speech", language, codes)
            options["language"] = code
        return options

    def __call__(self, sounds: Sequence[Samples]) -> list[list[Said]]:
        """What is said in each sound. Where the model stops before a sound ends, the rest is heard again."""
        said: list[list[Said]] = [[] for _ in sounds]
        waiting = [(number, 0) for number in range(len(sounds))]
        while waiting:
            # Long ones together: what a batch costs is what its longest costs.
            waiting.sort(key=lambda item: (item[1] - len(sounds[item[0]]), item[0]))
            heard = self._batches.run(self._hear, [sounds[number][start:] for number, start in waiting])
            again = []
            for (number, start), found in zip(waiting, heard, strict=True):
                offset = start / RATE
                said[number] += [
                    Said(offset + one.t0, offset + one.t1, one.text, one.confidence, one.closed) for one in found
                ]
                rest = start + round(found[-1].t1 * RATE) if found and found[-1].closed else 0
                if rest > start and len(sounds[number]) - rest > _REST * RATE:
                    again.append((number, rest))
            waiting = again
        return said

    def _hear(self, sounds: Sequence[Samples]) -> list[list[Said]]:
        import torch
        from transformers import LogitsProcessorList

        self.calls += 1
        inputs = self._processor.feature_extractor(
            [np.asarray(sound, np.float32) for sound in sounds],
            sampling_rate=RATE,
            return_tensors="pt",
            return_attention_mask=True,
        )
        sureness = _Sureness()
        with torch.inference_mode():
            written = self._model.generate(
                inputs.input_features.to(self._device, self._type),
                attention_mask=inputs.attention_mask.to(self._device),
                return_timestamps=True,
                force_unique_generate_call=True,
                num_beams=1,
                do_sample=False,
                temperature=0.0,
                logits_processor=LogitsProcessorList([sureness]),
                **self._options,
            )
        probabilities = torch.stack(sureness.steps, dim=1).tolist()
        found = []
        for sound, tokens, sure in zip(sounds, written.tolist(), probabilities, strict=True):
            # The prompt may stand before what was written.
            tokens = tokens[max(0, len(tokens) - len(sure)) :]
            length = len(sound) / RATE
            parts = spoken(tokens, sure[: len(tokens)], self._alphabet, length)
            found.append([Said(t0, t1, self._text(text), mean, closed) for t0, t1, text, mean, closed in parts])
        return found

    def _text(self, tokens: Sequence[int]) -> str:
        return " ".join(str(self._processor.tokenizer.decode(tokens)).split())
