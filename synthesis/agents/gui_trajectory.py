"""gui_trajectory: the steps of a task on a screen, from an event log, a recording, or fragments of several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

from pydantic import BaseModel

from experts.pixels import unlikeness
from schemas.anchor import AnchorKind
from schemas.errors import UnsuitedError
from schemas.geometry import Box, Point
from schemas.outputs.gui_trajectory import ActionType, GuiTrajectory, LinkBasis, Step
from schemas.score import Claim, ClaimKind, Support
from schemas.stream import Domain, Stream
from synthesis.agents.gui.fragments import ALIKE, Fragment, Ordering, order_fragments
from synthesis.agents.gui.steps import TYPED_WITHIN, Told, drawn_in_thousandths, headline, steps_of
from synthesis.agents.gui.timeline import INPUTS, JUST_SEEN, MARKS, Timeline, folded
from synthesis.agents.passages import spread
from synthesis.base import Agent, Evidence, Recognition
from synthesis.verification.mentions import claims_in, quoted

_ACTS = {
    ActionType.TAP: (AnchorKind.TAP,),
    ActionType.CLICK: (AnchorKind.CLICK,),
    ActionType.DOUBLE_CLICK: (AnchorKind.DOUBLE_CLICK,),
    ActionType.RIGHT_CLICK: (AnchorKind.RIGHT_CLICK,),
    ActionType.DRAG: (AnchorKind.DRAG,),
    ActionType.SWIPE: (AnchorKind.SWIPE,),
    ActionType.SCROLL: (AnchorKind.WHEEL, AnchorKind.SCROLL),
    ActionType.TYPE: (AnchorKind.TYPING, AnchorKind.SCREEN_CHANGE),
    ActionType.HOTKEY: (AnchorKind.HOTKEY,),
    ActionType.NAVIGATE: (AnchorKind.SCREEN_CHANGE,),
}
_TARGETS = (
    AnchorKind.CLICK,
    AnchorKind.DOUBLE_CLICK,
    AnchorKind.RIGHT_CLICK,
    AnchorKind.DRAG,
    AnchorKind.ELEMENT,
    AnchorKind.SCREEN_TEXT,
)
_SHOWN = (AnchorKind.SCREEN_TEXT, AnchorKind.CLOCK)
_SAID = (*_TARGETS, AnchorKind.CLOCK, AnchorKind.TYPING, AnchorKind.HOTKEY, AnchorKind.WINDOW, AnchorKind.GIVEN_TEXT)
_EDGE = 0.02
_MARGIN = 0.3
_DAY = 1440


class GuiTrajectoryAgent(Agent):
    """Orders fragments, tells the steps of each, and pairs each step with the last distinct frame before it."""

    task_type = "gui_trajectory"
    version = "2"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.GUI, Domain.EDUCATION})
    output = GuiTrajectory
    joins = True
    parts: ClassVar[dict[str, str]] = {"steps": "steps", "actions": "steps"}
    divisible = False
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Reconstruct what was done on this screen to reach a goal: each step with the moment observed, the "
        "action, its target and the reason.",
        names=(
            r"trajector(?:y|ies)",
            r"gui(?: \w+)? (?:data|traces?|agents?)",
            r"(?:computer|phone|mobile|browser|app)[- ](?:use|control|agents?|interactions?)",
            r"interaction (?:fragments?|traces?|steps?|data)",
            r"workflows?",
            r"action (?:sequences?|traces?)",
            r"(?:task|user|click) traces?",
        ),
        hints=(
            r"gui",
            r"mobile|phones?",
            r"screens?",
            r"click\w*",
            r"taps?|typed",
            r"steps?",
            r"long[- ]horizon",
            r"agents?",
            r"tasks?",
            r"users?",
        ),
        examples=(
            "Reconstruct the trajectory of this session for a GUI agent.",
            "What did the user do on the screen, action by action?",
            "Train an agent that uses computers and phones from these recordings.",
            "Turn the clicks and keystrokes into steps with targets and reasons.",
            "Join the fragments into one long task.",
        ),
        prior={Domain.GUI: 0.45},
        joins=(
            r"fragments?",
            r"comprehensive",
            r"long(?:er)?[- ]horizon",
            r"(?:stitch|merge|combine|join|connect|piece)\w*",
            r"(?:all|several|these|multiple) (?:\w+ )?(?:recordings|clips|sessions|streams)",
        ),
    )

    def compose(self, evidence: Evidence) -> GuiTrajectory:
        timelines = [Timeline(stream, evidence.by_stream[stream.sha256]) for stream in evidence.streams]
        seen = [timeline for timeline in timelines if timeline.screens]
        name = ", ".join(stream.name for stream in evidence.streams)
        if not seen:
            raise UnsuitedError(name, "no screen was seen in it", "Give a recording of a screen")
        ordering = order_fragments(seen)
        if len(seen) > 1 and len(ordering.order) < 2:
            raise UnsuitedError(
                name,
                "nothing ties these recordings together: none takes over a clock, screen or text from another",
                "Give fragments of one session, or ask for a trajectory of each",
            )
        thousandths = drawn_in_thousandths([fragment.timeline for fragment in ordering.order])
        steps: list[Step] = []
        omitted = list(ordering.omitted)
        for fragment in ordering.order:
            told = _told(fragment, thousandths)
            steps += told.steps
            omitted += told.omitted
        if not steps:
            raise UnsuitedError(
                name, "nothing was done in it: no input, mark or change of the screen", "Give a recording of actions"
            )
        places = {fragment.name: place for place, fragment in enumerate(ordering.order)}
        return GuiTrajectory(
            goal=_goal(evidence, ordering, steps),
            source_order=tuple(fragment.name for fragment in ordering.order),
            steps=tuple(step.model_copy(update={"index": index}) for index, step in enumerate(steps)),
            links=tuple(ordering.links),
            discarded=tuple(ordering.discarded),
            omitted=tuple(sorted(omitted, key=lambda item: (places.get(item.source, len(places)), item.time))),
        )

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        return _Claims(output, streams).all()

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> GuiTrajectory | None:
        assert isinstance(output, GuiTrajectory)
        bad = [support.path.split("/")[1:] for support in unsupported]
        if any(path[:1] == ["source_order"] for path in bad):
            return None

        def hit(*where: str) -> bool:
            return any(path[: len(where)] == list(where) for path in bad)

        steps = [step for place, step in enumerate(output.steps) if not hit("steps", str(place))]
        if ["steps"] in bad and len(steps) == len(output.steps):
            # No single step is wrong, but their order is.
            return None
        links = []
        for place, link in enumerate(output.links):
            facts = tuple(
                fact for number, fact in enumerate(link.facts) if not hit("links", str(place), "facts", str(number))
            )
            if not facts:
                # The order rests on this link.
                return None
            links.append(link.model_copy(update={"facts": facts}))
        discarded = []
        for place, item in enumerate(output.discarded):
            if hit("discarded", str(place)):
                item = item.model_copy(
                    update={"reason": "It does not belong to the task: no link to the others was found.", "texts": ()}
                )
            discarded.append(item)
        omitted = [item for place, item in enumerate(output.omitted) if not hit("omitted", str(place))]
        kept = {step.source for step in steps}
        if not steps or any(source not in kept for source in output.source_order):
            return None
        goal = output.goal
        if hit("goal"):
            given = [anchor.content for anchor in evidence.of(AnchorKind.GIVEN_TEXT) if anchor.content.strip()]
            goal = given[0] if given else "Carry out the steps that the recording shows."
        return output.model_copy(
            update={
                "goal": goal,
                "steps": tuple(step.model_copy(update={"index": index}) for index, step in enumerate(steps)),
                "links": tuple(links),
                "discarded": tuple(discarded),
                "omitted": tuple(omitted),
            }
        )

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The frames before each step, spread over the trajectory, so that the first few show all of it."""
        known = {stream.name: stream.sha256 for stream in streams}
        moments = [
            (known[step["source"]], float(step["observation_time"]))
            for step in output.get("steps", ())
            if step.get("source") in known
        ]
        return spread(list(dict.fromkeys(moments)))


