"""The ensemble's roster: one line per expert, loaded only when used.

Plugins join by the entry point group `dataclaw.experts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from experts.base import Expert
from schemas.base import digest
from schemas.recipe import ExpertSpec, Sampling
from schemas.roster import Roster
from schemas.stream import Domain, Stream

EXPERTS = Roster(
    "expert",
    "dataclaw.experts",
    {
        "shots": "experts.shots:Shots",
        "transnetv2": "experts.transnetv2:TransNetV2",
        "motion": "experts.motion:Motion",
        "screen": "experts.screen:Screen",
        "ocr": "experts.ocr:OCR",
        "easyocr": "experts.easyocr:EasyOCR",
        "speech": "experts.speech:Speech",
        "subtitles": "experts.subtitles:Subtitles",
        "given_text": "experts.given_text:GivenText",
        "input_events": "experts.input_events:InputEvents",
        "proprioception": "experts.proprioception:Proprioception",
        "strokes": "experts.strokes:Strokes",
        "edit_region": "experts.edit_region:EditRegion",
        "grounding_dino": "experts.grounding_dino:GroundingDino",
        "hands": "experts.hands:Hands",
    },
)

FOR_DOMAIN = {
    Domain.DAILY_LIFE: ("shots", "subtitles", "given_text"),
    Domain.EDUCATION: ("screen", "ocr", "subtitles", "given_text"),
    Domain.GUI: ("screen", "ocr", "input_events", "subtitles", "given_text"),
    Domain.EMBODIED: ("motion", "proprioception", "subtitles", "given_text"),
    Domain.AIGC: ("shots", "strokes", "edit_region", "subtitles", "given_text"),
}
"""What each domain needs when the recipe does not say, plugins aside."""


def expert_class(name: str) -> type[Expert]:
    """The class of an expert.

    Raises:
        UsageError: no expert has this name.
    """
    return cast(type[Expert], EXPERTS.load(name))


def default_names(domain: Domain) -> tuple[str, ...]:
    """The experts that look at a domain when the recipe does not say: built-in ones, and plugins that ask for it."""
    plugins = [name for name in EXPERTS.names if name not in EXPERTS.built_in]
    return (*FOR_DOMAIN[domain], *(name for name in plugins if domain in expert_class(name).domains))


def specs_for(stream: Stream, chosen: Iterable[ExpertSpec] | None, also: Iterable[str] = ()) -> list[ExpertSpec]:
    """The experts that look at a stream: those chosen, or those of its domain and those that a task needs `also`, as
    far as they read its tracks."""
    if chosen is None:
        specs = [ExpertSpec(name=name) for name in dict.fromkeys((*default_names(stream.domain), *also))]
    else:
        specs = list(chosen)
    return [spec for spec in specs if stream.has(*expert_class(spec.name).reads)]


def signature(spec: ExpertSpec, sampling: Sampling) -> str:
    """Identity of what an expert measures: its name, version and parameters, and the frame rate when it is the
    recipe's. Anchors are kept under it and reused while it stays the same."""
    expert = expert_class(spec.name)
    rate = sampling.frame_rate if expert.rate == "recipe" else None
    return digest([expert.name, expert.version, dict(spec.parameters), rate])
