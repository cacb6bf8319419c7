"""A user's own schema: fields are understood by their names, filled from anchors, and held to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from facts import FILM, ROBOT, SCREENS, anchor, leaves, put, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.anchor import FactualAnchor
from schemas.constraints import Count, Window
from schemas.errors import UnsuitedError, UsageError
from schemas.geometry import Box
from schemas.outputs.grounded import KEYWORD
from schemas.task_spec import Intent
from synthesis.agents.own_schema import records
from synthesis.agents.own_schema.agent import own_spec
from synthesis.agents.own_schema.fill import unfillable
from synthesis.agents.own_schema.marks import marked, unprovable
from synthesis.agents.own_schema.soundness import sound
from synthesis.agents.roster import agent_of
from synthesis.agents.temporal_questions import questions
from synthesis.backends.rules import RulesBackend
from synthesis.base import Evidence
from synthesis.evidence import within
from synthesis.intent.own_form import resolve_own
from synthesis.verification.verify import passes, score_output


def thing(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def listing(item: Any, **bounds: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, **bounds}


NUMBER, TEXT, WHOLE = {"type": "number"}, {"type": "string"}, {"type": "integer"}


def evidence(schema: dict[str, Any], anchors: list[FactualAnchor], text: str = "Use my schema.") -> Evidence:
    ordered = tuple(sorted(anchors, key=lambda a: (a.t0, a.t1, a.kind)))
    return Evidence((stream(),), ordered, own_spec(Intent(text=text), json.dumps(schema)))


def made(schema: dict[str, Any], anchors: list[FactualAnchor]) -> Any:
    """What rules write, after it has been verified."""
    asked = evidence(schema, anchors)
    text = RulesBackend().write(agent_of(asked.spec), asked)
    score = score_output(text, asked.spec, asked.streams, asked.anchors)
    assert not score.format_errors
    assert not score.unsupported, score.unsupported
    return json.loads(text)


CAPTIONS = thing(
    "video captions",
    video=TEXT,
    duration=NUMBER,
    captions=listing(thing("start end text", start=NUMBER, end=NUMBER, text=TEXT, index=WHOLE)),
)


def test_captions_of_a_film() -> None:
    output = made(CAPTIONS, FILM)
    assert output["video"] == "friday"
    assert output["duration"] == 40.0
    assert output["captions"][0] == {"start": 0.0, "end": 1.9, "text": "Good morning.", "index": 0}
    assert len(output["captions"]) == 7


def test_the_same_in_milliseconds_camel_case_and_clock_times() -> None:
    schema = thing("subs", subs=listing(thing("startMs endMs", startMs=WHOLE, endMs=WHOLE, caption=TEXT)))
    assert made(schema, FILM)["subs"][1] == {"startMs": 2000, "endMs": 4900, "caption": "Today we cook an omelette."}
    clock = thing("lines", lines=listing(thing("from to line", **{"from": TEXT, "to": TEXT, "line": TEXT})))
    assert made(clock, FILM)["lines"][2] == {
        "from": "00:00:06.000",
        "to": "00:00:09.000",
        "line": "First, break three eggs.",
    }


def test_labels_counts_and_moments() -> None:
    schema = thing(
        "n_cuts cuts",
        n_cuts=WHOLE,
        cuts=listing({"type": "number"}),
        boundaries=listing(thing("timestamp type", timestamp=NUMBER, type={"enum": ["hard cut", "dissolve"]})),
    )
    schema["properties"]["cuts"] = listing(thing("time", time=NUMBER))
    output = made(schema, FILM)
    assert output["n_cuts"] == 4
    assert [cut["time"] for cut in output["cuts"]] == [5.5, 10.5, 18.0, 27.0]
    assert output["boundaries"][0] == {"timestamp": 5.5, "type": "hard cut"}


def test_questions_and_answers() -> None:
    schema = thing("qa_pairs", qa_pairs=listing(thing("question answer", question=TEXT, answer=TEXT, difficulty=TEXT)))
    output = made(schema, FILM)
    assert len(output["qa_pairs"]) >= 3
    assert all(pair["question"].endswith("?") for pair in output["qa_pairs"])


def test_boxes_of_what_stands_on_the_screen() -> None:
    schema = thing("words", words=listing(thing("text bbox", text=TEXT, bbox=listing(NUMBER, minItems=4, maxItems=4))))
    output = made(schema, SCREENS)
    assert output["words"][0] == {"text": "Triangle ABC is isosceles", "bbox": [0.1, 0.1, 0.8, 0.15]}
    sized = json.loads(json.dumps(schema))
    sized["properties"]["words"]["items"]["properties"]["bbox"]["description"] = "x, y, width, height"
    assert made(sized, SCREENS)["words"][0]["bbox"] == [0.1, 0.1, 0.7, 0.05]


def test_robot_events_with_an_enum_of_the_users_own_words() -> None:
    schema = thing(
        "events",
        task=TEXT,
        events=listing(thing("interval label", interval=listing(NUMBER, minItems=2, maxItems=2),
                             label={"enum": ["grasp", "release", "pause"]}, hand=TEXT)),
    )  # fmt: skip
    output = made(schema, ROBOT)
    assert output["task"] == "Pick up the cup"
    assert [event["label"] for event in output["events"]] == ["grasp", "release", "grasp", "pause"]
    assert output["events"][0] == {"interval": [4.0, 4.5], "label": "grasp", "hand": "right_hand"}


def test_nested_lists_hold_what_lies_inside_their_parent() -> None:
    schema = thing(
        "scenes",
        scenes=listing(thing("start end lines", start=NUMBER, end=NUMBER,
                             lines=listing(thing("text time", text=TEXT, time=NUMBER)))),
    )  # fmt: skip
    scenes = made(schema, FILM)["scenes"]
    assert [line["text"] for line in scenes[0]["lines"]] == ["Good morning.", "Today we cook an omelette."]


def test_a_recursive_schema_ends() -> None:
    node = thing("start end", start=NUMBER, end=NUMBER, parts=listing({"$ref": "#/$defs/node"}))
    output = made({"$ref": "#/$defs/node", "$defs": {"node": node}}, FILM)
    assert (output["start"], output["end"]) == (0.0, 40.0)


def test_one_of_takes_the_branch_that_can_be_filled() -> None:
    item = {"oneOf": [thing("sentiment", sentiment=TEXT), thing("start end text", start=NUMBER, end=NUMBER, text=TEXT)]}
    assert made(thing("lines", lines=listing(item)), FILM)["lines"][0]["text"] == "Good morning."


def test_bounds_leave_out_what_does_not_fit_them() -> None:
    schema = thing(
        "captions", captions=listing(thing("start text", start={**NUMBER, "minimum": 10}, text=TEXT), maxItems=2)
    )
    assert [item["start"] for item in made(schema, FILM)["captions"]] == [12.0, 30.0]
    many = thing("captions", captions=listing(thing("start text", start=NUMBER, text=TEXT), minItems=20))
    with pytest.raises(UnsuitedError, match="20 items are asked, and what was measured gives 7"):
        made(many, FILM)


def test_what_no_anchor_gives_is_refused_with_its_place() -> None:
    schema = thing("captions", captions=listing(thing("text sentiment", text=TEXT, sentiment={"type": "boolean"})))
    with pytest.raises(UnsuitedError, match=r"the field /captions/0/sentiment of the schema cannot be filled by rules"):
        made(schema, FILM)
    assert "/captions/*/sentiment" in unprovable(marked(schema))
    optional = thing("captions", captions=listing(thing("text", text=TEXT, sentiment={"type": "boolean"})))
    assert made(optional, FILM)["captions"][0] == {"text": "Good morning."}


MOOD = {"enum": ["calm", "tense"]}


@pytest.mark.parametrize(
    ("schema", "places"),
    [
        (thing("mood", mood=MOOD), ["/mood"]),
        (thing("lines", lines=listing(thing("text mood", text=TEXT, mood=MOOD))), ["/lines/*/mood"]),
        (thing("lines", lines=listing(thing("text", text=TEXT, mood=MOOD))), []),
        (thing("text", text=TEXT, mood=MOOD), []),
        (thing("text", text=TEXT, notes=listing(thing("mood", mood=MOOD))), []),
        (thing("mood", mood={"oneOf": [MOOD, {"type": "null"}]}), []),
        (thing("mood", mood={"oneOf": [MOOD, {"type": "boolean"}]}), ["/mood"]),
        (thing("mood", mood={"enum": ["calm"]}), []),
        (thing("mood", mood=MOOD | {"default": "calm"}), []),
    ],
)
def test_required_fields_that_nothing_can_give_are_known_before_a_build(
    schema: dict[str, Any], places: list[str]
) -> None:
    spec = own_spec(Intent(text="Use my schema."), json.dumps(schema))
    assert unfillable(spec.output_schema) == places


def test_no_changed_fact_passes() -> None:
    asked = evidence(CAPTIONS, FILM)
    value = json.loads(RulesBackend().write(agent_of(asked.spec), asked))
    for path, leaf in leaves(value):
        if path[-1] == "index":
            continue
        broken = json.loads(json.dumps(value))
        put(broken, path, leaf + 3.0 if isinstance(leaf, float) else "Nobody said this.")
        assert not passes(score_output(json.dumps(broken), asked.spec, asked.streams, asked.anchors)), path


def test_repair_takes_out_the_items_that_nothing_supports() -> None:
    asked = evidence(CAPTIONS, FILM)
    agent, backend = agent_of(asked.spec), RulesBackend()
    value = json.loads(backend.write(agent, asked))
    value["captions"][1]["text"] = "Nobody said this."
    value["captions"][3]["end"] = 39.0
    text = json.dumps(value)
    mended = backend.mend(agent, text, score_output(text, asked.spec, asked.streams, asked.anchors), asked)
    assert mended is not None
    assert len(json.loads(mended)["captions"]) == 5
    assert passes(score_output(mended, asked.spec, asked.streams, asked.anchors))


def test_marks_that_the_user_writes_are_kept() -> None:
    schema = thing("x", x={**NUMBER, KEYWORD: {"role": "moment", "kinds": ["video.cut"]}})
    assert marked(schema)["properties"]["x"][KEYWORD]["role"] == "moment"


@pytest.mark.parametrize(
    ("schema", "place", "cause"),
    [
        ("{", "output schema", "not valid JSON"),
        ("[]", "output schema", "a JSON object"),
        ('{"type": "strin"}', "#/type", "is not valid"),
        ('{"properties": {"a": {"minimum": "x"}}}', "#/properties/a/minimum", "not of type"),
        ('{"$ref": "#/$defs/gone"}', "#/\\$ref", "leads nowhere"),
        ('{"$ref": "http://example.org/s.json"}', "#/\\$ref", "outside"),
        ('{"type": "string", "pattern": "("}', "#/pattern", "is not a 'regex'"),
        ('{"type": "number", "minimum": 5, "maximum": 1}', "#/minimum", "no value"),
        ('{"type": "array", "minItems": 3, "maxItems": 2}', "#/minItems", "above"),
        ('{"type": "string", "enum": [1, 2]}', "#/enum", "none of its values"),
        ('{"type": "object", "properties": {"a": false}, "required": ["a"]}', "#/properties/a", "false"),
        ('{"type": "object", "required": ["a"], "additionalProperties": false}', "#/required", "forbids"),
        (
            '{"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}',
            "#/properties/next",
            "without end",
        ),
        ('{"type": "array", "minItems": 1, "items": {"type": "number", "exclusiveMinimum": 2, "maximum": 2}}',
         "#/items", "lies between"),
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_is_refused_with_its_place(schema: str, place: str, cause: str) -> None:
    with pytest.raises(UsageError, match=f"{place}.*{cause}"):
        sound(schema)


def test_what_can_be_is_let_through() -> None:
    recursive = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    }
    assert sound(json.dumps(recursive)) == recursive
    assert sound("{}") == {}


def test_start_and_duration_are_a_stretch() -> None:
    schema = listing(thing("text start duration", text=TEXT, start=NUMBER, duration=NUMBER))
    lines = made(thing("lines", lines=schema), FILM)["lines"]
    assert [(line["text"], line["start"], line["start"] + line["duration"]) for line in lines] == [
        (line.content, line.t0, pytest.approx(line.t1)) for line in FILM if line.kind == "text.subtitle"
    ]


def test_a_lone_time_holds_only_what_is_there_at_that_moment() -> None:
    shown = made(thing("time text", time=NUMBER, text=listing(TEXT)), SCREENS)
    assert shown["time"] == 0.0
    assert shown["text"] == [a.content for a in SCREENS if a.kind.startswith("text.") and a.t0 == 0.0]


def test_a_count_beside_no_times_is_over_the_recording() -> None:
    assert made(listing(thing("n_cuts", n_cuts=WHOLE)), FILM)[0]["n_cuts"] == 4


_LEAF = st.sampled_from([NUMBER, TEXT, WHOLE, {"type": "boolean"}, {"enum": ["cut", "tap", 3]}, {"const": 1}, {}])
_NAMES = st.sampled_from(
    ("start", "end", "text", "time", "label", "box", "question", "answer", "index", "mood", "n_cuts", "title", "clips")
)
_SCHEMAS = st.recursive(
    _LEAF,
    lambda inner: (
        st.builds(listing, inner)
        | st.dictionaries(_NAMES, inner, max_size=4).map(lambda p: thing(" ".join(p), **p))
        | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"oneOf": branches})
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(_SCHEMAS, st.sampled_from([FILM, ROBOT, SCREENS, []]))
def test_any_schema_is_filled_soundly_or_refused_in_words(schema: dict[str, Any], anchors: list[FactualAnchor]) -> None:
    try:
        asked = evidence(schema, anchors)
        text = RulesBackend().write(agent_of(asked.spec), asked)
    except (UnsuitedError, UsageError):
        return
    score = score_output(text, asked.spec, asked.streams, asked.anchors)
    assert not score.format_errors
    assert not score.unsupported
    assert unfillable(asked.spec.output_schema) == [], "what was filled can be filled"


def test_two_words_at_one_place_keep_their_own_boxes() -> None:
    words = [
        anchor("text.screen", 0.0, 5.0, text, box=Box(x0=x, y0=0.1, x1=x + 0.1, y1=0.2))
        for text, x in (("left", 0.1), ("right", 0.6))
    ]
    schema = thing("ocr", ocr=listing(thing("text box", text=TEXT, box=listing(NUMBER, minItems=4, maxItems=4))))
    asked = evidence(schema, words)
    value = json.loads(RulesBackend().write(agent_of(asked.spec), asked))
    value["ocr"][0]["box"], value["ocr"][1]["box"] = value["ocr"][1]["box"], value["ocr"][0]["box"]
    assert not passes(score_output(json.dumps(value), asked.spec, asked.streams, asked.anchors))


def test_one_output_of_several_streams_names_the_stream_of_each_item() -> None:
    other = "b" * 64
    streams = (stream(name="left"), stream(name="right").model_copy(update={"sha256": other}))
    anchors = (*FILM, anchor("text.subtitle", 3.0, 4.0, "Only on the right.", stream=other))
    schema = thing(
        "lines", lines=listing(thing("video start end text", video=TEXT, start=NUMBER, end=NUMBER, text=TEXT))
    )
    asked = Evidence(streams, anchors, own_spec(Intent(text="Join them."), json.dumps(schema)))
    text = RulesBackend().write(agent_of(asked.spec), asked)
    lines = json.loads(text)["lines"]
    assert [line["video"] for line in lines] == ["left"] * 7 + ["right"]
    assert passes(score_output(text, asked.spec, streams, anchors))
    swapped = text.replace('"video":"right"', '"video":"left"')
    assert not passes(score_output(swapped, asked.spec, streams, anchors))


def test_the_sentence_beside_a_schema_still_sets_bounds() -> None:
    spec = resolve_own(Intent(text="At most 2 captions, only the first 10 seconds."), json.dumps(CAPTIONS), [stream()])
    assert spec.constraints.counts == (Count(noun="captions", most=2),)
    assert spec.constraints.window == Window(t1=10.0)
    asked = Evidence((stream(),), within(FILM, [stream()], spec.constraints.window), spec)
    text = RulesBackend().write(agent_of(spec), asked)
    assert [caption["start"] for caption in json.loads(text)["captions"]] == [0.0, 2.0]
    assert passes(score_output(text, spec, asked.streams, asked.anchors))
    with pytest.raises(UnsuitedError):
        resolve_own(Intent(text="At least 5 captions and at most 2 captions."), json.dumps(CAPTIONS), [stream()])


def test_a_list_named_after_something_measured_holds_that_or_nothing() -> None:
    moves = listing(thing("start end", start=NUMBER, end=NUMBER))
    schema = thing("cuts clicks camera_moves lines", cuts=listing(NUMBER), clicks=listing(thing("time", time=NUMBER)),
                   camera_moves=moves, lines=listing(thing("text", text=TEXT)))  # fmt: skip
    output = made(schema, FILM)
    assert output["cuts"] == [5.5, 10.5, 18.0, 27.0]
    assert output["clicks"] == output["camera_moves"] == []
    assert len(output["lines"]) == 7
    with pytest.raises(UnsuitedError, match="nothing was measured of what its lists ask for"):
        made(thing("clicks", clicks=listing(thing("time", time=NUMBER))), FILM)
    asked = evidence(schema, FILM)
    wrong = json.dumps({**output, "clicks": [{"time": 0.0}]})
    assert not passes(score_output(wrong, asked.spec, asked.streams, asked.anchors))
    assert any("clicks holds input.click" in reason for reason in asked.spec.because)


def test_a_line_across_a_cut_belongs_to_the_shot_in_which_it_begins() -> None:
    across = anchor("text.subtitle", 17.0, 20.5, "This is said across the cut.")
    schema = thing(
        "shots",
        shots=listing(thing("start end lines", start=NUMBER, end=NUMBER, lines=listing(thing("text", text=TEXT)))),
    )
    shots = made(schema, [*FILM, across])["shots"]
    assert [line["text"] for line in shots[2]["lines"]] == ["Whisk them with a fork.", "This is said across the cut."]


def test_questions_are_asked_once_however_many_lists_fall_back_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(evidence: Evidence, stream: str) -> Any:
        asked.append(stream)
        return questions(evidence, stream)

    monkeypatch.setattr(records, "questions", counted)
    item = thing("question answer", question=TEXT, answer=TEXT)
    output = made(thing("quiz exercises", quiz=listing(item), exercises=listing(item)), FILM)
    assert output["quiz"] == output["exercises"] != []
    assert len(asked) == 1


def test_questions_that_reach_beyond_the_stretch_of_their_item_are_left_out() -> None:
    item = thing("question answer", question=TEXT, answer=TEXT)
    shot = thing("start end questions", start=NUMBER, end=NUMBER, questions=listing(item))
    shots = made(thing("shots", shots=listing(shot)), FILM)["shots"]
    assert [shot["start"] for shot in shots] == [0.0, 5.5, 10.5, 18.0, 27.0]
    lines = made(listing(thing("start question", start=NUMBER, question=TEXT)), FILM)
    assert lines
    assert all(line["question"] for line in lines)


def test_references_lead_anywhere_in_the_schema() -> None:
    item = thing("start text", start=NUMBER, text=TEXT)
    schema = thing(
        "lines",
        lines=listing({"anyOf": [{"$ref": "#/$defs/forms/oneOf/0"}, {"$ref": "#/properties/spare"}]}),
        spare={"type": "null"},
    ) | {"$defs": {"forms": {"oneOf": [item]}}}
    assert made(schema, FILM)["lines"][0] == {"start": 0.0, "text": "Good morning."}
