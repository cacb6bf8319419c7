"""Steps of one recording: from its event log where there is one, else from marks, typed text and changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.geometry import Point
from schemas.outputs.gui_trajectory import Action, ActionType, Omitted, Step, Target
from synthesis.agents.gui.timeline import Screen, Timeline, folded, keyboard_top, same_place
from synthesis.verification.mentions import quoted

_TYPES = {
    AnchorKind.CLICK: ActionType.CLICK,
    AnchorKind.DOUBLE_CLICK: ActionType.DOUBLE_CLICK,
    AnchorKind.RIGHT_CLICK: ActionType.RIGHT_CLICK,
    AnchorKind.DRAG: ActionType.DRAG,
    AnchorKind.WHEEL: ActionType.SCROLL,
    AnchorKind.TYPING: ActionType.TYPE,
    AnchorKind.HOTKEY: ActionType.HOTKEY,
}
_PRESSES = (AnchorKind.CLICK, AnchorKind.DOUBLE_CLICK, AnchorKind.RIGHT_CLICK, AnchorKind.DRAG)
# A change shows on the first frame sampled after it.
_SAMPLING = 0.1
# Presses at one place so soon after another ask for the same thing.
_REPEAT_SECONDS, _REPEAT_DISTANCE = 4.0, 0.012
_STOP_SECONDS = 3.0
# The recorder told the element at the very moment of the press.
_SURE_ELEMENT = 0.9
# How far from a pointer, in frame widths, the text of the list entry under it may end.
_ROW = 0.22
TYPED_WITHIN = 1.5
"""Seconds after a text was typed within which it must be legible."""
# A change without a known cause counts as a step only when it is more than a detail.
_NAVIGATION_SHARE = 0.15
_THOUSAND = 1000


@dataclass
class Told:
    """The steps of one recording and what was left out. Steps are numbered later."""

    steps: list[Step] = field(default_factory=list)
    omitted: list[Omitted] = field(default_factory=list)

    def leave_out(self, source: str, time: float, reason: str) -> None:
        self.omitted.append(Omitted(source=source, time=time, reason=reason))


def steps_of(
    timeline: Timeline, until: float | None = None, since: float | None = None, thousandths: bool = False
) -> Told:
    """The steps of a recording, or of the part of it from `since` to `until` (seconds).

    `thousandths`: marks are drawn at thousandths of the frame taken for pixels (see :func:`drawn_in_thousandths`).
    """
    if timeline.has_events and timeline.inputs:
        return from_events(timeline)
    return from_pictures(timeline, until, since, thousandths)


# --- event logs ------------------------------------------------------------------------------------------------------


def from_events(timeline: Timeline) -> Told:
    """Steps of an event log; inputs without effect are left out."""
    told = Told()
    inputs = timeline.inputs
    end = timeline.stream.duration
    last_press: FactualAnchor | None = None
    for place, event in enumerate(inputs):
        following = inputs[place + 1].t0 if place + 1 < len(inputs) else end
        observed = timeline.observed_before(event.t0)
        if observed is None:
            told.leave_out(timeline.name, event.t0, "It comes before the first frame: nothing shows what it met")
            continue
        changes = timeline.changed_between(event.t0, following + _SAMPLING)
        if event.kind == AnchorKind.HOTKEY and place + 1 == len(inputs) and end - event.t0 <= _STOP_SECONDS:
            told.leave_out(
                timeline.name, event.t0, f"The keys {quoted(event.content)} end the recording: they stop the recorder"
            )
            continue
        if event.point is None and not event.content and event.kind in _PRESSES:
            told.leave_out(timeline.name, event.t0, "It lies off the recorded picture: nothing shows what it met")
            continue
        if not changes and event.kind != AnchorKind.TYPING:
            told.leave_out(
                timeline.name, event.t0, "It had no effect: the screen did not change before the next action"
            )
            continue
        if last_press is not None and _repeats(last_press, event):
            told.leave_out(timeline.name, event.t0, "It repeats the action before it at the same place")
            continue
        last_press = event
        told.steps.append(_event_step(timeline, event, observed, changes))
    return told


def _repeats(before: FactualAnchor, event: FactualAnchor) -> bool:
    if before.kind != event.kind or event.kind not in (AnchorKind.CLICK, AnchorKind.RIGHT_CLICK):
        return False
    if event.t0 - before.t1 > _REPEAT_SECONDS or event.content != before.content:
        return False
    if before.point is None or event.point is None:
        # Off the frame both are: the element they met must tell.
        return bool(event.content)
    return abs(before.point.x - event.point.x) + abs(before.point.y - event.point.y) <= _REPEAT_DISTANCE


def _event_step(timeline: Timeline, event: FactualAnchor, observed: float, changes: Sequence[FactualAnchor]) -> Step:
    kind = _TYPES[AnchorKind(event.kind)]
    target = None
    if kind in (ActionType.CLICK, ActionType.DOUBLE_CLICK, ActionType.RIGHT_CLICK, ActionType.DRAG):
        target = _event_target(timeline, event, observed)
    action = Action(
        type=kind,
        point=event.point,
        end_point=event.end_point,
        text=event.content if kind in (ActionType.TYPE, ActionType.HOTKEY) else None,
        direction=event.content if kind is ActionType.SCROLL else None,
        count=int(event.value) if kind is ActionType.SCROLL and event.value else None,
    )
    shown = changes[-1].t0 if changes else event.t1
    return Step(
        index=0,
        source=timeline.name,
        observation_time=observed,
        action_time=event.t0,
        action=action,
        target=target,
        reason=_reason(timeline, kind, target, action, observed, shown),
    )


def _event_target(timeline: Timeline, event: FactualAnchor, observed: float) -> Target | None:
    """What a press met: the element recorded at that moment, else the line under the pointer or in its row, else the
    element of an earlier tree, where no line contradicts it: trees age, and are off after the scaling has changed."""
    named = Target(text=event.content or None, box=event.box) if event.content or event.box is not None else None
    if event.point is None:
        return named
    lines = timeline.lines_before(observed)
    under = line_at(timeline, lines, event.point, exact=True)
    if under is not None and not folded(under.content):
        under = None
    sure = named is not None and event.confidence >= _SURE_ELEMENT
    if under is None and not sure:
        under = _in_row(lines, event.point, _ROW)
    if under is not None and not (named is not None and (sure or _agree(event.content, under.content))):
        return Target(text=under.content, box=under.box)
    return named


def _in_row(lines: Sequence[FactualAnchor], point: Point, reach: float) -> FactualAnchor | None:
    """The nearest line in the row of a point: an entry of a list is wider than its text."""
    best: tuple[float, FactualAnchor] | None = None
    for line in lines:
        if line.box is None or len(line.content) < 2:
            continue
        if not line.box.y0 - 0.008 <= point.y <= line.box.y1 + 0.008:
            continue
        away = max(line.box.x0 - point.x, point.x - line.box.x1, 0.0)
        if away <= reach and (best is None or away < best[0]):
            best = (away, line)
    return best[1] if best is not None else None


def _agree(name: str, line: str) -> bool:
    """Whether an element's name and a line read in it say the same."""
    one, other = _words(name), _words(line)
    return bool(one & other) or folded(name) == folded(line)


