"""Voices are found where people speak, words are dated by the model's own timestamps, and borders change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from experts.ensemble import Ensemble, Stopwatch
from experts.speech import Speech
from experts.voice import CELL, RATE, WARM, WINDOW, Manner, Silero, begin_of, cells, pieces, runs, weights
from experts.whisper import Alphabet, Whisper, spoken
from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UsageError
from schemas.recipe import Sampling
from schemas.segment import cut_segments
from schemas.stream import Domain, Stream, Track, TrackKind
from sources.base import Recording, Samples
from sources.subtitles import parse
from sources.video import VideoRecording
from tests.models import tiny_whisper

pytestmark = pytest.mark.models

SCRIPT = (0.0, " Hildy!", 0.98, 1.0, " How are you?", 1.5)
"""What the taught model says in every sound."""


class Sound(Recording):
    """A recording that is nothing but sound."""

    def __init__(self, sound: np.ndarray) -> None:
        self.sound = sound

    def close(self) -> None:
        return

    def audio(self, t0: float, t1: float, rate: int) -> Iterator[Samples]:
        assert rate == RATE
        part = self.sound[round(t0 * rate) : round(t1 * rate)]
        # Blocks of odd sizes: nothing may hang on how a reader cuts.
        yield from np.split(part, range(4999, len(part), 4999))


def measure(expert: Speech, recording: Recording, duration: float, seconds: float = 300.0) -> list[FactualAnchor]:
    """The joined anchors of a recording cut into segments of `seconds`."""
    stream = Stream(
        sha256="c" * 64,
        uri="file:///raw/talk.mp4",
        name="talk",
        domain=Domain.DAILY_LIFE,
        format="video",
        parts=(),
        tracks=(Track(kind=TrackKind.AUDIO, name="audio 1"),),
        duration=duration,
    )
    ensemble = Ensemble([expert], Sampling())
    found = [
        anchor
        for segment in cut_segments(stream, seconds)
        for anchor in ensemble(recording, segment, Stopwatch()).anchors["speech"]
    ]
    return Speech.join(stream, found)


def spans(anchors: list[FactualAnchor], kind: AnchorKind = AnchorKind.VOICE) -> list[tuple[float, float]]:
    return [(anchor.t0, anchor.t1) for anchor in anchors if anchor.kind == kind]


def real(streams: Path, name: str) -> str:
    return str(streams / "daily_life" / {"friday": "friday/friday.mp4", "nasa": "nasa/nasa_13013.mp4"}[name])


def narration(streams: Path) -> np.ndarray:
    with VideoRecording(real(streams, "nasa")) as recording:
        return np.concatenate(list(recording.audio(0.0, 100.0, RATE)))


@pytest.fixture(scope="module")
def talker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says SCRIPT."""
    return tiny_whisper.make(tmp_path_factory.mktemp("talker"), tiny_whisper.tokens_of(*SCRIPT))