def _told(fragment: Fragment, thousandths: bool) -> Told:
    own = fragment.own if fragment.stray_first or fragment.stray_last else fragment.screens
    until = own[-1].t1 if fragment.stray_last else None
    since = own[0].t0 if fragment.stray_first else None
    return steps_of(fragment.timeline, until, since, thousandths)


def _goal(evidence: Evidence, ordering: Ordering, steps: Sequence[Step]) -> str:
    """The text that came with the streams, else what was typed and where it ended, in quotes from the screen."""
    used = [fragment.timeline for fragment in ordering.order]
    for timeline in used:
        for given in timeline.of(AnchorKind.GIVEN_TEXT):
            if given.content.strip():
                return given.content
    typed: dict[str, str] = {}
    for step in steps:
        if step.action.type is ActionType.TYPE and step.action.text:
            first = step.action.text.split("\n")[0]
            typed.setdefault(folded(first) or first, first)
    last = ordering.order[-1]
    end = last.own[-1]
    before = last.own[-2].lines if len(last.own) > 1 else ()
    led = next((s.target.text for s in reversed(steps) if s.target is not None and s.target.text), "")
    found = headline(end.lines, before, led or "") or headline(end.lines, (), led or "")
    parts = []
    if typed:
        parts.append("Enter " + " and ".join(quoted(text) for text in list(typed.values())[:3]))
    if found is not None:
        reach = f"each the screen that shows {quoted(found.content)}"
        parts.append(f"r{reach}" if parts else f"R{reach}")
    if not parts:
        return "Carry out the steps that the recording shows."
    return " and ".join(parts) + "."


