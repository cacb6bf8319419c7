"""The router tells domains by what is asked and seen, and leaves to Omni what nobody is sure of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.anchor import FactualAnchor
from schemas.errors import DataClawError
from schemas.stream import Domain
from schemas.triplet import Triplet
from synthesis.base import Evidence
from synthesis.router import Router
from tests.storage.conftest import make_stream, make_triplet
from training.router import fit_router

ASKED = {
    Domain.GUI: ("Reconstruct what was done on this screen", "screen.tap"),
    Domain.EMBODIED: ("Plan the next step of the robot's gripper", "motion.activity"),
    Domain.EDUCATION: ("Explain this lesson to a pupil who is stuck", "text.subtitle"),
}


def row(domain: Domain, number: int) -> Triplet:
    stream = make_stream(f"{domain} {number}", domain)
    text, kind = ASKED[domain]
    made = make_triplet(f"{domain} {number}", stream)
    anchors = tuple(
        FactualAnchor(
            stream=stream.sha256, t0=t, t1=t + 1.0, kind=kind, content="x", expert="e", version="1", confidence=1.0
        )
        for t in range(number % 3 + 1)
    )
    intent = made.intent.model_copy(update={"text": f"{text}, {number} times"})
    spec = made.spec.model_copy(update={"intent": intent})
    return made.model_copy(update={"domain": domain, "anchors": anchors, "intent": intent, "spec": spec})


def rows(numbers: range) -> list[Triplet]:
    return [row(domain, number) for domain in ASKED for number in numbers]


def evidence(triplet: Triplet) -> Evidence:
    return Evidence(triplet.streams, triplet.anchors, triplet.spec)


def test_rows_go_to_the_expert_of_their_domain_whatever_domain_they_are_said_to_be_of(tmp_path: Path) -> None:
    fitted = fit_router(rows(range(6)), rows(range(6, 10)))
    assert (fitted.rows, fitted.held_out) == (18, 12)
    assert fitted.right == 1.0
    fitted.router.save(tmp_path / "router.json")
    router = Router.load(tmp_path / "router.json")
    robot = row(Domain.EMBODIED, 11)
    mislabelled = robot.streams[0].model_copy(update={"domain": Domain.GUI})
    assert router.route(evidence(robot)).expert == "embodied"
    assert router.route(Evidence((mislabelled,), robot.anchors, robot.spec)).expert == "embodied"


def test_what_is_like_nothing_known_goes_to_omni() -> None:
    router = fit_router(rows(range(6))).router
    unsure = Router(router.names, np.zeros_like(router.weights), np.zeros_like(router.bias), router.mean, router.scale)
    route = unsure.route(evidence(row(Domain.GUI, 1)))
    assert route.expert is None
    assert route.confidence == pytest.approx(1 / 3)


def test_one_domain_leaves_nothing_to_choose() -> None:
    with pytest.raises(DataClawError, match="nothing to choose"):
        fit_router([row(Domain.GUI, 1), row(Domain.GUI, 2)])
    with pytest.raises(DataClawError, match="no rows"):
        fit_router([])


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "router.json").write_text('{"version": 0}')
    with pytest.raises(ValueError, match="no router of version"):
        Router.load(tmp_path / "router.json")
