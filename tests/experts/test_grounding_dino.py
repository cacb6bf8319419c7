"""Grounding DINO with small random weights (the real classes), and with outputs made by hand, of which the answer is
known."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.grounding_dino import GroundingDino, detected, parse_queries, prompt_of
from experts.tracking import Detected
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UsageError
from schemas.geometry import Box
from schemas.recipe import Sampling, Scalar
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream
from sources.frame import Pixels
from tests.films import Film, Picture

pytestmark = pytest.mark.models

LOW = {"box_threshold": 0.3, "text_threshold": 0.1}
"""Random weights are sure of little."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.models.tiny_grounding_dino import make

    return make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def expert(weights: Path) -> GroundingDino:
    return tiny(weights)


def tiny(weights: Path, **parameters: Scalar) -> GroundingDino:
    given = {"weights": str(weights), "queries": "hand. red cup. knife.", "device": "cpu", **LOW}
    return GroundingDino(**given | parameters)


def noise(count: int, height: int = 54, width: int = 96, seed: int = 0) -> list[Pixels]:
    rng = np.random.default_rng(seed)
    return [
        cv2.resize(rng.integers(0, 255, (6, 9, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(count)
    ]


# --- random weights ------------------------------------------------------------------------------------------------


def test_one_by_one_or_in_a_batch_finds_the_same(expert: GroundingDino):
    pictures = noise(3)
    together = expert.find(pictures)
    assert sum(len(found) for found in together) > 3
    assert [expert.find([picture])[0] for picture in pictures] == together
    assert expert.find(pictures) == together


def test_what_is_found_is_asked_for_and_in_the_frame(expert: GroundingDino):
    for found in expert.find(noise(3, seed=1)):
        for one in found:
            assert one.label in ("hand", "red cup", "knife")
            assert LOW["box_threshold"] < one.confidence <= 1.0
            assert one.box.area > 0  # Box itself holds its corners to the frame


def test_boxes_and_scores_are_those_of_the_library(expert: GroundingDino):
    """The same outputs through transformers' own post-processing: what it keeps and we drop has no word of a query, or
    lies on a surer box."""
    import torch
    from transformers.models.grounding_dino.modeling_grounding_dino import GroundingDinoObjectDetectionOutput

    (picture,) = noise(1, seed=2)
    ((scores, boxes),) = expert.network([picture])
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    out = GroundingDinoObjectDetectionOutput(
        logits=torch.from_numpy(np.log(clipped / (1 - clipped)))[None], pred_boxes=torch.from_numpy(boxes)[None]
    )
    processor = expert.network._processor
    ids = processor.tokenizer(prompt_of(expert.queries)[0], return_tensors="pt")["input_ids"]
    (theirs,) = processor.post_process_grounded_object_detection(
        out, ids, threshold=LOW["box_threshold"], text_threshold=LOW["text_threshold"]
    )
    kept = [
        (tuple(np.clip(box.tolist(), 0, 1)), float(score), set(re.findall("[a-z]+", words)))
        for box, score, words in zip(theirs["boxes"], theirs["scores"], theirs["text_labels"], strict=True)
    ]
    ours = expert.find([picture])[0]
    assert ours
    for one in ours:
        corners = (one.box.x0, one.box.y0, one.box.x1, one.box.y1)
        same = [
            words
            for box, score, words in kept
            if np.allclose(box, corners, atol=1e-4) and abs(score - one.confidence) < 1e-3
        ]
        assert any(words & set(one.label.split()) for words in same)


def test_pictures_are_no_larger_than_the_model_uses(expert: GroundingDino):
    assert expert.network.side(1920, 1080) == 96
    assert expert.network.side(1080, 1920) == 96
    assert expert.network.side(400, 400) == 64
    assert expert.network.side(40, 30) == 40


def test_every_query_knows_its_own_tokens(expert: GroundingDino):
    words = expert.network._processor.tokenizer.convert_ids_to_tokens(
        expert.network._processor.tokenizer(expert.network._prompt)["input_ids"]
    )
    assert [[words[token] for token in span] for span in expert.network.spans] == [["hand"], ["red", "cup"], ["knife"]]


# --- outputs made by hand ------------------------------------------------------------------------------------------

# [CLS] red cup . red bowl . hand . [SEP]
QUERIES, SPANS = ("red cup", "red bowl", "hand"), ([1, 2], [4, 5], [7])


def shown(*rows: tuple[Sequence[float], dict[int, float]], box: float = 0.3, text: float = 0.2) -> list[Detected]:
    """Detections of rows of a box (centre and size) and the tokens it goes with."""
    scores = np.zeros((len(rows), 10), np.float32)
    for number, (_, tokens) in enumerate(rows):
        for token, value in tokens.items():
            scores[number, token] = value
    boxes = np.array([place for place, _ in rows], np.float32).reshape(-1, 4)
    return list(detected(scores, boxes, SPANS, QUERIES, box, text))


LEFT, RIGHT = (0.25, 0.5, 0.2, 0.4), (0.75, 0.5, 0.2, 0.4)


def test_a_box_is_normalised_corners_of_the_query_it_goes_with():
    assert shown((LEFT, {7: 0.9})) == [Detected("hand", Box(x0=0.15, y0=0.3, x1=0.35, y1=0.7), 0.9)]


def test_a_box_over_the_edge_is_clipped_and_one_beyond_it_dropped():
    (found,) = shown(((0.0, 0.95, 0.2, 0.2), {7: 0.9}), ((1.4, 0.5, 0.2, 0.2), {7: 0.9}))
    assert found.box == Box(x0=0.0, y0=0.85, x1=0.1, y1=1.0)


def test_thresholds_are_kept_to():
    assert shown((LEFT, {7: 0.29}), (RIGHT, {7: 0.31})) == shown((RIGHT, {7: 0.31}))
    # Sure of the box by its full stop, of no word of a query.
    assert shown((LEFT, {3: 0.9, 7: 0.1})) == []


def test_half_a_label_is_the_query_it_is_half_of():
    assert [one.label for one in shown((LEFT, {5: 0.8}))] == ["red bowl"]
    # The word that both have is told apart by where it stands.
    assert [one.label for one in shown((LEFT, {4: 0.8}))] == ["red bowl"]


def test_a_merged_label_is_the_query_it_overlaps_most():
    assert [one.label for one in shown((LEFT, {1: 0.5, 2: 0.5, 4: 0.4, 7: 0.3}))] == ["red cup"]
    assert [one.label for one in shown((LEFT, {2: 0.5, 4: 0.4, 5: 0.4}))] == ["red bowl"]


def test_a_label_of_no_query_is_dropped():
    assert shown((LEFT, {0: 0.9, 3: 0.9, 9: 0.9})) == []


def test_of_boxes_on_each_other_the_surest_of_each_query_stays():
    near = (0.26, 0.5, 0.2, 0.4)
    found = shown((near, {7: 0.6}), (LEFT, {7: 0.8}), (LEFT, {1: 0.7, 2: 0.7}), (RIGHT, {7: 0.5}))
    assert [(one.label, one.confidence) for one in found] == [("hand", 0.8), ("red cup", 0.7), ("hand", 0.5)]


def test_nothing_found_is_nothing():
    assert detected(np.zeros((0, 10), np.float32), np.zeros((0, 4), np.float32), SPANS, QUERIES, 0.3, 0.2) == ()


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("hand. red cup. knife.", ("hand", "red cup", "knife")),
        (" hand ,hand;  Red  Cup\n", ("hand", "Red Cup")),
        ("USB stick", ("USB stick",)),
    ],
)
def test_queries_are_phrases_each_once(text: str, queries: tuple[str, ...]):
    assert parse_queries(text) == queries


# --- on a film -----------------------------------------------------------------------------------------------------


@dataclass
class Coloured(Picture):
    """Its luma, as grey RGB."""

    def rgb(self, max_side: int | None = None) -> np.ndarray:
        return np.repeat(self.gray(max_side)[..., None], 3, axis=2)


class ColourFilm(Film):
    def frames(self, t0, t1, rate, include_end=False) -> Iterator[Coloured]:  # type: ignore[no-untyped-def]
        for picture in super().frames(t0, t1, rate, include_end):
            yield Coloured(picture.time, picture.pixels)


RATE = 4.0


def film(count: int = 32) -> list[np.ndarray]:
    """A bright square comes in at 2 s, goes from left to right, and goes out at 6 s."""
    pictures = []
    for number in range(count):
        picture = np.full((90, 160), 60, np.uint8)
        if 8 <= number < 24:
            left = 8 + 8 * (number - 8)
            picture[30:60, left : left + 20] = 240
        pictures.append(picture)
    return pictures


def bright(pictures: Sequence[Pixels]) -> list[tuple[Detected, ...]]:
    """Finds what is bright: stands for a network that knows what a knife is."""
    found = []
    for picture in pictures:
        rows, columns = np.nonzero(picture[..., 0] > 150)
        height, width = picture.shape[:2]
        things = []
        if len(rows):
            corners = columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height
            things.append(Detected("knife", Box.clipped(*(float(side) for side in corners)), 0.9))
        found.append(tuple(things))
    return found


def look(expert: GroundingDino, pictures: list[np.ndarray], seconds: float = 300.0) -> list[FactualAnchor]:
    stream = Stream(
        sha256="0" * 64,
        uri="x",
        name="x",
        domain=Domain.EMBODIED,
        format="x",
        parts=(),
        tracks=(),
        duration=len(pictures) / RATE,
    )
    found = []
    for segment in cut_segments(stream, seconds):
        measured = Ensemble([expert], Sampling())(ColourFilm(pictures, RATE), segment, Stopwatch())
        assert measured.problem is None
        found += measured.anchors["grounding_dino"]
    return GroundingDino.join(stream, found)


def test_what_is_found_in_a_film_is_followed(weights: Path, monkeypatch: pytest.MonkeyPatch):
    expert = tiny(weights, rate=RATE)
    monkeypatch.setattr(expert, "find", bright)
    anchors = look(expert, film())
    assert [(a.kind, a.content, a.t0, a.t1) for a in anchors] == [
        (AnchorKind.OBJECT_APPEAR, "knife", 2.0, 2.0),
        (AnchorKind.OBJECT_MOVE, "knife", 2.0, 5.75),
        (AnchorKind.OBJECT, "knife", 2.0, 5.75),
        (AnchorKind.OBJECT_DISAPPEAR, "knife", 6.0, 6.0),
    ]
    assert anchors[1].value == pytest.approx(8 * 15 / 160, abs=0.02)
    cut = look(expert, film(), seconds=3.0)
    assert [(a.kind, a.t0, a.t1) for a in cut] == [(a.kind, a.t0, a.t1) for a in anchors]


def test_the_network_itself_runs_on_a_film(weights: Path):
    expert = tiny(weights, rate=RATE)
    anchors = look(expert, film(12))
    assert anchors, "even random weights see something in every picture"
    assert all(anchor.expert == "grounding_dino" and 0 <= anchor.confidence <= 1 for anchor in anchors)
    assert look(tiny(weights, rate=RATE), film(12)) == anchors


def test_the_recipes_rate_holds_where_none_is_given(weights: Path, monkeypatch: pytest.MonkeyPatch):
    for parameters, pictures in (({}, 8), ({"rate": RATE}, 16)):
        expert = tiny(weights, **parameters)
        seen: list[Pixels] = []
        monkeypatch.setattr(expert, "find", lambda batch, seen=seen: seen.extend(batch) or bright(batch))
        look(expert, film(16))
        assert len(seen) == pictures


def test_never_more_than_a_batch_of_pictures_is_kept(weights: Path, monkeypatch: pytest.MonkeyPatch):
    expert = tiny(weights, rate=RATE, batch_size=3)
    sizes: list[int] = []
    monkeypatch.setattr(expert, "find", lambda batch: sizes.append(len(batch)) or bright(batch))
    look(expert, film(10))
    assert sizes == [3, 3, 3, 1]


def test_pictures_of_another_size_are_searched_apart(weights: Path, monkeypatch: pytest.MonkeyPatch):
    expert = tiny(weights, rate=RATE, batch_size=4)
    shapes: list[set[tuple[int, ...]]] = []
    monkeypatch.setattr(expert, "find", lambda batch: shapes.append({p.shape for p in batch}) or bright(batch))
    look(expert, [*film(2), *(picture[:, :90] for picture in film(3))])
    assert [len(together) for together in shapes] == [1, 1]


def test_it_takes_smaller_batches_where_memory_is_small(weights: Path, monkeypatch: pytest.MonkeyPatch):
    expert = tiny(weights, rate=RATE, batch_size=4)
    expected = look(expert, film(8))
    network, sizes = expert.network, []

    class Small:
        """The same network on a machine that has memory for one picture."""

        spans, side = network.spans, network.side

        def __call__(self, pictures: Sequence[Pixels]) -> object:
            sizes.append(len(pictures))
            if len(pictures) > 1:
                raise MemoryError
            return network(pictures)

    monkeypatch.setattr(expert, "network", Small())
    assert look(expert, film(8)) == expected
    assert sizes == [4, 2, *[1] * 8]


# --- what is missing or wrong --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"querys": "cup"}, "queries"),
        ({"queries": " . "}, "queries"),
        ({"box_threshold": 1.5}, "box_threshold"),
        ({"text_threshold": "high"}, "text_threshold"),
        ({"rate": 0}, "rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"dtype": "int8"}, "float32"),
        ({"device": "cuda:7"}, "device"),
        ({"queries": ". ".join(f"thing number {number}" for number in range(90))}, "queries"),
    ],
)
def test_wrong_parameters_are_named(weights: Path, parameters: dict[str, Scalar], word: str):
    import torch

    if "device" in parameters and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UsageError, match=word) as raised:
        tiny(weights, **parameters)
    assert raised.value.problem.remedy


