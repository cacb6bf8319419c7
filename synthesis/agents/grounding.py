"""grounding: texts and elements of a screen with their boxes, each meant by its expression alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.geometry import Box
from schemas.outputs.grounding import Grounding, GroundingPair, TargetKind
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.proofs import edge, labelled_box, proved, refused, stream_of
from synthesis.agents.screen_lines import in_reading_order, partial, readable, sensible
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.selection import thinned
from synthesis.verification.check import EPSILON, normalise, stands_in
from synthesis.verification.mentions import quoted

MOST_OF_SCREEN = 16
MOST = 96
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ROW = 0.02
"""Of the frame: boxes whose upper edges differ by less stand in one row."""
_SAME = 0.1
"""Overlap from which two boxes are one place, read twice."""
_LONGEST = 80
"""Letters: what is longer is a paragraph and no target."""
_LONGEST_ALIKE = 24
"""Letters of what stands there several times: a label of rows or buttons, and no passage that repeats itself."""
_LEAST_WORD = 4
_CLOCK = re.compile(r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[ap]\.?m\.?)?$", re.IGNORECASE)
_CLICKS = (AnchorKind.CLICK, AnchorKind.DOUBLE_CLICK, AnchorKind.RIGHT_CLICK, AnchorKind.DRAG, AnchorKind.ELEMENT)
_QUOTES = '"“”'
_TARGETS = r"(?:elements?|buttons?|texts?|icons?|widgets?)"


class GroundingAgent(GroundedAgent):
    """Takes each text on the first still screen that shows it, where it can be proved how often it was read so far."""

    task_type: ClassVar[str] = "grounding"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.GUI})
    output: ClassVar[type[BaseModel]] = Grounding
    parts: ClassVar[dict[str, str]] = {"pairs": "pairs", "elements": "pairs", "boxes": "pairs", "targets": "pairs"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Pair what stands on these screens (texts and elements) with its box, in the frame in which it "
        "stands there, so that each expression means one place only.",
        names=(
            r"(?:(?:visual|gui|ui|element|phrase|screen|object|text) )?grounding(?: (?:data(?:set)?|pairs?))?",
            r"referring expressions?",
            r"(?:bounding )?boxes",
            r"coordinates?",
            r"click(?:ing)? points?",
            r"(?:locat(?:e|es|ing)|find(?:ing)?) (?:the )?(?:\w+ )?(?:elements?|buttons?|icons?|widgets?)",
            r"point(?:s|ing)? (?:to|at)",
            r"(?:ui |gui |screen )?elements? (?:detection|locali[sz]ation|boxes|bounding boxes)",
            rf"(?:locate|locali[sz]e|point (?:at|to)|find) (?:the |ui |gui |screen )*{_TARGETS}",
            rf"bounding box(?:es)? (?:of|for) (?:the |each |every |all )*(?:\w+ )?{_TARGETS}",
        ),
        hints=(
            r"elements?",
            r"buttons?",
            r"icons?",
            r"where",
            r"screens?",
            r"descriptions?",
            r"phrases?",
            r"box(?:es)?",
            r"coordinates",
            r"screenshots?",
            r"click\w*",
        ),
        examples=(
            "Make GUI grounding data: a description and the box of the element it means.",
            "Teach a model where to click for an instruction.",
            "Bounding boxes of the elements on the screen with their names.",
            "Locate the buttons by their description.",
            "Referring expressions for objects in the picture, with coordinates.",
            "Pair the names of buttons with where they are on the screen.",
            "I want a model to find the element that a description means.",
            "Make GUI grounding data from these screen recordings.",
            "For each text on the screen give me its bounding box.",
            "Train my agent to know where to click for a given label.",
            "Create element-to-coordinates pairs from the session.",
        ),
        prior={Domain.GUI: 0.2},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES, TrackKind.EVENTS}),
    )

    def compose(self, evidence: Evidence) -> Grounding:
        stream = evidence.streams[0]
        lines = evidence.of(AnchorKind.SCREEN_TEXT, stream=stream.sha256)
        clicked = evidence.of(*_CLICKS, stream=stream.sha256)
        screens = evidence.of(AnchorKind.SCREEN, stream=stream.sha256)
        pairs = _once([*_elements(clicked, lines), *_texts(lines, _distinct(screens))])
        if not pairs:
            raise UnsuitedError(
                stream.uri,
                "no text or element stands in it at one place that can be told: nothing readable on a still screen, "
                "and no named element was clicked",
                "Give a recording of a screen, with the experts screen and ocr, or one with its input log.",
            )
        chosen = sorted(pairs, key=lambda pair: (pair.time, pair.box.y0, pair.box.x0, pair.text))
        kept = thinned(chosen, MOST)
        return proved(self, Grounding(pairs=tuple(kept)), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        stream = stream_of(streams)
        found = super().claims(output, streams)
        for place, pair in enumerate(output["pairs"]):
            found += _pair_claims(pair, f"/pairs/{place}", stream)
        return found


# --- what is meant -------------------------------------------------------------------------------------------------


def _distinct(screens: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    """Each screen once, where it stayed; screens that only passed when none stayed."""
    stayed = [screen for screen in screens if screen.t1 > screen.t0] or list(screens)
    first: dict[float | None, FactualAnchor] = {}
    for screen in stayed:
        first.setdefault(screen.value, screen)
    return list(first.values())


def _texts(lines: Sequence[FactualAnchor], screens: Sequence[FactualAnchor]) -> Iterator[GroundingPair]:
    """The texts of each screen that no earlier one showed."""
    seen: set[str] = set()
    for screen in screens:
        time = screen.t1
        shown = [line for line in in_reading_order(lines) if line.t0 <= time <= line.t1 and _can_be_named(line)]
        fresh = [line for line in shown if _key(line) not in seen and _spelt_once(line, shown)]
        seen.update(_key(line) for line in shown)
        pairs = [pair for line in fresh if (pair := _text(line, time, lines)) is not None]
        step = max(1.0, len(pairs) / MOST_OF_SCREEN)
        yield from (pairs[int(place * step)] for place in range(min(len(pairs), MOST_OF_SCREEN)))


def _can_be_named(anchor: FactualAnchor) -> bool:
    """Whether its words can name it: not a clock, which says something else soon, nor the tail of a cut word."""
    text = anchor.content.strip()
    cut = len(text) < _LEAST_WORD and text[:1].islower()
    return len(text) <= _LONGEST and not cut and not _CLOCK.match(text) and not any(mark in text for mark in _QUOTES)


def _key(line: FactualAnchor) -> str:
    """A text without what readings of it vary."""
    return "".join(letter for letter in line.content.casefold() if letter.isalnum())


def _spelt_once(line: FactualAnchor, shown: Sequence[FactualAnchor]) -> bool:
    """Whether no other line differs from it in case or dots only: who hears it cannot tell them apart."""
    return all(other.content == line.content for other in shown if _key(other) == _key(line))


def _text(line: FactualAnchor, time: float, lines: Sequence[FactualAnchor]) -> GroundingPair | None:
    """A line as a target; None when it cannot be told how many like it stand there."""
    alike = _read_so_far(line.content, time, lines)
    boxes = [other.box for other in alike if other.content == line.content and other.t1 >= time and other.box]
    if len(boxes) != len(alike) or not readable(line) or line.box is None or partial(line, lines):
        return None
    if len(alike) > 1 and len(line.content) > _LONGEST_ALIKE:
        return None
    if any(one.iou(other) > _SAME for one, other in combinations(boxes, 2)):
        return None
    others = list(boxes)
    others.remove(line.box)
    expression = _expression(TargetKind.TEXT, line.content, line.box, others)
    if expression is None:
        return None
    return GroundingPair(
        time=time,
        kind=TargetKind.TEXT,
        expression=expression,
        text=line.content,
        box=line.box,
        others=tuple(others),
    )


def _elements(clicked: Sequence[FactualAnchor], lines: Sequence[FactualAnchor]) -> Iterator[GroundingPair]:
    """Named elements where they were clicked."""
    for click in clicked:
        text, box = click.content.strip(), click.box
        if box is None or not sensible(box) or not _can_be_named(click) or sum(map(str.isalnum, text)) < 2:
            continue
        # What the click itself lights up is read anew at its moment.
        alike = _read_so_far(text, click.t0 - 3 * EPSILON, lines)
        inside = [line for line in alike if line.box is not None and box.contains(line.box.centre)]
        expression = _expression(TargetKind.ELEMENT, text, box, ())
        if len(alike) <= 1 and len(inside) == len(alike) and expression is not None:
            yield GroundingPair(
                time=click.t0,
                kind=TargetKind.ELEMENT,
                expression=expression,
                text=text,
                box=box,
                read_as_text=bool(alike),
            )


def _read_so_far(text: str, time: float, lines: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    """Lines that hold a text and were first read up to a time: as a count sees them."""
    key = normalise(text)
    return [line for line in lines if line.t0 <= time + EPSILON and stands_in(key, normalise(line.content))]


def _once(pairs: Sequence[GroundingPair]) -> list[GroundingPair]:
    """Each expression once; what was clicked comes before what was only read."""
    named: dict[str, GroundingPair] = {}
    told: set[str] = set()
    for pair in pairs:
        if pair.kind is TargetKind.TEXT and not pair.others and pair.text in told:
            continue
        named.setdefault(pair.expression, pair)
        told.add(pair.text)
    return list(named.values())


def _expression(kind: TargetKind, text: str, box: Box, others: Sequence[Box]) -> str | None:
    """The words for one place among those that show the same text; None beyond the fifth."""
    if not others:
        return f"the {kind} {quoted(text)}"
    every = [box, *others]
    row = max(one.y0 for one in every) - min(one.y0 for one in every) < _ROW
    before = sum((one.x0, one.y0) < (box.x0, box.y0) if row else (one.y0, one.x0) < (box.y0, box.x0) for one in others)
    if before >= len(_ORDINALS):
        return None
    return f"the {_ORDINALS[before]} {quoted(text)} from the {'left' if row else 'top'}"


def _means(expression: str, text: str, others: Sequence[Box]) -> bool:
    """Whether other words still mean the one place at which a text stands: they quote it, and count nothing."""
    counts = any(re.search(rf"\b{ordinal}\b", expression.replace(text, "")) for ordinal in _ORDINALS)
    return not others and quoted(text) in expression and not counts


# --- what is proved ------------------------------------------------------------------------------------------------


def _pair_claims(pair: Mapping[str, Any], path: str, stream: str | None) -> Iterator[Claim]:
    """The text stands at the box; so many lines hold it up to this frame, each at a box that is named here too."""
    kind, time, text = TargetKind(pair["kind"]), pair["time"], pair["text"]
    box, others = Box.model_validate(pair["box"]), [Box.model_validate(other) for other in pair["others"]]
    if not _means(pair["expression"], text, others) and pair["expression"] != _expression(kind, text, box, others):
        yield refused(f"{path}/expression", pair["expression"])
    if any(one.iou(other) > _SAME for one, other in combinations([box, *others], 2)):
        yield refused(f"{path}/others", "two places that are one")
    if kind is TargetKind.ELEMENT:
        yield edge(f"{path}/time", stream, time, *_CLICKS, text=text)
        yield labelled_box(f"{path}/box", stream, time, time, box, text, *_CLICKS)
        count, until = int(pair["read_as_text"]), max(0.0, time - EPSILON)
        if others:
            yield refused(f"{path}/others", "places of an element that was not clicked")
    else:
        yield edge(f"{path}/time", stream, time, AnchorKind.SCREEN)
        for place, one in enumerate([box, *others]):
            where = f"{path}/box" if place == 0 else f"{path}/others/{place - 1}"
            yield labelled_box(where, stream, time, time, one, text, AnchorKind.SCREEN_TEXT)
        count, until = 1 + len(others), time + 2 * EPSILON
        if not pair["read_as_text"]:
            yield refused(f"{path}/read_as_text", "a text that was not read")
    yield Claim(
        path=f"{path}/text",
        kind=ClaimKind.COUNT,
        stream=stream,
        t1=until,
        text=text,
        count=count,
        kinds=(AnchorKind.SCREEN_TEXT,),
    )
