"""Every form is read in the gallery: the example of its page, word by word, with its frames; cameras side by side."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dataclaw.viewer.gallery import environment
from dataclaw.viewer.outputs import Frames, Rendered, rendered
from schemas.stream import Domain, Stream, Track, TrackKind
from synthesis.agents.roster import TASKS, agent_for
from synthesis.verification.verify import evidence_moments

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "tasks").glob("[a-z]*.md"))
LABELS = re.compile(r"[a-z0-9._]+")
"""Names made for programs: they are read with spaces, or left out where a frame tells them."""


class Words(HTMLParser):
    """What a reader of a page sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.images: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        elif tag not in ("line", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("line", "br"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.seen).split())


def recording(name: str, sha: str, camera: str = "front", uri: str = "/raw/set#0") -> Stream:
    return Stream(
        sha256=sha * 64,
        uri=uri,
        name=name,
        domain=Domain.EMBODIED,
        format="lerobot",
        parts=(),
        tracks=(Track(kind=TrackKind.VIDEO, name=camera),),
        duration=30.0,
    )


EPISODE = recording("set/episode_0", "a", "observation.images.front")
WRIST = recording("set/episode_0@wrist", "b", "observation.images.wrist", "/raw/set#0@observation.images.wrist")


def shown(made: Rendered) -> Words:
    return Words(environment().get_template(made.template).render(view=made.view))


def example(page: Path) -> Any:
    """The example of a page; one that shows only items of the form's list stands in it."""
    (block, *_) = re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    value, items = json.loads(block), next(iter(agent_for(page.stem).parts.values()), "")
    if isinstance(value, list):
        return {items: value}
    return value if not items or items in value else {items: [value]}


