"""The fleet: several workers as one executor. The least busy one is next; those that fail are left out for a while, and others come and go."""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import structlog

from router.background import background
from router.errors import BackendUnavailable
from router.ports import Meter, Spare
from router.types import Budget, Evidence, Outcome, Plan, Query
from workers.discovery.lookout import Lookout
from workers.member import Member
from workers.race import Race
from workers.remote import RemoteExecutor

log = structlog.get_logger("rheostat.fleet")
LOOK = 0.25  # seconds between two looks at what workers do
_REACHED = 0.02  # seconds between two looks at whether any can be reached, at the start
_REMEMBERED = 200  # durations of each plan
_KNOWN = 20  # durations from which on it is known what a straggler is
_STRAGGLES = 0.95  # quantile of durations after which a second run begins (Dean and Barroso 2013, "The tail at scale", hedged requests)
_SHORTEST = 0.05  # seconds; hedging sooner gains nothing


class Fleet:
    """Runs each plan on one of several workers; see `Executor`. `models` are those expected in pools, by name. Made by `open_fleet`."""

    def __init__(self, models: Mapping[str, str] = MappingProxyType({}), clock: Callable[[], float] = time.monotonic) -> None:
        self.members: list[Member] = []
        self.hedged = 0
        self.retried = 0
        self._models = models
        self._clock = clock
        self._took: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._rng = np.random.default_rng()
        self._leaving: set[asyncio.Task[None]] = set()

    async def execute(self, query: Query, plan: Plan, evidence: Evidence, budget: Budget, meter: Meter, *, spare: Spare | None = None) -> Outcome:
        """See `Executor.execute`."""
        began = self._clock()

        def run(member: Member, budget: Budget, meter: Meter) -> Coroutine[Any, Any, Outcome]:
            return member.executor.execute(query, plan, evidence, budget, meter)

        race = Race(plan.id, run, partial(self._next, plan), budget, meter)
        try:
            outcome = await race.outcome(self._patience(plan), spare)
        finally:
            self.hedged += race.hedged
            self.retried += race.retried
        self._took[plan.id].append(self._clock() - began)
        return outcome

    def serves(self, plan: Plan) -> bool:
        """See `Executor.serves`."""
        return any(member.serves(plan) for member in self.members)

    def meet(self, addresses: Collection[str]) -> None:
        """These are the workers now: who is new is given work, who is gone ends what it has and is given no more."""
        known = {member.address for member in self.members}
        gone = [member for member in self.members if member.address not in addresses]
        self.members = [member for member in self.members if member.address in addresses]
        self.members += [Member(address, RemoteExecutor(address)) for address in sorted(set(addresses) - known)]
        for member in gone:
            log.info("worker_gone", worker=member.address)
            leaving = asyncio.create_task(_left(member), name=f"leave-{member.address}")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def look(self, hear: Callable[[Mapping[str, float]], None]) -> None:
        """Ask all workers how busy they are, again and again; `hear` is told the load of each pool."""
        while True:
            await asyncio.gather(*map(self._ask, self.members))
            hear(self.loads())
            await asyncio.sleep(LOOK)

    async def close(self) -> None:
        """Leave every worker at once."""
        for leaving in list(self._leaving):
            leaving.cancel()
        await asyncio.gather(*(member.executor.close() for member in self.members), *self._leaving, return_exceptions=True)

    @property
    def ejected(self) -> int:
        """Workers that are given nothing now."""
        return sum(member.ejected for member in self.members)

    def workers(self) -> dict[str, int]:
        """Workers of each pool that is expected or served, but for those that are given nothing now."""
        serving = Counter(name for member in self.members if member.offers and not member.ejected for name in member.offers.pools)
        return {name: serving[name] for name in {*self._models, *serving}}

    def loads(self) -> dict[str, float]:
        """Of each pool with a limit: samples that are drawn or wait, of those that its workers can draw at once."""
        slots, wanted = defaultdict[str, int](int), defaultdict[str, int](int)
        for member in self.members:
            for name, offer in member.offers.pools.items() if member.offers and not member.ejected else ():
                slots[name] += offer.slots
                wanted[name] += offer.wanted
        return {name: wanted[name] / most for name, most in slots.items() if most}

    def _next(self, plan: Plan, without: Collection[Member]) -> Member | None:
        """The least busy of those that serve the plan, with the expected model where there is one.

        Where all were ejected, any of them: to try is better than to refuse.
        """
        able = [one for one in self.members if one not in without and one.serves(plan)]
        able = [one for one in able if not one.differs(plan, self._models)] or able
        members = [one for one in able if not one.ejected] or able
        return min(members, key=lambda one: (one.burden, self._rng.random()), default=None)

    def _patience(self, plan: Plan) -> float | None:
        """Seconds until a run of this plan is a straggler; None where that is not known, or there is nowhere else to run it."""
        took = self._took[plan.id]
        if len(self.members) == 1 or len(took) < _KNOWN:
            return None
        return max(_SHORTEST, sorted(took)[int(_STRAGGLES * len(took))])

    async def _ask(self, member: Member) -> None:
        try:
            offers = await member.executor.offers()
        except BackendUnavailable as error:
            member.silent = True
            if member.failed():
                log.warning("worker_ejected", worker=member.address, error=error.message, ejections=member.ejections)
            return
        if member.offers is None or offers.models != member.offers.models:
            self._compare(member.address, offers.models)
        member.offers = offers
        if member.silent:
            member.silent = False
            member.succeeded()

    def _compare(self, address: str, models: Mapping[str, str]) -> None:
        """Say where a worker has other models than are expected."""
        others = {name: model for name, model in models.items() if model and model != (self._models.get(name) or model)}
        if others:
            log.warning("worker_differs", worker=address, models=others, expected={name: self._models[name] for name in others})


@asynccontextmanager
async def open_fleet(
    places: Sequence[str],
    hear: Callable[[Mapping[str, float]], None],
    models: Mapping[str, str] = MappingProxyType({}),
    patience: float = 60.0,
) -> AsyncIterator[Fleet]:
    """The workers at these places (`workers.discovery`); raises BackendUnavailable when none can be reached within `patience` seconds."""
    fleet = Fleet(models)
    try:
        async with background(discovery=Lookout(places).keep(fleet.meet)):
            await _any_reached(fleet, places, patience)
            async with background(fleet=fleet.look(hear)):
                yield fleet
    finally:
        await fleet.close()


async def _any_reached(fleet: Fleet, places: Sequence[str], patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            while not any(member.executor.connected for member in fleet.members):  # noqa: ASYNC110 - members come at any time
                await asyncio.sleep(_REACHED)
    except TimeoutError as error:
        raise BackendUnavailable(f"no worker at {', '.join(places)} within {patience:g} seconds") from error


async def _left(member: Member) -> None:
    """Close the way to a worker that is gone once nothing runs there any more."""
    try:
        while member.under_way:  # noqa: ASYNC110 - once a second is often enough
            await asyncio.sleep(LOOK)
    finally:
        await member.executor.close()