def test_nothing_lacks_where_the_weights_are(weights: Path):
    assert GroundingDino.lacks(weights=str(weights)) == []


def test_missing_weights_are_a_problem_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    nowhere = f"nobody/{tmp_path.name}"
    (problem,) = GroundingDino.lacks(weights=nowhere)
    assert nowhere in problem.cause
    assert "weights" in problem.remedy
    with pytest.raises(UsageError, match="not on this machine"):
        tiny(Path(nowhere))


def test_a_folder_of_something_else_is_a_problem(tmp_path: Path, weights: Path):
    (problem,) = GroundingDino.lacks(weights=str(tmp_path))
    assert "no model" in problem.cause
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (problem,) = GroundingDino.lacks(weights=str(tmp_path))
    assert "'bert'" in problem.cause
    (tmp_path / "config.json").write_bytes((weights / "config.json").read_bytes())
    with pytest.raises(UsageError, match="do not load"):
        tiny(tmp_path)


def test_missing_packages_are_a_problem_with_a_remedy(monkeypatch: pytest.MonkeyPatch):
    import experts.weights

    found = experts.weights.find_spec
    monkeypatch.setattr(experts.weights, "find_spec", lambda name: None if name == "norfair" else found(name))
    (problem,) = GroundingDino.lacks(queries="cup")
    assert "norfair" in problem.cause
    assert "pip install" in problem.remedy
    with pytest.raises(UsageError, match="norfair"):
        GroundingDino(queries="cup")


def test_the_module_itself_needs_no_torch():
    import subprocess

    code = "import sys, experts.grounding_dino; sys.exit(bool({'torch', 'transformers', 'norfair'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0
