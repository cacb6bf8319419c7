"""Claims are read off any output by the marks in its schema."""

from __future__ import annotations

from typing import Any

import pytest
from facts import FILM, SHA, SHOTS, anchor, stream

from schemas.outputs.grounded import KEYWORD
from schemas.score import Claim, ClaimKind
from synthesis.verification.check import AnchorIndex, check
from synthesis.verification.grounding import grounded_claims, prose_of, resolved, seconds, times_of

NUMBER, TEXT = {"type": "number"}, {"type": "string"}


def mark(node: dict[str, Any], role: str, **more: Any) -> dict[str, Any]:
    return {**node, KEYWORD: {"role": role, **more}}


def thing(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def read(value: Any, schema: dict[str, Any]) -> list[Claim]:
    return grounded_claims(value, schema, [stream()])


def supported(value: Any, schema: dict[str, Any], anchors: list[Any] = FILM) -> list[bool]:
    return [support.supported for support in check(read(value, schema), AnchorIndex(anchors))]


SPAN = thing(start=mark(NUMBER, "start"), end=mark(NUMBER, "end"), text=mark(TEXT, "quote"))


def test_a_stretch_under_any_names_and_the_quote_inside_it() -> None:
    claims = read({"start": 2.0, "end": 4.9, "text": "Today we cook an omelette."}, SPAN)
    assert [(claim.path, claim.kind) for claim in claims] == [("", ClaimKind.TIME), ("/text", ClaimKind.QUOTE)]
    assert supported({"start": 2.0, "end": 4.9, "text": "Today we cook an omelette."}, SPAN) == [True, True]
    assert supported({"start": 2.0, "end": 7.0, "text": "Now heat the pan."}, SPAN) == [False, False]


@pytest.mark.parametrize("bad", [(-1.0, 4.0), (4.9, 2.0), ("two", 4.9), (True, 3.0)])
def test_what_is_no_stretch_is_a_claim_that_nothing_supports(bad: tuple[Any, Any]) -> None:
    assert supported({"start": bad[0], "end": bad[1]}, SPAN) == [False]


def test_times_in_other_units_and_forms() -> None:
    assert seconds(5500, {"scale": 0.001}) == 5.5
    assert seconds("0:01:02.5", {"form": "clock"}) == 62.5
    assert seconds("1:02", {"form": "clock"}) == 62.0
    assert seconds("soon", {"form": "clock"}) is None
    cut = thing(ms=mark(NUMBER, "moment", scale=0.001, kinds=["video.cut"]))
    assert supported({"ms": 5500}, cut) == [True]
    assert supported({"ms": 6500}, cut) == [False]
    pair = thing(span=mark({"type": "array"}, "span", kinds=["video.shot"]), said=mark(TEXT, "quote"))
    assert supported({"span": [0.0, 5.5], "said": "Good morning."}, pair) == [True, True]
    assert supported({"span": [0.0, 5.5], "said": "Enjoy your meal."}, pair) == [True, False]


def test_a_label_names_the_kind_that_proves_the_time_beside_it() -> None:
    event = thing(time=mark(NUMBER, "moment"), label=mark(TEXT, "kind"))
    assert supported({"time": 5.5, "label": "cut"}, event) == [True]
    assert supported({"time": 5.5, "label": "tap"}, event) == [False]
    worded = thing(time=mark(NUMBER, "moment"), label=mark(TEXT, "kind", names={"scene change": ["video.cut"]}))
    assert supported({"time": 5.5, "label": "scene change"}, worded) == [True]


def test_counts_are_over_the_stretch_around_them() -> None:
    counted = thing(t0=NUMBER, t1=NUMBER, cuts=mark({"type": "integer"}, "count", kinds=["video.cut"]))
    shot = mark(counted, "window")
    assert supported({"t0": 0.0, "t1": 12.0, "cuts": 2}, shot) == [True]
    assert supported({"t0": 0.0, "t1": 12.0, "cuts": 3}, shot) == [False]


def test_prose_is_held_to_the_quotes_and_times_it_names() -> None:
    said = thing(answer=TEXT)
    assert supported({"answer": 'He says "Good morning." there.'}, said) == [True]
    assert supported({"answer": 'He says "Good evening." there.'}, said) == [False]
    assert prose_of({"answer": "He greets."}, said) == ["He greets."]


def test_the_branch_that_a_value_takes_is_the_one_that_is_read() -> None:
    either = {"oneOf": [thing(cut=mark(NUMBER, "moment", kinds=["video.cut"])) | {"required": ["cut"]},
                        thing(said=mark(TEXT, "quote")) | {"required": ["said"]}]}  # fmt: skip
    assert supported({"cut": 5.5}, either) == [True]
    assert supported({"said": "Good morning."}, either) == [True]
    assert supported({"said": "Good night."}, either) == [False]


def test_a_recursive_schema_is_read_to_the_depth_of_the_value() -> None:
    node = thing(said=mark(TEXT, "quote"), parts={"type": "array", "items": {"$ref": "#/$defs/node"}})
    tree = {"$ref": "#/$defs/node", "$defs": {"node": node}}
    value = {"said": "Good morning.", "parts": [{"said": "Enjoy your meal.", "parts": [{"said": "Nobody said this."}]}]}
    assert supported(value, tree) == [True, True, False]


def test_references_and_all_of_are_one_node() -> None:
    root = {"$defs": {"a": {"type": "object", "properties": {"x": NUMBER}}}}
    node = {"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": TEXT}}], "title": "both"}
    assert resolved(node, root)["properties"] == {"x": NUMBER, "y": TEXT}
    assert resolved({"$ref": "#/$defs/missing"}, root) == {}