# --- recordings without a log ----------------------------------------------------------------------------------------


def from_pictures(
    timeline: Timeline, until: float | None = None, since: float | None = None, thousandths: bool = False
) -> Told:
    """Steps told by marks of taps and swipes, by text that was typed, by scrolling, and by changes."""
    told = Told()
    screens = [
        screen
        for screen in timeline.screens
        if (until is None or screen.t0 <= until) and (since is None or screen.t1 >= since)
    ]
    for screen, following in zip(screens, [*screens[1:], None], strict=True):
        end = following.t0 if following is not None else screen.t1 + 0.01
        marks = [mark for mark in timeline.marks if screen.t0 < mark.t0 <= end and mark.t0 <= screen.t1 + 0.01]
        for mark in marks:
            told.steps.append(_mark_step(timeline, screen, following, mark, thousandths))
        if following is None:
            continue
        typed = typed_text(screen, following, screens)
        scroll = next((s for s in timeline.of(AnchorKind.SCROLL) if abs(s.t1 - following.t0) < 0.01), None)
        if typed and not _explained(marks, following):
            told.steps.append(_typed_step(timeline, screen, following, typed))
        elif marks:
            continue
        elif scroll is not None:
            told.steps.append(_scroll_step(timeline, screen, scroll))
        else:
            change = next((c for c in timeline.changes if abs(c.t0 - following.t0) < 0.01), None)
            if change is not None and (change.value or 0.0) >= _NAVIGATION_SHARE:
                told.steps.append(_navigation_step(timeline, screen, following))
    return told


