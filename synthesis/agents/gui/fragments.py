"""Fragments of sessions put in the order of one task; those that do not belong are set aside, with the reason.

The evidence that Y follows X: the clock goes on where it stood, the screen goes on where it stood, and words that are
rare elsewhere stand in both. A cut clip may begin or end on a stray frame of another clip: such a frame is known by
standing alone, and counts for little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise

from experts.pixels import unlikeness
from schemas.anchor import FactualAnchor
from schemas.outputs.gui_trajectory import Discarded, Link, LinkBasis, LinkFact, Omitted
from synthesis.agents.gui.steps import typed_text
from synthesis.agents.gui.timeline import Screen, Timeline, folded, keyboard_top
from synthesis.verification.mentions import quoted

HALF_DAY = 720
ALIKE = 0.05
"""Signatures that differ in at most this share of their cells may show one screen; the lines on it decide."""
_STRAY_UNLIKE = 0.12
_LONGEST_PAUSE = 60
"""Minutes between two fragments of one task, at most."""
_THRESHOLD = 0.8
"""A fragment whose best link weighs less does not belong."""
_EXACT = 12
"""Up to so many fragments the best order is found exactly."""


def same_screen(one: Screen, other: Screen) -> bool:
    """Whether two screens of different recordings are the same one: they look alike and read alike."""
    apart = unlikeness(one.signature, other.signature)
    mine, theirs = one.phrases, other.phrases
    if min(len(mine), len(theirs)) < 3:
        # Without words looks must decide, and a page that is all one shade has none.
        return apart <= ALIKE / 3 and len(set(one.signature)) >= 4 and abs(len(mine) - len(theirs)) <= 2
    shared = len(mine & theirs) / len(mine | theirs)
    return (apart <= ALIKE and shared >= 0.5) or (apart <= 2 * ALIKE and shared >= 0.8)


@dataclass
class Fragment:
    """One recording and what of it belongs to it."""

    timeline: Timeline
    stray_first: bool = False
    """The first screen may be a stray frame."""
    stray_last: bool = False
    alien_first: bool = False
    """The first screen is a stray frame for certain: its clock contradicts the rest."""
    alien_last: bool = False
    marks_tell: bool = False
    """Marks show how most of its screens were left: one that was left without is out of the ordinary."""

    @property
    def name(self) -> str:
        return self.timeline.name

    @cached_property
    def screens(self) -> list[Screen]:
        return self.timeline.screens

    @property
    def own(self) -> list[Screen]:
        """Its screens without frames that may be strays; all when nothing else is left."""
        kept = self.screens[1 if self.stray_first else 0 : len(self.screens) - (1 if self.stray_last else 0)]
        return kept or self.screens

    @property
    def clocks(self) -> list[FactualAnchor]:
        """Readings of the clock on its own screens, in the order of time."""
        own = self.own
        if not own:
            return []
        found = {id(clock): clock for screen in own for clock in screen.clocks}
        begin, end = own[0].t0, own[-1].t1
        inside = [c for c in found.values() if c.t0 <= end + 1e-3 and c.t1 >= begin - 1e-3]
        return sorted(inside, key=lambda clock: (clock.t0, clock.t1))

    @cached_property
    def typed(self) -> list[tuple[str, FactualAnchor]]:
        """Texts typed in it: folded, and the line that shows them first."""
        texts = []
        for screen, following in zip(self.own, self.own[1:], strict=False):
            for line in typed_text(screen, following, self.own):
                texts.append((folded(line.content), line))
        return texts

    def marked(self, screen: Screen) -> bool:
        """Whether a mark or an input on a screen tells how it was left."""
        acts = [*self.timeline.marks, *self.timeline.inputs]
        return any(screen.t0 - 1e-3 <= act.t0 <= screen.t1 + 0.6 for act in acts)


def minutes_apart(before: FactualAnchor, after: FactualAnchor) -> float | None:
    """Minutes from one clock reading to another, in [-360, 360) on a clock of twelve hours, negative when it goes
    back; on one of 24 hours in [-720, 720)."""
    if before.value is None or after.value is None:
        return None
    day = 2 * HALF_DAY if max(before.value, after.value) >= 13 * 60 or min(before.value, after.value) < 60 else HALF_DAY
    gap = (after.value - before.value) % day
    return gap - day if gap >= day / 2 else gap


def read_fragments(timelines: Sequence[Timeline]) -> list[Fragment]:
    """Fragments with their stray frames told."""
    fragments = [Fragment(timeline) for timeline in timelines]
    for fragment in fragments:
        _find_strays(fragment, [other for other in fragments if other is not fragment])
    return fragments


def _find_strays(fragment: Fragment, others: Sequence[Fragment]) -> None:
    screens = fragment.screens
    if len(screens) < 3:
        return
    lengths = sorted(screen.t1 - screen.t0 for screen in screens)
    usual = lengths[len(lengths) // 2]
    left_by_mark = sum(fragment.marked(screen) for screen in screens[:-2])
    rest_marked = left_by_mark >= 0.5 * max(len(screens) - 2, 1)

    fragment.marks_tell = rest_marked

    def suspicious(edge: Screen, neighbour: Screen, rest: Sequence[Screen], unmarked: bool) -> tuple[bool, bool]:
        brief = edge.t1 - edge.t0 <= 0.01 and usual > 0.01
        unlike = all(unlikeness(edge.signature, s.signature) > _STRAY_UNLIKE or not _kin(edge, s) for s in rest)
        contradiction = (
            _clock_contradiction(neighbour, edge) if edge.t0 > neighbour.t0 else _clock_contradiction(edge, neighbour)
        )
        elsewhere = any(same_screen(edge, s) for other in others for s in other.screens)
        looks = any(
            unlikeness(edge.signature, s.signature) <= ALIKE
            for other in others
            for s in other.screens[:1] + other.screens[-1:]
        )
        alien = contradiction and (brief or elsewhere or looks)
        stray = alien or (brief and unmarked and ((unlike and (looks or rest_marked)) or (elsewhere and rest_marked)))
        return stray, alien

    last, before = screens[-1], screens[-2]
    fragment.stray_last, fragment.alien_last = suspicious(last, before, screens[:-1], not fragment.marked(before))
    first, after = screens[0], screens[1]
    fragment.stray_first, fragment.alien_first = suspicious(first, after, screens[1:], not fragment.marked(first))


def _kin(one: Screen, other: Screen) -> bool:
    shared = one.phrases & other.phrases
    return len(shared) >= 0.3 * max(1, min(len(one.phrases), len(other.phrases)))


def _clock_contradiction(before: Screen, after: Screen) -> bool:
    """Whether the clock goes back, or leaps by more than an hour, from one screen to the next of a clip."""
    if not before.clocks or not after.clocks:
        return False
    old, new = before.clocks[-1], after.clocks[-1]
    gap = minutes_apart(old, new)
    return gap is not None and (gap < 0 or gap > _LONGEST_PAUSE)


@dataclass
class Tie:
    """What speaks for Y after X, and the facts that can be shown for it."""

    follow: float = 0.0
    """Weight of Y going on directly where X ended."""
    bond: float = 0.0
    """Weight of X and Y being of one task, X earlier."""
    contradicted: bool = False
    """The clock goes back from X to Y, or leaps: X is not before Y."""
    facts: list[LinkFact] = field(default_factory=list)

    @property
    def weight(self) -> float:
        return self.follow + self.bond if self.facts else 0.0


@dataclass
class Ordering:
    """Fragments in their order, why, and what was set aside."""

    order: list[Fragment]
    links: list[Link]
    discarded: list[Discarded]
    omitted: list[Omitted]


def order_fragments(timelines: Sequence[Timeline]) -> Ordering:
    """Puts fragments into the order of one task. `order` holds a single one when nothing ties any two together."""
    fragments = read_fragments(sorted(timelines, key=lambda timeline: timeline.name))
    evidence = _Evidence(fragments)
    count = len(fragments)
    ties = {(x, y): evidence.tie(x, y) for x in range(count) for y in range(count) if x != y}
    path = _best_path(count, ties)
    # A fragment without an own link was carried by nothing.
    order = [fragments[place] for place in path]
    links = [
        Link(source=fragments[x].name, next_source=fragments[y].name, facts=tuple(ties[x, y].facts))
        for x, y in pairwise(path)
    ]
    discarded = [evidence.set_aside(place, path, ties) for place in range(count) if place not in path]
    omitted = _omit_strays(order)
    return Ordering(order, links, discarded, omitted)


def _omit_strays(order: Sequence[Fragment]) -> list[Omitted]:
    omitted = []
    for place, fragment in enumerate(order):
        following = order[place + 1] if place + 1 < len(order) else None
        earlier = order[place - 1] if place else None
        if fragment.stray_last:
            edge = fragment.screens[-1]
            if not fragment.alien_last and following is not None and same_screen(edge, following.own[0]):
                # It is where the next one goes on.
                fragment.stray_last = False
            else:
                omitted.append(_stray(fragment, edge, "last"))
        if fragment.stray_first:
            edge = fragment.screens[0]
            if not fragment.alien_first and earlier is not None and same_screen(edge, earlier.own[-1]):
                fragment.stray_first = False
            else:
                omitted.append(_stray(fragment, edge, "first"))
    return omitted


def _stray(fragment: Fragment, edge: Screen, which: str) -> Omitted:
    why = "it stands for one sample only, and no action leads to or from it"
    if fragment.alien_last if which == "last" else fragment.alien_first:
        why = "its clock contradicts the frames beside it"
    return Omitted(
        source=fragment.name, time=edge.t0, reason=f"The {which} frame is a stray one of another recording: {why}"
    )


class _Evidence:
    """Weighs what ties fragments, against what all of them have in common."""

    def __init__(self, fragments: Sequence[Fragment]) -> None:
        self.fragments = fragments
        count = len(fragments)
        # The screen on which several fragments begin (a home screen) ties none of them.
        self.common: list[Screen] = []
        for one, other in combinations(fragments, 2):
            if one.own and other.own and same_screen(one.own[0], other.own[0]):
                self.common += [one.own[0], other.own[0]]
        self.phrases: list[dict[str, list[tuple[int, FactualAnchor]]]] = [self._phrases(f) for f in fragments]
        self.spread: dict[str, int] = {}
        for phrases in self.phrases:
            for key in phrases:
                self.spread[key] = self.spread.get(key, 0) + 1
        self.count = count

    def _is_common(self, screen: Screen) -> bool:
        return any(screen is other or same_screen(screen, other) for other in self.common)

    def _phrases(self, fragment: Fragment) -> dict[str, list[tuple[int, FactualAnchor]]]:
        """Lines of a fragment that could tie it to another: by folded text, with the number of the screen."""
        found: dict[str, list[tuple[int, FactualAnchor]]] = {}
        for place, screen in enumerate(fragment.own):
            if self._is_common(screen):
                continue
            top = keyboard_top(screen.lines)
            for line in screen.lines:
                key = folded(line.content)
                below = top is not None and line.box is not None and line.box.y0 >= top - 0.01
                bar = line.box is not None and line.box.y1 < 0.04
                if key and not below and not bar:
                    found.setdefault(key, []).append((place, line))
        return found

    def tie(self, x: int, y: int) -> Tie:
        """What speaks for fragment `y` after fragment `x`."""
        tie = Tie()
        self._clock(tie, self.fragments[x], self.fragments[y])
        self._screen(tie, self.fragments[x], self.fragments[y])
        self._text(tie, x, y)
        return tie

    def _clock(self, tie: Tie, one: Fragment, other: Fragment) -> None:
        if not one.clocks or not other.clocks:
            return
        last, first = one.clocks[-1], other.clocks[0]
        gap = minutes_apart(last, first)
        if gap is None:
            return
        if gap < 0 or gap > _LONGEST_PAUSE:
            tie.contradicted = True
            return
        tie.follow += 1.5 if gap <= 2 else 1.2 if gap <= 10 else 0.5 if gap <= 30 else 0.1
        own_last = one.own[-1].t1
        tie.facts.append(_fact(LinkBasis.CLOCK, last.content, min(last.t1, own_last), first.content, first.t0))
        begin, end = one.clocks[0], other.clocks[-1]
        whole = minutes_apart(begin, end)
        if gap == 0 and whole is not None and whole > 0:
            # The same minute orders nothing: the first clock here and the last one there do.
            end_time = min(end.t1, other.own[-1].t1)
            tie.facts.append(_fact(LinkBasis.CLOCK, begin.content, begin.t0, end.content, end_time))

    def _screen(self, tie: Tie, one: Fragment, other: Fragment) -> None:
        start = other.own[0] if other.own else None
        if start is None or not one.own:
            return
        rivals = sum(same_screen(start, f.own[0]) for f in self.fragments if f is not one and f.own)
        # Where no marks are drawn, a last frame that stands alone may well be where the next fragment goes on.
        doubtful = 0.4 if one.marks_tell else 0.9
        for edge, weight in ((one.own[-1], 2.0), (one.screens[-1], doubtful)):
            if edge is one.screens[-1] and one.stray_last and (one.alien_last or edge is one.own[-1]):
                continue
            if same_screen(edge, start):
                tie.follow += weight / max(rivals, 1)
                tie.facts.append(_fact(LinkBasis.SCREEN, edge.signature, edge.t1, start.signature, start.t0))
                return
        # A screen inside both: they are of one session, and the later it stands in X and the earlier in Y the better.
        best: tuple[float, Screen, Screen] | None = None
        for place, mine in enumerate(one.own):
            if self._is_common(mine):
                continue
            for there, theirs in enumerate(other.own):
                if same_screen(mine, theirs):
                    late = (place + 1) / len(one.own) - there / len(other.own)
                    if best is None or late > best[0]:
                        best = (late, mine, theirs)
        if best is not None:
            tie.bond += 0.9 + 0.5 * best[0]
            tie.facts.append(_fact(LinkBasis.SCREEN, best[1].signature, best[1].t0, best[2].signature, best[2].t0))

    def _text(self, tie: Tie, x: int, y: int) -> None:
        one, other = self.phrases[x], self.phrases[y]
        typed = {key: line for key, line in self.fragments[x].typed if len(key) >= 4}
        typed_there = {key for key, _ in self.fragments[y].typed}
        found: list[tuple[float, LinkFact]] = []
        for key, line in typed.items():
            match = next(((k, places) for k, places in sorted(other.items()) if _takes_up(k, key)), None)
            if match is not None:
                # What was typed before and stands there without being typed again was entered here.
                weight = 1.4 if key in typed_there else 2.2
                theirs = match[1][0][1]
                found.append((weight, _shared_fact(line, theirs, key)))
        last, first = len(self.fragments[x].own) - 1, 0
        for key in sorted(one.keys() & other.keys()):
            rarity = self._rarity(key)
            if rarity <= 0:
                continue
            place, mine = max(one[key], key=lambda item: item[0])
            there, theirs = min(other[key], key=lambda item: item[0])
            # It stood there last, and it stands here first: the one goes on with it.
            flow = 0.4 * (place == last) + 0.4 * (there == first)
            flow += 0.2 * (place + 1) / (last + 1) - 0.2 * there / max(len(self.fragments[y].own), 1)
            found.append((rarity * (0.5 + flow), _shared_fact(mine, theirs, key)))
        found.sort(key=lambda item: (-item[0], item[1].before))
        # Many lines of one screen say the same thing over and over: each further one adds less.
        tie.bond += sum(weight * 0.5**rank for rank, (weight, _) in enumerate(found[:6]))
        told: dict[str, LinkFact] = {}
        for weight, fact in found:
            if weight >= 0.3 and len(told) < 2:
                told.setdefault(folded(fact.before), fact)
        tie.facts += told.values()

    def _rarity(self, key: str) -> float:
        """How much a shared line tells: long ones more, and none that every fragment has when some are foreign."""
        words = [word for word in key.split() if len(word) >= 3]
        length = 0.15 if len(words) <= 1 else 0.55 if len(words) == 2 else 1.0
        if any(c.isdigit() for c in key):
            length += 0.2
        return length

    def set_aside(self, place: int, path: Sequence[int], ties: dict[tuple[int, int], Tie]) -> Discarded:
        """Why a fragment does not belong, in facts of the recordings."""
        fragment = self.fragments[place]
        parts: list[str] = []
        texts: list[str] = []
        used = [self.fragments[other] for other in path]
        clock = fragment.clocks[0] if fragment.clocks else None
        theirs = [c for other in used for c in other.clocks]
        if clock is not None and theirs:
            gaps = [abs(gap) for c in theirs if (gap := minutes_apart(c, clock)) is not None]
            if gaps and min(gaps) > 10:
                texts.append(clock.content)
                parts.append(
                    f"its clock shows {quoted(clock.content)}, theirs {quoted(theirs[0].content)}"
                    + (f" to {quoted(theirs[-1].content)}" if theirs[-1].content != theirs[0].content else "")
                )
        shared_screen = any(
            same_screen(mine, screen)
            for mine in fragment.own
            for other in used
            for screen in other.own
            if not self._is_common(mine)
        )
        if not shared_screen:
            parts.append("it shares no screen of its own with the others")
        here = self.phrases[place]
        there = {key for other in path for key in self.phrases[other]}
        own = [
            (len(key.split()), len(items), key, items[0][1])
            for key, items in here.items()
            if key not in there and '"' not in items[0][1].content
        ]
        own.sort(key=lambda item: (-min(item[1], 3), -min(item[0], 4), item[3].t0, item[2]))
        quotes = [line.content for _, _, _, line in own[:2]]
        if quotes:
            texts += quotes
            parts.append(
                f"it shows {' and '.join(quoted(quote) for quote in quotes)}, of which the others show nothing"
            )
        if not parts:
            parts.append("nothing in it continues any of the others")
        sentence = "; ".join(parts)
        return Discarded(
            source=fragment.name,
            reason="It does not belong to the task: " + sentence + ".",
            texts=tuple(texts),
        )


def _takes_up(line: str, typed: str) -> bool:
    """Whether a line holds a typed text whole, or as much of it as fits before an ellipsis."""
    if typed in line:
        return True
    return len(line) >= 8 and len(line) >= 0.5 * len(typed) and typed.startswith(line)


def _fact(basis: LinkBasis, before: str, before_time: float, after: str, after_time: float) -> LinkFact:
    return LinkFact(basis=basis, before=before, before_time=before_time, after=after, after_time=after_time)


def _shared_fact(mine: FactualAnchor, theirs: FactualAnchor, key: str) -> LinkFact:
    return _fact(LinkBasis.TEXT, mine.content, mine.t0, theirs.content, theirs.t0)


def _best_path(count: int, ties: dict[tuple[int, int], Tie]) -> list[int]:
    """The order of those that belong together with the most weight; of equals the one with the earlier names.

    Each fragment after the first must be tied to the one before it by a fact and weigh more than the threshold; what
    ties it to those further back counts too. No clock may go back between any two.
    """
    if count > _EXACT:
        return _greedy(count, ties)
    # Held and Karp: best[(set, last)] is the heaviest chain over a set that ends in `last`. What a further fragment
    # adds depends on the set and on the last one only.
    best: dict[tuple[int, int], tuple[float, tuple[int, ...]]] = {(1 << i, i): (0.0, (i,)) for i in range(count)}
    winner: tuple[float, tuple[int, ...]] = (0.0, (0,))
    for members in range(1, 1 << count):
        for last in range(count):
            here = best.get((members, last))
            if here is None:
                continue
            weight, chain = here
            if weight > winner[0] + 1e-9:
                winner = here
            for following in range(count):
                if members >> following & 1:
                    continue
                gain = _gain(chain, following, ties)
                if gain is None:
                    continue
                key = (members | 1 << following, following)
                found = (weight + gain, (*chain, following))
                if key not in best or found[0] > best[key][0] + 1e-9:
                    best[key] = found
    return list(winner[1])


def _gain(chain: Sequence[int], following: int, ties: dict[tuple[int, int], Tie]) -> float | None:
    """What a fragment adds at the end of a chain; None when it may not stand there."""
    near = ties[chain[-1], following]
    if not near.facts or any(ties[earlier, following].contradicted for earlier in chain):
        return None
    if max(ties[earlier, following].weight for earlier in chain) < _THRESHOLD:
        return None
    gain = near.follow + sum(ties[earlier, following].bond for earlier in chain) - _THRESHOLD
    return gain if gain > 0 else None


def _greedy(count: int, ties: dict[tuple[int, int], Tie]) -> list[int]:
    """Grows a chain from every start, each time by the fragment that adds most; the heaviest chain wins."""
    winner: tuple[float, list[int]] = (0.0, [0])
    for start in range(count):
        chain, total = [start], 0.0
        while True:
            gains = [
                (gain, -following)
                for following in range(count)
                if following not in chain and (gain := _gain(chain, following, ties)) is not None
            ]
            if not gains:
                break
            gain, place = max(gains)
            chain.append(-place)
            total += gain
        if total > winner[0] + 1e-9:
            winner = (total, chain)
    return winner[1]
