"""What a worker may still spend on models: reserved before a question, settled after its answer."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.errors import DataClawError
from schemas.usage import Usage


class SpentError(DataClawError):
    """The budget of the run or of the day is met: what is left waits for the next run."""


class StreamSpentError(DataClawError):
    """The budget of one stream does not cover what is asked of it."""


@dataclass(frozen=True)
class Allowance:
    """What may be spent; None for no bound."""

    tokens: int | None = None
    images: int | None = None
    best: Usage | None = None
    """What a run may spend at best, with a whole budget before it: a question that takes more is never covered."""

    def shared(self, workers: int) -> Allowance:
        """The part of each of several workers, so that together they never spend more."""
        tokens = None if self.tokens is None else self.tokens // workers
        images = None if self.images is None else self.images // workers
        best = self.best and Usage(prompt_tokens=self.best.prompt_tokens // workers, images=self.best.images // workers)
        return Allowance(tokens, images, best)


NO_BOUND = Allowance()


class Purse:
    """Bounds on tokens and images. What is reserved counts as spent until it is settled, so that questions under way
    at the same time never overdraw it together.

    Args:
        tokens, images: the bounds; None for none.
        within: a purse that pays as well, such as the run's for a stream's.
        best: what it would hold before anything was spent by anybody.
    """

    def __init__(
        self,
        tokens: int | None = None,
        images: int | None = None,
        within: Purse | None = None,
        best: Usage | None = None,
    ) -> None:
        self.tokens = tokens
        self.images = images
        self.within = within
        self.best = best
        self.spent = Usage()
        self._reserved = Usage()

    def reserve(self, estimate: Usage) -> None:
        """Sets an estimate aside.

        Raises:
            StreamSpentError: it is more than is left here, or than the purse around it could ever hold.
            SpentError: it is more than is left in the purse around it.
        """
        if not self._covers(estimate):
            raise StreamSpentError("budget", f"{self._left()} left, and the next question takes {_words(estimate)}", "")
        if self.within is not None:
            try:
                self.within.reserve(estimate)
            except StreamSpentError as error:
                if self.within.never_covers(estimate):
                    cause = f"a run may spend too little for a single question, which takes {_words(estimate)}"
                    raise StreamSpentError("budget", cause, "") from error
                raise SpentError(
                    "budget", f"the budget of the run is met: {error.problem.cause}", "Run the build again later"
                ) from error
        self._reserved += estimate

    def settle(self, estimate: Usage, used: Usage) -> None:
        """Puts what was really used in the place of what was reserved."""
        self._reserved = Usage(
            **{name: getattr(self._reserved, name) - getattr(estimate, name) for name in Usage.model_fields}
        )
        self.spent += used
        if self.within is not None:
            self.within.settle(estimate, used)

    def never_covers(self, estimate: Usage) -> bool:
        """Whether an estimate is more than a whole budget."""
        best = self.best
        if best is None:
            return False
        too_dear = self.tokens is not None and estimate.tokens > best.prompt_tokens
        return too_dear or (self.images is not None and estimate.images > best.images)

    def _covers(self, estimate: Usage) -> bool:
        tokens = self.spent.tokens + self._reserved.tokens + estimate.tokens
        images = self.spent.images + self._reserved.images + estimate.images
        return (self.tokens is None or tokens <= self.tokens) and (self.images is None or images <= self.images)

    def _left(self) -> str:
        gone = self.spent + self._reserved
        parts = [] if self.tokens is None else [f"{max(0, self.tokens - gone.tokens)} tokens"]
        parts += [] if self.images is None else [f"{max(0, self.images - gone.images)} images"]
        return " and ".join(parts)


def _words(usage: Usage) -> str:
    return f"{usage.tokens} tokens" + (f" and {usage.images} images" if usage.images else "")