def _explained(marks: Sequence[FactualAnchor], following: Screen) -> bool:
    """Whether a mark directly before a change already tells what was done."""
    return any(following.t0 - mark.t1 < 0.75 for mark in marks)


def _mark_step(
    timeline: Timeline, screen: Screen, following: Screen | None, mark: FactualAnchor, thousandths: bool
) -> Step:
    observed = timeline.observed_before(mark.t0)
    observed = screen.t0 if observed is None else observed
    point = placed(timeline, mark.point, thousandths)
    end_point = placed(timeline, mark.end_point, thousandths)
    shown = following.t0 if following is not None else None
    if mark.kind == AnchorKind.SWIPE:
        scroll = next(
            (s for s in timeline.of(AnchorKind.SCROLL) if following is not None and abs(s.t1 - following.t0) < 0.01),
            None,
        )
        direction = scroll.content if scroll is not None else None
        if direction is not None and point is not None and end_point is not None and mark.confidence < 0.9:
            point, end_point = _directed(point, end_point, direction)
        kept = not thousandths
        action = Action(
            type=ActionType.SWIPE,
            point=point if kept else None,
            end_point=end_point if kept else None,
            direction=direction,
        )
        reason = _reason(timeline, ActionType.SWIPE, None, action, observed, shown)
        target = None
    else:
        line = line_at(timeline, timeline.lines_at(observed), point) if point is not None else None
        target = Target(text=line.content, box=line.box) if line is not None else None
        inside = target is not None and target.box is not None and point is not None and target.box.contains(point)
        action = Action(type=ActionType.TAP, point=point if inside or not thousandths else None)
        reason = _reason(timeline, ActionType.TAP, target, action, observed, shown)
    return Step(
        index=0,
        source=timeline.name,
        observation_time=observed,
        action_time=mark.t0,
        action=action,
        target=target,
        reason=reason,
    )


def _directed(one: Point, other: Point, direction: str) -> tuple[Point, Point]:
    """The ends of a swipe in the order that moves content in a direction: the finger goes with the content."""
    backwards = {
        "up": other.y > one.y,
        "down": other.y < one.y,
        "left": other.x > one.x,
        "right": other.x < one.x,
    }
    return (other, one) if backwards.get(direction, False) else (one, other)


def _typed_step(timeline: Timeline, screen: Screen, following: Screen, typed: Sequence[FactualAnchor]) -> Step:
    text = "\n".join(_better_reading(timeline, line) for line in typed)
    place = replaced_line(typed[0], screen)
    return Step(
        index=0,
        source=timeline.name,
        observation_time=timeline.observed_before(following.t0) or screen.t0,
        action_time=following.t0,
        action=Action(type=ActionType.TYPE, text=text),
        target=Target(text=place.content, box=place.box) if place is not None else None,
        reason=f"The text {quoted(text.split(chr(10))[0])} goes into the field"
        + (f" that shows {quoted(place.content)}." if place is not None else "."),
    )


def _better_reading(timeline: Timeline, typed: FactualAnchor) -> str:
    """A typed line as it is read shortly after without an icon that was glued to its front."""
    key = folded(typed.content)
    for line in timeline.lines:
        other = folded(line.content)
        glued = other and key.endswith(other) and 0 < len(key) - len(other) <= 2
        if glued and typed.t0 < line.t0 <= typed.t0 + TYPED_WITHIN:
            return line.content
    return typed.content


