"""tutorial: what is said, shown and done, in the order of time, each passage with its key frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.span import Quote
from schemas.outputs.tutorial import FrameBlock, TextBlock, Tutorial
from schemas.score import Claim, ClaimKind, Support
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.passages import shown, spoken, spread
from synthesis.base import Agent, Evidence, Recognition
from synthesis.verification import mentions
from synthesis.verification.check import normalise
from synthesis.verification.format import pointer

MAX_PASSAGES = 60
"""So many passages at most; a longer stream has longer ones."""
MAX_QUOTES = 6
"""So many lines stand in one passage, unless MAX_PASSAGES forces more; of lines that come on screen together, the
longest."""
LEAST_PASSAGE = 2.0
"""Seconds before which a new scene begins no new passage."""
PAUSE = 5.0
"""Seconds without words after which a new passage begins."""
MAX_TITLE_WORDS = 12
LEAST_FACTS = 2

SCENES = (AnchorKind.SHOT, AnchorKind.SCREEN)
QUOTABLE = (AnchorKind.SUBTITLE, AnchorKind.SCREEN_TEXT, AnchorKind.TYPING, AnchorKind.HOTKEY)
EDGES = (*QUOTABLE, *SCENES, AnchorKind.CLICK, AnchorKind.DOUBLE_CLICK, AnchorKind.RIGHT_CLICK)


class TutorialAgent(Agent):
    """A passage for each scene in which something is said, shown or typed: the words verbatim, then the frame on
    screen at the middle of its middle line. Pictures alone teach nothing that rules could put in words, so a stream
    with fewer than two lines is unsuited."""

    task_type: ClassVar[str] = "tutorial"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.DAILY_LIFE, Domain.EDUCATION, Domain.GUI})
    output: ClassVar[type[BaseModel]] = Tutorial
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Write a tutorial of this recording: passages that quote what is said and shown, in the order of "
        "time, interleaved with the key frames they speak of.",
        names=(
            r"tutorials?",
            r"tutor(?:ing|ed)?(?: data| sessions?)?",
            r"how[- ]?tos?(?: (?:guides?|articles?))?",
            r"walk[- ]?throughs?",
            r"(?:illustrated|interleaved) (?:\w+ )?(?:text|guides?|data|document|walk[- ]?through)",
            r"(?:step[- ]by[- ]step )?guides?",
            r"step[- ]by[- ]step (?:instructions|articles?|explanations?)",
            r"instructional (?:text|data|material)",
            r"lecture notes",
        ),
        hints=(r"teach\w*", r"lessons?", r"explain\w*", r"courses?", r"learners?", r"step[- ]by[- ]step", r"article"),
        examples=(
            "Write a tutorial from this recording, with text and key frames.",
            "Explain in words and pictures how to do what the video shows.",
            "Make a step-by-step guide that a beginner can follow.",
            "Turn the lesson into an illustrated article.",
            "I need interleaved image-text documents that teach a skill.",
            "A how-to with screenshots of each step.",
        ),
        prior={Domain.EDUCATION: 0.35, Domain.DAILY_LIFE: 0.2, Domain.GUI: 0.15},
        needs=frozenset({TrackKind.VIDEO, TrackKind.IMAGES}),
    )

    def compose(self, evidence: Evidence) -> Tutorial:
        stream = evidence.streams[0]
        facts = _facts(evidence, stream.sha256)
        if len(facts) < LEAST_FACTS:
            raise UnsuitedError(
                stream.uri,
                f"a tutorial needs words, and {len(facts) or 'no'} line{'s' * (len(facts) != 1)} said, shown or typed "
                "could be read in it",
                "Add subtitles beside it, or ask for temporal questions and answers.",
            )
        blocks: list[TextBlock | FrameBlock] = []
        passages = _passages(facts, evidence.of(*SCENES, stream=stream.sha256))
        ends = [passage[0].t0 for passage in passages[1:]] + [float("inf")]
        for passage, end in zip(passages, ends, strict=True):
            blocks += [_text_block(passage), _frame_block(passage, end)]
        return Tutorial(title=_title(evidence, stream, facts), blocks=tuple(blocks))

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """Title and texts through their mentions; each quote by its words and its span; the stretch of a passage by the
        edges of its quotes; a frame by a moment of the passage before it; passages and frames by their order."""
        stream = streams[0].sha256 if len(streams) == 1 else None
        claims = mentions.claims_in(output["title"], "/title", stream)
        texts: list[float] = []
        frames: list[float] = []
        moments: tuple[float, ...] = ()
        for place, block in enumerate(output["blocks"]):
            at = pointer("blocks", place)
            if block["type"] == "text":
                texts.append(block["t0"])
                claims += _text_claims(block, at, stream)
                moments = _moments(block)
            else:
                frames.append(block["time"])
                claims += _frame_claims(block, at, stream, moments)
        claims += [
            Claim(path="/blocks", kind=ClaimKind.ORDER, stream=stream, items=tuple(times))
            for times in (texts, frames)
            if len(times) > 1
        ]
        return claims

    def repair(self, output: BaseModel, unsupported: Sequence[Support], evidence: Evidence) -> Tutorial | None:
        """Passages with an unsupported claim go with their frames; the others are put in the order of time."""
        assert isinstance(output, Tutorial)
        wrong = {support.path for support in unsupported}
        bad = {int(path.split("/")[2]) for path in wrong if path.startswith("/blocks/")}
        pairs: list[list[TextBlock | FrameBlock]] = []
        for place, block in enumerate(output.blocks):
            if place in bad:
                continue
            if isinstance(block, TextBlock):
                pairs.append([block])
            elif pairs and place - 1 not in bad:
                pairs[-1].append(block)
        pairs.sort(key=_begin)
        blocks = tuple(block for pair in pairs for block in pair)
        if len(blocks) < 2 or not any(isinstance(block, TextBlock) for block in blocks):
            return None
        title = evidence.streams[0].name if "/title" in wrong else output.title
        return Tutorial(title=title, blocks=blocks)

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        times = [block["time"] for block in output["blocks"] if block["type"] == "frame"]
        return [(streams[0].sha256, time) for time in spread(times)]


def _facts(evidence: Evidence, stream: str) -> list[FactualAnchor]:
    """Everything that words carry, in the order of time."""
    keys = evidence.of(AnchorKind.TYPING, AnchorKind.HOTKEY, stream=stream)
    typed = [anchor for anchor in keys if normalise(anchor.content)]
    lines = [line for at_once in _together(shown(evidence, stream)) for line in at_once]
    facts = [*spoken(evidence, stream), *lines, *typed]
    return sorted(facts, key=lambda anchor: anchor.t0)


def _together(lines: Sequence[FactualAnchor]) -> Iterator[list[FactualAnchor]]:
    """Lines that came at one moment, at most MAX_QUOTES of them, from top to bottom."""
    for _, group in groupby(lines, key=lambda line: line.t0):
        longest = sorted(group, key=lambda line: -len(line.content))[:MAX_QUOTES]
        yield sorted(longest, key=lambda line: line.box.y0 if line.box is not None else 0.0)


def _passages(facts: Sequence[FactualAnchor], scenes: Sequence[FactualAnchor]) -> list[list[FactualAnchor]]:
    """Facts in runs: a new one at each new scene, after a pause, and when a run is long."""
    starts = sorted(scene.t0 for scene in scenes)
    runs: list[list[FactualAnchor]] = []
    scene = -1
    for fact in facts:
        here = bisect_right(starts, fact.t0)
        if not runs or _breaks(runs[-1], fact, here != scene):
            runs.append([])
        runs[-1].append(fact)
        scene = here
    size = -(-len(runs) // MAX_PASSAGES)  # neighbours are merged rather than words left out
    return [[fact for run in runs[place : place + size] for fact in run] for place in range(0, len(runs), size)]


def _breaks(run: Sequence[FactualAnchor], fact: FactualAnchor, new_scene: bool) -> bool:
    """Whether a fact begins a new run. What begins at one moment stays together: passages have distinct times."""
    if fact.t0 <= run[-1].t0:
        return False
    long_enough = fact.t0 - run[0].t0 >= LEAST_PASSAGE
    pause = fact.t0 - max(member.t1 for member in run)
    return (new_scene and long_enough) or len(run) >= MAX_QUOTES or pause > PAUSE


def _text_block(passage: Sequence[FactualAnchor]) -> TextBlock:
    parts = []
    for (begin, verb), group in groupby(passage, key=lambda fact: (fact.t0, _verb(fact))):
        parts.append(f"At {begin:.1f} s{verb}: {', '.join(mentions.quoted(fact.content) for fact in group)}")
    return TextBlock(
        t0=min(fact.t0 for fact in passage),
        t1=max(fact.t1 for fact in passage),
        text=" ".join(parts),
        quotes=tuple(Quote(t0=fact.t0, t1=fact.t1, text=fact.content) for fact in passage),
    )


def _verb(fact: FactualAnchor) -> str:
    if fact.kind == AnchorKind.SCREEN_TEXT:
        return " on screen"
    if fact.kind == AnchorKind.TYPING:
        return " typed"
    return " pressed" if fact.kind == AnchorKind.HOTKEY else ""


def _frame_block(passage: Sequence[FactualAnchor], end: float) -> FrameBlock:
    """The frame in the middle of the passage's middle line. A line on screen is a key frame as soon as it can be read;
    so is a line that lasts into the next passage (which begins at `end`), since frames stand in the order of time."""
    fact = passage[len(passage) // 2]
    time = _middle(fact.t0, fact.t1)
    if fact.kind == AnchorKind.SCREEN_TEXT or time >= end:
        time = fact.t0
    return FrameBlock(time=time, caption=f"At {time:.1f} s")


def _middle(t0: float, t1: float) -> float:
    return round((t0 + t1) / 2, 6)


def _title(evidence: Evidence, stream: Stream, facts: Sequence[FactualAnchor]) -> str:
    """The text that came with the stream, otherwise its name and the words it begins with: nothing made up."""
    given = [text for text in evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256) if normalise(text.content)]
    if given:
        return mentions.quoted(given[0].content)
    first = facts[0].content
    return f"{stream.name}: {mentions.quoted(first)}" if len(first.split()) <= MAX_TITLE_WORDS else stream.name


def _moments(block: Any) -> tuple[float, ...]:
    """The moments of a passage that a frame may show: where its quotes begin, end and have their middle."""
    edges = [(quote["t0"], quote["t1"]) for quote in block["quotes"]] or [(block["t0"], block["t1"])]
    return tuple(dict.fromkeys(moment for t0, t1 in edges for moment in (t0, _middle(t0, t1), t1)))


def _text_claims(block: Any, at: str, stream: str | None) -> Iterator[Claim]:
    quotes = block["quotes"]
    edges = tuple(dict.fromkeys(edge for quote in quotes for edge in (quote["t0"], quote["t1"])))
    begin = (min(quote["t0"] for quote in quotes),) if quotes else ()
    end = (max(quote["t1"] for quote in quotes),) if quotes else ()
    for name, items in (("t0", begin), ("t1", end)):
        yield Claim(path=f"{at}/{name}", kind=ClaimKind.TIME, stream=stream, t0=block[name], kinds=EDGES, items=items)
    for place, quote in enumerate(quotes):
        yield from _quote_claims(quote, f"{at}/quotes/{place}", stream)
    bound = list(_words_in_order(block["text"], quotes, f"{at}/text", stream))
    yield from bound
    window = (block["t0"], block["t1"])
    yield from mentions.claims_in(
        block["text"],
        f"{at}/text",
        stream,
        moments=edges or window,
        span=window,
        window=window,
        quote_kinds=QUOTABLE,
        but={claim.kind for claim in bound},
    )


def _quote_claims(quote: Any, at: str, stream: str | None) -> Iterator[Claim]:
    """A quote's words stand in its span, and its span is that of these words."""
    fields = {"stream": stream, "t0": quote["t0"], "t1": quote["t1"], "text": quote["text"], "kinds": QUOTABLE}
    yield Claim(path=f"{at}/text", kind=ClaimKind.QUOTE, **fields)
    yield Claim(path=at, kind=ClaimKind.TIME, whole=True, **fields)


