"""Videos give their frames at their exact times, as little as possible is decoded, and broken ones say why."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import fsspec
import numpy as np
import psutil
import pytest

from schemas.errors import InputError
from schemas.stream import Stream, TrackKind
from sources.base import Candidate
from sources.decoding import VideoDecoder
from sources.discovery import hash_parts, open_recording, probe
from sources.roster import reader
from sources.video import VideoRecording

MS = Fraction(1, 1000)


def write_film(
    path: Path,
    times: Sequence[int],
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    layout: str = "yuv420p",
    rotation: int | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """A film whose frame k is shown at times[k] milliseconds; each brighter by 4, with a bright top left corner."""
    with av.open(str(path), "w", options=container or {}) as film:
        fixed = codec in ("mpeg4", "gif", "mjpeg")  # their frames lie on a grid: 1/10 s, 1/100 s for a GIF
        stream = film.add_stream(codec, rate=10 if fixed else 1000, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = layout
        stream.codec_context.time_base = Fraction(1, 100 if codec == "gif" else 10) if fixed else MS
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24").reformat(format=layout)
            frame.pts, frame.time_base = time, MS
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def picture(number: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    pixels = np.full((size[1], size[0], 3), 8 + 4 * (number % 40), np.uint8)
    pixels[: size[1] // 4, : size[0] // 4] = 250
    return pixels


def write_tone(path: Path, seconds: float = 1.0) -> Path:
    """A file with sound and no picture."""
    with av.open(str(path), "w") as film:
        stream = film.add_stream("aac", rate=8000)
        for index in range(int(seconds * 8000 / 1024)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 8000, index * 1024
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


UNEVEN = [0, 40, 80, 200, 210, 500, 900, 933, 966, 1000, 1500, 2100, 2130, 2600, 3000]
"""Times in milliseconds of a film of variable frame rate."""

EVEN = list(range(0, 6000, 100))

FILMS = {
    "B-frames.mp4": (UNEVEN, "libx264", {"bf": "3", "g": "5", "x264-params": "scenecut=0"}),
    "open groups.mkv": (UNEVEN, "libx264", {"bf": "3", "g": "6", "x264-params": "open-gop=1:scenecut=0"}),
    "long groups.mp4": (EVEN, "libx264", {"g": "250"}),
    "short groups.mp4": (EVEN, "libx264", {"g": "10", "x264-params": "scenecut=0"}),
    "hevc.mp4": (EVEN, "libx265", {"x265-params": "keyint=12:log-level=none"}),
    "vp9.webm": (EVEN, "libvpx-vp9", {"g": "15", "deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.avi": (EVEN, "mpeg4", {"g": "10"}),
    "stream.ts": (EVEN, "libx264", {"g": "10", "x264-params": "scenecut=0"}),
    "picture.gif": (EVEN, "gif", {}),
    "motion.mov": (EVEN, "mjpeg", {}),
}


@pytest.fixture(params=FILMS)
def film(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Sequence[float]]:
    times, codec, options = FILMS[request.param]
    layout = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    path = write_film(tmp_path / request.param, times, codec, layout=layout, options=options)
    return path, [time / 1000 for time in times]


def described(path: Path, max_pixels: int = 10**8) -> Stream:
    fs = fsspec.filesystem("file")
    (candidate,) = reader("video").find(fs, str(path))
    assert isinstance(candidate, Candidate)
    return probe(candidate, hash_parts(candidate, {}), None, max_pixels)


def test_every_frame_comes_at_its_exact_time(film: tuple[Path, Sequence[float]]) -> None:
    path, times = film
    with VideoRecording(str(path)) as recording:
        frames = [(frame.time, frame.index) for frame in recording.frames(0, 1e9, None)]
    assert [time for time, _ in frames] == pytest.approx(times, abs=0.002)
    assert [index for _, index in frames] == list(range(len(times)))


def test_sampling_equals_looking_at_all_frames(film: tuple[Path, Sequence[float]]) -> None:
    path, _ = film
    draw = random.Random(7)
    with VideoRecording(str(path)) as recording:
        every = [(frame.time, frame.gray().mean()) for frame in recording.frames(0, 1e9, None)]
        for _ in range(12):
            t0 = draw.choice([0.0, round(draw.uniform(0, every[-1][0]), 3), draw.choice(every)[0]])
            t1 = t0 + draw.choice([0.5, 2.0, 100.0])
            rate = draw.choice([None, 0.4, 1.0, 2.0, 5.0, 30.0])
            include_end = draw.random() < 0.5
            seen = [(f.time, f.gray().mean()) for f in recording.frames(t0, t1, rate, include_end)]
            assert seen == expected(every, t0, t1, rate, include_end), (t0, t1, rate, include_end)
        for _ in range(6):
            times = [round(draw.uniform(0, every[-1][0] + 1), 3) for _ in range(draw.choice([1, 2, 5]))]
            shown = [(f.time, f.gray().mean()) for f in recording.frames_at(times)]
            assert shown == [[e for e in every if e[0] <= time + 1e-6][-1] for time in sorted(times)]


def expected(
    every: Sequence[tuple[float, float]], t0: float, t1: float, rate: float | None, include_end: bool
) -> list[tuple[float, float]]:
    """The contract of Recording.frames, put plainly."""
    inside = [e for e in every if t0 <= e[0] and (e[0] < t1 or (include_end and e[0] == t1))]
    if rate is None:
        return inside
    kept: list[tuple[float, float]] = []
    for tick in range(int((t1 - t0) * rate) + 2):
        first = next((e for e in inside if e[0] >= t0 + tick / rate - 1e-6), None)
        if first is not None and first not in kept:
            kept.append(first)
    return kept


def test_few_wanted_frames_cost_few_decoded_ones(tmp_path: Path) -> None:
    options = {"g": "10", "bf": "0", "x264-params": "scenecut=0"}
    path = write_film(tmp_path / "long.mp4", list(range(0, 60_000, 100)), options=options)
    decoder = VideoDecoder(str(path))
    assert len(list(decoder.frames(0, 60, 0.1))) == 6
    assert decoder.decoded <= 30
    decoder.decoded = 0
    assert [frame.time for frame in decoder.frames_at([12.35, 47.0])] == [12.3, 47.0]
    assert decoder.decoded <= 30
    decoder.decoded = 0
    assert len(list(decoder.frames(30, 31, None))) == 10
    assert decoder.decoded <= 25
    decoder.close()


def test_a_new_iteration_ends_the_one_before(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mp4", EVEN)
    with VideoRecording(str(path)) as recording:
        first = recording.frames(0, 6, None)
        next(first)
        assert next(iter(recording.frames_at([3.0]))).time == 3.0
        assert list(first) == []


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_rotation_is_applied(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    path = write_film(tmp_path / "turned.mp4", [0, 100, 200], rotation=rotation, options={"qp": "5"})
    with VideoRecording(str(path)) as recording:
        frame = next(iter(recording.frames(0, 1, None)))
        upright = rotation % 180 == 0
        assert (frame.width, frame.height) == ((64, 48) if upright else (48, 64))
        for pixels in (frame.gray(), frame.rgb()[..., 1], frame.gray(32), frame.rgb(32)[..., 1]):
            assert pixels.shape[::-1] in [(frame.width, frame.height), (frame.width // 2, frame.height // 2)]
            assert pixels[corner] > 200
            assert (pixels > 150).mean() < 0.1
    track = described(path).tracks[0]
    assert (track.width, track.height) == (frame.width, frame.height)


@pytest.mark.parametrize(
    ("codec", "layout", "size"),
    [
        ("libx264", "yuv420p", (62, 46)),
        ("libx264", "yuv444p", (63, 47)),
        ("libx264", "yuvj420p", (64, 48)),
        ("libx264", "yuv420p10le", (64, 48)),
        ("ffv1", "yuv422p", (65, 33)),
        ("ffv1", "gray", (65, 33)),
        ("ffv1", "gray10le", (65, 33)),
        ("ffv1", "bgr0", (65, 33)),
        ("ffv1", "bgra", (65, 33)),
    ],
)
def test_every_layout_gives_the_same_pixels(tmp_path: Path, codec: str, layout: str, size: tuple[int, int]) -> None:
    options = {"qp": "1"} if codec == "libx264" else {}
    path = write_film(tmp_path / "film.mkv", [0, 100, 200], codec, size, layout, options=options)
    with VideoRecording(str(path)) as recording:
        frame = list(recording.frames(0, 1, None))[2]
        assert (frame.width, frame.height) == size
        for pixels in (frame.gray(), frame.rgb()):
            assert pixels.dtype == np.uint8
            assert pixels.shape[1::-1] == size
            assert abs(int(pixels[-2, -2].max()) - 16) <= 2
            assert abs(int(pixels[1, 1].min()) - 250) <= 4
        assert frame.gray() is frame.gray()
        assert max(frame.gray(20).shape) == 20
        assert max(frame.rgb(20).shape) == 20
        assert frame.rgb(1000).shape == frame.rgb().shape


def test_transparent_parts_of_a_gif_are_white(tmp_path: Path) -> None:
    from PIL import Image

    picture = Image.new("RGBA", (31, 21), (0, 0, 0, 0))
    picture.paste((200, 0, 0, 255), (0, 0, 10, 10))
    second = picture.copy()
    second.paste((0, 0, 200, 255), (20, 10, 31, 21))
    path = tmp_path / "clear.gif"
    picture.save(path, save_all=True, append_images=[second], duration=[300, 700], disposal=2)
    with VideoRecording(str(path)) as recording:
        frames = list(recording.frames(0, 10, None))
        assert [frame.time for frame in frames] == pytest.approx([0, 0.3])
        assert frames[0].rgb()[15, 5].tolist() == [255, 255, 255]
        assert frames[0].gray()[15, 5] == 255
        assert frames[0].rgb()[2, 2].tolist() == [200, 0, 0]
    assert described(path).duration == pytest.approx(1.0, abs=0.02)


def test_a_film_that_starts_late_starts_at_zero(tmp_path: Path) -> None:
    path = write_film(tmp_path / "late.mkv", [7000, 7100, 7350])
    with VideoRecording(str(path)) as recording:
        assert [frame.time for frame in recording.frames(0, 10, None)] == pytest.approx([0, 0.1, 0.35])
        assert [frame.time for frame in recording.frames(0.2, 10, None)] == pytest.approx([0.35])


def test_the_stream_is_described(tmp_path: Path) -> None:
    stream = described(write_film(tmp_path / "clip.mp4", EVEN))
    (track,) = stream.tracks
    assert (track.kind, track.codec, track.width, track.height, track.items) == (TrackKind.VIDEO, "h264", 64, 48, 60)
    assert stream.duration == pytest.approx(6.0, abs=0.1)
    assert stream.name == "clip"
    assert stream.notes == ()


def test_a_sound_track_that_goes_on_is_not_called_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "longer sound.mkv"
    with (
        av.open(str(write_film(tmp_path / "v.mkv", [0, 100, 200]))) as film,
        av.open(str(write_tone(tmp_path / "a.m4a", 5.0))) as tone,
        av.open(str(path), "w") as both,
    ):
        pairs = [(film, film.streams.video[0]), (tone, tone.streams.audio[0])]
        tracks = [both.add_stream_from_template(track) for _, track in pairs]
        for (source, track), target in zip(pairs, tracks, strict=True):
            for packet in source.demux(track):
                if packet.size:
                    packet.stream = target
                    both.mux(packet)
    stream = described(path)
    assert stream.notes == ()
    assert stream.duration < 0.5
    with open_recording(stream) as recording:
        assert len(list(recording.frames(0, 5, None))) == 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_cut_off_video_gives_what_can_be_read_and_says_so(tmp_path: Path, suffix: str) -> None:
    container = {"movflags": "faststart"} if suffix == "mp4" else {}
    noise = tmp_path / f"whole.{suffix}"
    with av.open(str(noise), "w", options=container) as film:
        stream = film.add_stream("libx264", rate=10, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(60):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), np.uint8))))
        film.mux(stream.encode())
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(noise.read_bytes()[: noise.stat().st_size // 2])
    stream = described(cut)
    assert 1.5 < stream.duration < 4.5
    assert any(note.startswith("cut off") and "of 6.0" in note for note in stream.notes)
    with open_recording(stream) as recording:
        readable = list(recording.frames(0, stream.duration, None, include_end=True))
        assert readable[-1].time > stream.duration - 0.35
        frames = recording.frames(0, 6.0, None)
        seen = []
        with pytest.raises(InputError, match="cut off"):
            seen.extend(iter(frames))
    assert len(readable) == len({frame.time for frame in readable})


def test_one_sample_of_an_endless_group_keeps_memory_bounded(tmp_path: Path) -> None:
    path = write_film(tmp_path / "endless.mp4", list(range(0, 200_000, 100)), options={"g": "100000"})
    decoder = VideoDecoder(str(path))
    assert [frame.time for frame in decoder.frames_at([199.0])] == [199.0]
    decoder.close()


def without_index(folder: Path) -> Path:
    whole = write_film(folder / "whole.mp4", EVEN)
    cut = folder / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    return cut


def playlist(folder: Path) -> Path:
    write_film(folder / "other.ts", [0, 100])
    path = folder / "list.mp4"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n")
    return path


def named(content: bytes, name: str = "film.mp4"):
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (named(b""), "zero bytes"),
        (named(b"Dies ist kein Film.\n"), "is text, not a video"),
        (named(bytes(range(256)) * 40), "not a readable video"),
        (named(b"\x1aE\xdf\xa3" + b"\x00" * 500, "film.mkv"), "not a readable video"),
        (playlist, "is text, not a video"),
        (without_index, r"index \(moov\) missing: cut off or still being written"),
        (lambda folder: write_tone(folder / "sound.mp4"), "no video track"),
        (lambda folder: folder / "absent.mp4", "no such file"),
    ],
    ids=["empty", "text", "bytes", "broken mkv", "playlist", "no index", "sound only", "absent"],
)
def test_what_is_no_video_says_why(tmp_path: Path, make, cause: str) -> None:
    path = make(tmp_path)
    with pytest.raises(InputError, match=cause) as caught:
        VideoRecording(str(path))
    assert caught.value.problem.input == str(path)
    assert caught.value.problem.remedy


@pytest.mark.parametrize("name", ["huge.gif", "huge.mp4"])
def test_pictures_over_the_limit_are_refused_from_the_header(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("gif"):
        from PIL import Image

        Image.new("P", (64, 48)).save(path)
        data = bytearray(path.read_bytes())
        data[6:10] = b"\x30\x75\x30\x75"  # 30,000 x 30,000
        path.write_bytes(data)
    else:
        write_film(path, [0], size=(640, 480))
    before = psutil.Process().memory_info().rss
    with pytest.raises(InputError, match="more than the 200000 allowed"):
        described(path, max_pixels=200_000)
    assert psutil.Process().memory_info().rss - before < 100 << 20


def test_damage_in_the_middle_costs_what_is_damaged_and_is_said(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", EVEN, options={"g": "10", "bf": "0"})
    with av.open(str(path)) as film:
        packet = [packet for packet in film.demux() if packet.size][15]
        middle, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[middle : middle + size] = b"\xff" * size
    path.write_bytes(data)
    seen = []
    with VideoRecording(str(path)) as recording:
        with pytest.raises(InputError, match=r"damaged at 1\.[5-9]00 s"):
            seen.extend(frame.time for frame in recording.frames(0, 10, None))
        assert [frame.time for frame in recording.frames(4, 5, 2)] == [4.0, 4.5]
    assert seen[:15] == pytest.approx([time / 1000 for time in EVEN[:15]])
    assert seen[-20:] == pytest.approx([time / 1000 for time in EVEN[-20:]])


def test_subtitles_inside_are_read(tmp_path: Path) -> None:
    srt = tmp_path / "cues.srt"
    srt.write_text("1\n00:00:00,100 --> 00:00:00,500\n<i>Hi</i> there\n\n2\n00:00:01,000 --> 00:00:02,345\nYou & me\n")
    path = tmp_path / "inner.mkv"
    film = write_film(tmp_path / "film.mp4", EVEN)
    with av.open(str(srt)) as cues, av.open(str(film)) as video, av.open(str(path), "w") as both:
        tracks = [both.add_stream_from_template(f.streams[0]) for f in (video, cues)]
        for source, target in zip((cues, video), reversed(tracks), strict=True):
            for packet in source.demux(source.streams[0]):
                if packet.size:
                    packet.stream = target
                    both.mux(packet)
    stream = described(path)
    assert stream.has(TrackKind.SUBTITLES)
    with open_recording(stream) as recording:
        running = recording.frames(0, 6, None)
        next(running)
        assert [(c.t0, c.t1, c.text) for c in recording.cues()] == [(0.1, 0.5, "Hi there"), (1.0, 2.345, "You & me")]
        assert len(list(running)) == 59


def test_a_video_in_a_store_reads_as_on_disk(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", EVEN)
    uri = "memory://bucket/a folder/film #1.mp4"
    with fsspec.open(uri, "wb") as file:
        file.write(path.read_bytes())
    with VideoRecording(uri) as recording:
        assert [frame.time for frame in recording.frames(1, 2, 2)] == [1.0, 1.5]
    fsspec.filesystem("memory").rm("/bucket", recursive=True)


def test_handles_never_leak(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", EVEN)
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    sound = write_tone(tmp_path / "sound.mp4")
    before = psutil.Process().num_fds()
    for _ in range(10):
        stream = described(film)
        with open_recording(stream) as recording:
            next(iter(recording.frames(1, 2, None)))
            recording.close()
        for bad in (text, sound):
            with pytest.raises(InputError):
                described(bad)
    assert psutil.Process().num_fds() == before


def test_a_moment_on_a_far_keyframe_ends_the_search(streams: Path) -> None:
    """The index of this file holds decoding times: a seek to the keyframe lands before it, however often."""
    from sources.decoding import VideoDecoder

    file = streams / "gui/agentnet_raw/episode_2c05b837/screen.mp4"
    decoder = VideoDecoder(str(file), 10**9)
    try:
        assert [frame.time for frame in decoder.frames_at([109.0])] == [pytest.approx(109.0, abs=0.04)]
    finally:
        decoder.close()


def test_a_title_that_is_no_text_does_not_keep_a_film_from_being_read(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", range(0, 1000, 100), codec="mpeg4")
    marked = path.read_bytes().replace(b"Lavf", b"\xff\xfe\xe9f")  # the muxer's name, in the container's metadata
    path.write_bytes(marked)
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert described(path).duration == pytest.approx(1.0)