def _scroll_step(timeline: Timeline, screen: Screen, scroll: FactualAnchor) -> Step:
    action = Action(type=ActionType.SCROLL, direction=scroll.content)
    observed = timeline.observed_before(scroll.t1) or screen.t0
    return Step(
        index=0,
        source=timeline.name,
        observation_time=observed,
        action_time=scroll.t1,
        action=action,
        reason=_reason(timeline, ActionType.SCROLL, None, action, observed, scroll.t1),
    )


def _navigation_step(timeline: Timeline, screen: Screen, following: Screen) -> Step:
    action = Action(type=ActionType.NAVIGATE)
    observed = timeline.observed_before(following.t0) or screen.t0
    return Step(
        index=0,
        source=timeline.name,
        observation_time=observed,
        action_time=following.t0,
        action=action,
        reason=_reason(timeline, ActionType.NAVIGATE, None, action, observed, following.t0),
    )


# --- what was typed --------------------------------------------------------------------------------------------------

_PLACEHOLDERS = (
    "search",
    "type",
    "enter",
    "message",
    "write",
    "add a",
    "ask",
    "find",
    "name",
    "email",
    "password",
    "url",
)


def typed_text(before: Screen, after: Screen, screens: Sequence[Screen]) -> list[FactualAnchor]:
    """The lines that were typed between two screens, top to bottom; none when nothing tells of typing.

    A keyboard stands on both screens, and above it a line took the place of another one or grew.
    """
    top = keyboard_top(after.lines)
    if top is None or keyboard_top(before.lines) is None:
        return []
    old = {folded(line.content) for line in before.lines}
    fresh = [
        line
        for line in after.lines
        if line.box is not None
        and line.box.y1 <= top + 0.02
        and folded(line.content)
        and folded(line.content) not in old
        and line.t0 >= after.t0 - 0.3
    ]
    later = [screen for screen in screens if screen.t0 > after.t0]
    best: tuple[float, FactualAnchor] | None = None
    for line in fresh:
        was = replaced_line(line, before)
        if was is None:
            continue
        score = 0.0
        if folded(was.content).startswith(_PLACEHOLDERS):
            score += 2.0
        if folded(line.content).startswith(folded(was.content)):
            score += 2.0
        key = folded(line.content)
        begun = sum(folded(other.content).startswith(key[:6]) for other in fresh if other is not line)
        score += min(begun, 3) * 0.5
        score += (
            1.0 if any(key in phrase or phrase in key for s in later for phrase in s.phrases if len(phrase) > 5) else 0
        )
        score += 0.2 * (1 - (line.box.y0 if line.box else 0.0))
        if best is None or score > best[0]:
            best = (score, line)
    if best is None or best[0] < 1.5:
        return []
    return _field_lines(best[1], fresh)


def replaced_line(line: FactualAnchor, before: Screen) -> FactualAnchor | None:
    """The line of an earlier screen at whose place a line stands now."""
    return next((was for was in before.lines if folded(was.content) and same_place(was, line)), None)


def _field_lines(first: FactualAnchor, fresh: Sequence[FactualAnchor]) -> list[FactualAnchor]:
    """The lines of one text field: as tall, aligned and set as tightly as its first found."""
    chosen = [first]
    for line in sorted(fresh, key=lambda item: item.box.y0 if item.box else 0.0):
        for other in list(chosen):
            if line is other or line in chosen or line.box is None or other.box is None:
                continue
            height = other.box.y1 - other.box.y0
            pitch = abs(line.box.y0 - other.box.y0)
            if abs(line.box.x0 - other.box.x0) < 0.04 and 0.5 * height < pitch < 1.5 * height:
                chosen.append(line)
    # Lines above the first found were passed before it was reached: look again until nothing joins.
    if len(chosen) > 1:
        for line in sorted(fresh, key=lambda item: -(item.box.y0 if item.box else 0.0)):
            for other in list(chosen):
                if line in chosen or line.box is None or other.box is None:
                    continue
                height = other.box.y1 - other.box.y0
                pitch = abs(line.box.y0 - other.box.y0)
                if abs(line.box.x0 - other.box.x0) < 0.04 and 0.5 * height < pitch < 1.5 * height:
                    chosen.append(line)
    return sorted(chosen, key=lambda item: item.box.y0 if item.box else 0.0)


