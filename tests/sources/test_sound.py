"""Sound is read on the clock of the pictures, the same wherever reading begins."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from schemas.errors import InputError
from sources.base import Recording
from sources.sound import samples
from sources.video import VideoRecording

RATE = 16000


def film(
    path: Path,
    sound: np.ndarray | None,
    *,
    rate: int = 16000,
    codec: str = "pcm_s16le",
    sound_at: float = 0.0,
    pictures_at: float = 0.0,
    seconds: float = 8.0,
    gap: tuple[float, float] | None = None,
) -> str:
    """A film of gray pictures; its sound (n,) or (n, 2) begins at `sound_at` on the file's clock, its pictures at
    `pictures_at`. Sound inside `gap` is not written."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10, width=64, height=48)
        video.codec_context.time_base = Fraction(1, 10)
        layout = "mono" if sound is None or sound.ndim == 1 else "stereo"
        audio = None if sound is None else container.add_stream(codec, rate=rate, layout=layout)
        if audio is not None:
            encoding = "fltp" if codec == "aac" else "s16"
            planes = np.atleast_2d(sound.T)
            for start in range(0, planes.shape[1], 1024):
                if gap is not None and gap[0] <= start / rate < gap[1]:
                    continue
                block = np.ascontiguousarray(planes[:, start : start + 1024], np.float32)
                if encoding == "s16":
                    block = np.round(block.T.reshape(1, -1) * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(block, format=encoding, layout=layout)
                frame.sample_rate = rate
                frame.time_base = Fraction(1, rate)
                frame.pts = start + round(sound_at * rate)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        for number in range(round(seconds * 10)):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64), 90, np.uint8), format="gray").reformat(
                format="yuv420p"
            )
            picture.time_base = Fraction(1, 10)
            picture.pts = number + round(pictures_at * 10)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    return str(path)


def noise(seconds: float, rate: int = RATE) -> np.ndarray:
    """Sound in which no moment is like another, of few high notes, so that resampling keeps it."""
    rng = np.random.default_rng(3)
    steps = np.cumsum(rng.standard_normal(int(seconds * rate)))
    smooth = np.convolve(steps - np.mean(steps), np.ones(32) / 32, "same")
    smooth -= np.convolve(smooth, np.ones(2000) / 2000, "same")
    return (0.5 * smooth / np.abs(smooth).max()).astype(np.float32)


def heard(uri: str, t0: float = 0.0, t1: float = 100.0, rate: int = RATE) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *samples(uri, t0, t1, rate)])


def decoded(uri: str) -> np.ndarray:
    """The whole track as PyAV gives it, mixed to one channel by plain averaging."""
    with av.open(uri) as container:
        parts = []
        for frame in container.decode(audio=0):
            pixels = frame.to_ndarray()
            if pixels.shape[0] == 1 and len(frame.layout.channels) > 1:
                pixels = pixels.reshape(-1, len(frame.layout.channels)).T
            scale = 1 / 32768 if pixels.dtype == np.int16 else 1.0
            parts.append(pixels.astype(np.float32).mean(axis=0) * scale)
    return np.concatenate(parts)


def test_samples_are_those_the_file_holds(tmp_path: Path) -> None:
    sound = noise(8.0)
    uri = film(tmp_path / "film.mkv", sound)
    assert np.abs(heard(uri) - sound).max() < 1e-4
    assert np.array_equal(heard(uri), decoded(uri))


def test_both_channels_are_heard(tmp_path: Path) -> None:
    one, other = noise(8.0), np.zeros(8 * RATE, np.float32)
    uri = film(tmp_path / "film.mkv", np.stack([one, other], axis=1))
    assert np.abs(heard(uri) - one / 2).max() < 1e-4


@pytest.mark.parametrize("suffix", ["mkv", "mov", "mp4", "ts"])
@pytest.mark.parametrize("t0", [0.0, 0.031, 1.7, 6.25])
def test_any_moment_is_the_same_wherever_reading_begins(tmp_path: Path, suffix: str, t0: float) -> None:
    codec = "aac" if suffix in ("mp4", "ts") else "pcm_s16le"
    uri = film(tmp_path / f"film.{suffix}", noise(8.0, 44100), rate=44100, codec=codec)
    whole = heard(uri)
    part = heard(uri, t0, t0 + 1.5)
    assert len(part) == RATE * 1.5
    # A container that counts coarsely (Matroska in milliseconds) may place a search half a count off; AAC decoders draw
    # faint noise of their own.
    exact = suffix in ("mov", "mp4")
    shifts = (0,) if exact else range(-8, 9)
    begin = round(t0 * RATE)
    far = min(
        float(np.abs(whole[begin + shift : begin + shift + len(part)] - part).max())
        for shift in shifts
        if begin + shift >= 0
    )
    assert far < (1e-3 if exact else 0.02)


