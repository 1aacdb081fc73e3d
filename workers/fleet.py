"""The fleet: several workers as one executor. The least busy one is next; those that fail are left out for a while."""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import structlog

from router.background import background
from router.errors import BackendUnavailable
from router.ports import Meter, Spare
from router.types import Budget, Evidence, Outcome, Plan, Query
from workers.member import Member
from workers.race import Race
from workers.remote import connected

log = structlog.get_logger("rheostat.fleet")
LOOK = 0.25  # seconds between two looks at what workers do
_REMEMBERED = 200  # durations of each plan
_KNOWN = 20  # durations from which on it is known what a straggler is
_STRAGGLES = 0.95  # quantile of durations after which a second run begins (Dean and Barroso 2013, "The tail at scale", hedged requests)
_SHORTEST = 0.05  # seconds; hedging sooner gains nothing


class Fleet:
    """Runs each plan on one of several workers; see `Executor`. Made by `open_fleet`."""

    def __init__(self, members: Sequence[Member], clock: Callable[[], float] = time.monotonic) -> None:
        self.members = members
        self.hedged = 0
        self.retried = 0
        self._clock = clock
        self._took: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._rng = np.random.default_rng()

    async def execute(self, query: Query, plan: Plan, evidence: Evidence, budget: Budget, meter: Meter, *, spare: Spare | None = None) -> Outcome:
        """See `Executor.execute`."""
        began = self._clock()

        def run(member: Member, budget: Budget, meter: Meter) -> Coroutine[Any, Any, Outcome]:
            return member.executor.execute(query, plan, evidence, budget, meter)

        race = Race(run, partial(self._next, plan), budget, meter)
        try:
            outcome = await race.outcome(self._patience(plan), spare)
        finally:
            self.hedged += race.hedged
            self.retried += race.retried
        self._took[plan.id].append(self._clock() - began)
        return outcome

    async def look(self, hear: Callable[[Mapping[str, float]], None]) -> None:
        """Ask all workers how busy they are, again and again; `hear` is told the load of each pool."""
        while True:
            await asyncio.gather(*map(self._ask, self.members))
            hear(self.loads())
            await asyncio.sleep(LOOK)

    @property
    def ejected(self) -> int:
        """Workers that are given nothing now."""
        return sum(member.ejected for member in self.members)

    def loads(self) -> dict[str, float]:
        """Of each pool with a limit: samples that are drawn or wait, of those that its workers can draw at once."""
        slots, wanted = defaultdict[str, int](int), defaultdict[str, int](int)
        for member in self.members:
            for name, load in () if member.ejected else member.loads.items():
                slots[name] += load.slots
                wanted[name] += load.wanted
        return {name: wanted[name] / most for name, most in slots.items() if most}

    def _next(self, plan: Plan, without: Collection[Member]) -> Member | None:
        """The least busy of those that have the plan's pools. Where all that do were ejected, any of them: to try is better than to refuse."""
        able = [one for one in self.members if one not in without and all(map(one.has, (plan.pool, *plan.helpers)))]
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
            member.loads = await member.executor.loads()
            if member.silent:
                member.silent = False
                member.succeeded()
        except BackendUnavailable as error:
            member.silent = True
            if member.failed():
                log.warning("worker_ejected", worker=member.address, error=error.message, ejections=member.ejections)


@asynccontextmanager
async def open_fleet(addresses: Sequence[str], hear: Callable[[Mapping[str, float]], None], patience: float = 60.0) -> AsyncIterator[Fleet]:
    """The workers at these gRPC addresses; raises BackendUnavailable when none can be reached within `patience` seconds."""
    async with AsyncExitStack() as stack:
        fleet = Fleet([Member(address, await stack.enter_async_context(connected(address))) for address in addresses])
        await _any_ready(fleet, patience)
        await stack.enter_async_context(background(fleet=fleet.look(hear)))
        yield fleet


async def _any_ready(fleet: Fleet, patience: float) -> None:
    waiting = [asyncio.create_task(member.executor.ready()) for member in fleet.members]
    done, pending = await asyncio.wait(waiting, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if not done:
        raise BackendUnavailable(f"no worker at {', '.join(member.address for member in fleet.members)} within {patience:g} seconds")
