"""Subtitles come out verbatim with their spans; what cannot be read is said and spoils nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sources.base import Cue
from sources.subtitles import MOST_BYTES, parse, plain
from sources.video import VideoRecording, read_subtitles

STREAMS = Path(__file__).parents[3] / "shared" / "streams"

SRT = (
    "1\n00:00:01,000 --> 00:00:02,250\nFill the <i>kettle</i>.\nThen wait.\n\n2\n00:00:02,000 --> 00:00:03,500\nDone\n"
)
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\an8\\b1}Tea,{\\b0} hot\\Nand sweet\n"
    "Comment: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,not shown\n"
    "Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0 100 100{\\p0}\n"
)


def test_srt_keeps_lines_overlaps_and_milliseconds() -> None:
    read = parse(SRT.encode(), ".srt")
    assert read.cues == (Cue(1.0, 2.25, "Fill the kettle.\nThen wait."), Cue(2.0, 3.5, "Done"))
    assert read.notes == ()


@pytest.mark.parametrize(
    "data",
    [
        SRT.replace("\n", "\r\n").encode("utf-8-sig"),
        SRT.encode("utf-16"),
        SRT.replace("\n", "\r").encode(),
        SRT.replace(",", ".").encode(),
    ],
    ids=["crlf and mark", "utf-16 with mark", "old mac line ends", "dots in times"],
)
def test_ways_of_writing_the_same_file_give_the_same_cues(data: bytes) -> None:
    read = parse(data, ".srt")
    assert read.cues == parse(SRT.encode(), ".srt").cues
    assert read.notes == ()


def test_a_guessed_encoding_is_said() -> None:
    latin = parse("1\n00:00:01,000 --> 00:00:02,000\nThé à la menthe\n".encode("latin-1"), ".srt")
    assert [cue.text for cue in latin.cues] == ["Thé à la menthe"]
    assert any("Latin-1" in note for note in latin.notes)
    wide = parse(SRT.encode("utf-16-le"), ".srt")
    assert len(wide.cues) == 2
    assert any("UTF-16" in note for note in wide.notes)


def test_webvtt_header_notes_styles_settings_tags_and_entities() -> None:
    text = (
        "WEBVTT - a lesson\n\nNOTE 00:00 is the start\nof it\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.000 align:start position:10%\n<v Mary Ann>Salt &amp; pepper</v>\n\n"
        "01:00:00.000 --> 01:00:00.001\n<c.loud>Now</c> <00:00:00.500>x &lt; y\n"
    )
    read = parse(text.encode(), ".vtt")
    assert read.cues == (Cue(1.0, 2.0, "Salt & pepper"), Cue(3600.0, 3600.001, "Now x < y"))
    assert read.notes == ()


def test_ass_overrides_drawings_and_comments_are_no_text() -> None:
    read = parse(ASS.encode(), ".ass")
    assert read.cues == (Cue(1.0, 2.5, "Tea, hot\nand sweet"),)
    assert read.notes == ()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("00:00:05,000 --> 00:00:04,000\nbackwards\n", "ends before it begins"),
        ("00:00:xx,000 --> 00:00:04,000\nno number\n", "no times"),
        ("--> 00:00:04,000\nno start\n", "no times"),
    ],
)
def test_a_malformed_cue_is_said_and_the_others_are_kept(bad: str, reason: str) -> None:
    read = parse(f"{SRT}\n3\n{bad}".encode(), ".srt")
    assert len(read.cues) == 2
    assert len(read.notes) == 1
    assert reason in read.notes[0]


def test_a_malformed_ass_event_is_said_and_the_others_are_kept() -> None:
    read = parse(f"{ASS}Dialogue: 0,soon,later,Default,,0,0,0,,when\n".encode(), ".ass")
    assert len(read.cues) == 1
    assert "no times" in read.notes[0]


@pytest.mark.parametrize("suffix", [".srt", ".vtt", ".ass", ".ssa"])
@pytest.mark.parametrize(
    "data", [b"", b"\n\n", bytes(range(256)) * 20, b"\x00" * 1000, b"plain words", b"00:00:01,000 --> "]
)
def test_junk_gives_no_cues_and_a_note(data: bytes, suffix: str) -> None:
    read = parse(data, suffix)
    assert read.cues == ()
    assert read.notes


def test_a_file_too_large_for_subtitles_is_refused_by_size(tmp_path: Path) -> None:
    path = tmp_path / "clip.srt"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 10)
    read = read_subtitles(str(path))
    assert read.cues == ()
    assert "too large" in read.notes[0]


def test_a_missing_file_is_a_note(tmp_path: Path) -> None:
    assert "cannot be read" in read_subtitles(str(tmp_path / "gone.srt")).notes[0]


def test_angle_brackets_that_are_no_tags_stay() -> None:
    assert plain("a < b > c <3") == "a < b > c <3"


@pytest.mark.streams
@pytest.mark.skipif(not STREAMS.is_dir(), reason="the real streams are not beside the repository")
def test_real_subtitles_beside_and_inside_a_video() -> None:
    friday = read_subtitles(str(STREAMS / "daily_life/friday/friday.en.vtt"))
    assert len(friday.cues) == 5
    assert friday.cues[2] == Cue(1.5, 2.999, "Tell me, is the lord of the universe in?")
    with VideoRecording(str(STREAMS / "daily_life/nasa/nasa_13013.mp4")) as recording:
        cues = recording.cues()
    assert len(cues) == 4
    assert cues[1].text == "space telescope in one of the largest cleanrooms in the world"
