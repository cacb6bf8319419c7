"""Subtitles: SRT, WebVTT and ASS files, and the text tracks of containers. Text comes out verbatim, without markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import av
from av.container import InputContainer
from av.subtitles.stream import SubtitleStream

from sources.base import Cue

SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
MOST_BYTES = 32 << 20
"""A larger file is no subtitle file, whatever its name says."""
TEXT_CODECS = ("mov_text", "subrip", "srt", "text", "webvtt", "ass", "ssa")

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?$")
_TAG = re.compile(r"</?(?:[biusc]|font|v|lang|ruby|rt)(?:[\s.][^<>]*)?>|<(?:\d+:)?\d\d:\d\d\.\d{3}>", re.IGNORECASE)
_OVERRIDE = re.compile(r"\{\\[^{}]*\}")
_ASS_TIME = re.compile(r"\s*(\d{1,9}):(\d{1,2}):(\d{1,2})[.:](\d{1,3})\s*$")
_ASS_FIELDS = ("Layer", "Start", "End", "Style", "Name", "MarginL", "MarginR", "MarginV", "Effect", "Text")


@dataclass(frozen=True)
class Subtitles:
    """The cues of one file in the order of their start, and what was wrong with it."""

    cues: tuple[Cue, ...]
    notes: tuple[str, ...]


def parse(data: bytes, suffix: str) -> Subtitles:
    """Reads a subtitle file. Never fails: what cannot be read is left out and said in a note.

    Args:
        data: the file.
        suffix: `.srt`, `.vtt`, `.ass` or `.ssa`.
    """
    if len(data) > MOST_BYTES:
        return Subtitles((), (f"not read: over {MOST_BYTES >> 20} MB, which is too large for subtitles",))
    text, notes = decode(data)
    if "\0" in text:
        return Subtitles((), ("not text: it holds null bytes",))
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    problems: list[str] = []
    if suffix in (".ass", ".ssa"):
        cues = list(_ass(lines, problems))
    else:
        if suffix == ".vtt" and not lines[0].startswith("WEBVTT"):
            problems.append("line 1: no WEBVTT header")
        cues = list(_blocks(lines, problems, entities=suffix == ".vtt"))
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        notes.append(f"malformed: {problems[0]}{more}")
    if not cues and not problems:
        notes.append("no cues in it")
    return Subtitles(tuple(sorted(cues, key=lambda cue: (cue.t0, cue.t1))), tuple(notes))


def decode(data: bytes) -> tuple[str, list[str]]:
    """Text of a file by its byte order mark, else as UTF-8, UTF-16 or Latin-1, with a note when that is a guess."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace"), []
    if data[1:200:2].count(0) > len(data[1:200:2]) // 2:
        return data.decode("utf-16-le", "replace"), ["no byte order mark: read as UTF-16"]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("latin-1"), ["not UTF-8: read as Latin-1"]


def plain(text: str, entities: bool = False) -> str:
    """Text without SRT and WebVTT tags and ASS overrides; `entities` resolves `&amp;` and its like (WebVTT)."""
    text = _OVERRIDE.sub("", _TAG.sub("", text)).strip()
    return html.unescape(text) if entities else text


def plain_ass(text: str) -> str:
    """The text of an ASS event: line breaks and hard spaces resolved, overrides and drawings left out."""
    if re.search(r"\{[^{}]*\\p[1-9]", text):
        return ""
    text = re.sub(r"\{[^{}]*\}", "", text)
    return text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ").strip()


def _blocks(lines: list[str], problems: list[str], entities: bool) -> Iterator[Cue]:
    """Cues of SRT and WebVTT. A timing line begins one and a blank line ends it."""
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.startswith(("NOTE", "STYLE", "REGION")) and "-->" not in line and entities:
            while number < len(lines) and lines[number].strip():
                number += 1
            continue
        if "-->" not in line:
            continue
        match = _TIMING.match(line)
        begin = number
        while number < len(lines) and lines[number].strip() and "-->" not in lines[number]:
            number += 1
        body = lines[begin:number]
        if number < len(lines) and "-->" in lines[number] and body:
            # No blank line between two cues: the last line is the number of the next.
            body = body[:-1] if body[-1].strip().isdigit() else body
        if match is None:
            problems.append(f"line {begin}: no times in {line.strip()[:40]!r}")
            continue
        t0, t1 = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        text = plain("\n".join(body), entities)
        if t1 < t0:
            problems.append(f"line {begin}: it ends before it begins")
        elif text:
            yield Cue(t0, t1, text)


def _seconds(groups: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (whole * 1000 + int((fraction or "0").ljust(3, "0"))) / 1000


def _ass(lines: list[str], problems: list[str]) -> Iterator[Cue]:
    fields: tuple[str, ...] = _ASS_FIELDS
    section = ""
    for number, line in enumerate(lines, 1):
        if line.startswith("["):
            section = line.strip().lower()
        if section != "[events]":
            continue
        kind, _, rest = line.partition(":")
        if kind == "Format":
            fields = tuple(field.strip() for field in rest.split(","))
        elif kind == "Dialogue":
            values = dict(zip(fields, rest.split(",", len(fields) - 1), strict=False))
            begin, end = (_ASS_TIME.match(values.get(name, "")) for name in ("Start", "End"))
            if begin is None or end is None or "Text" not in values:
                problems.append(f"line {number}: no times in {line.strip()[:40]!r}")
                continue
            t0, t1 = _seconds(begin.groups()), _seconds(end.groups())
            text = plain_ass(values["Text"])
            if t1 < t0:
                problems.append(f"line {number}: it ends before it begins")
            elif text:
                yield Cue(t0, t1, text)
    if section == "":
        problems.append("no [Events] section")


def text_tracks(container: InputContainer) -> list[SubtitleStream]:
    """The subtitle tracks of a container that hold text, the default one first."""
    tracks = [track for track in container.streams.subtitles if track.name in TEXT_CODECS]
    return sorted(tracks, key=lambda track: not track.disposition & av.stream.Disposition.default)


def track_cues(container: InputContainer, track: SubtitleStream, start: float) -> Iterator[Cue]:
    """The cues of a text track. Times count from `start` seconds of the container's clock."""
    for packet in container.demux(track):
        if packet.pts is None or packet.time_base is None or packet.is_corrupt:
            continue
        text = _payload(bytes(packet), track.name)
        t0 = float(packet.pts * packet.time_base) - start
        t1 = t0 + float((packet.duration or 0) * packet.time_base)
        if text and t1 > 0:
            yield Cue(max(0.0, round(t0, 6)), round(t1, 6), text)


def _payload(data: bytes, codec: str | None) -> str:
    if codec == "mov_text":
        # Two bytes of length, the text, then boxes of styles.
        return plain(data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace"))
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\0")
    if codec in ("ass", "ssa"):
        # ReadOrder, Layer, Style, Name, MarginL, MarginR, MarginV, Effect, Text
        return plain_ass(text.split(",", 8)[-1])
    return plain(text, entities=codec == "webvtt")
