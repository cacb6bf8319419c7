"""Subtitles: files beside a film (.vtt, .srt) and mov_text tracks inside it, read apart from the product's own reader.

They are also what is said, where the film can be heard: words for speech recognition.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import av

from benchmark.experts.labels.base import Label, Labels, place_of
from schemas.anchor import AnchorKind
from schemas.stream import Stream, TrackKind

_TIMES = re.compile(r"((?:\d+:)?\d+:\d+[.,]\d+) --> ((?:\d+:)?\d+:\d+[.,]\d+)")
_MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_SUFFIXES = (".vtt", ".srt")


def cue_labels(stream: Stream) -> Iterator[Labels]:
    """Cues as labels of subtitles, and as the words of speech where there is a sound track."""
    parts = [Path(part.uri) for part in stream.parts if Path(part.uri).suffix.lower() in _SUFFIXES]
    found = [label for part in parts for label in _file(part)]
    source = ", ".join(part.name for part in parts)
    place, _ = place_of(stream)
    if not parts and stream.format == "video" and stream.has(TrackKind.SUBTITLES):
        found, source = _embedded(place), "mov_text track"
    # A cue that lasts longer than its film ends with it: nothing can be said of what is not there.
    labels = tuple(
        dict.fromkeys(
            Label(label.t0, max(label.t0, min(label.t1, stream.duration)), label.content)
            for label in sorted(found, key=lambda one: (one.t0, one.t1))
        )
    )
    if not labels:
        return
    yield Labels(AnchorKind.SUBTITLE, labels, source)
    if stream.has(TrackKind.AUDIO):
        yield Labels(AnchorKind.SPEECH, labels, source, complete=False, words_only=True)


def _file(path: Path) -> Iterator[Label]:
    for block in re.split(r"\r?\n\s*\r?\n", path.read_text(encoding="utf-8-sig")):
        times = _TIMES.search(block)
        if times is not None:
            text = _plain(block[times.end() :].partition("\n")[2])
            if text:
                yield Label(_seconds(times[1]), _seconds(times[2]), text)


def _embedded(path: Path) -> list[Label]:
    """mov_text samples: two bytes of length, then UTF-8."""
    labels = []
    with av.open(str(path)) as container:
        tracks = [track for track in container.streams.subtitles if track.codec_context.name == "mov_text"]
        for packet in container.demux(tracks) if tracks else ():
            data = bytes(packet)
            text = _plain(data[2 : 2 + int.from_bytes(data[:2], "big")].decode("utf-8", "replace"))
            if text and packet.pts is not None and packet.time_base is not None:
                begin = float(packet.pts * packet.time_base)
                labels.append(Label(begin, begin + float((packet.duration or 0) * packet.time_base), text))
    return labels


def _plain(text: str) -> str:
    return " ".join(html.unescape(_MARKUP.sub("", text)).split())


def _seconds(stamp: str) -> float:
    total = 0.0
    for part in stamp.replace(",", ".").split(":"):
        total = 60 * total + float(part)
    return total
