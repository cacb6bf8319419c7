"""generation_clips: ranges of a film without a cut, with prompts for video generation made of what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, ClassVar

from pydantic import BaseModel

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from schemas.outputs.generation_clips import (
    CameraMove,
    Clip,
    Edge,
    GenerationClips,
    Level,
    Motion,
    SaidLine,
    Shot,
    ShownLine,
    Take,
)
from schemas.score import Claim, ClaimKind
from schemas.stream import Domain, Stream, TrackKind
from synthesis.agents.camera_words import CAMERA_WORDS, moves_in
from synthesis.agents.choices import chosen
from synthesis.agents.passages import LEAST_CONFIDENCE, ended_once, evenly, shown, spoken, spread
from synthesis.agents.proofs import edge, proved, refused, stream_of
from synthesis.base import Evidence, GroundedAgent, Recognition
from synthesis.verification.check import EPSILON, TOLERANCE, normalise, stands_in
from synthesis.verification.mentions import find, quoted

LEAST = 2.0
LONGEST = 10.0
"""Seconds of a clip."""
MOST_CLIPS = 32
MOST_LINES = 8
MOST_MOVES = 4
LEAST_MOVE = 0.5
"""Seconds; a shorter motion of the camera is a jolt."""
MOST_COVERED = 0.7
"""Share that a measured motion and a clip have of one another, for the one to tell how the other moves."""
SLOW, STEADY = 0.1, 0.3
"""Frame widths per second."""

LEVEL_WORDS = {
    Level.STILL: "hardly anything moves",
    Level.SLOW: "the motion is slow",
    Level.STEADY: "the motion is steady",
    Level.FAST: "the motion is fast",
}
_OPENINGS = (
    "One continuous shot, for {:.1f} s.",
    "A single take without a cut, for {:.1f} s.",
    "An uncut shot, for {:.1f} s.",
)
_SAYINGS = ("Someone says: {}.", "The words spoken are {}.", "A voice says {}.")
_QUOTE = re.compile(r"\"[^\"]*\"|“[^”]*”")
_DIRECTION = re.compile(r"(?:up|down|left|right)(?: (?:left|right))?")


class GenerationClipsAgent(GroundedAgent):
    """Takes shots of 2 to 10 s whole, divides longer ones, leaves out what dissolves, and writes for each clip a prompt
    of its camera motion, its motion and its words. How things look was not measured, and is not said."""

    task_type: ClassVar[str] = "generation_clips"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.AIGC, Domain.DAILY_LIFE, Domain.EMBODIED})
    output: ClassVar[type[BaseModel]] = GenerationClips
    experts: ClassVar[tuple[str, ...]] = ("motion",)
    parts: ClassVar[dict[str, str]] = {"clips": "clips", "prompts": "clips"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Cut this recording into clips without a cut inside, of 2 to 10 seconds where possible, and write "
        "for each a prompt for video generation that says only what was measured in it.",
        names=(
            r"(?:text[- ]to[- ]video|t2v|video[- ]generat(?:ion|ive)|image[- ]to[- ]video)"
            r"(?: (?:training )?(?:data|clips|set|models?))?",
            r"(?:captioned|generation) (?:\w+ )?clips?",
            r"clips? (?:with|and) (?:\w+ )?(?:captions?|prompts?|descriptions?)",
            r"(?:video|clip)[- ](?:captions?|text|prompts?)(?: pairs?)?",
            r"caption(?:s|ed|ing)?",
            r"(?:video|clip|shot)[- ]generation(?: (?:data|clips?|prompts?|pairs?))?",
            r"text[- ]to[- ]video",
            r"(?:video|clip)[- ](?:prompt|caption)(?: pairs?|s)?",
            r"generation (?:clips?|prompts?)",
            r"t2v",
            r"(?:clips?|shots?) with (?:\w+ )?(?:prompts?|captions?)",
        ),
        hints=(
            r"clips?",
            r"shots?",
            r"generat\w+",
            r"diffusion",
            r"prompts?",
            r"descri\w+",
            r"render\w*",
            r"captions?",
            r"camera(?: motion| movements?)?",
        ),
        examples=(
            "Cut out clips with captions to train a video generation model.",
            "Text-to-video training pairs: a clip and its prompt.",
            "Select clean single shots for a video diffusion model and describe them.",
            "Data for a model that generates videos from text.",
            "Caption every shot.",
            "Cut the film into clips with prompts for training a text-to-video model.",
            "Make video generation data: clip ranges without cuts and a caption for each.",
            "I need clip-prompt pairs with camera motion for a video diffusion model.",
            "Split this movie into clean shots of 2 to 10 seconds and describe each one.",
            "Prepare AIGC training clips with generation prompts from this footage.",
            "Give me text-to-video pairs, no transitions inside a clip.",
        ),
        prior={Domain.DAILY_LIFE: 0.25, Domain.AIGC: 0.3},
        needs=frozenset({TrackKind.VIDEO}),
    )

    def compose(self, evidence: Evidence) -> GenerationClips:
        stream = evidence.streams[0]
        film = _Film(evidence, stream)
        if not film.shots:
            raise UnsuitedError(stream.uri, "no shot was measured in it", "Choose the expert that sees shots: `shots`.")
        takes = list(film.takes())
        if not takes:
            raise UnsuitedError(
                stream.uri,
                f"none of its {len(film.shots)} shots holds {LEAST:g} s without a cut or a dissolve",
                "Choose another recording: clips as short as that train no generator.",
            )
        clips = [clip for shot, take in takes for clip in film.clips(shot, take)]
        if not clips:
            raise UnsuitedError(
                stream.uri,
                f"nothing was measured in its {len(takes)} takes that a prompt could say: no words, no camera motion, "
                "no motion",
                "Add subtitles or choose the expert `motion`; a model backend can describe what it sees.",
            )
        return proved(self, GenerationClips(clips=tuple(evenly(clips, MOST_CLIPS))), evidence)

    def claims(self, output: Any, streams: Sequence[Stream]) -> list[Claim]:
        """What the marks say; that a clip has its bounds and no cut or dissolve inside; that its prompt says what its
        fields say."""
        stream = stream_of(streams)
        duration = streams[0].duration if len(streams) == 1 else None
        found = super().claims(output, streams)
        for place, clip in enumerate(output["clips"]):
            found += _bounds(clip, f"/clips/{place}", stream, duration)
            found += _contents(clip, f"/clips/{place}")
            found += _prompted(clip, f"/clips/{place}/prompt")
        return found

    def evidence_times(self, output: Any, streams: Sequence[Stream]) -> list[tuple[str, float]]:
        """The middle of each clip, spread over the film; then the first and last frames."""
        clips = spread(output["clips"])
        times = [round((clip["t0"] + clip["t1"]) / 2, 6) for clip in clips] + [clip["t0"] for clip in clips]
        return list(dict.fromkeys((streams[0].sha256, time) for time in times))


class _Film:
    """The shots of one stream, and what was measured in them."""

    def __init__(self, evidence: Evidence, stream: Stream) -> None:
        self._duration = stream.duration
        self.shots = [shot for shot in evidence.of(AnchorKind.SHOT, stream=stream.sha256) if shot.value is not None]
        self._cuts = [cut.t0 for cut in evidence.of(AnchorKind.CUT, stream=stream.sha256)]
        self._dissolves = evidence.of(AnchorKind.DISSOLVE, stream=stream.sha256)
        self._camera = [
            move
            for move in evidence.of(AnchorKind.CAMERA, stream=stream.sha256)
            if move.content in CAMERA_WORDS
            and move.confidence >= LEAST_CONFIDENCE
            and move.t1 - move.t0 >= LEAST_MOVE - EPSILON
        ]
        self._motions = evidence.of(AnchorKind.MOTION, AnchorKind.STALL, stream=stream.sha256)
        self._said = [line for line in spoken(evidence, stream.sha256) if _quotable(line.content)]
        self._shown = [line for line in shown(evidence, stream.sha256) if _quotable(line.content)]
        given = evidence.of(AnchorKind.GIVEN_TEXT, stream=stream.sha256)
        self._about = next((text.content for text in given if _quotable(text.content)), None)

    def takes(self) -> Iterator[tuple[FactualAnchor, Take]]:
        """Shots without what dissolves at their ends, as far as they can be used."""
        for shot in self.shots:
            begin, begins = self._begin(shot)
            end, ends = self._end(shot)
            if begins is not None and ends is not None and end - begin >= LEAST:
                yield shot, Take(t0=begin, t1=end, begins=begins, ends=ends, clips=_parts(end - begin))

    def clips(self, shot: FactualAnchor, take: Take) -> Iterator[Clip]:
        """The clips of a take of which something is known."""
        for place in range(take.clips):
            t0, t1 = _part(take.t0, take.t1, place, take.clips)
            camera = [m for m in self._camera if t0 - TOLERANCE <= m.t0 and m.t1 <= t1 + TOLERANCE]
            longest = sorted(camera, key=lambda move: move.t0 - move.t1)[:MOST_MOVES]
            clip = Clip(
                t0=t0,
                t1=t1,
                shot=Shot(t0=shot.t0, t1=shot.t1, number=int(shot.value or 0)),
                take=take,
                place=place,
                camera=tuple(CameraMove(t0=m.t0, t1=m.t1, move=m.content) for m in camera if m in longest),
                motion=self._motion(t0, t1),
                said=tuple(SaidLine(t0=a.t0, t1=a.t1, text=a.content) for a in _mostly_in(self._said, t0, t1)),
                shown=tuple(ShownLine(t0=a.t0, t1=a.t1, text=a.content) for a in _mostly_in(self._shown, t0, t1)),
                about=self._about,
                prompt="-",
            )
            if clip.camera or clip.motion or clip.said or clip.shown or clip.about:
                yield clip.model_copy(update={"prompt": _prompt(clip)})

    def _begin(self, shot: FactualAnchor) -> tuple[float, Edge | None]:
        """Where a shot is there alone, and what is before it; None where that was not measured."""
        over = [dissolve.t1 for dissolve in self._dissolves if dissolve.t0 - EPSILON <= shot.t0 < dissolve.t1]
        if over:
            return max(over), Edge.DISSOLVE
        if shot.t0 <= EPSILON:
            return shot.t0, Edge.START
        return shot.t0, Edge.CUT if any(abs(cut - shot.t0) <= EPSILON for cut in self._cuts) else None

    def _end(self, shot: FactualAnchor) -> tuple[float, Edge | None]:
        over = [dissolve.t0 for dissolve in self._dissolves if dissolve.t0 < shot.t1 <= dissolve.t1 + EPSILON]
        if over:
            return min(over), Edge.DISSOLVE
        if abs(shot.t1 - self._duration) <= TOLERANCE:
            return shot.t1, Edge.END
        return shot.t1, Edge.CUT if any(abs(cut - shot.t1) <= EPSILON for cut in self._cuts) else None

    def _motion(self, t0: float, t1: float) -> Motion | None:
        for motion in self._motions:
            if motion.value is not None and motion.value >= 0 and _is_of(motion.t0, motion.t1, t0, t1):
                still = motion.kind == AnchorKind.STALL
                way = None if still or not _DIRECTION.fullmatch(motion.content) else motion.content
                level = Level.STILL if still else _level(motion.value)
                return Motion(t0=motion.t0, t1=motion.t1, level=level, speed=motion.value, direction=way)
        return None


def _parts(length: float) -> int:
    """Into how many clips a take is divided."""
    return max(1, ceil(length / LONGEST - EPSILON))


def _part(t0: float, t1: float, place: int, count: int) -> tuple[float, float]:
    return round(t0 + (t1 - t0) * place / count, 6), round(t0 + (t1 - t0) * (place + 1) / count, 6)


def _mostly_in(lines: Sequence[FactualAnchor], t0: float, t1: float) -> list[FactualAnchor]:
    return [line for line in lines if t0 <= (line.t0 + line.t1) / 2 < t1][:MOST_LINES]


def _quotable(text: str) -> bool:
    return [normalise(quote) for quote in find(quoted(text)).quotes] == [normalise(text)] and bool(normalise(text))


def _is_of(m0: float, m1: float, t0: float, t1: float) -> bool:
    """Whether a motion is that of a clip: each covers most of the other."""
    common = min(m1, t1) - max(m0, t0)
    return common >= MOST_COVERED * max(t1 - t0, m1 - m0) - EPSILON


def _level(speed: float) -> Level:
    return Level.SLOW if speed < SLOW else Level.STEADY if speed < STEADY else Level.FAST


def _prompt(clip: Clip) -> str:
    seed = f"{clip.shot.number} {clip.t0} {len(clip.said)}"
    parts = [chosen(_OPENINGS, seed).format(clip.t1 - clip.t0)]
    if clip.about is not None:
        parts.append(f"It comes with the words {quoted(clip.about)}.")
    if clip.camera:
        moves = ", then ".join(CAMERA_WORDS[move] for move in _changes([move.move for move in clip.camera]))
        parts.append(f"The camera {moves}.")
    if clip.motion is not None:
        way = f", going {clip.motion.direction}" if clip.motion.direction else ""
        words = LEVEL_WORDS[clip.motion.level]
        parts.append(f"{words[0].upper()}{words[1:]}{way}.")
    if clip.said:
        parts.append(chosen(_SAYINGS, seed).format(_listed([line.text for line in clip.said])))
    if clip.shown:
        parts.append(f"On screen stands {_listed([line.text for line in clip.shown])}.")
    return ended_once(" ".join(parts))


def _listed(texts: Sequence[str]) -> str:
    return ", then ".join(map(quoted, texts))


def _changes(moves: Sequence[str]) -> list[str]:
    """Moves, of equal ones in a row only the first: a pan measured in two pieces is one pan."""
    return [move for place, move in enumerate(moves) if place == 0 or move != moves[place - 1]]


def _bounds(clip: Any, at: str, stream: str | None, duration: float | None) -> Iterator[Claim]:
    """The take lies in its shot, has the edges it says and neither cut nor dissolve inside; the clip is its part."""
    take, shot = clip["take"], clip["shot"]
    t0, t1 = take["t0"], take["t1"]
    if not shot["t0"] - EPSILON <= t0 < t1 <= shot["t1"] + EPSILON or t1 - t0 < LEAST - EPSILON:
        yield refused(f"{at}/take", f"{LEAST:g} s or more of its shot")
        return
    if take["clips"] != _parts(t1 - t0) or clip["place"] >= take["clips"]:
        yield refused(f"{at}/take/clips", "the number of its clips")
        return
    part = _part(t0, t1, clip["place"], take["clips"])
    if abs(clip["t0"] - part[0]) > EPSILON or abs(clip["t1"] - part[1]) > EPSILON:
        yield refused(at, "this part of its take")
    inside = {"t0": t0 + 2 * EPSILON, "t1": t1, "count": 0}
    for kind in (AnchorKind.CUT, AnchorKind.DISSOLVE):
        yield Claim(path=f"{at}/take", kind=ClaimKind.COUNT, stream=stream, kinds=(kind,), **inside)
    sides = (("begins", t0, shot["t0"], Edge.START, 0.0), ("ends", t1, shot["t1"], Edge.END, duration))
    for name, time, whole, only, border in sides:
        way = Edge(take[name])
        if way is Edge.DISSOLVE:
            yield edge(f"{at}/take/{name}", stream, time, AnchorKind.DISSOLVE)
        elif way is Edge.CUT and abs(time - whole) <= EPSILON:
            yield edge(f"{at}/take/{name}", stream, time, AnchorKind.CUT)
        elif way is not only or border is None or max(abs(time - border), abs(time - whole)) > TOLERANCE + EPSILON:
            yield refused(f"{at}/take/{name}", way)


def _contents(clip: Any, at: str) -> Iterator[Claim]:
    """Camera motions lie in the clip, lines begin in it, its motion is its own, and as fast as the level says."""
    for place, move in enumerate(clip["camera"]):
        if move["t0"] < clip["t0"] - TOLERANCE - EPSILON or move["t1"] > clip["t1"] + TOLERANCE + EPSILON:
            yield refused(f"{at}/camera/{place}", "a camera motion inside the clip")
    for name in ("said", "shown"):
        for place, line in enumerate(clip[name]):
            if not clip["t0"] - EPSILON <= (line["t0"] + line["t1"]) / 2 <= clip["t1"] + EPSILON:
                yield refused(f"{at}/{name}/{place}", "a line of which half is in the clip")
    motion = clip["motion"]
    if motion is not None:
        if not _is_of(motion["t0"], motion["t1"], clip["t0"], clip["t1"]):
            yield refused(f"{at}/motion", "a motion of this clip and little else")
        if motion["level"] != Level.STILL and motion["level"] != _level(motion["speed"]):
            yield refused(f"{at}/motion/level", f"that the motion is {motion['level']}")
        kind = AnchorKind.STALL if motion["level"] == Level.STILL else AnchorKind.MOTION
        yield Claim(
            path=f"{at}/motion/level",
            kind=ClaimKind.TIME,
            t0=motion["t0"],
            t1=motion["t1"],
            kinds=(kind,),
            whole=True,
        )


def _prompted(clip: Any, at: str) -> Iterator[Claim]:
    """The prompt tells the length, the camera motions in order, how fast it is and which way, and quotes the lines."""
    named, prose = find(clip["prompt"]), _QUOTE.sub('""', clip["prompt"]).lower()
    if len(named.durations) != 1 or abs(named.durations[0] - (clip["t1"] - clip["t0"])) > 0.05 + EPSILON:
        yield refused(at, "the length of the clip")
    if named.times:
        yield refused(at, "a moment, which a clip of its own does not have")
    if moves_in(prose) != _changes([move["move"] for move in clip["camera"]]):
        yield refused(at, "the motions of the camera")
    levels = [] if clip["motion"] is None else [clip["motion"]["level"]]
    if [level for level, words in LEVEL_WORDS.items() if words in prose] != levels:
        yield refused(at, "how fast it moves")
    going = re.findall(r"\bgoing ((?:(?:up|down|left|right)\b ?)+)", prose)
    ways = [] if clip["motion"] is None or not clip["motion"]["direction"] else [clip["motion"]["direction"]]
    if [way.strip() for way in going] != ways:
        yield refused(at, "which way it moves")
    texts = [normalise(text) for text in ([clip["about"]] if clip["about"] else [])]
    texts += [normalise(line["text"]) for line in (*clip["said"], *clip["shown"])]
    if len(named.quotes) != len(texts):
        yield refused(at, "the words of the clip, each once")
    for quote, text in zip(named.quotes, texts, strict=False):
        if not stands_in(normalise(quote), text):
            yield refused(at, quote)
