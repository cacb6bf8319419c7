"""Runs a model over many items in batches as large as memory bears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


class Batches:
    """Calls a model on batches of at most `size` items; a batch for which memory is too small is halved, and the size
    that went through is kept for the rest of the worker's life."""

    def __init__(self, size: int) -> None:
        self.size = max(1, size)

    def run(self, model: Callable[[Sequence[Item]], Sequence[Found]], items: Sequence[Item]) -> list[Found]:
        """What the model finds for each item, in their order.

        Raises:
            MemoryError, torch.OutOfMemoryError: not even a single item fits.
        """
        found: list[Found] = []
        while len(found) < len(items):
            batch = items[len(found) : len(found) + self.size]
            try:
                found += model(batch)
            except Exception as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                _free()
                self.size = max(1, len(batch) // 2)
        return found


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a model failed for lack of memory, on a GPU or a CPU."""
    if isinstance(error, MemoryError):
        return True
    # By name: torch.OutOfMemoryError without importing torch; the CPU allocator raises a plain RuntimeError, in other
    # words on other systems.
    words = ("not enough memory", "can't allocate memory", "Cannot allocate memory")
    return type(error).__name__ == "OutOfMemoryError" or any(word in str(error) for word in words)


def _free() -> None:
    """Gives cached GPU memory back before the smaller batch is tried."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
