"""Signatures: a copy of a film looks and reads the same, whatever it is called and however it is encoded."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from schemas.recipe import Deduplication
from schemas.signature import FrameHash, Signature
from schemas.triplet import TRIPLET_SCHEMA, EncodedImage, EvidenceFrame, Triplet
from storage import likeness
from storage.signature import phash_of, sign, words_of

SHARE = Deduplication().frames
Film = Callable[..., list[EvidenceFrame]]


def draw(seed: int, time: float) -> np.ndarray:
    """A picture of a film: a still scene of blurred shapes, and something that moves over it."""
    rng = np.random.default_rng(seed * 1000 + int(time))
    scene = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3), dtype=np.uint8), (0, 0), 15)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    cv2.circle(scene, (int(40 + 60 * (time % 4)), 120), 25, (255, 255, 255), -1)
    return scene


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Encodes a film of 8 s and takes evidence from it once a second, as a row holds it."""

    def make(seed: int, scale: float = 1.0, crf: int = 20, start: int = 0) -> list[EvidenceFrame]:
        path = str(tmp_path / f"{seed}-{scale}-{crf}-{start}.mp4")
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=5)
            stream.width, stream.height, stream.pix_fmt = int(320 * scale), int(240 * scale), "yuv420p"
            stream.options = {"crf": str(crf)}
            for index in range(start * 5, 40):
                picture = cv2.resize(draw(seed, index / 5), (stream.width, stream.height))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
            container.mux(stream.encode())
        with av.open(path) as container:
            pictures = [frame.to_image() for frame in container.decode(video=0)][::5]
        return [
            EvidenceFrame(stream="ab" * 32, time=float(time), image=EncodedImage(bytes=jpeg(picture), path="x.jpg"))
            for time, picture in enumerate(pictures)
        ]

    return make


def jpeg(picture: Image.Image) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=90)
    return sink.getvalue()


def signed(*triplets: Triplet) -> list[Signature]:
    return sign(Triplet.to_table(triplets, TRIPLET_SCHEMA))


def hashes(frames: list[EvidenceFrame]) -> list[FrameHash]:
    found = [(frame.time, phash_of(frame.image.bytes)) for frame in frames]
    return [FrameHash(time=time, phash=phash) for time, phash in found if phash is not None]


@pytest.mark.parametrize(("scale", "crf"), [(1.0, 40), (0.5, 32), (1.5, 20)])
def test_a_film_encoded_anew_looks_the_same_and_another_does_not(film: Film, scale: float, crf: int) -> None:
    one, again, other = hashes(film(1)), hashes(film(1, scale=scale, crf=crf)), hashes(film(2))
    assert len(one) == 8
    assert likeness.evidence_alike(one, again, SHARE)
    assert not likeness.evidence_alike(one, other, SHARE)


def test_a_film_whose_beginning_is_cut_off_looks_the_same(film: Film) -> None:
    assert likeness.evidence_alike(hashes(film(1)), hashes(film(1, crf=35, start=2)), SHARE)


def test_the_same_pictures_in_another_order_are_another_film(film: Film) -> None:
    frames = hashes(film(1))
    shuffled = [
        FrameHash(time=frame.time, phash=other.phash)
        for frame, other in zip(frames, [frames[i] for i in (3, 0, 6, 1, 7, 4, 2, 5)], strict=True)
    ]
    assert not likeness.evidence_alike(frames, shuffled, SHARE)


def test_a_title_card_in_common_makes_no_copy(film: Film) -> None:
    one, other = hashes(film(1)), hashes(film(2))
    assert not likeness.evidence_alike(one, [one[0], *other[1:]], SHARE)
    assert not likeness.evidence_alike(one, one[:1], SHARE)


def test_alike_rows_share_a_key_and_others_do_not(film: Film, make: Any) -> None:
    row = make.triplet("a", output='{"steps": ["Open the door"]}')
    rows = [
        row.model_copy(update={"evidence": tuple(frames)}) for frames in (film(1), film(1, scale=0.5, crf=35), film(2))
    ]
    one, again, other = (set(likeness.keys(signature)) for signature in signed(*rows))
    assert one & again
    assert not one & other


