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

    def shared(self, workers: int) -> Allowance:
        """The part of each of several workers, so that together they never spend more."""
        tokens = None if self.tokens is None else self.tokens // workers
        return Allowance(tokens, None if self.images is None else self.images // workers)


NO_BOUND = Allowance()


class Purse:
    """Bounds on tokens and images. What is reserved counts as spent until it is settled, so that questions under way
    at the same time never overdraw it together.

    Args:
        tokens, images: the bounds; None for none.
        within: a purse that pays as well, such as the run's for a stream's.
    """

    def __init__(self, tokens: int | None = None, images: int | None = None, within: Purse | None = None) -> None:
        self.tokens = tokens
        self.images = images
        self.within = within
        self.spent = Usage()
        self._reserved = Usage()

    def reserve(self, estimate: Usage) -> None:
        """Sets an estimate aside.

        Raises:
            StreamSpentError: it is more than is left here.
            SpentError: it is more than is left in the purse around it.
        """
        if not self._covers(estimate):
            raise StreamSpentError("budget", f"{self._left()} left, and the next question takes {_words(estimate)}", "")
        if self.within is not None:
            try:
                self.within.reserve(estimate)
            except StreamSpentError as error:
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
