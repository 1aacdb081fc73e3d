"""Flights: requests under way on this router, by what they are for; the first one leads, and the others wait for what it brings."""

import asyncio
from dataclasses import dataclass, field

from router.errors import RequestIdReused
from router.types import Final


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    body: str
    landing: asyncio.Future[Final | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Flights:
    """Who waits may go at any time, and nobody else hears of it. A leader that brings nothing leaves its place to the next in line."""

    def __init__(self) -> None:
        self._under_way: dict[str, _Flight] = {}

    def busy(self, key: str) -> bool:
        """Whether somebody leads."""
        return key in self._under_way

    async def join(self, key: str, body: str = "") -> Final | None:
        """What the leader brought; None: there is none, and the caller leads until it lands. Raises RequestIdReused where `body` is another."""
        while (flight := self._under_way.get(key)) is not None:
            if flight.body != body:
                raise reused()
            if (brought := await asyncio.shield(flight.landing)) is not None:
                return brought
        self._under_way[key] = _Flight(body)
        return None

    def land(self, key: str, brought: Final | None) -> None:
        """The leader is done."""
        landing = self._under_way.pop(key).landing
        if not landing.done():  # its waiters' loop may be closing
            landing.set_result(brought)


def reused() -> RequestIdReused:
    """What the caller is told."""
    return RequestIdReused("this id was given to another request within the last day: give each request an id of its own", field="query.id")