def sentences(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            if name not in ("source", "next_source", "source_order", "basis"):
                yield from sentences(item)
    elif isinstance(value, list):
        for item in value:
            yield from sentences(item)
    elif isinstance(value, str) and not LABELS.fullmatch(value):
        yield " ".join(value.split())


def test_every_form_has_a_page_with_an_example() -> None:
    assert {page.stem for page in PAGES} == set(TASKS.built_in) - {"own_schema"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_example_of_a_form_is_read_whole_with_its_frames(page: Path) -> None:
    agent, output = agent_for(page.stem), example(page)
    text = agent.output.model_validate(output).model_dump_json()
    names = [step["source"] for step in output.get("steps", ()) if "source" in step] or [EPISODE.name]
    stream = EPISODE.model_copy(update={"name": names[0]})
    moments = evidence_moments(agent, json.loads(text), (stream,))
    assert moments
    images: dict[tuple[str, float], str | None] = {key: f"images/{n}.png" for n, key in enumerate(moments)}
    made = rendered(page.stem, text, Frames((stream,), images), agent.output_schema())
    assert made.template != "output_json.html"
    words = shown(made)
    for sentence in sentences(output):
        assert sentence in words.text or re.fullmatch(r"At [\d.]+ s", sentence), (
            sentence
        )  # the frame's own time says it
    if made.shows_frames:
        assert set(words.images) <= set(images.values())
        assert words.images


@pytest.mark.parametrize("form", ["world_model", "planning_decision", "fault_recovery"])
def test_the_cameras_of_an_episode_stand_side_by_side_under_their_names(form: str) -> None:
    page = next(page for page in PAGES if page.stem == form)
    agent = agent_for(form)
    text = agent.output.model_validate(example(page)).model_dump_json()
    streams = (EPISODE, WRIST)
    moments = evidence_moments(agent, json.loads(text), streams)
    images: dict[tuple[str, float], str | None] = {key: f"{key[0][0]}-{key[1]}" for key in moments}
    made = rendered(form, text, Frames(streams, images), agent.output_schema())
    words = shown(made)
    pairs = list(zip(words.images[::2], words.images[1::2], strict=True))
    assert pairs
    assert all(one == f"a-{two.removeprefix('b-')}" for one, two in pairs), pairs
    assert {"front", "wrist"} <= set(words.text.split())


def test_streams_that_are_no_cameras_of_one_episode_keep_their_names() -> None:
    frames = Frames(
        (EPISODE, recording("other", "c", uri="/raw/other.mp4")), {("a" * 64, 1.0): "a", ("c" * 64, 1.0): "c"}
    )
    assert [(figure.image, figure.caption) for figure in frames.figures(None, 1.0)] == [
        ("a", "set/episode_0"),
        ("c", "other"),
    ]
    assert [figure.image for figure in frames.figures("other", 1.0)] == ["c"]


def test_what_ends_is_shown_where_it_begins_and_not_by_the_frame_that_comes_after_it() -> None:
    form = {
        "type": "object",
        "properties": {
            "shots": {
                "type": "array",
                "items": {
                    "type": "object",
                    "x-anchor": {"role": "span", "kinds": ["video.shot"]},
                    "properties": {"t0": {"type": "number"}, "t1": {"type": "number"}},
                },
            }
        },
    }
    output = json.dumps({"shots": [{"t0": 0.0, "t1": 5.0}, {"t0": 5.0, "t1": 9.0}]})
    images: dict[tuple[str, float], str | None] = {("a" * 64, time): f"{time:g}" for time in (0.0, 2.5, 5.0, 7.0, 9.0)}
    made = rendered("own_schema", output, Frames((EPISODE,), images), json.dumps(form))
    first, second = made.view["part"].fields[0].items
    assert [figure.image for figure in first.figures] == ["0", "2.5"]
    assert [figure.image for figure in second.figures] == ["5", "7"]


def test_labels_are_read_with_spaces_places_in_short_and_times_as_times() -> None:
    form = {"type": "object", "properties": {}}
    value = {"move": "pan_left", "start": {"x": 0.229231, "y": 0.398462}, "since": 74.6, "length": 2.16615}
    (part,) = [rendered("own_schema", json.dumps(value), Frames((EPISODE,), {}), json.dumps(form)).view["part"]]
    assert {field.label: field.words for field in part.fields} == {
        "move": "pan left",
        "start": "(0.229, 0.398)",
        "since": "1:14.6",
        "length": "2.166",
    }


def test_words_of_the_recording_are_quoted_and_labels_of_what_was_measured_are_not() -> None:
    content = {"type": "string", "x-anchor": {"role": "content"}}
    form = {"type": "object", "properties": {"move": content, "text": content}}
    made = rendered(
        "own_schema", json.dumps({"move": "pan_left", "text": "a_b"}), Frames((EPISODE,), {}), json.dumps(form)
    )
    told = {field.label: (field.words, field.quoted) for field in made.view["part"].fields}
    assert told == {"move": ("pan left", False), "text": ("a_b", True)}


def test_the_frame_that_a_learner_looks_at_stands_with_the_question() -> None:
    page = next(page for page in PAGES if page.stem == "stuck_point_tutoring")
    agent, output = agent_for(page.stem), example(page)
    text = agent.output.model_validate(output).model_dump_json()
    images: dict[tuple[str, float], str | None] = {("a" * 64, output["frame_time"]): "looks.png"}
    part = rendered(page.stem, text, Frames((EPISODE,), images), agent.output_schema()).view["part"]
    assert part.question == output["question"]
    assert [figure.image for figure in part.figures] == ["looks.png"]


def test_a_nominal_time_is_a_remark_and_a_broken_stream_a_warning() -> None:
    line = {"lanes": (), "evidence": (), "ticks": ()}
    template = environment().get_template("timeline.html")
    for note, css in (("nominal time: one second per stroke", "quiet"), ("cut off at 18.0 s", "note")):
        stream = EPISODE.model_copy(update={"notes": (note,)})
        assert f'<p class="{css}">{note}</p>' in template.render(line={**line, "stream": stream})
