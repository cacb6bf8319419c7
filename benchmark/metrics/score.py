"""All levels of outputs against their true ones: validity, then Field, then Semantic, then Sequence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from benchmark.metrics.align import Alignment, Leaf, Path, align, only
from benchmark.metrics.forms import Form, form_of
from benchmark.metrics.sequence import SAME_STEP, Measured, sequence
from benchmark.metrics.texts import Texts
from schemas.base import canonical_json
from schemas.errors import UsageError
from schemas.sample_score import Comparison, Difference, FieldScore, Level, SampleScore, SequenceScore
from schemas.stream import Domain
from schemas.triplet import Triplet
from synthesis.verification.format import loads, pointer

_MOST_DIFFERENCES = 100
_LONGEST = 200
"""Characters of a value in a difference."""


@dataclass(frozen=True)
class Truth:
    """The true output of a sample, with what is read off it once for all models."""

    sample: str
    domain: Domain
    task_type: str
    streams: tuple[str, ...]
    output: str
    schema: str
    """Phi with its marks, as JSON text."""

    @classmethod
    def of(cls, triplet: Triplet) -> Truth:
        """The truth that a published row holds."""
        return cls(
            sample=triplet.id,
            domain=triplet.domain,
            task_type=triplet.task_type,
            streams=tuple(stream.sha256 for stream in triplet.streams),
            output=triplet.output,
            schema=triplet.spec.output_schema,
        )

    @cached_property
    def value(self) -> Any:
        """The output, parsed.

        Raises:
            UsageError: it is not JSON.
        """
        try:
            return loads(self.output)
        except (ValueError, RecursionError) as error:
            cause = f"its true output is not JSON ({error})"
            raise UsageError(f"sample {self.sample}", cause, "Make the set anew") from error

    @cached_property
    def form(self) -> Form:
        return form_of(self.schema)

    @cached_property
    def worst(self) -> SampleScore:
        """0 at every level that applies: what is no JSON gets it."""
        nothing = only(self.form, self.value, missing=True)
        measures, _ = sequence(nothing)
        none = SequenceScore(**{name: 0.0 for name, score in measures if score is not None})
        return SampleScore(
            sample=self.sample,
            domain=self.domain,
            task_type=self.task_type,
            streams=self.streams,
            json_valid=0.0,
            field=0.0 if nothing.size else None,
            semantic=0.0 if nothing.size else None,
            sequence=_level(none),
            measures=none,
            fields=_fields(nothing),
        )


class Scorer:
    """Scores outputs. Keeps the vectors of true texts, so that one scorer is best for all models."""

    def __init__(self) -> None:
        self._texts = Texts()

    def score(self, truths: Sequence[Truth], outputs: Sequence[str]) -> list[SampleScore]:
        """The score of each output against the truth at its place.

        Texts are embedded in batches over all of them. A score is the same whatever stands beside it, and whatever the
        order of keys and the white space of the output.
        """
        read = [_read(truth, output) for truth, output in zip(truths, outputs, strict=True)]
        pairs = [pair for alignment in read if isinstance(alignment, Alignment) for pair in alignment.pairs]
        pairs = [pair for pair in pairs if pair.by_meaning]
        likenesses = self._texts.likenesses([(pair.true.value, pair.got.value) for pair in pairs])
        for pair, likeness in zip(pairs, likenesses, strict=True):
            pair.score, pair.why = likeness, f"other words, alike by {likeness:.2f}"
        return [_scored(truth, found) for truth, found in zip(truths, read, strict=True)]

    def best(self, readings: Sequence[Truth], output: str) -> SampleScore:
        """The score against the reading of a vague intent that an output meets best, by the mean of the levels."""
        return max(self.score(readings, [output] * len(readings)), key=lambda score: score.mean)


def _read(truth: Truth, output: str) -> Alignment | str:
    """How an output aligns with the true one, or why it is no JSON."""
    try:
        return align(truth.form, truth.value, loads(output))
    except RecursionError:
        return "nested too deep"
    except ValueError as error:
        return f"not valid JSON ({error})"


def _scored(truth: Truth, found: Alignment | str) -> SampleScore:
    if isinstance(found, str):
        broken = Difference(level=Level.JSON, path="", expected=_shown(truth.value), got=None, score=0.0, why=found)
        return truth.worst.model_copy(update={"differences": (broken,)})
    measures, lists = sequence(found)
    fields = _fields(found)
    differences = [*_differing(found), *(one for measured in lists for one in _misplaced(measured))]
    return SampleScore(
        sample=truth.sample,
        domain=truth.domain,
        task_type=truth.task_type,
        streams=truth.streams,
        json_valid=1.0,
        field=_share(sum(min(one.expected, one.typed) for one in fields), found),
        semantic=_share(found.shared, found),
        sequence=_level(measures),
        measures=measures,
        fields=fields,
        differences=tuple(differences[:_MOST_DIFFERENCES]),
        more_differences=max(0, len(differences) - _MOST_DIFFERENCES),
    )


def _share(right: float, found: Alignment) -> float | None:
    """2 R / (T + G), the harmonic mean of the shares of the true and of the given values that are right (F1)."""
    return _rounded(2 * right / found.size) if found.size else None


def _level(measures: SequenceScore) -> float | None:
    """Sequence is the mean of those of its measures that apply."""
    scores = [score for _, score in measures if score is not None]
    return _rounded(sum(scores) / len(scores)) if scores else None


def _rounded(score: float) -> float:
    """What stands beside a text in a batch moves the seventh digit of its likeness."""
    return min(1.0, max(0.0, round(score, 6)))


def _fields(found: Alignment) -> tuple[FieldScore, ...]:
    """Every field with its counts, in the order of the true output, others behind."""
    counts: dict[str, _Counts] = defaultdict(_Counts)
    for leaf in (*(pair.true for pair in found.pairs), *found.missing):
        counts[_field(leaf.path)].expect(leaf)
    for leaf in (*(pair.got for pair in found.pairs), *found.extra):
        counts[_field(leaf.path)].give(leaf)
    for pair in found.pairs:
        counts[_field(pair.true.path)].likeness += pair.score
    return tuple(
        FieldScore(
            path=path,
            comparison=one.comparison,
            expected=one.expected,
            given=one.given,
            typed=one.typed,
            likeness=round(one.likeness, 6),
        )
        for path, one in sorted(counts.items())
    )


@dataclass
class _Counts:
    comparison: Comparison | None = None
    expected: int = 0
    given: int = 0
    typed: int = 0
    likeness: float = 0.0

    def expect(self, leaf: Leaf) -> None:
        self.expected += 1
        self.comparison = leaf.form.comparison(leaf.value) if leaf.form else None

    def give(self, leaf: Leaf) -> None:
        self.given += 1
        self.typed += _typed(leaf)
        self.comparison = self.comparison or (leaf.form.comparison(leaf.value) if leaf.form else None)


def _typed(leaf: Leaf) -> bool:
    return leaf.form is not None and leaf.form.typed(leaf.value)


def _field(path: Path) -> str:
    """A place without the numbers of items: `/steps/*/action`."""
    return pointer(*("*" if isinstance(part, int) else part for part in path))


def _differing(found: Alignment) -> Iterator[Difference]:
    for pair in found.pairs:
        typed = _typed(pair.got)
        if pair.score < 1.0 or not typed:
            yield Difference(
                level=Level.SEMANTIC if typed else Level.FIELD,
                path=pointer(*pair.true.path),
                expected=_shown(pair.true.value),
                got=_shown(pair.got.value),
                score=_rounded(pair.score),
                why=pair.why if typed else "the schema does not allow it",
            )
    for one in found.alone:
        yield Difference(
            level=Level.SEMANTIC,
            path=pointer(*one.path),
            expected=_shown(one.value) if one.missing else None,
            got=None if one.missing else _shown(one.value),
            score=0.0,
            why="missing" if one.missing else "not in the true output",
        )


def _misplaced(measured: Measured) -> Iterator[Difference]:
    found, edit = measured.found, measured.scores.edit
    if edit is not None and edit < 1.0:
        yield Difference(
            level=Level.SEQUENCE,
            path=pointer(*(found.got_path or () if found.true_path is None else found.true_path)),
            expected=" ".join(map(str, range(len(found.true)))),
            got=" ".join("new" if place is None else str(place) for place in measured.order),
            score=_rounded(edit),
            why=f"items missing, new or in another order (an item is the true one from a likeness of {SAME_STEP} on)",
        )


def _shown(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
