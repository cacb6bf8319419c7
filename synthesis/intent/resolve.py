"""From an intent and what is known of the input to task specs: the embedded resolver.

Words that name a form of data decide. Where none does, meaning decides if one form is clearly the nearest; otherwise
the domain of the input suggests, and confidence stays low, so that the ambiguity is kept and seen. What was not
understood, contradicts itself or cannot be had of the input is said, never guessed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from schemas.constraints import Constraints
from schemas.errors import UnsuitedError
from schemas.stream import Domain, Stream
from schemas.task_spec import Intent, TaskSpec
from synthesis.intent.constraints import ClashError, fitted, read_wishes
from synthesis.intent.forms import Form, forms
from synthesis.intent.model import IntentModel, ModelReading, ask_model
from synthesis.intent.naming import Mention, quoted
from synthesis.intent.reading import Reading, read
from synthesis.intent.senses import missing_sense

BUILD_FROM = 0.5
"""Readings of at least this confidence are all built."""

_NAMED, _NAMED_WORD, _NAMED_HINT, _NAMED_MOST = 0.8, 0.05, 0.01, 0.95
_MEANT_MOST, _VAGUE_MOST = 0.79, 0.49
_NEAR, _CLEARLY = 0.5, 0.08
"""Meaning decides from this likeness on, and by this lead over the next form."""
_HINT, _NEARNESS, _NEARNESS_OF_NAMED = 0.05, 0.6, 0.2
"""Among forms with a name in common hints and domain say more: all of them are near."""


def resolve(intent: Intent, streams: Sequence[Stream], model: IntentModel | None = None) -> list[TaskSpec]:
    """The plausible readings of an intent for these streams, most confident first, each with its reasons.

    A named form has a confidence of 0.8 or more, one that is clearly meant 0.5 or more, what is only suggested less.

    Args:
        intent: what the user asks.
        streams: the input, of one domain; may be empty.
        model: a language model that reads any language; where it fails, the rules do it, with a warning.

    Raises:
        UnsuitedError: it was not understood, contradicts itself, or cannot be made of this input; says what could be.
    """
    request = _Request(intent, streams)
    if model is not None:
        try:
            answer = ask_model(model, intent, request.fitting)
            return request.of_model(answer)
        except Exception as error:  # whatever a model or its server does, the build goes on without it
            why = " ".join(str(error).split())[:200]
            warnings.warn(f"The language model did not resolve {intent.text!r} ({why}): rules did", stacklevel=2)
    return request.of_rules()


def choose(readings: Sequence[TaskSpec]) -> list[TaskSpec]:
    """Which readings are built: all that the intent names or clearly means, otherwise the best one. The others stay on
    record."""
    return [spec for spec in readings if spec.confidence >= BUILD_FROM] or list(readings[:1])


@dataclass
class _Named:
    """What the words of a sentence name, as far as the input goes."""

    words: dict[str, list[str]] = field(default_factory=dict)
    """Words that name each form."""
    shared: dict[str, list[str]] = field(default_factory=dict)
    """Words that might have named it, and name another."""
    unmet: list[str] = field(default_factory=list)
    """What is named and cannot be had, with the reason."""


class _Request:
    """An intent beside its input."""

    def __init__(self, intent: Intent, streams: Sequence[Stream]) -> None:
        self.intent, self.streams = intent, streams
        self.domain: Domain | None = streams[0].domain if streams else intent.domain
        self.misfits = {form.task_type: form.misfit(self.domain, streams) for form in forms()}
        self.fitting = [form for form in forms() if self.misfits[form.task_type] is None]

    def of_rules(self) -> list[TaskSpec]:
        try:
            reading = read(self.intent.text, forms())
            self._expect_understood(reading)
            specs = self._specs(reading)
        except ClashError as clash:
            raise self.unsuited(str(clash)) from clash
        if not specs:
            raise self.unsuited(f"nothing that {self.intent.text!r} asks for can be made of it")
        return sorted(specs, key=lambda spec: -spec.confidence)

    def _specs(self, reading: Reading) -> list[TaskSpec]:
        constraints, notes = self._constraints(reading)
        named = self._named(reading)
        if named.unmet and not named.words:
            raise ClashError("; ".join(named.unmet))
        refused = {name for mention in reading.refused for name in mention.task_types} - set(named.words)
        open_forms = [form for form in self.fitting if form.task_type not in refused]
        confidence = self._named_confidence(reading, named) | self._meant_confidence(reading, open_forms, named)
        return [
            self._spec(
                form,
                confidence[form.task_type],
                [*self._because(reading, form, named), *named.unmet, *reading.notes, *notes],
                constraints,
                bool(reading.joins[form.task_type]),
            )
            for form in open_forms
            if form.task_type in confidence
        ]

    def of_model(self, answer: ModelReading) -> list[TaskSpec]:
        """The readings of a language model, as far as they fit the input."""
        by_name = {form.task_type: form for form in self.fitting}
        specs = [
            self._spec(by_name[one.task_type], one.confidence, list(one.because), answer.constraints, one.joins_streams)
            for one in answer.readings
            if one.task_type in by_name
        ]
        if not specs:
            raise ValueError("it named no form that the input can give")
        return sorted(specs, key=lambda spec: -spec.confidence)

    def unsuited(self, cause: str) -> UnsuitedError:
        """An error that says what is possible with this input."""
        where = self.streams[0].uri if self.streams else self.intent.text
        names = ", ".join(form.task_type for form in self.fitting)
        return UnsuitedError(where, cause, f"Possible here: {names}." if names else "No task type works on such input.")

    def _expect_understood(self, reading: Reading) -> None:
        where = self.streams[0].uri if self.streams else self.intent.text
        said = f"the intent {self.intent.text!r} was not understood" if self.streams else "it was not understood"
        examples = [form.rule.examples[0] for form in self._by_prior() if form.rule.examples][:3]
        such = " or ".join(f'"{example.rstrip(".")}"' for example in examples) or "name a form of data"
        if reading.foreign is not None:
            cause = f"{said}: it reads as {reading.foreign}, and without a language model only English is understood"
            raise UnsuitedError(where, cause, f"Say it in English, such as {such}.")
        if reading.refused and not reading.understood:
            raise ClashError(f"{self.intent.text!r} only says what is not wanted")
        if not reading.understood:
            raise UnsuitedError(where, said, f"Say what data you want, such as {such}.")

    def _by_prior(self) -> list[Form]:
        return sorted(self.fitting, key=lambda form: -form.prior(self.domain))

    def _constraints(self, reading: Reading) -> tuple[Constraints, tuple[str, ...]]:
        missing = missing_sense(reading.wording.asked, self.streams)
        if missing is not None:
            raise ClashError(missing)
        lengths = {stream.duration for stream in self.streams}
        wishes = read_wishes(reading.sentence, lengths.pop() if len(lengths) == 1 else None, _nouns())
        return wishes.constraints, wishes.notes

    def _named(self, reading: Reading) -> _Named:
        refused = {name for mention in reading.refused for name in mention.task_types}
        sure = {mention.task_types[0] for mention in reading.asked if len(mention.task_types) == 1} - refused
        named = _Named()
        for mention in reading.asked:
            left = [name for name in mention.task_types if name not in refused]
            if not left:
                raise ClashError(_asked_and_refused(mention, reading))
            fitting = [name for name in left if self.misfits[name] is None]
            if not fitting:
                named.unmet.append(f'"{mention.words}" asks for {left[0]}, but {self.misfits[left[0]]}')
                continue
            winner = max(fitting, key=lambda name: (name in sure, self._fit(reading, name, _NEARNESS_OF_NAMED)))
            for name in fitting:
                words = (named.words if name == winner else named.shared).setdefault(name, [])
                words += [mention.words] if mention.words not in words else []
        return named

    def _fit(self, reading: Reading, task_type: str, by_nearness: float = _NEARNESS) -> float:
        """How well a form suits sentence and domain where no word decides."""
        form = next(form for form in forms() if form.task_type == task_type)
        hints = len(reading.hints[task_type])
        return by_nearness * reading.nearness[task_type] + form.prior(self.domain) + _HINT * hints

    def _named_confidence(self, reading: Reading, named: _Named) -> dict[str, float]:
        return {
            name: min(_NAMED_MOST, _NAMED + _NAMED_WORD * (len(words) - 1) + _NAMED_HINT * len(reading.hints[name]))
            for name, words in named.words.items()
        }

    def _meant_confidence(self, reading: Reading, open_forms: list[Form], named: _Named) -> dict[str, float]:
        """Of the forms that are not named: one that is clearly nearest in meaning is meant, the others are possible."""
        fits = {form.task_type: self._fit(reading, form.task_type) for form in open_forms}
        ranked = sorted((name for name in fits if name not in named.words), key=lambda name: -fits[name])
        confidence = {name: min(_VAGUE_MOST, max(0.0, fits[name] / 2)) for name in ranked if fits[name] > 0}
        if ranked and not named.words and reading.nearness[ranked[0]] >= _NEAR:
            lead = fits[ranked[0]] - (fits[ranked[1]] if len(ranked) > 1 else 0.0)
            if lead >= _CLEARLY:
                confidence[ranked[0]] = min(_MEANT_MOST, BUILD_FROM + lead)
        return confidence

    def _because(self, reading: Reading, form: Form, named: _Named) -> Iterator[str]:
        name = form.task_type
        if name in named.words:
            yield f"{quoted(named.words[name])} names it"
        elif name in named.shared:
            yield f"{quoted(named.shared[name])} may mean it too"
        if reading.hints[name]:
            yield f"{quoted(reading.hints[name])} goes with it"
        if self.domain is not None and form.prior(self.domain):
            yield f"the input is {self.domain}"
        if name not in named.words:
            yield f"likeness in meaning to what asks for it: {reading.nearness[name]:.2f}"
        if reading.joins[name]:
            yield f"{quoted(reading.joins[name])} asks for one sample from all streams together"

    def _spec(
        self, form: Form, confidence: float, because: list[str], constraints: Constraints, joins: bool
    ) -> TaskSpec:
        kept, unknown = fitted(constraints, form.parts)
        because += [f"{words} cannot be counted in {form.task_type}: not checked" for words in unknown]
        bounds = f" Keep to this: {kept}." if str(kept) else ""
        return TaskSpec(
            task_type=form.task_type,
            instruction=f"{form.rule.instruction}{bounds} The user asked: {self.intent.sentence}",
            intent=self.intent,
            output_schema=form.schema,
            confidence=round(confidence, 4),
            because=tuple(because),
            constraints=kept,
            joins_streams=joins,
        )


def _asked_and_refused(mention: Mention, reading: Reading) -> str:
    against = dict.fromkeys(one.words for one in reading.refused if set(one.task_types) & set(mention.task_types))
    return f'"{mention.words}" is asked for and refused ({quoted(against)})'


def _nouns() -> tuple[str, ...]:
    return tuple(dict.fromkeys(noun for form in forms() for noun in form.parts))
