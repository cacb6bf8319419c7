"""One-to-one matching: no find counts for two labels, no label for two finds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def match(edges: Sequence[Sequence[int]], finds: int) -> list[tuple[int, int]]:
    """A largest one-to-one matching of labels with finds, as (label, find).

    Events are scored so where a find can meet several labels (mir_eval: Raffel et al., "mir_eval: a transparent
    implementation of common MIR metrics", ISMIR 2014). Found by augmenting paths (Kuhn, "The Hungarian method for the
    assignment problem", 1955), so that no greedy choice can cost a match. Of equal matchings the one that takes each
    label's earlier edges is preferred, without a promise that their sum is least.

    Args:
        edges: for each label the finds that meet it, the best first.
        finds: how many finds there are.
    """
    label_of: list[int | None] = [None] * finds
    for start in range(len(edges)):
        # Breadth first: the shortest way of moving others aside until one of them takes a free find.
        reached_from: dict[int, int] = {}
        waiting = deque([start])
        while waiting:
            label = waiting.popleft()
            fresh = [find for find in edges[label] if find not in reached_from]
            reached_from |= dict.fromkeys(fresh, label)
            free = next((find for find in fresh if label_of[find] is None), None)
            if free is not None:
                _move(free, start, reached_from, label_of)
                break
            waiting += [taken for find in fresh if (taken := label_of[find]) is not None]
    return sorted((label, find) for find, label in enumerate(label_of) if label is not None)


def _move(find: int, start: int, reached_from: dict[int, int], label_of: list[int | None]) -> None:
    """Gives `find` to the label it was reached from, that label's old find to the one before it, back to the start."""
    while True:
        label = reached_from[find]
        before = next((old for old, holder in enumerate(label_of) if holder == label), None)
        label_of[find] = label
        if label == start or before is None:
            return
        find = before
