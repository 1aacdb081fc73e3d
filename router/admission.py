"""Admission: a request gets in with a permit and a hold on its worst case, and leaves by settling, whichever way it leaves."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import structlog

from router.errors import BudgetExhausted, RateLimited, RouterError, StoreUnavailable
from router.ports import Ledger
from router.telemetry import Telemetry
from router.turnstile import Turnstile
from router.types import Amount, Query, Usage

T = TypeVar("T")
NOTHING = Amount(0)
LEAVING = 5.0  # seconds that requests cut off at the end have for stopping their samples and settling
log = structlog.get_logger("rheostat.admission")


@dataclass(slots=True, kw_only=True)
class Bill:
    """What one request has spent so far; the meter of its executions. `degraded`: the hold was granted without Redis."""

    usage: Usage = field(default_factory=Usage)
    tenant: str = ""
    hold_id: str = ""  # empty: nothing is bought
    held: Amount = NOTHING  # what it may come to
    ttl: float = 0.0  # seconds from its beginning until the hold is given up
    degraded: bool = False

    def charge(self, usage: Usage) -> None:
        """See ports.Meter."""
        self.usage = self.usage + usage


class Admission:
    """Lets requests in. As a context manager it waits, at exit, until every request has left and is settled."""

    def __init__(self, turnstile: Turnstile, ledger: Ledger, telemetry: Telemetry) -> None:
        self._turnstile = turnstile
        self._ledger = ledger
        self._telemetry = telemetry
        self._unfinished: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                while self._turnstile.taken or self._unfinished:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    @asynccontextmanager
    async def admit(
        self, query: Query, decision_id: str, worst: Amount, ttl: float, *, least: Amount | None = None, patience: float = float("inf")
    ) -> AsyncIterator[Bill]:
        """Hold the worst case, or `least` where the budget is tight, for at most `ttl` seconds, and settle at exit what the bill says.

        The hold has the decision's id, so that what is logged of a decision can be settled by whoever finds it. Waits at most `patience` seconds for
        a permit. Raises Overloaded, RateLimited, BudgetExhausted or DeadlineExceeded.
        """
        async with self._turnstile.inside(query.tenant, query.weight, patience) as waited:
            self._telemetry.active(1)
            self._telemetry.waited(waited)
            try:
                with self._telemetry.step("admission"):
                    bill = await self._reserved(query.tenant, decision_id, worst, ttl, least)
                try:
                    yield bill
                finally:
                    with self._telemetry.step("settle"):
                        await self.uncancelled(self._ledger.settle(query.tenant, decision_id, bill.usage.amount))
            finally:
                self._telemetry.active(-1)

    async def covers(self, bill: Bill, amount: Amount) -> bool:
        """Whether a bill may come to so much; its hold grows, if it has to and the tenant's budget has room for it."""
        if not bill.held.covers(amount):
            with suppress(BudgetExhausted, RateLimited, StoreUnavailable):
                bill.held = await self._ledger.reserve(bill.tenant, bill.hold_id, amount, bill.ttl)
        return bill.held.covers(amount)

    async def _reserved(self, tenant: str, hold_id: str, worst: Amount, ttl: float, least: Amount | None) -> Bill:
        try:
            held = await self._ledger.reserve(tenant, hold_id, worst, ttl, least)
        except asyncio.CancelledError:  # it may have come through all the same; settling what was never held costs nothing
            await self.uncancelled(self._ledger.settle(tenant, hold_id, NOTHING))
            raise
        return Bill(tenant=tenant, hold_id=hold_id, held=held, ttl=ttl, degraded=self._ledger.degraded)

    async def uncancelled(self, work: Coroutine[object, object, T]) -> T:
        """What `work` gives. It is done to its end even if the caller is cancelled meanwhile."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[object]) -> None:
        self._unfinished.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), RouterError):
            log.warning("unfinished_business", reason=error.reason, error=error.message)