# --- targets and marks -----------------------------------------------------------------------------------------------


def line_at(
    timeline: Timeline, lines: Sequence[FactualAnchor], point: Point, exact: bool = False
) -> FactualAnchor | None:
    """The line under a point, or else (not `exact`) the nearest around it: a label stands below its icon."""
    aspect = timeline.size[1] / timeline.size[0] if timeline.size is not None else 1.0
    reach = 0.12 * min(1.0, 1.0 / aspect) if aspect < 1 else 0.12
    best: tuple[float, FactualAnchor] | None = None
    for line in lines:
        if line.box is None or not any(c.isalnum() for c in line.content):
            continue
        right = max(line.box.x0 - point.x, point.x - line.box.x1, 0.0)
        below = (line.box.y0 - point.y) * aspect
        above = (point.y - line.box.y1) * aspect
        down = max(below, 0.0)
        up = max(above, 0.0)
        # In shares of the width; above the point labels are rarer than below.
        distance = (right**2 + (down + 1.5 * up) ** 2) ** 0.5
        if distance > (0.01 if exact else reach):
            continue
        # A single letter is an icon misread more often than a key.
        if not exact and not folded(line.content) and (distance > 0.02 or len(line.content) < 2):
            continue
        if best is None or distance < best[0]:
            best = (distance, line)
    return best[1] if best is not None else None


def placed(timeline: Timeline, point: Point | None, thousandths: bool) -> Point | None:
    """Where a mark's author meant it; None when that would lie off the frame."""
    if point is None or not thousandths or timeline.size is None:
        return point
    x, y = point.x * timeline.size[0] / _THOUSAND, point.y * timeline.size[1] / _THOUSAND
    return Point(x=x, y=y) if x <= 1 and y <= 1 else None


def drawn_in_thousandths(timelines: Sequence[Timeline]) -> bool:
    """Whether marks were drawn at thousandths of the frame, taken for pixels: a common slip of annotators' tools.

    Told by the marks alone: every one lies within 1000 pixels, and what stands at the place meant, not at the place
    drawn, is what the next screen takes up.
    """
    drawn = meant = odds = 0.0
    for timeline in timelines:
        if timeline.size is None or max(timeline.size) <= _THOUSAND:
            continue
        screens = timeline.screens
        room = max(timeline.size[0] / _THOUSAND, 1.0) * max(timeline.size[1] / _THOUSAND, 1.0)
        for mark in timeline.marks:
            for end in (mark.point, mark.end_point):
                if end is not None and placed(timeline, end, True) is None:
                    return False
            there = placed(timeline, mark.point, True)
            if mark.kind != AnchorKind.TAP or mark.point is None or there is None:
                continue
            # Had the marks been free to lie anywhere, all would seldom lie within a thousand pixels.
            odds += math.log(room)
            place = next((i for i, s in enumerate(screens) if s.t0 <= mark.t0 <= s.t1 + 0.01), None)
            if place is None or place + 1 >= len(screens):
                continue
            lines = [line for line in screens[place].lines if line.t0 <= mark.t0]
            drawn += _fits(timeline, lines, mark.point, screens[place], screens[place + 1])
            meant += _fits(timeline, lines, there, screens[place], screens[place + 1])
    return odds >= 4.0 and meant >= drawn + 0.5


def _fits(timeline: Timeline, lines: Sequence[FactualAnchor], point: Point, before: Screen, after: Screen) -> float:
    """How well a tap at a point explains what came next: it met a line, and the next screen takes up its words."""
    under = line_at(timeline, lines, point, exact=True)
    if under is not None and folded(under.content):
        return 0.25 + taken_up(under, before, after)
    return 0.5 * taken_up(line_at(timeline, lines, point), before, after)