@pytest.mark.parametrize("offset", [1.5, 0.3, -0.7])
def test_sound_that_begins_at_another_time_than_the_pictures_is_heard_where_it_belongs(
    tmp_path: Path, offset: float
) -> None:
    sound = noise(6.0)
    uri = film(tmp_path / "film.mkv", sound, sound_at=max(offset, 0.0), pictures_at=max(-offset, 0.0))
    lead = round(offset * RATE)
    expected = np.concatenate([np.zeros(max(lead, 0), np.float32), sound[max(-lead, 0) :]])
    found = heard(uri)
    assert len(found) == len(expected)
    assert np.abs(found - expected).max() < 1e-4
    later = heard(uri, 3.0, 4.0)
    assert np.abs(later - expected[3 * RATE : 4 * RATE]).max() < 1e-4


def test_a_gap_in_the_track_is_silent_and_shifts_nothing(tmp_path: Path) -> None:
    sound = noise(8.0)
    uri = film(tmp_path / "film.mkv", sound, gap=(3.0, 5.0))
    found = heard(uri)
    assert len(found) == len(sound)
    assert np.abs(found[: 3 * RATE - 1024] - sound[: 3 * RATE - 1024]).max() < 1e-4
    assert np.abs(found[5 * RATE + 1024 :] - sound[5 * RATE + 1024 :]).max() < 1e-4
    assert not found[3 * RATE + 1024 : 5 * RATE - 1024].any()


def test_silence_reaches_no_further_than_asked(tmp_path: Path) -> None:
    uri = film(tmp_path / "film.mkv", noise(2.0), sound_at=5.0)
    assert len(heard(uri, 1.0, 2.0)) == RATE
    assert not heard(uri, 1.0, 2.0).any()


def test_after_the_end_of_the_track_there_is_nothing(tmp_path: Path) -> None:
    uri = film(tmp_path / "film.mkv", noise(2.0))
    assert len(heard(uri, 1.0, 100.0)) == RATE
    assert len(heard(uri, 5.0, 6.0)) == 0


def test_a_film_without_sound_has_none(tmp_path: Path) -> None:
    with VideoRecording(film(tmp_path / "film.mkv", None)) as recording:
        assert list(recording.audio(0.0, 8.0, RATE)) == []


def test_a_recording_of_another_kind_has_none() -> None:
    class Silent(Recording):
        def close(self) -> None:
            return

    assert list(Silent().audio(0.0, 8.0, RATE)) == []


def test_reading_sound_moves_no_pictures(tmp_path: Path) -> None:
    with VideoRecording(film(tmp_path / "film.mkv", noise(8.0))) as recording:
        frames = recording.frames(0.0, 8.0, None)
        times = [next(frames).time for _ in range(5)]
        assert len(np.concatenate(list(recording.audio(2.0, 3.0, RATE)))) == RATE
        times += [frame.time for frame in frames]
    assert times == pytest.approx([number / 10 for number in range(80)])


def test_damage_is_said_after_what_could_be_read(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    uri = film(path, noise(8.0, 44100), rate=44100, codec="aac")
    with av.open(uri) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size and packet.pos]
    data = bytearray(path.read_bytes())
    for position, size in places[200:240]:
        data[position : position + size] = b"\xff" * size
    path.write_bytes(data)
    parts: list[np.ndarray] = []
    with pytest.raises(InputError, match="sound is damaged at 4"):
        parts.extend(samples(uri, 0.0, 8.0, RATE))
    assert sum(len(part) for part in parts) == 8 * RATE
    # What is damaged before the stretch that is wanted is no concern of it.
    assert len(heard(uri, 7.0, 7.5)) == RATE / 2


@pytest.mark.streams
def test_real_sound_is_what_pyav_decodes(streams: Path) -> None:
    uri = str(streams / "daily_life" / "friday" / "friday.mp4")
    whole = heard(uri, rate=44100)
    direct = decoded(uri)
    assert len(whole) == len(direct)
    assert np.abs(whole - direct).max() < 1e-5
    late = heard(uri, 3.0, 4.0)
    assert np.abs(late - heard(uri)[3 * RATE : 4 * RATE]).max() < 1e-5
