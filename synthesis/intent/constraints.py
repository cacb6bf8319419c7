"""What a sentence asks beyond a form: how many, from where, in which language, how hard, how long.

Read by rules from English. What cannot be kept as a bound ("about ten questions") is told in a note, never dropped in
silence; bounds that exclude each other are a clash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from schemas.constraints import AnswerForm, Constraints, Count, Difficulty, Window
from synthesis.intent.amounts import NUMBER, TIME, number_in, seconds_in
from synthesis.intent.languages import LANGUAGE, code_of

ITEMS = "items"
"""The noun of a count that names none: what a form counts first."""

_NOUNS = {
    "questions": r"questions?(?:[- /](?:and[- ])?answers?)?(?:[- ]pairs?)?|q ?(?:&|/|\+|and)? ?as?(?:[- ]pairs?)?"
    r"|mcqs?|quiz items?",
    "steps": r"steps?",
    "clips": r"clips?|shots?",
    "segments": r"segments?|intervals?|stretches",
    "actions": r"actions?|activities",
    "stuck_points": r"(?:stuck|sticking)[- ]points?",
    "hints": r"hints?",
    "sections": r"sections?|chapters?",
    "transitions": r"transitions?",
    "decisions": r"decisions?",
    "boxes": r"(?:bounding )?box(?:es)?",
    "elements": r"(?:ui )?elements?",
    "strokes": r"strokes?",
    "passages": r"passages?|paragraphs?",
    ITEMS: r"items?|of them|entries",
}
_ALIKE = (
    {"questions", ITEMS},
    {"steps", "actions", ITEMS},
    {"segments", "actions", "intervals", ITEMS},
    {"clips", "segments", "shots", ITEMS},
    {"hints", "stuck_points", "steps", ITEMS},
    {"sections", "chapters", ITEMS},
    {"transitions", "steps", ITEMS},
    {"decisions", "steps", ITEMS},
    {"boxes", "elements", "regions", "expressions", "targets", ITEMS},
)
"""Nouns that people use of the same parts."""

_LEAST = r"at least|no (?:less|fewer) than|not (?:less|fewer) than|(?:a )?min(?:imum|\.)?(?: of)?"
_MOST = r"at most|no more than|not more than|up to|(?:a )?max(?:imum|\.)?(?: of)?|not over|no longer than"
_MORE = r"more than|over"
_FEWER = r"fewer than|less than|under|below|shorter than"
_ABOUT = r"about|around|roughly|approximately|circa|some|~"
_BOUND = (
    rf"(?:(?P<least>{_LEAST})|(?P<most>{_MOST})|(?P<more>{_MORE})|(?P<fewer>{_FEWER})"
    rf"|(?P<about>{_ABOUT})|(?P<exact>exactly|precisely|just|only))"
)
_AMOUNT = (
    rf"(?:between )?(?P<low>{NUMBER})"
    rf"(?:\+|(?: ?(?:-|–|to|or|and) ?(?P<high>{NUMBER}))|(?P<tail> or (?:more|fewer|less)))?"
)
_AFTER = rf"(?:,? (?:(?P<top>max(?:imum)?|tops|or (?:fewer|less))|(?P<bottom>min(?:imum)?|or more))(?! {NUMBER}))?"
_PLUS = re.compile(r"\+|or more")
_UNIT = r"(?:%|percent|s\b|secs?|seconds?|mins?|minutes?|h\b|hours?|fps|hz|words?|frames per|x\b|times?)"
_GIVEN = r"(?<!\bthe )(?<!\bthese )(?<!\bthose )(?<!\bmy )(?<!\bour )(?<!\ball )(?<!\bfirst )(?<!\blast )(?<!\bof )"
"""A count after these words tells of the input: `these five clips`."""
_ADJECTIVES = rf"(?:(?!{_UNIT}|(?:and|or|of|in|for|from|to|on)\b)[a-z][\w-]* ){{0,3}}?"


class ClashError(Exception):
    """Wishes that exclude each other or the input; the message names the words."""


@dataclass(frozen=True)
class Wishes:
    """What a sentence sets bounds on. `rest` is the sentence without the words of bounds, so that `no multiple choice`
    or `no more than` are not read as refusals of a form; `notes` say what was understood but is not a bound."""

    constraints: Constraints
    rest: str
    notes: tuple[str, ...] = ()


@dataclass
class _Sentence:
    """A sentence out of which readers take what they understand."""

    text: str
    notes: list[str] = field(default_factory=list)

    def take(self, pattern: str, keep: str | None = None) -> Iterator[re.Match[str]]:
        """Every match, blanked in the sentence; the group `keep` stays in it."""
        for match in list(re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w])", self.text)):
            start, end = match.span()
            blank = [" "] * (end - start)
            if keep is not None and match[keep] is not None:
                a, b = match.span(keep)
                blank[a - start : b - start] = self.text[a:b]
            self.text = self.text[:start] + "".join(blank) + self.text[end:]
            yield match


def read_wishes(sentence: str, duration: float | None = None, nouns: Iterable[str] = ()) -> Wishes:
    """The bounds in a lower-cased English sentence.

    Args:
        sentence: lower-cased, one line.
        duration: seconds of the input; None when not known, or not the same for all streams.
        nouns: further nouns that outputs count by, in the plural.

    Raises:
        ClashError: bounds that exclude each other, or a window that lies beyond the input.
    """
    left = _Sentence(sentence)
    readers: dict[str, Callable[[], object]] = {
        "window": lambda: _window(left, duration),
        "language": lambda: _language(left),
        "answers": lambda: _answers(left),
        "difficulty": lambda: _difficulty(left),
        "most_words": lambda: _most_words(left),
        "counts": lambda: _counts(left, nouns),
    }
    found = {name: read() for name, read in readers.items()}
    return Wishes(Constraints.model_validate(found), " ".join(left.text.split()), tuple(left.notes))


def fitted(constraints: Constraints, parts: Iterable[str]) -> tuple[Constraints, list[str]]:
    """The constraints as an output with these parts can keep them, and what of them it cannot count."""
    keys = list(parts)
    kept: list[Count] = []
    unknown: list[str] = []
    for count in constraints.counts:
        key = _part_for(count.noun, keys)
        if key is None:
            unknown.append(str(count))
        else:
            kept.append(count.model_copy(update={"noun": key}))
    update: dict[str, object] = {"counts": _merged(kept)}
    if "questions" not in keys:
        update["answers"] = None  # what has no questions has no answers to choose from
    return constraints.model_copy(update=update), unknown


def _part_for(noun: str, keys: list[str]) -> str | None:
    if noun in keys:
        return noun
    if noun == ITEMS:
        return next(iter(keys), None)
    return next((key for group in _ALIKE if noun in group for key in keys if key in group), None)


def _counts(left: _Sentence, nouns: Iterable[str]) -> tuple[Count, ...]:
    patterns = _NOUNS | {noun: _plural(noun) for noun in nouns if noun not in _NOUNS}
    known = "|".join(f"(?P<noun{place}>{pattern})" for place, pattern in enumerate(patterns.values()))
    counts: list[Count] = []
    for match in left.take(rf"{_GIVEN}(?:{_BOUND} )?{_AMOUNT} (?P<rest>{_ADJECTIVES}(?:{known})){_AFTER}", keep="rest"):
        counts += _count(match, next(noun for place, noun in enumerate(patterns) if match[f"noun{place}"]), left)
    for match in left.take(rf"{_BOUND} {_AMOUNT}(?! ?{_UNIT})(?! \w+ {_UNIT})(?P<rest> [a-z]+s\b)?", keep="rest"):
        noun = (match["rest"] or "").strip()
        counts += _count(match, ITEMS if noun in ("", "is", "as", "this", "us") else noun, left)
    named = {count.noun for count in counts} - {ITEMS}
    if len(named) == 1:  # `at least 3 and at most 5 questions`: both bounds are of questions
        counts = [count.model_copy(update={"noun": next(iter(named))}) for count in counts]
    return _merged(counts)


def _plural(noun: str) -> str:
    words = re.escape(noun.lower()).replace("_", "[ _-]")
    return f"{words}?" if words.endswith("s") else words


def _count(match: re.Match[str], noun: str, left: _Sentence) -> list[Count]:
    low, high = number_in(match["low"]), number_in(match["high"]) if match["high"] else None
    if match["about"]:
        left.notes.append(f'"{_quote(match)}" is not a bound that can be checked: kept in the words only')
        return []
    if high is not None:
        if low > high:
            raise ClashError(f'"{_quote(match)}" has its bounds the wrong way round')
        return [Count(noun=noun, least=low, most=high)]
    after = match.groupdict()
    if match["least"] or after.get("bottom") or _PLUS.search(match.group()):
        return [Count(noun=noun, least=low)]
    if match["most"] or match["tail"] or after.get("top"):
        return [Count(noun=noun, most=low)]
    if match["more"]:
        return [Count(noun=noun, least=low + 1)]
    if match["fewer"]:
        return [Count(noun=noun, most=max(0, low - 1))]
    return [Count(noun=noun, least=low, most=low)]


def _merged(counts: Iterable[Count]) -> tuple[Count, ...]:
    """One count for each noun, in the order of the sentence."""
    merged: dict[str, Count] = {}
    for count in counts:
        before = merged.get(count.noun, Count(noun=count.noun))
        least = max((bound for bound in (before.least, count.least) if bound is not None), default=None)
        most = min((bound for bound in (before.most, count.most) if bound is not None), default=None)
        if least is not None and most is not None and least > most:
            raise ClashError(f'"{before}" and "{count}" exclude each other')
        merged[count.noun] = Count(noun=count.noun, least=least, most=most)
    return tuple(merged.values())


_SKIP = r"(?:skip(?:ping)?|ignor(?:e|ing)|without|not|except(?: for)?|excluding|leav(?:e|ing) out|omit|drop)"
_ENDS = rf"(?:the )?(?P<end>first|opening|initial|last|final|closing)(?: (?P<amount>{NUMBER}|half an?))?"
_ONLY = r"(?:(?:please |and )?(?:only |just )?(?:use |of |from |in |for |about |on |take )?)"
_LONG = r"(?! ?(?:long|each|in length|per\b|apart))"


def _window(left: _Sentence, duration: float | None) -> Window | None:
    """The meet of all windows that the sentence names."""
    t0, t1, said = 0.0, float("inf"), []
    for start, end, words in (*_ranges(left), *_edges(left, duration), *_sides(left)):
        t0, t1 = max(t0, start), min(t1, end)
        said.append(f'"{words}"')
    if not said:
        return None
    if t0 >= t1:
        raise ClashError(f"{' and '.join(said)} leave nothing of the recording")
    if duration is not None and t0 >= duration:
        raise ClashError(f"{' and '.join(said)} lies beyond the recording, which lasts {duration:g} s")
    if duration is not None and t1 >= duration:
        t1 = float("inf")
        left.notes += [] if t0 else [f"{' and '.join(said)} is all of the recording, which lasts {duration:g} s"]
    if t0 == 0 and t1 == float("inf"):
        return None
    return Window(t0=t0, t1=None if t1 == float("inf") else t1)


_Span = tuple[float, float, str]


def _ranges(left: _Sentence) -> Iterator[_Span]:
    """`from 0:10 to 0:40`, `between 10s and 20s`, `minutes 3 to 5`."""
    join = r" ?(?:to|until|till|and|through|-|–) ?"
    bare = rf"(?:from|between) (?P<a>{NUMBER}){join}(?P<b>{NUMBER}) (?P<unit>seconds?|secs?|s|minutes?|mins?){_LONG}"
    named = rf"{_ONLY}(?:the )?(?P<unit>seconds?|minutes?) (?P<a>{NUMBER}){join}(?P<b>{NUMBER})"
    full = rf"(?:(?:from|between) )(?P<a>{TIME}){join}(?P<b>{TIME}){_LONG}"
    clock = rf"(?P<a>\d+:\d\d(?::\d\d)?){join}(?P<b>\d+:\d\d(?::\d\d)?)"
    for pattern in (named, full, clock, bare):
        for match in left.take(pattern):
            unit = match.groupdict().get("unit") or ""
            a, b = (f"{match[side]} {unit}" if unit else match[side] for side in "ab")
            if seconds_in(a) >= seconds_in(b):
                raise ClashError(f'"{_quote(match)}" ends before it begins')
            yield seconds_in(a), seconds_in(b), _quote(match)


def _edges(left: _Sentence, duration: float | None) -> Iterator[_Span]:
    """`the first two minutes`, `the last 30 s`, `skip the first minute`, `the second half`."""
    unit = r"(?P<unit>seconds?|secs?|s|minutes?|mins?|hours?)"
    left.text = re.sub(rf"({_SKIP} )(the first [^,.;]*?) and (?=the (?:last|final))", r"\1\2 \1", left.text)
    for match in left.take(rf"(?P<skip>(?:{_SKIP}|after) )?{_ONLY}{_ENDS}[- ]{unit}"):
        skip = match["skip"] is not None
        length = seconds_in(f"{match['amount'] or 1} {match['unit']}")
        if match["end"] in ("first", "opening", "initial"):
            yield (length, float("inf"), _quote(match)) if skip else (0.0, length, _quote(match))
        elif duration is None:
            left.notes.append(f'"{_quote(match)}" needs the duration of the input, which is not known here')
        else:
            edge = max(0.0, duration - length)
            yield (0.0, edge, _quote(match)) if skip else (edge, float("inf"), _quote(match))
    for match in left.take(rf"{_ONLY}the (?P<which>first|second|last) half"):
        if duration is None:
            left.notes.append(f'"{_quote(match)}" needs the duration of the input, which is not known here')
        elif match["which"] == "first":
            yield 0.0, duration / 2, _quote(match)
        else:
            yield duration / 2, float("inf"), _quote(match)


def _sides(left: _Sentence) -> Iterator[_Span]:
    """`after 1:30`, `from minute 2 on`, `until 0:45`."""
    mark = rf"(?:the )?(?P<t>\d+:\d\d(?::\d\d)?|{TIME}(?= (?:mark|on(?:wards?)?))|(?:minute|second) {NUMBER})"
    tail = r"(?: mark)?(?: on(?:wards?)?)?"
    skip = rf"(?P<skip>{_SKIP} (?:everything |all |anything |what (?:is|comes) )?)?"
    for match in left.take(rf"{skip}{_ONLY}(?:after|start(?:ing)? (?:at|from)|from|since) {mark}{tail}"):
        time = seconds_in(match["t"])
        yield (0.0, time, _quote(match)) if match["skip"] else (time, float("inf"), _quote(match))
    for match in left.take(rf"{skip}{_ONLY}(?:before|until|till|up to) {mark}{tail}"):
        time = seconds_in(match["t"])
        yield (time, float("inf"), _quote(match)) if match["skip"] else (0.0, time, _quote(match))


_SOURCES = r"(?:video|film|movie|lectures?|lessons?|recordings?|clips?|stream|course|class|speech|talk|footage|app)"


def _language(left: _Sentence) -> str | None:
    """`in German`, `answers in German`, `translate into French`, `Spanish answers`; not `a lecture in French`."""
    written = r"(?:(?:with )?(?:the |all )?(?:answers?|output|text|everything|results?) )"
    verbs = r"(?:(?:written |write (?:it )?|translated? (?:it )?|all )?(?:in|into|to|auf|en) )"
    found: dict[str, str] = {}
    for match in left.take(
        rf"{written}?{verbs}(?P<language>{LANGUAGE})(?: language)?(?:(?: and| or|,|/) ?(?P<other>{LANGUAGE}))?"
    ):
        if not re.search(rf"\b{_SOURCES} $", match.string[: match.start()]):
            found |= {code_of(name): _quote(match) for name in (match["language"], match["other"]) if name}
    for match in left.take(
        rf"(?P<language>{LANGUAGE})(?P<rest>[- ](?:questions?|answers?|texts?|output|q&?a))", "rest"
    ):
        found[code_of(match["language"])] = _quote(match)
    if len(found) > 1:
        words = " and ".join(dict.fromkeys(f'"{words}"' for words in found.values()))
        raise ClashError(f"{words} asks for different languages: ask for each in a sentence of its own")
    return next(iter(found), None)


_CHOICE = r"(?:multiple[- ]choices?|multi[- ]choice|mcqs?|mcq)(?:[- ](?:questions?|answers?|format|only))?"
_OPEN = (
    r"(?:open[- ]ended|free[- ](?:form|text)|open answers?|open questions?)(?:[- ](?:questions?|answers?|ones|only))?"
)
_NO = r"(?:(?:no|not|without|avoid|never|don't want|do not want|instead of|rather than) (?:any )?)"


def _answers(left: _Sentence) -> AnswerForm | None:
    """A refused form asks for the other one."""
    wanted: dict[AnswerForm, str] = {}
    other = {AnswerForm.MULTIPLE_CHOICE: AnswerForm.OPEN, AnswerForm.OPEN: AnswerForm.MULTIPLE_CHOICE}
    for form, pattern in ((AnswerForm.MULTIPLE_CHOICE, _CHOICE), (AnswerForm.OPEN, _OPEN)):
        for match in left.take(rf"{_NO}(?:{pattern})"):
            wanted.setdefault(other[form], _quote(match))
        for match in left.take(rf"(?P<rest>{pattern})", keep="rest"):
            wanted.setdefault(form, _quote(match))
    if len(wanted) > 1:
        words = " and ".join(f'"{words}"' for words in wanted.values())
        left.notes.append(f"{words} ask for both forms of answers: no bound")
        return None
    return next(iter(wanted), None)


_LEVELS = {
    Difficulty.EASY: r"easy|easier|simple|beginner(?:[- ]level)?",
    Difficulty.MEDIUM: r"medium(?:[- ](?:difficulty|hard))?|intermediate(?:[- ]level)?",
    Difficulty.HARD: r"hard|harder|difficult|challenging|tricky|tough|advanced(?:[- ]level)?",
}
_ASKABLE = r"(?:questions?|ones|problems?|items?|exercises?|qa\b|qas|q&a|quiz|tasks?|multiple|only|samples?)"


def _difficulty(left: _Sentence) -> Difficulty | None:
    wanted: dict[Difficulty, str] = {}
    for level, pattern in _LEVELS.items():
        after = rf"(?P<no>(?:no|not|nothing|without|avoid) (?:any |too )?)?(?:{pattern}) (?P<rest>(?:\w+ )?{_ASKABLE})"
        for match in left.take(after, keep="rest"):
            if match["no"]:
                left.notes.append(f'"{_quote(match)}" leaves two levels open: no bound')
            else:
                wanted.setdefault(level, _quote(match))
        said = rf"(?:make (?:them|it|these) |difficulty:? |only |should be )(?:really |very )?(?:{pattern})"
        alone = rf"(?:(?<=, )|(?<=,))(?:{pattern})(?=[,.;!]|$)"
        for match in left.take(rf"{said}|(?:{pattern}) difficulty|{alone}"):
            wanted.setdefault(level, _quote(match))
    if len(wanted) > 1:
        words = " and ".join(f'"{words}"' for words in wanted.values())
        left.notes.append(f"{words} ask for several levels: no bound")
        return None
    return next(iter(wanted), None)


def _most_words(left: _Sentence) -> int | None:
    bounds = []
    most = rf"{_MOST}|{_FEWER}|within|in"  # "under 200" is meant as a round figure
    for match in left.take(rf"(?:{most}) (?P<n>{NUMBER}) words|(?P<m>{NUMBER}) words (?:or (?:less|fewer)|max\w*)"):
        bounds.append(max(1, number_in(match["n"] or match["m"])))
    for match in left.take(rf"(?:{_LEAST}|{_MORE}|{_ABOUT})? ?{NUMBER} words"):
        left.notes.append(f'"{_quote(match)}" is not an upper bound on words: kept in the words only')
    return min(bounds, default=None)


def _quote(match: re.Match[str]) -> str:
    return " ".join(match.group().split())