class _Claims:
    """Everything that a trajectory asserts. `output` is parsed JSON under the schema."""

    def __init__(self, output: Any, streams: Sequence[Stream]) -> None:
        self.output = output
        self.known: dict[str, str] = {stream.name: stream.sha256 for stream in streams}
        self.found: list[Claim] = []

    def all(self) -> list[Claim]:
        self._order()
        for place, step in enumerate(self.output.get("steps", ())):
            self._step(f"/steps/{place}", step)
        self._steps_rise()
        for place, link in enumerate(self.output.get("links", ())):
            self._link(f"/links/{place}", link)
        for place, item in enumerate(self.output.get("discarded", ())):
            self._discarded(f"/discarded/{place}", item)
        for place, item in enumerate(self.output.get("omitted", ())):
            self._omitted(f"/omitted/{place}", item)
        self._goal()
        return self.found

    def _add(self, path: str, kind: ClaimKind, **what: Any) -> None:
        self.found.append(Claim(path=path, kind=kind, **what))

    def _refuse(self, path: str) -> None:
        """A claim that nothing can support: the output contradicts itself here."""
        self._add(path, ClaimKind.ORDER)

    def _order(self) -> None:
        order = list(self.output["source_order"])
        links = list(self.output.get("links") or ())
        set_aside = [item["source"] for item in self.output.get("discarded") or ()]
        pairs = [(link["source"], link["next_source"]) for link in links]
        for place, name in enumerate(order):
            if name not in self.known or order.count(name) > 1 or name in set_aside:
                self._refuse(f"/source_order/{place}")
        if len(pairs) != len(order) - 1:
            self._refuse("/source_order")
        for place, pair in enumerate(pairwise(order)):
            if place >= len(pairs) or pairs[place] != pair:
                self._refuse(f"/source_order/{place + 1}")
        told = list(dict.fromkeys(step["source"] for step in self.output.get("steps") or ()))
        if told != order:
            self._refuse("/source_order")
        for place, name in enumerate(set_aside):
            if name not in self.known:
                self._refuse(f"/discarded/{place}/source")
        if len(order) > 1 and set(order) | set(set_aside) != set(self.known):
            # Every recording is either used or set aside.
            self._refuse("/source_order")

    def _steps_rise(self) -> None:
        steps = list(self.output.get("steps") or ())
        if [step["index"] for step in steps] != list(range(len(steps))):
            self._refuse("/steps")
        by_source: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        blocks: list[str] = []
        for place, step in enumerate(steps):
            by_source.setdefault(step["source"], []).append((place, step))
            if not blocks or blocks[-1] != step["source"]:
                blocks.append(step["source"])
        if len(blocks) != len(by_source):
            self._refuse("/steps")
        for source, own in by_source.items():
            if len(own) > 1 and source in self.known:
                items = tuple(float(step["action_time"]) for _, step in own)
                self._add(
                    "/steps",
                    ClaimKind.ORDER,
                    stream=self.known[source],
                    items=items,
                    kinds=(*INPUTS, *MARKS, AnchorKind.SCROLL, AnchorKind.SCREEN_CHANGE),
                )

    def _step(self, path: str, step: dict[str, Any]) -> None:
        stream = self.known.get(step["source"])
        if stream is None:
            self._refuse(f"{path}/source")
            return
        observed, acted = float(step["observation_time"]), float(step["action_time"])
        action = step["action"]
        kind = ActionType(action["type"])
        self._add(f"{path}/observation_time", ClaimKind.TIME, stream=stream, t0=observed, kinds=(AnchorKind.SCREEN,))
        if observed >= acted:
            self._refuse(f"{path}/observation_time")
            return
        # The frame is the last distinct one: no change between it and the action.
        self._add(
            f"{path}/observation_time",
            ClaimKind.COUNT,
            stream=stream,
            t0=observed + _EDGE,
            t1=acted,
            kinds=(AnchorKind.SCREEN_CHANGE,),
            count=0,
        )
        direction, count, text = action.get("direction"), action.get("count"), action.get("text")
        self._add(
            f"{path}/action_time",
            ClaimKind.TIME,
            stream=stream,
            t0=acted,
            kinds=_ACTS[kind],
            text=direction if kind is ActionType.SCROLL else None,
            value=float(count) if kind is ActionType.SCROLL and count else None,
        )
        if direction and kind is not ActionType.SCROLL:
            # What a swipe moves shows on the frame after its mark.
            end = acted + 1.0
            self._add(
                f"{path}/action/direction",
                ClaimKind.QUOTE,
                stream=stream,
                t0=acted,
                t1=end,
                text=direction,
                kinds=(AnchorKind.SCROLL, AnchorKind.WHEEL),
            )
        if text:
            kinds = (AnchorKind.HOTKEY,) if kind is ActionType.HOTKEY else (AnchorKind.TYPING, AnchorKind.SCREEN_TEXT)
            end = acted + (TYPED_WITHIN if kind is ActionType.TYPE else 0.0)
            for line in str(text).split("\n"):
                self._add(
                    f"{path}/action/text", ClaimKind.QUOTE, stream=stream, t0=acted, t1=end, text=line, kinds=kinds
                )
        self._places(path, step, stream, observed, acted, kind)
        self.found += claims_in(
            step["reason"], f"{path}/reason", stream, moments=(observed, acted), kinds=_ACTS[kind], quote_kinds=_SAID
        )

    def _places(
        self, path: str, step: dict[str, Any], stream: str, observed: float, acted: float, kind: ActionType
    ) -> None:
        action: dict[str, Any] = step["action"]
        target: dict[str, Any] = step.get("target") or {}
        name, box = target.get("text"), target.get("box")
        # A line that ends with the frame before the action still has to share time with the window.
        begin = max(0.0, observed - JUST_SEEN - _MARGIN)
        window: dict[str, Any] = {"stream": stream, "t0": begin, "t1": acted + _MARGIN}
        if name:
            self._add(f"{path}/target/text", ClaimKind.QUOTE, text=name, kinds=_TARGETS, **window)
        if box:
            self._add(
                f"{path}/target/box", ClaimKind.BOX, box=Box.model_validate(box), text=name, kinds=_TARGETS, **window
            )
        for end in ("point", "end_point"):
            if action.get(end):
                point = Point.model_validate(action[end])
                inside = bool(box) and Box.model_validate(box).contains(point)
                # A point lies where the pointer or mark was, or in the box of what it was meant for.
                marked = kind is ActionType.TAP and inside
                self._add(
                    f"{path}/action/{end}",
                    ClaimKind.BOX,
                    point=point,
                    kinds=(AnchorKind.SCREEN_TEXT,) if marked else _ACTS[kind],
                    text=name if marked else None,
                    **window,
                )

    def _link(self, path: str, link: dict[str, Any]) -> None:
        before, after = self.known.get(link["source"]), self.known.get(link["next_source"])
        if before is None or after is None:
            self._refuse(f"{path}/source")
            return
        for number, fact in enumerate(link["facts"]):
            here = f"{path}/facts/{number}"
            basis = LinkBasis(fact["basis"])
            kinds = {
                LinkBasis.CLOCK: (AnchorKind.CLOCK,),
                LinkBasis.SCREEN: (AnchorKind.SCREEN,),
                LinkBasis.TEXT: (AnchorKind.SCREEN_TEXT, AnchorKind.TYPING, *_TARGETS),
            }[basis]
            for side, stream in (("before", before), ("after", after)):
                time = float(fact[f"{side}_time"])
                self._add(
                    f"{here}/{side}", ClaimKind.QUOTE, stream=stream, t0=time, t1=time, text=fact[side], kinds=kinds
                )
                self._add(f"{here}/{side}_time", ClaimKind.TIME, stream=stream, t0=time, kinds=kinds, text=fact[side])
            if basis is LinkBasis.CLOCK:
                self._clocks(here, fact, before, after)
            elif not _agree(basis, fact["before"], fact["after"]):
                self._refuse(f"{here}/after")

    def _clocks(self, path: str, fact: dict[str, Any], before: str, after: str) -> None:
        one, other = minutes(fact["before"]), minutes(fact["after"])
        if one is None or other is None:
            self._refuse(f"{path}/before")
            return
        if one == other:
            return
        if one - other > _DAY / 4:
            # Past noon or midnight the clock begins again.
            other += _DAY
        self._add(
            f"{path}/after",
            ClaimKind.ORDER,
            items=(float(one), float(other)),
            streams=(before, after),
            kinds=(AnchorKind.CLOCK,),
        )

    def _discarded(self, path: str, item: dict[str, Any]) -> None:
        stream = self.known.get(item["source"])
        for number, text in enumerate(item.get("texts") or ()):
            self._add(f"{path}/texts/{number}", ClaimKind.QUOTE, stream=stream, text=text, kinds=_SHOWN)
        self.found += claims_in(item["reason"], f"{path}/reason", None, quote_kinds=_SAID)

    def _omitted(self, path: str, item: dict[str, Any]) -> None:
        stream = self.known.get(item["source"])
        if stream is None:
            self._refuse(f"{path}/source")
            return
        self._add(
            f"{path}/time",
            ClaimKind.TIME,
            stream=stream,
            t0=float(item["time"]),
            kinds=(*INPUTS, *MARKS, AnchorKind.SCREEN, AnchorKind.SCREEN_CHANGE),
        )
        self.found += claims_in(item["reason"], f"{path}/reason", stream, quote_kinds=_SAID)

    def _goal(self) -> None:
        goal = self.output["goal"]
        named = claims_in(goal, "/goal", None, quote_kinds=_SAID)
        if named and goal.startswith(("Enter ", "Reach ")):
            self.found += named
        elif goal != "Carry out the steps that the recording shows.":
            # A goal that is not built of quotes is one: it came with the stream.
            self._add("/goal", ClaimKind.QUOTE, text=goal, kinds=(AnchorKind.GIVEN_TEXT,))


def _agree(basis: LinkBasis, before: str, after: str) -> bool:
    """Whether the two sides of a fact are alike in the way that its basis says."""
    return _shared(before, after) if basis is LinkBasis.TEXT else unlikeness(before, after) <= 2 * ALIKE


def _shared(one: str, other: str) -> bool:
    """Whether two lines have their words in common, apart from case and an ellipsis."""
    a, b = folded(one) or one.casefold(), folded(other) or other.casefold()
    return a in b or b in a


def minutes(shown: str) -> int | None:
    """A clock reading (`1:14`, `13:05:22`, `1:14 PM`) as minutes since midnight; None when it is none."""
    text = shown.strip().casefold()
    half = text[-2:] if text[-2:] in ("am", "pm") else ""
    parts = text.removesuffix(half).strip().replace(".", ":").split(":")
    if len(parts) < 2 or not all(part.isdigit() for part in parts):
        return None
    hour = int(parts[0])
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    return hour * 60 + int(parts[1])
