"""The lookout: what is found at each place, again and again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from router.errors import BackendUnavailable
from workers.discovery import addresses

log = structlog.get_logger("rheostat.discovery")
LOOK = 1.0  # seconds between two looks
KEPT = 10.0  # seconds for which an address that is not found any more is kept: names flap, and who is really gone is ejected sooner

Find = Callable[[str], Awaitable[frozenset[str]]]


@dataclass(slots=True)
class _Place:
    """When each of its addresses was last found there; whether nobody could say at the last look."""

    name: str
    found: dict[str, float] = field(default_factory=dict)
    silent: bool = False

    def hear(self, found: frozenset[str], now: float) -> None:
        """What is there now. Nothing at all is heard as no answer: who can be reached goes on, and who cannot is ejected anyway."""
        self.found.update(dict.fromkeys(found or self.found, now))
        self.found = {address: last for address, last in self.found.items() if now - last < KEPT}


class Lookout:
    """Keeps looking at places. While nobody can say what is at one, what was last found there counts."""

    def __init__(self, places: Sequence[str], find: Find = addresses, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = [_Place(name) for name in places]
        self._find = find
        self._clock = clock

    @property
    def found(self) -> frozenset[str]:
        """Every address, of all places."""
        return frozenset(address for place in self._places for address in place.found)

    async def keep(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Look for ever; `tell` is told after every look at a place. A place that takes long to answer holds up no other."""
        async with asyncio.TaskGroup() as tasks:
            for place in self._places:
                tasks.create_task(self._keep(place, tell))

    async def _keep(self, place: _Place, tell: Callable[[frozenset[str]], None]) -> None:
        while True:
            await self._look(place)
            tell(self.found)
            await asyncio.sleep(LOOK)

    async def _look(self, place: _Place) -> None:
        try:
            place.hear(await self._find(place.name), self._clock())
        except BackendUnavailable as error:
            if not place.silent:
                log.warning("place_silent", place=place.name, error=error.message, kept=len(place.found))
            place.hear(frozenset(), self._clock())
            place.silent = True
        else:
            place.silent = False