def test_order_is_claimed_of_a_list_that_says_it_is_ordered() -> None:
    shots = mark({"type": "array", "items": mark(thing(t0=NUMBER, t1=NUMBER), "span", kinds=["video.shot"])}, "ordered")
    value = [{"t0": shot.t0, "t1": shot.t1} for shot in SHOTS]
    assert all(supported(value, shots))
    assert not all(supported(value[::-1], shots))


def test_boxes_as_corners_or_with_width_and_height() -> None:
    box = anchor("ui.element", 1.0, content="Open", box={"x0": 0.1, "y0": 0.2, "x1": 0.3, "y1": 0.4})
    corners = thing(bbox=mark({"type": "array"}, "box"))
    sized = thing(bbox=mark({"type": "array"}, "box", form="xywh"))
    assert supported({"bbox": [0.1, 0.2, 0.3, 0.4]}, corners, [box]) == [True]
    assert supported({"bbox": [0.1, 0.2, 0.2, 0.2]}, sized, [box]) == [True]
    assert supported({"bbox": [0.1, "a", 0.2, 0.2]}, sized, [box]) == [False]


def test_a_stream_is_named_and_its_length_is_known() -> None:
    named = thing(video=mark(TEXT, "stream"), duration=mark(NUMBER, "duration"))
    assert supported({"video": "friday", "duration": 40.0}, named) == []
    assert supported({"video": "monday", "duration": 40.0}, named) == [False, False]
    assert supported({"video": "friday", "duration": 50.0}, named) == [False]


def test_the_moments_an_output_speaks_of() -> None:
    assert times_of({"start": 2.0, "end": 4.0}, SPAN, [stream()]) == [(SHA, 3.0)]


def test_things_that_begin_together_stand_in_either_order() -> None:
    moving = [anchor("motion.activity", 1.0, 3.0), anchor("motion.stall", 1.0, 2.0), anchor("motion.stall", 4.0, 5.0)]
    listed = mark({"type": "array", "items": mark(thing(t0=NUMBER, t1=NUMBER), "span")}, "ordered")
    spans = [{"t0": a.t0, "t1": a.t1} for a in moving]
    assert all(supported(spans, listed, moving))
    assert all(supported([spans[1], spans[0], spans[2]], listed, moving))
    assert not all(supported([spans[2], spans[0], spans[1]], listed, moving))
