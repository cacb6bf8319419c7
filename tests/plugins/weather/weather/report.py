"""A form of its own: what the weather was, and when."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from schemas.base import Contract
from schemas.errors import UnsuitedError
from schemas.outputs.grounded import Role, asserting, asserts
from schemas.outputs.span import Span, Text
from schemas.stream import Domain
from synthesis.base import Evidence, GroundedAgent, Recognition
from weather.expert import KIND


class Reading(Span):
    model_config = Contract.model_config | asserting(Role.SPAN, KIND)

    words: Annotated[Text, asserts(Role.CONTENT)]


class WeatherReport(Contract):
    readings: Annotated[tuple[Reading, ...], Field(min_length=1), asserts(Role.ORDERED)]


class WeatherReportAgent(GroundedAgent):
    task_type: ClassVar[str] = "weather_report"
    version: ClassVar[str] = "1"
    domains: ClassVar[frozenset[Domain]] = frozenset({Domain.DAILY_LIFE})
    output: ClassVar[type[BaseModel]] = WeatherReport
    parts: ClassVar[dict[str, str]] = {"readings": "readings"}
    recognition: ClassVar[Recognition] = Recognition(
        instruction="Report the weather: each reading with its span.",
        names=(r"weather reports?",),
        examples=("Tell me how the weather was.",),
    )

    def compose(self, evidence: Evidence) -> WeatherReport:
        readings = evidence.of(KIND)
        if not readings:
            raise UnsuitedError(evidence.streams[0].uri, "no reading was taken", "Give a weather log.")
        return WeatherReport(readings=tuple(Reading(t0=a.t0, t1=a.t1, words=a.content) for a in readings))