@pytest.fixture(scope="module")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights."""
    return tiny_whisper.make(tmp_path_factory.mktemp("babbler"))


def noises(*seconds: float) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [(0.1 * rng.standard_normal(round(length * RATE))).astype(np.float32) for length in seconds]


# --- voice ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("silence", [0.1, 0.5])
def test_speech_begins_and_ends_as_silero_itself_says(seed: int, silence: float) -> None:
    from silero_vad.utils_vad import get_speech_timestamps_from_probs

    rng = np.random.default_rng(seed)
    judged = np.repeat(rng.random(120), rng.integers(1, 12, 120)).astype(np.float32)
    theirs = get_speech_timestamps_from_probs(
        judged.tolist(), threshold=0.5, min_speech_duration_ms=250, min_silence_duration_ms=1000 * silence,
        speech_pad_ms=0,
    )  # fmt: skip
    assert len(theirs) > 1
    ours = runs(judged, Manner(min_silence=silence, min_speech=0.25))
    assert [(begin * WINDOW, end * WINDOW) for begin, end in ours] == [(one["start"], one["end"]) for one in theirs]


@pytest.mark.streams
def test_the_model_judges_as_the_package_does(streams: Path) -> None:
    import torch
    from silero_vad import load_silero_vad

    sound = narration(streams)[: 400 * WINDOW]
    model = load_silero_vad(onnx=True)
    theirs = model.audio_forward(torch.from_numpy(sound), RATE)[0].numpy()
    file = weights()
    assert file is not None
    assert np.abs(Silero(file)(sound) - theirs).max() < 1e-6


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_cell_is_heard_with_what_goes_before_it_however_reading_began(first: int) -> None:
    sound = np.arange(3.5 * CELL * WINDOW, dtype=np.float32)
    begin = begin_of(first) * WINDOW
    blocks = np.split(sound[begin:], range(70001, len(sound) - begin, 70001))
    found = list(cells(blocks, first))
    assert len(found) == 4 - first
    for cell, (heard, ahead) in enumerate(found, start=first):
        assert ahead == min(cell * CELL, WARM)
        assert heard[ahead * WINDOW] == cell * CELL * WINDOW
        assert len(heard) == (ahead + (CELL if cell < 3 else CELL // 2)) * WINDOW


def test_speech_that_never_pauses_is_cut_where_it_is_least_sure() -> None:
    judged = np.full(4 * CELL, 0.9, np.float32)
    judged[:30] = judged[-50:] = 0.0
    judged[CELL + 150], judged[CELL + 151], judged[2 * CELL + 250] = 0.6, 0.55, 0.7
    found = pieces(judged, 0, Manner(pad=0.0))
    begins = [round(piece.t0 * RATE / WINDOW) for piece in found]
    assert begins == [30, CELL + 151, 2 * CELL + 250]
    assert all(one.t1 == other.t0 for one, other in pairwise(found))
    assert found[-1].t1 == (4 * CELL - 50) * WINDOW / RATE


@pytest.mark.parametrize("begin", [0, 1, CELL // 2, CELL - 1])
@pytest.mark.parametrize("length", [10, CELL, 2 * CELL - 1, 5 * CELL + 7])
def test_no_piece_is_longer_than_the_model_hears(begin: int, length: int) -> None:
    judged = np.zeros(begin + length + 60, np.float32)
    judged[begin : begin + length] = np.random.default_rng(begin + length).uniform(0.5, 1.0, length)
    found = pieces(judged, CELL, Manner())
    assert all(piece.t1 - piece.t0 < 30.0 for piece in found)
    assert all(one.t1 == other.t0 for one, other in pairwise(found))
    covered = found[-1].t1 - found[0].t0
    assert covered == pytest.approx(length * WINDOW / RATE + 2 * 0.08, abs=1e-5)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(20 * RATE, np.float32),
        (0.3 * np.sin(2 * np.pi * 440 * np.arange(20 * RATE) / RATE)).astype(np.float32),
        noises(20.0)[0],
    ],
    ids=["silence", "tone", "noise"],
)
def test_nobody_speaks_in_silence_tones_and_noise(sound: np.ndarray) -> None:
    assert measure(Speech(), Sound(sound), 20.0) == []


def test_a_film_without_sound_has_no_voices() -> None:
    assert measure(Speech(), Sound(np.zeros(0, np.float32)), 20.0) == []


@pytest.mark.streams
def test_the_voices_of_a_scene_are_where_its_cues_are(streams: Path) -> None:
    """Five cues follow each other from 0 to 6 s; the first, one word, is called from afar and may go unheard."""
    cues = parse((streams / "daily_life" / "friday" / "friday.en.vtt").read_bytes(), ".vtt").cues
    with VideoRecording(real(streams, "friday")) as recording:
        found = spans(measure(Speech(), recording, 6.15))
    for cue in cues[1:]:
        heard = sum(max(0.0, min(t1, cue.t1) - max(t0, cue.t0)) for t0, t1 in found)
        assert heard >= 0.5 * (cue.t1 - cue.t0), cue
    assert all(t1 <= cues[-1].t1 + 0.25 for _, t1 in found)


@pytest.mark.streams
def test_a_narrator_is_heard_between_his_pauses(streams: Path) -> None:
    with VideoRecording(real(streams, "nasa")) as recording:
        found = measure(Speech(), recording, 13.0)
        cues = recording.cues()
    voices = spans(found)
    said = [cue for cue in cues if cue.t1 < 13.0]
    assert len(said) == 3
    for (t0, t1), cue in zip(voices, said, strict=True):
        assert min(t1, cue.t1) - max(t0, cue.t0) >= 0.75 * (cue.t1 - cue.t0)
    assert all(anchor.confidence > 0.9 for anchor in found)


@pytest.mark.streams
@pytest.mark.parametrize("seconds", [4.0, 7.3, 20.0])
def test_borders_change_nothing(streams: Path, talker: Path, seconds: float) -> None:
    """Narration with pauses, then one breathless speech of 50 s: cut anywhere it is the same."""
    sound = narration(streams)
    breathless = np.tile(sound[round(1.0 * RATE) : round(4.5 * RATE)], 14)
    sound = np.concatenate([sound, breathless, np.zeros(RATE, np.float32), sound])
    expert = Speech(weights=str(talker), language="en", device="cpu", batch_size=4)
    duration = len(sound) / RATE
    whole = measure(expert, Sound(sound), duration)
    assert max(t1 - t0 for t0, t1 in spans(whole)) > 40.0
    assert len(spans(whole, AnchorKind.SPEECH)) > 20
    assert measure(expert, Sound(sound), duration, seconds) == whole


@pytest.mark.streams
def test_real_borders_change_next_to_nothing(streams: Path) -> None:
    """A search in a real file may place the sound a fraction of a millisecond off."""
    with VideoRecording(real(streams, "nasa")) as recording:
        whole = spans(measure(Speech(), recording, 13.0))
        for seconds in (2.0, 5.1):
            cut = spans(measure(Speech(), recording, 13.0, seconds))
            assert np.array(cut) == pytest.approx(np.array(whole), abs=2 * WINDOW / RATE)


# --- words ----------------------------------------------------------------------------------------------------------

SIGNS = Alphabet(end_of_text=100, first_time=200)


def at(seconds: float) -> int:
    return 200 + round(seconds / 0.02)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([at(0.0), 1, 2, at(1.2), at(1.5), 3, at(2.0), 100, 100], [(0.0, 1.2, [1, 2], True), (1.5, 2.0, [3], True)]),
        ([at(0.4), 1, 2, 100], [(0.4, 4.0, [1, 2], False)]),
        ([1, 2, 100], [(0.0, 4.0, [1, 2], False)]),
        ([at(0.0), 1, at(3.0), at(3.0), 2, at(2.0), 100], [(0.0, 3.0, [1], True), (3.0, 3.0, [2], True)]),
        ([at(1.0), 1, at(9.0), at(9.0), 2, at(9.5), 100], [(1.0, 4.0, [1], True)]),
        ([at(0.0), 150, 1, 120, at(1.0), 100, 2], [(0.0, 1.0, [1], True)]),
        ([at(0.0), at(1.0), 100], []),
        ([100], []),
    ],
    ids=["pairs", "open", "undated", "backwards", "behind the end", "signs", "empty", "nothing"],
)
def test_timestamps_split_what_was_written(tokens: list[int], expected: list[tuple]) -> None:
    found = spoken(tokens, [0.5] * len(tokens), SIGNS, 4.0)
    assert [(pytest.approx(t0), pytest.approx(t1), text, closed) for t0, t1, text, _, closed in found] == expected
    assert all(sure == 0.5 for _, _, _, sure, _ in found)


def test_how_sure_words_are_is_the_mean_of_their_own_tokens() -> None:
    tokens = [at(0.0), 1, 2, at(1.0), at(1.0), 3, at(2.0), 100]
    found = spoken(tokens, [0.0, 0.4, 0.8, 0.0, 0.0, 0.9, 0.0, 0.0], SIGNS, 4.0)
    assert [sure for *_, sure, _ in found] == pytest.approx([0.6, 0.9])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_words_come_verbatim_with_the_times_the_model_wrote(talker: Path, batch_size: int) -> None:
    model = Whisper(str(talker), "English", "cpu", batch_size)
    for said in model(noises(1.6, 2.0, 2.4)):
        assert [(one.t0, one.t1, one.text) for one in said] == [(0.0, 0.98, "Hildy!"), (1.0, 1.5, "How are you?")]
        assert all(one.confidence > 0.99 for one in said)


def test_where_the_model_stops_early_the_rest_is_heard_again(talker: Path) -> None:
    model = Whisper(str(talker), "en", "cpu", 8)
    (said,) = model(noises(4.2))
    times = [(round(one.t0, 6), round(one.t1, 6)) for one in said]
    assert times == [(0.0, 0.98), (1.0, 1.5), (1.5, 2.48), (2.5, 3.0), (3.0, 3.98), (4.0, 4.2)]
    assert model.calls == 3


def test_a_batch_too_large_for_memory_is_halved(talker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Whisper(str(talker), "en", "cpu", 4)
    sizes: list[int] = []
    generate = model._model.generate

    def small(features, **options):  # type: ignore[no-untyped-def]
        sizes.append(len(features))
        if len(features) > 1:
            raise MemoryError
        return generate(features, **options)

    monkeypatch.setattr(model._model, "generate", small)
    assert [len(said) for said in model(noises(1.6, 1.6, 1.6))] == [2, 2, 2]
    assert sizes == [3, 1, 1, 1]


def test_how_sure_a_token_is_is_what_transformers_computes(babbler: Path) -> None:
    """The mean over the text tokens of the first words, from the scores of all steps."""
    import torch

    model = Whisper(str(babbler), "en", "cpu", 2)
    (sound,) = noises(6.0)
    said = model._hear([sound])[0]
    inputs = model._processor.feature_extractor(
        [sound], sampling_rate=RATE, return_tensors="pt", return_attention_mask=True
    )
    with torch.inference_mode():
        made = model._model.generate(
            inputs.input_features, attention_mask=inputs.attention_mask, return_timestamps=True, do_sample=False,
            num_beams=1, temperature=0.0, force_unique_generate_call=True, language="en", task="transcribe",
            return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        sure = model._model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)[0].exp()
    written = made.sequences[0, -len(sure) :].tolist()
    expected = spoken(written, sure.tolist(), model._alphabet, 6.0)
    assert expected
    assert [one.confidence for one in said] == pytest.approx([sure for *_, sure, _ in expected], rel=1e-4)


def test_the_same_sound_is_heard_the_same_twice(babbler: Path) -> None:
    sounds = noises(2.0, 5.0)
    assert Whisper(str(babbler), None, "cpu", 2)(sounds) == Whisper(str(babbler), None, "cpu", 2)(sounds)


def test_a_model_for_english_alone_is_told_no_language(tmp_path: Path) -> None:
    folder = tiny_whisper.make(tmp_path / "english", tiny_whisper.tokens_of(*SCRIPT), multilingual=False)
    (said,) = Whisper(str(folder), "en", "cpu", 1)(noises(2.0))
    assert [one.text for one in said] == ["Hildy!", "How are you?"]
    with pytest.raises(UsageError, match="English alone"):
        Whisper(str(folder), "de", "cpu", 1)


@pytest.mark.streams
def test_words_become_anchors_inside_the_voice_that_says_them(streams: Path, talker: Path) -> None:
    with VideoRecording(real(streams, "nasa")) as recording:
        found = measure(Speech(weights=str(talker), device="cpu", language="en"), recording, 13.0)
    voices = spans(found)
    words = [anchor for anchor in found if anchor.kind == AnchorKind.SPEECH]
    assert {anchor.content for anchor in words} == {"Hildy!", "How are you?"}
    begins = {anchor.t0 for anchor in words if anchor.content == "Hildy!"}
    assert {t0 for t0, _ in voices} <= begins
    assert all(any(t0 <= a.t0 <= a.t1 <= t1 for t0, t1 in voices) for a in words)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"treshold": 0.5}, "Did you mean 'threshold'"),
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"min_silence": -1.0}, "between 0 and 6 s"),
        ({"min_silence": 60.0}, "between 0 and 6 s"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Speech(**parameters)


def test_an_unknown_language_is_refused_with_those_there_are(talker: Path) -> None:
    with pytest.raises(UsageError, match="Known: de, en"):
        Speech(weights=str(talker), language="klingon", device="cpu")


def test_weights_of_another_family_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(UsageError, match=r"family bert.*Whisper-family"):
        Speech(weights=str(tmp_path), device="cpu")


def test_what_is_missing_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Speech.lacks() == []
    assert Speech.lacks(weights="somewhere") == []
    monkeypatch.setattr("experts.voice.find_spec", lambda name: None)
    monkeypatch.setattr("experts.weights.find_spec", lambda name: None)
    assert [problem.remedy.partition(" (")[0] for problem in Speech.lacks()] == ["pip install 'silero-vad>=6.2.3'"]
    assert len(Speech.lacks(weights="somewhere")) == 3


def test_voice_alone_needs_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, numpy as np\n"
        "from experts.speech import Speech\n"
        "Speech().voice(np.zeros(512 * 8, np.float32))\n"
        "assert 'torch' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
