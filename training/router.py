"""Fits the router on published rows: the expert for a row is that of its domain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from schemas.errors import DataClawError
from schemas.triplet import Triplet
from synthesis.base import Evidence
from synthesis.router import Floats, Router, features, softmax

_PENALTY = 1e-2
"""Of the squared weights, for each row: hundreds of features meet hundreds of rows."""


@dataclass(frozen=True)
class Fitted:
    """A router, and how it did on rows that it was not fitted on."""

    router: Router
    rows: int
    held_out: int
    right: float | None
    """Share of held-out rows that went to the expert of their domain; None where none were held out."""
    to_omni: float | None
    """Share of held-out rows for which no expert was likely enough."""


def fit_router(train: Iterable[Triplet], held_out: Iterable[Triplet] = (), least: float = 0.6) -> Fitted:
    """Multinomial logistic regression with an L2 penalty (L-BFGS), rows weighted so that every domain counts alike.

    Raises:
        DataClawError: the rows are of fewer than two domains: there is nothing to choose between.
    """
    x, domains = _table(train)
    names = tuple(sorted(set(domains)))
    if len(names) < 2:
        raise DataClawError(
            "router", f"rows of {len(names)} domain leave nothing to choose", "Train one model (omni) instead"
        )
    y = np.array([names.index(domain) for domain in domains])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    z = (x - mean) / scale
    weight = (1.0 / np.bincount(y, minlength=len(names)))[y] / len(names)
    truth = np.eye(len(names))[y]
    shape = (len(names), x.shape[1] + 1)

    def loss(flat: Floats) -> tuple[float, Floats]:
        table = flat.reshape(shape)
        w, b = table[:, :-1], table[:, -1]
        p = softmax(z @ w.T + b)
        off = (p - truth) * weight[:, None]
        gradient = np.concatenate([off.T @ z + 2 * _PENALTY * w, off.sum(axis=0)[:, None]], axis=1)
        likelihood = float(-(weight * np.log(np.maximum(p[np.arange(len(y)), y], 1e-12))).sum())
        return likelihood + _PENALTY * float((w**2).sum()), gradient.ravel()

    table = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B").x.reshape(shape)
    router = Router(names, table[:, :-1], table[:, -1], mean, scale, least)
    return Fitted(router, len(y), *_judged(router, held_out))


def _table(triplets: Iterable[Triplet]) -> tuple[Floats, list[str]]:
    rows = [(features(Evidence(t.streams, t.anchors, t.spec)), str(t.domain)) for t in triplets]
    if not rows:
        raise DataClawError("router", "there are no rows", "Build a corpus first")
    return np.stack([row for row, _ in rows]), [domain for _, domain in rows]


def _judged(router: Router, held_out: Iterable[Triplet]) -> tuple[int, float | None, float | None]:
    routes = [(router.route(Evidence(t.streams, t.anchors, t.spec)), str(t.domain)) for t in held_out]
    if not routes:
        return 0, None, None
    right = sum(route.expert == domain for route, domain in routes) / len(routes)
    return len(routes), right, sum(route.expert is None for route, _ in routes) / len(routes)
