"""Tutorials: words verbatim with their spans, frames between them, and nothing made up."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from facts import BOARD, CUTS, FILM, LINES, SCREENS, SHOTS, anchor, evidence, leaves, put, stream
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.anchor import AnchorKind, FactualAnchor
from schemas.errors import UnsuitedError
from synthesis.agents.roster import agent_for
from synthesis.agents.tutorial import MAX_PASSAGES
from synthesis.backends.rules import RulesBackend
from synthesis.verification.verify import passes, score_output

AGENT = agent_for("tutorial")
MATERIAL = {"film": FILM, "board": BOARD, "screens": SCREENS, "speech": LINES}


def written(anchors: list[FactualAnchor]) -> dict[str, Any]:
    return json.loads(RulesBackend().write(AGENT, evidence("tutorial", anchors)))


def score(output: Any, anchors: list[FactualAnchor]):
    return score_output(json.dumps(output), evidence("tutorial", anchors).spec, [stream()], anchors)


@pytest.mark.parametrize("name", MATERIAL)
def test_every_claim_of_the_rules_is_supported(name):
    verdict = score(written(MATERIAL[name]), MATERIAL[name])
    assert verdict.unsupported == ()
    assert passes(verdict)
    assert verdict.efficiency == 1.0


@pytest.mark.parametrize("name", MATERIAL)
def test_text_and_frame_alternate_in_the_order_of_time(name):
    blocks = written(MATERIAL[name])["blocks"]
    assert [block["type"] for block in blocks] == ["text", "frame"] * (len(blocks) // 2)
    times = [block["t0"] if block["type"] == "text" else block["time"] for block in blocks]
    assert all(before <= after for before, after in pairwise(times))


def test_all_that_is_said_is_quoted_verbatim_with_its_span():
    quotes = [quote for block in written(FILM)["blocks"] if block["type"] == "text" for quote in block["quotes"]]
    assert [(q["t0"], q["t1"], q["text"]) for q in quotes] == [(a.t0, a.t1, a.content) for a in LINES]


def test_a_new_shot_begins_a_new_passage():
    texts = [block for block in written(FILM)["blocks"] if block["type"] == "text"]
    assert [len(block["quotes"]) for block in texts] == [2, 1, 1, 1, 2]


def test_board_text_is_quoted_when_it_comes_and_shown_as_soon_as_it_stands():
    output = written(BOARD)
    frames = [block["time"] for block in output["blocks"] if block["type"] == "frame"]
    assert frames == [3.0, 8.5]


def test_the_title_is_given_text_or_the_name_with_the_first_words():
    assert written(FILM)["title"] == 'friday: "Good morning."'
    given_text = anchor(AnchorKind.GIVEN_TEXT, 0.0, 40.0, "How to cook an omelette")
    assert written([*FILM, given_text])["title"] == '"How to cook an omelette"'


@pytest.mark.parametrize("anchors", [[], CUTS + SHOTS, LINES[:1]])
def test_pictures_without_words_are_unsuited(anchors):
    with pytest.raises(UnsuitedError, match="a tutorial needs words"):
        AGENT.compose(evidence("tutorial", anchors))


def test_noise_labels_and_second_readings_are_not_quoted():
    noise = [
        anchor(AnchorKind.SCREEN_TEXT, 1.0, 5.0, "Settings"),
        anchor(AnchorKind.SCREEN_TEXT, 9.0, 15.0, "so the angles at B and G are equal"),
        anchor(AnchorKind.SCREEN_TEXT, 1.0, 5.0, "half m1sreaa line", confidence=0.7),
        anchor(AnchorKind.SCREEN_TEXT, 1.0, 5.0, "-"),
    ]
    assert written(BOARD + noise) == written(BOARD)


def test_three_hours_of_speech_stay_bounded():
    anchors = [anchor(AnchorKind.SUBTITLE, 6.0 * i, 6.0 * i + 5, f"This is line {i} of many.") for i in range(1800)]
    output = written(anchors)
    assert len(output["blocks"]) <= 2 * MAX_PASSAGES
    assert score(output, anchors).unsupported == ()
    assert sum(len(block["quotes"]) for block in output["blocks"] if block["type"] == "text") == 1800


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_time_or_quote_or_order_is_found_out(data):
    anchors = MATERIAL[data.draw(st.sampled_from(sorted(MATERIAL)))]
    output = written(anchors)
    change = data.draw(st.sampled_from(["time", "quote", "swap", "time in words", "quote in words"]))
    paths = list(leaves(output))
    if change == "time":
        path, time = data.draw(st.sampled_from([leaf for leaf in paths if leaf[0][-1] in ("t0", "t1")]))
        new = max(0.0, time + data.draw(st.floats(0.3, 5.0)) * data.draw(st.sampled_from([-1, 1])))
        if abs(new - time) <= 0.26:
            return
        put(output, path, new)
    elif change == "quote":
        path, text = data.draw(
            st.sampled_from([leaf for leaf in paths if "quotes" in leaf[0] and leaf[0][-1] == "text"])
        )
        put(output, path, "#" + text[1:])
    elif change == "swap":
        blocks = output["blocks"]
        place = data.draw(st.integers(0, len(blocks) - 3)) if len(blocks) > 3 else 0
        if len(blocks) > 3:
            blocks[place], blocks[place + 2] = blocks[place + 2], blocks[place]
        else:
            return
    else:
        pattern = r"\d+\.\d+(?= s)" if change == "time in words" else r'"[^"]+"'
        texts = [
            leaf for leaf in paths if leaf[0][-1] in ("text", "caption", "title") and re.search(pattern, str(leaf[1]))
        ]
        path, text = data.draw(st.sampled_from([leaf for leaf in texts if "quotes" not in leaf[0]]))
        match = data.draw(st.sampled_from(list(re.finditer(pattern, text))))
        new = f"{float(match[0]) + 0.6:.1f}" if change == "time in words" else match[0].replace(match[0][1], "#")
        put(output, path, text[: match.start()] + new + text[match.end() :])
    verdict = score(output, anchors)
    assert verdict.format == 0 or verdict.unsupported, (change, output)
    assert not passes(verdict)


def test_quotes_that_change_places_are_found_out():
    output = written(FILM)
    first, second = output["blocks"][0]["quotes"]
    first["text"], second["text"] = second["text"], first["text"]
    assert score(output, FILM).unsupported


def test_repair_takes_the_wrong_passage_with_its_frame():
    output = written(FILM)
    output["blocks"][2]["quotes"][0]["text"] = "First, break four eggs."
    mended = json.loads(
        RulesBackend().mend(AGENT, json.dumps(output), score(output, FILM), evidence("tutorial", FILM)) or ""
    )
    assert mended["blocks"] == output["blocks"][:2] + output["blocks"][4:]
    assert score(mended, FILM).unsupported == ()


def test_repair_gives_up_when_nothing_is_left():
    output = written(LINES)
    for block in output["blocks"]:
        if block["type"] == "text":
            block["quotes"][0]["text"] = "Never said."
    assert RulesBackend().mend(AGENT, json.dumps(output), score(output, LINES), evidence("tutorial", LINES)) is None


def test_words_with_quotation_marks_are_quoted_whole():
    anchors = [
        anchor(AnchorKind.SUBTITLE, 0.0, 2.0, 'He said "go" and went'),
        anchor(AnchorKind.SUBTITLE, 3.0, 4.0, 'A “curly” and a "straight" one'),
        anchor(AnchorKind.SUBTITLE, 5.0, 6.0, "At 7.5 s it ends"),
    ]
    assert passes(score(written(anchors), anchors))
