"""The things that words speak of and a picture could show: what an open-vocabulary detector is to look for.

Few and sure. A tagger would tell nouns, but not those that can be seen; the taggers and word nets that were looked at
are large, not kept up, or fetch their tables when they run. So two things are asked of a word. What it means: MiniLM,
which reads intents anyway, finds it nearer to things that can be seen than to what cannot (the mean of the nearest few
of either kind). And where it stands: not as a verb with an object of its own. Words of the trade (video, question,
dataset) are no things, whatever stands around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from synthesis.intent.languages import foreign_language
from synthesis.intent.meaning import similarities, whole_words
from synthesis.intent.wording import one_line, take_apart

MOST = 12
"""A detector that looks for more at once finds each of them less well."""


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SEEN = _listed(
    """
    cup mug glass knife fork spoon bowl plate bottle pot pan kettle stove oven sink fridge table chair desk shelf
    drawer door window wall floor bed sofa lamp mirror towel cloth sponge box bag basket bucket tray lid jar book
    paper pen pencil marker eraser scissors tape stapler phone laptop keyboard monitor camera clock cable plug lever
    handle knob screw bolt nut hammer screwdriver wrench drill saw pliers tool engine wheel tyre car truck bus
    bicycle motorcycle boat train airplane road bridge building house tree flower grass plant leaf fruit apple
    banana orange lemon tomato onion carrot potato garlic vegetable bread cake egg meat cheese pizza milk coffee
    water smoke fire dog cat bird horse cow sheep fish animal insect person man woman child baby worker nurse
    surgeon cook driver pedestrian cyclist customer hand finger thumb arm leg foot head face hair eye mouth shirt
    trousers shoe hat glove helmet jacket robot gripper block cube ball toy doll puzzle needle syringe stone rope
    ladder vehicle forklift crane pallet conveyor container dishwasher microwave toaster blender fryer goalkeeper
    referee player tweezers whisk spatula backpack bin goggles syrup carton crate suitcase stroller wheelchair
    skateboard tractor excavator drone scooter
    """
)
_UNSEEN = _listed(
    """
    question answer reason thought idea meaning plan goal purpose decision problem solution mistake error failure
    success recovery help advice rule logic proof theory science knowledge skill ability difficulty quality amount
    number count score order sequence step stage phase action activity event moment time second minute hour day
    start end duration speed direction position motion movement distance space place part kind type name title word
    sentence text language story summary description caption explanation instruction command dialogue conversation
    lesson lecture course chapter section topic exercise research work task job game level control state change
    cause effect result difference similarity colour size shape style pattern relation context situation scene
    weather president country city music sound speech voice silence noise temporal spatial visual useful different
    correct wrong hard easy good better clean red wooden large small long short left right pour cut grasp hold reach
    open close push pull lift drop cook wash move touch press turn loosen tighten carry throw catch hand give take
    bring rotate slide shake stir peel slice fold mess draw write read watch see show look ask tell find make build
    want need quickly carefully together another something thinking cooking cutting pouring grasping moving learning
    teaching
    """
)
_NEAREST = 3
_SURE = 0.06  # by how much it is nearer to what is seen

_TRADE = _set_of(
    """
    data dataset datasets corpus sample samples example examples pair pairs tuple tuples item items entry list label
    labels annotation annotations caption captions question questions answer answers qa vqa quiz query video videos
    film films clip clips footage movie recording recordings stream streams frame frames shot shots scene scenes
    picture pictures photo photos image images screenshot screenshots screen screens capture captures gameplay model
    models vlm llm vla agent agents assistant chatbot generator learner network engine tutor teacher student
    students pupil pupils reader viewer viewers user users researcher somebody someone anybody everyone training
    train trained fine-tuning benchmark test evaluation objective reward schema json field fields value values
    object objects thing things entity entities element elements content box boxes bounding coordinates point points
    button buttons menu menus icon icons dialog cursor key keys stamp stamps link links tab tabs individual mobile
    can could must shall may might will would should does did doing done has have had was were been being are
    tutorial guide article walkthrough outline document file files page notes note step steps segment segments
    timestamp timestamps time times trajectory trajectories trace traces drawing drawings sketch stroke strokes line
    lines game world state action actions task tasks event events program code app gui ui interface browser desktop
    anything everything whatever something nothing one ones lot kind sort way use case part parts half side left
    right top bottom front back middle centre center beginning character characters text texts word words subtitle
    subtitles audio music exercise course lecture lesson class proof math
    """
)
_GUI = frozenset(["window", "windows", "mouse"])
_SCREEN_TALK = re.compile(
    r"\b(?:screens?|apps?|gui|ui|interface|clicks?|desktop|browser|screenshots?|dialog|typed|written)\b"
)
"""Beside these words the others are parts of an interface, which other experts measure."""
_NO_THING = re.compile(r"\btables? of contents\b")

_BEFORE_VERB = _set_of(
    "to not will would can could should must may might please let lets do does did i we you they who"
)
_DETERMINERS = _set_of("a an the this that these those my our your his her its their each every another")
_OPENERS = _set_of(
    """
    any some no all both which what whose of in on at by with from into onto over under behind beside between near
    around through against for and or plus one two three four five six seven eight nine ten
    """
).union(_DETERMINERS)
_ADJECTIVES = _set_of(
    """
    red green blue yellow white black grey gray brown orange pink purple silver golden dark light bright wooden
    metal plastic ceramic rubber steel leather cardboard transparent big small large little tall round square empty
    full open closed left right upper lower front rear
    """
)
_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "shelves": "shelf",
    "loaves": "loaf",
    "wolves": "wolf",
    "halves": "half",
    "scissors": "scissors",
    "glasses": "glasses",
    "pliers": "pliers",
    "tweezers": "tweezers",
    "trousers": "trousers",
}


def nouns(text: str, schema: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """What an intent and an output schema name that can be seen: singular, lower-cased, with the colour or the material
    that goes with it (`red cup`), at most MOST, those of the intent first.

    What the sentence refuses is not looked for. Of a schema, titles, descriptions, property names and the values of
    enumerations are read.
    """
    sentence = one_line(text)
    if foreign_language(re.findall(r"[^\W\d_]+", sentence), _TRADE.union(_SEEN)) is not None:
        sentence = ""
    found = dict.fromkeys((*_phrases(take_apart(sentence).unrefused), *_of_schema(schema)))
    # A thing that is named more closely elsewhere is that thing.
    sharp = [p for p in found if not any(other != p and other.endswith(f" {p}") for other in found)]
    return tuple(sharp[:MOST])


def _of_schema(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in ("title", "description") and isinstance(value, str):
                yield from _phrases(one_line(value))
            elif key in ("enum", "examples") and isinstance(value, Sequence):
                for one in value:
                    if isinstance(one, str):
                        yield from _phrases(_spaced(one), named=True)
            elif key == "const" and isinstance(value, str):
                yield from _phrases(_spaced(value), named=True)
            elif key in ("properties", "$defs", "definitions", "patternProperties") and isinstance(value, Mapping):
                for name, part in value.items():
                    yield from _phrases(_spaced(name), named=True)
                    yield from _of_schema(part)
            else:
                yield from _of_schema(value)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _of_schema(part)


def _spaced(name: str) -> str:
    """`leftHand` and `left_hand` as words."""
    return one_line(re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-]+", " ", name))


def _phrases(text: str, named: bool = False) -> Iterator[str]:
    """The things of a lower-cased text in their order; `named`: it is a name, which needs nothing around it."""
    screen = bool(_SCREEN_TALK.search(text))
    text = _NO_THING.sub(";", text)
    for clause in re.split(r"[^a-z' -]+", text):
        words = re.findall(r"[a-z]+(?:-[a-z]+)*", clause.replace("'s", " ").replace("'", " "))
        place = 0
        while place < len(words):
            length = _thing(words, place, named, screen)
            if length:
                *before, last = words[place : place + length]
                like = [words[place - 1]] if place > 0 and words[place - 1] in _ADJECTIVES else []
                yield " ".join([*like, *before, _singular(last)])
            place += max(length, 1)


def _thing(words: Sequence[str], place: int, named: bool, screen: bool) -> int:
    """How many words from here on name a thing; 0 when none do."""
    length = 0
    while place + length < len(words) and length < 2 and _visible(words[place + length], screen):
        length += 1
    if not length or named:
        return length
    before = words[place - 1] if place > 0 else ""
    after = words[place + length] if place + length < len(words) else ""
    # With an object of its own it is what somebody does: `to hand over`, `Hammer the nail`, `she hands the syringe`.
    if (before in _BEFORE_VERB and after in _OPENERS) or (not before and after in _DETERMINERS):
        return 0
    if after in _DETERMINERS and words[place + length - 1].endswith("s"):
        return length - 1
    return length


def _visible(word: str, screen: bool) -> bool:
    single = _singular(word)
    if len(word) < 3 or word in _TRADE or single in _TRADE or word in _OPENERS or (screen and word in _GUI):
        return False
    if single in _SEEN:
        return True
    if word in _ADJECTIVES or whole_words().isdisjoint((word, single)):
        return False
    doing = word.removesuffix("ing")
    if doing != word and len(doing) > 2 and not whole_words().isdisjoint((doing, f"{doing}e", doing[:-1])):
        return False
    return sureness(single) >= _SURE


@lru_cache(maxsize=4096)
def sureness(word: str) -> float:
    """How much nearer in meaning a word is to things that can be seen than to what cannot."""
    seen, unseen = (float(np.sort(similarities(word, examples))[-_NEAREST:].mean()) for examples in (_SEEN, _UNSEEN))
    return seen - unseen


def _singular(word: str) -> str:
    """The word for one of them, where it is another one that is known."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("oes", "o")):
        if word.endswith(ending) and word.removesuffix(ending) + instead in whole_words():
            return word.removesuffix(ending) + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and word[:-1] in whole_words():
        return word[:-1]
    return word