def test_two_films_with_the_same_wording_are_two_and_a_renamed_copy_is_one(film: Film, make: Any) -> None:
    text = '{{"title": "{}: in the kitchen", "steps": ["First fill the kettle with cold water", "Then wait"], "t": {}}}'
    rules = Deduplication()

    def row(name: str, frames: list[EvidenceFrame], time: float) -> Triplet:
        made = make.triplet(name, stream=make.stream(name), output=text.format(name, time))
        return made.model_copy(update={"evidence": tuple(frames)})

    one, again, other = signed(
        row("my film", film(1), 1.25), row("copy of it", film(1, crf=38), 1.3), row("mine", film(2), 1.25)
    )
    assert one.exact != again.exact
    for second, expected in ((again, True), (other, False)):
        alike = likeness.evidence_alike(one.frames, second.frames, rules.frames)
        assert likeness.same_data(one, second, alike, rules) is expected


def test_rows_of_another_form_are_never_the_same(film: Film, make: Any) -> None:
    frames = tuple(film(1))
    one, other = signed(
        *(
            make.triplet("a", task_type=task).model_copy(update={"evidence": frames})
            for task in ("tutorial", "video_qa")
        )
    )
    assert likeness.evidence_alike(one.frames, other.frames, SHARE)
    assert not likeness.same_data(one, other, True, Deduplication())


def test_equal_rows_without_any_evidence_are_of_one_stream_only(make: Any) -> None:
    def bare(name: str, stream: str) -> Triplet:
        row = make.triplet(name, stream=make.stream(stream), output='{"answer": "yes"}')
        return row.model_copy(update={"evidence": (), "anchors": ()})

    one, again, other = signed(bare("a", "x"), bare("b", "x"), bare("c", "y"))
    assert one.exact == again.exact != other.exact


def test_a_picture_without_anything_on_it_and_one_that_is_none_have_no_hash() -> None:
    assert phash_of(jpeg(Image.new("RGB", (640, 480), (3, 3, 3)))) is None
    assert phash_of(b"no picture") is None


def test_keys_and_bare_numbers_are_not_words_and_fractions_do_not_count() -> None:
    said = words_of({"steps": [{"text": "At 3.2 s open the old door", "t0": 3.2}]})
    assert words_of({"other": ["At 3.25 s open the old door"], "n": [1, 2, 3]}) == said
    assert likeness.word_likeness(words_of({"a": 1}), words_of({"b": [2.5, True, None]})) == 1.0
    assert likeness.word_likeness(words_of({"a": "yes"}), words_of({"a": 1})) == 0.0


def test_likeness_is_the_share_of_runs_of_three_words_in_common() -> None:
    words = [f"w{number}" for number in range(102)]
    one, other = words_of(" ".join(words)), words_of(" ".join(words[:52]))
    assert likeness.word_likeness(one, other) == pytest.approx(0.5, abs=0.15)
    assert likeness.mean_likeness([one, other, one]) == pytest.approx(2 / 3, abs=0.1)
    assert likeness.mean_likeness([one]) is None


def test_text_without_spaces_has_words_too() -> None:
    text = "打开设置然后选择显示再点击夜间模式" * 2
    changed = text[:-1] + "关"
    assert 0.5 < likeness.word_likeness(words_of(text), words_of(changed)) < 1.0


def test_signatures_are_the_same_in_every_version() -> None:
    """They are kept for years: a library that counts otherwise must not go unnoticed."""
    tiles = np.random.default_rng(5).integers(0, 255, (8, 8), dtype=np.uint8)
    picture = Image.fromarray(tiles.repeat(16, 0).repeat(16, 1))
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    assert phash_of(sink.getvalue()) == "ffe0e18acb1818f4"
    assert np.frombuffer(words_of(["make any data you want"]), "<u4")[:3].tolist() == [302705096, 1437716201, 938446357]