def taken_up(line: FactualAnchor | None, before: Screen, after: Screen) -> float:
    """In [0, 1]: how far the next screen takes up the words of a line in what it newly shows."""
    if line is None or not folded(line.content):
        return 0.0
    words = _words(line.content)
    known = {word for phrase in before.phrases for word in _words(phrase)}
    fresh = {word for phrase in after.phrases for word in _words(phrase)} - known
    if not words:
        return 0.0
    return sum(any(_akin(word, other) for other in fresh) for word in words) / len(words)


def _words(text: str) -> set[str]:
    return {word for word in "".join(c if c.isalnum() else " " for c in text.casefold()).split() if len(word) >= 3}


def _akin(one: str, other: str) -> bool:
    return one == other or (len(one) >= 3 and other.startswith(one))


# --- words about it --------------------------------------------------------------------------------------------------


def headline(lines: Sequence[FactualAnchor], before: Sequence[FactualAnchor], near: str = "") -> FactualAnchor | None:
    """The line that best names what a screen newly shows: kin to the words that led there, large, and high up."""
    old = {folded(line.content) for line in before}
    led = _words(near)
    top = keyboard_top(lines)
    best: tuple[float, FactualAnchor] | None = None
    tallest = max((line.box.y1 - line.box.y0 for line in lines if line.box is not None), default=1.0)
    for line in lines:
        key = folded(line.content)
        if not key or key in old or line.box is None or line.confidence < 0.9 or len(key) > 60 or '"' in line.content:
            continue
        if top is not None and line.box.y0 >= top - 0.01:
            continue
        words = _words(line.content)
        if not words:
            continue
        kin = sum(any(_akin(word, other) or _akin(other, word) for other in led) for word in words) / len(words)
        score = (
            1.5 * kin
            + 0.8 * (line.box.y1 - line.box.y0) / tallest
            + 0.6 * (1 - line.box.y0)
            + (0.3 if len(words) > 1 else 0.0)
            # Prices and counts name nothing.
            - 0.8 * sum(not (c.isalpha() or c.isspace()) for c in line.content) / len(line.content)
        )
        if best is None or score > best[0] + 1e-9:
            best = (score, line)
    return best[1] if best is not None else None


def _shown_at(timeline: Timeline, time: float) -> list[FactualAnchor]:
    """The lines of the screen that a change at a time brought."""
    screen = next((s for s in timeline.screens if s.t0 - 0.01 <= time <= s.t1 + 0.01), None)
    return list(screen.lines) if screen is not None else []


_DOING = {
    ActionType.TAP: ("tapping", "the tap"),
    ActionType.CLICK: ("clicking", "the click"),
    ActionType.DOUBLE_CLICK: ("double-clicking", "the double click"),
    ActionType.RIGHT_CLICK: ("right-clicking", "the right click"),
    ActionType.DRAG: ("dragging", "the drag"),
    ActionType.SWIPE: ("swiping", "the swipe"),
    ActionType.SCROLL: ("scrolling", "scrolling"),
    ActionType.HOTKEY: ("pressing", "the keys"),
}
"""Each action as a word that takes what it was done to, and by itself."""


def _reason(
    timeline: Timeline, kind: ActionType, target: Target | None, action: Action, observed: float, shown: float | None
) -> str:
    """What is seen after an action, `shown` being when (None: no other screen is). That the one
    brought about the other is not seen, and not said."""
    if kind is ActionType.TYPE:
        return f"The text {quoted(action.text or '')} is entered."
    name = target.text if target is not None and target.text else ""
    doing, what = _DOING.get(kind, ("", ""))
    if name and '"' not in name:
        what = f"{doing} {quoted(name)}"
    elif kind is ActionType.HOTKEY:
        what = f"{doing} {quoted(action.text or '')}"
    elif kind in (ActionType.SCROLL, ActionType.SWIPE) and action.direction:
        what = f"{doing} {action.direction}"
    if shown is None:
        return f"No other screen follows {what}."
    found = headline(_shown_at(timeline, shown), timeline.lines_at(observed), name)
    if kind is ActionType.NAVIGATE:
        return (
            f"The screen goes over to one that shows {quoted(found.content)}." if found else "Another screen appears."
        )
    seen = f"{quoted(found.content)} is on the screen" if found else "the screen has changed"
    return f"After {what}, {seen}."