def _words_in_order(text: str, quotes: Sequence[Any], at: str, stream: str | None) -> Iterator[Claim]:
    """Where a text has as many words in quotation marks as there are quotes, they stand in the same order, each in the
    span of its own; so do moments that are as many as the moments at which quotes begin."""
    named = mentions.find(text)
    if len(named.quotes) == len(quotes):
        for word, quote in zip(named.quotes, quotes, strict=True):
            fields = {"t0": quote["t0"], "t1": quote["t1"], "text": word, "kinds": QUOTABLE}
            yield Claim(path=at, kind=ClaimKind.QUOTE, stream=stream, **fields)
    begins = list(dict.fromkeys(quote["t0"] for quote in quotes))
    if len(named.times) == len(begins):
        for time, begin in zip(named.times, begins, strict=True):
            yield Claim(path=at, kind=ClaimKind.TIME, stream=stream, t0=time, kinds=QUOTABLE, items=(begin,))


def _frame_claims(block: Any, at: str, stream: str | None, moments: tuple[float, ...]) -> Iterator[Claim]:
    time = block["time"]
    yield Claim(path=f"{at}/time", kind=ClaimKind.TIME, stream=stream, t0=time, t1=time, items=moments)
    yield from mentions.claims_in(block["caption"], f"{at}/caption", stream, moments=(time,))


def _begin(pair: Sequence[TextBlock | FrameBlock]) -> float:
    first = pair[0]
    return first.t0 if isinstance(first, TextBlock) else first.time
