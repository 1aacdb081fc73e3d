"""Admission: a request gets in with a permit and a hold on its worst case, and leaves by settling, whichever way it leaves."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

import structlog

from router.errors import BudgetExhausted, Overloaded, RouterError, StoreUnavailable
from router.ports import Ledger
from router.telemetry import Telemetry
from router.types import Usage

T = TypeVar("T")
LEAVING = 5.0  # seconds that requests cut off at the end have for stopping their samples and settling
log = structlog.get_logger("rheostat.admission")


class Permits:
    """So many requests at a time. `async with` takes one or raises Overloaded at once; nobody queues."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    async def __aenter__(self) -> None:
        if self.taken >= self.most:
            raise Overloaded(f"all {self.most} permits are taken", permits=self.most)
        self.taken += 1

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.taken -= 1


@dataclass(slots=True, kw_only=True)
class Bill:
    """What one request has spent so far; the meter of its executions. `degraded`: the hold was granted without Redis."""

    usage: Usage = field(default_factory=Usage)
    tenant: str = ""
    hold_id: str = ""  # empty: nothing is bought
    held: int = 0  # micro-dollars it may come to
    ttl: float = 0.0  # seconds from its beginning until the hold is given up
    degraded: bool = False

    def charge(self, usage: Usage) -> None:
        """See ports.Meter."""
        self.usage = self.usage + usage


class Admission:
    """Lets requests in. As a context manager it waits, at exit, until every request has left and is settled."""

    def __init__(self, permits: Permits, ledger: Ledger, telemetry: Telemetry) -> None:
        self._permits = permits
        self._ledger = ledger
        self._telemetry = telemetry
        self._unfinished: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                while self._permits.taken or self._unfinished:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    @asynccontextmanager
    async def admit(self, tenant: str, request_id: str, cost: int, ttl: float, least: int | None = None) -> AsyncIterator[Bill]:
        """Hold `cost` micro-dollars, or `least` where the budget is tight, for at most `ttl` seconds, and settle at exit what the bill says.

        Raises Overloaded or BudgetExhausted.
        """
        hold_id = f"{request_id}/{uuid4().hex}"  # a client may repeat its request's id, and pays each time
        async with self._permits:
            self._telemetry.active(1)
            try:
                began = time.perf_counter()
                with self._telemetry.step("admission"):
                    bill = await self._reserved(tenant, hold_id, cost, ttl, least)
                self._telemetry.waited(time.perf_counter() - began)
                try:
                    yield bill
                finally:
                    with self._telemetry.step("settle"):
                        await self.uncancelled(self._ledger.settle(tenant, hold_id, bill.usage.cost))
            finally:
                self._telemetry.active(-1)

    async def covers(self, bill: Bill, cost: int) -> bool:
        """Whether a bill may come to so much; its hold grows, if it has to and the tenant's budget has room for it."""
        if bill.held < cost:
            with suppress(BudgetExhausted, StoreUnavailable):
                bill.held = await self._ledger.reserve(bill.tenant, bill.hold_id, cost, bill.ttl)
        return bill.held >= cost

    async def _reserved(self, tenant: str, hold_id: str, cost: int, ttl: float, least: int | None) -> Bill:
        try:
            held = await self._ledger.reserve(tenant, hold_id, cost, ttl, least)
        except asyncio.CancelledError:  # it may have come through all the same; settling what was never held costs nothing
            await self.uncancelled(self._ledger.settle(tenant, hold_id, 0))
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
