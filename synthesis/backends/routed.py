"""Several experts on one base: which of them a task goes to, and the chat that asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from schemas.errors import UsageError
from schemas.model import EXPERTS, ROUTER, Expertise, ExpertSet
from schemas.stream import Domain
from schemas.trail import Routed
from storage.location import Location
from storage.weights import read
from synthesis.backends.chat import Chat, Reply, Request
from synthesis.base import Evidence
from synthesis.router import Route, Router

_FORCED = "expert:"


@dataclass(frozen=True)
class Experts:
    """The experts of a set, by what they are for, and the router between them."""

    members: Mapping[Expertise, str]
    """Registered versions, `NAME@NUMBER`."""
    router: Router

    @classmethod
    def at(cls, place: Location, digest: str) -> Experts:
        """Those of a registered set; its adapters are not fetched.

        Raises:
            CorpusError: files are missing, or are not what was registered.
        """
        held = ExpertSet.model_validate_json(read(place, digest, EXPERTS))
        return cls(held.members, Router.parse(read(place, digest, ROUTER)))

    def route(self, evidence: Evidence, by: str = "router") -> Routed:
        """Which of them a task goes to.

        Args:
            by: as `synthesis.route` of a recipe. With `router` an unsure one leaves it to Omni, or without one in the
                set to the likeliest expert. `wrong`: the next domain in alphabetical order after that of the stream.

        Raises:
            UsageError: the set has no such expert.
        """
        if by == "router":
            return self.chosen(self.router.route(evidence))
        if by == "wrong":
            return self._forced(by, self._other(evidence.streams[0].domain))
        return self._forced(by, by.removeprefix(_FORCED))

    def route_words(self, text: str) -> Routed:
        """Which of them a question goes to of which there are only words."""
        return self.chosen(self.router.route_words(text))

    def chosen(self, route: Route) -> Routed:
        """What a router's answer comes to in this set."""
        name = route.expert or ("omni" if "omni" in self.members else route.likeliest)
        return self._forced("router", name).model_copy(update={"confidence": route.confidence})

    def check(self, by: str) -> None:
        """Raises UsageError where tasks are to go to an expert that the set does not have."""
        if by not in ("router", "wrong"):
            self._forced(by, by.removeprefix(_FORCED))
        elif by == "wrong" and len(self._domains) < 2:
            raise UsageError("synthesis.route wrong", "the set has experts of fewer than two domains", _ROUTES)

    @property
    def _domains(self) -> list[Domain]:
        return sorted(Domain(name) for name in self.members if name != "omni")

    def _other(self, domain: Domain) -> str:
        others = [name for name in self._domains if name != domain]
        return next((name for name in others if name > domain), others[0])

    def _forced(self, by: str, name: str) -> Routed:
        expertise: Any = name
        if expertise not in self.members:
            known = ", ".join(sorted(self.members))
            raise UsageError(f"synthesis.route {by}", f"the set has no {name}, only {known}", _ROUTES)
        return Routed(by=by, expertise=expertise, version=self.members[expertise])


class AdapterChat:
    """One adapter of a chat that has several."""

    def __init__(self, chat: Chat, base: str, adapter: str) -> None:
        self.model = f"{base}+{adapter}"
        self._chat = chat
        self._adapter = adapter

    async def complete(self, request: Request) -> Reply:
        """As the chat does it."""
        return await self._chat.complete(replace(request, adapter=self._adapter))

    def tokens(self, text: str) -> int:
        return self._chat.tokens(text)

    def picture_tokens(self, width: int, height: int) -> int:
        return self._chat.picture_tokens(width, height)

    async def close(self) -> None:
        await self._chat.close()


_ROUTES = "Set synthesis.route to router, or to one that the set has: omni, expert:DOMAIN"
