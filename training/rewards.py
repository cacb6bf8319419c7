"""R = l1 R_format + l2 R_anchor + l3 R_eff as GRPO asks for it: the functions that verify the corpus, over batches; and
R_cover, which only the row that is learned from can tell."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from schemas.anchor import FactualAnchor
from schemas.base import Contract, canonical_json
from schemas.recipe import RewardSpec
from schemas.score import Score
from schemas.stream import Stream
from schemas.task_spec import TaskSpec
from schemas.triplet import Triplet
from synthesis.verification.check import AnchorIndex
from synthesis.verification.rewards import coverage_reward, supported_facts
from synthesis.verification.verify import score_output

Reward = Callable[..., list[float | None]]
"""As TRL calls it: keyword arguments with lists, one item for each answer; None where the part does not apply."""

_REMEMBERED = 64
"""Questions whose facts stay indexed: all answers to a question come together."""


class Facts(Contract):
    """What an answer is judged by: the row without its output."""

    spec: TaskSpec
    streams: tuple[Stream, ...]
    anchors: tuple[FactualAnchor, ...]
    enough: int
    """Distinct supported facts of the row's own output."""


def facts_of(triplet: Triplet) -> str:
    """The facts of a row as JSON, to travel as a column beside the question."""
    enough = len(supported_facts(triplet.score.supports))
    return canonical_json(Facts(spec=triplet.spec, streams=triplet.streams, anchors=triplet.anchors, enough=enough))


class Judge:
    """Scores answers by the facts of the row that they are for, as the verifier scores what is published."""

    def __init__(self, reward: RewardSpec) -> None:
        self._reward = reward
        self._known: OrderedDict[str, tuple[Facts, AnchorIndex]] = OrderedDict()
        self.seconds = 0.0
        """Spent scoring."""

    def scores(self, facts: Sequence[str], answers: Sequence[str]) -> list[Score]:
        """The score of each answer; `facts` are JSON as :func:`facts_of` makes it. Equal answers are scored once."""
        begun = time.perf_counter()
        done: dict[tuple[str, str], Score] = {}
        for pair in zip(facts, answers, strict=True):
            if pair not in done:
                known, index = self._indexed(pair[0])
                done[pair] = score_output(pair[1], known.spec, known.streams, index, self._reward)
        self.seconds += time.perf_counter() - begun
        return [done[pair] for pair in zip(facts, answers, strict=True)]

    def coverage(self, facts: Sequence[str], scores: Sequence[Score]) -> list[float]:
        """R_cover of each answer, from its score."""
        return [
            coverage_reward(score.supports, self._indexed(known)[0].enough)
            for known, score in zip(facts, scores, strict=True)
        ]

    def _indexed(self, facts: str) -> tuple[Facts, AnchorIndex]:
        if facts not in self._known:
            parsed = Facts.model_validate_json(facts)
            self._known[facts] = parsed, AnchorIndex(parsed.anchors)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(facts)
        return self._known[facts]


def reward_functions(judge: Judge, coverage: float = 0.0) -> tuple[list[Reward], list[float]]:
    """What TRL is given: the verifier's reward and R_cover, whose weighted mean is what is paid, and the parts of R to
    be logged apart. These weigh nothing: the verifier has combined them, and leaves out what does not apply.

    Args:
        judge: scores the answers.
        coverage: weight of R_cover, where that of R is 1.
    """
    last: dict[str, Any] = {}

    def scored(completions: Sequence[Any], facts: Sequence[str]) -> list[Score]:
        # The functions are called one after the other with the same batch.
        answers = [answer_of(completion) for completion in completions]
        if last.get("batch") != (answers, facts):
            last.update(batch=(answers, list(facts)), scores=judge.scores(facts, answers))
        found: list[Score] = last["scores"]
        return found

    def part(name: str, of: Callable[[Score], float | None]) -> Reward:
        def reward(completions: Sequence[Any], facts: Sequence[str], **_: Any) -> list[float | None]:
            return [of(score) for score in scored(completions, facts)]

        reward.__name__ = name  # the name in TRL's logs
        return reward

    def covered(completions: Sequence[Any], facts: Sequence[str], **_: Any) -> list[float | None]:
        return [*judge.coverage(facts, scored(completions, facts))]

    covered.__name__ = "R_cover"
    functions = [
        part("R", lambda score: score.reward),
        part("R_format", lambda score: score.format),
        part("R_anchor", lambda score: score.anchor),
        part("R_eff", lambda score: score.efficiency),
        covered,
    ]
    return functions, [1.0 / (1.0 + coverage), 0.0, 0.0, 0.0, coverage / (1.0 + coverage)]


def answer_of(completion: Any) -> str:
    """The text of a completion as TRL gives it: a text, or a conversation whose last message is the answer."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)
