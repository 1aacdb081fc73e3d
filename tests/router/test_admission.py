"""In with a permit and a hold; out with a settlement, whichever way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from router.admission import Admission
from router.errors import BudgetExhausted, Overloaded
from router.ledger.ledger import RedisLedger
from router.store import Store, open_redis
from router.telemetry import Telemetry
from router.tenants import DAY
from router.turnstile import Turnstile
from router.types import Amount, Message, Query, Usage

QUERY = Query(id="q", tenant="t", messages=(Message(content="?"),))


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[RedisLedger]:
    async with RedisLedger(store, lambda _: (DAY._replace(limit=1_000),)) as ledger:
        yield ledger


@pytest.fixture
async def admission(ledger: RedisLedger) -> AsyncIterator[Admission]:
    async with Admission(Turnstile(2), ledger, Telemetry()) as admission:
        yield admission


async def spending(admission: Admission, hold_id: str, cost: int, inside: asyncio.Event, pause: float) -> None:
    async with admission.admit(QUERY, hold_id, Amount(400), 60) as bill:
        bill.charge(Usage(cost=cost))
        inside.set()
        await asyncio.sleep(pause)


async def test_the_bill_is_settled(admission: Admission, ledger: RedisLedger) -> None:
    async with admission.admit(QUERY, "h", Amount(400), 60) as bill:
        assert await ledger.spent("t") == (0, 400)
        bill.charge(Usage(cost=20, kept_tokens=2))
        bill.charge(Usage(cost=10, kept_tokens=1))
        assert bill.usage == Usage(cost=30, kept_tokens=3)
        assert not bill.degraded
    assert await ledger.spent("t") == (30, 0)


async def test_a_failure_inside_is_settled(admission: Admission, ledger: RedisLedger) -> None:
    with suppress(ZeroDivisionError):
        async with admission.admit(QUERY, "h", Amount(400), 60) as bill:
            bill.charge(Usage(cost=30))
            raise ZeroDivisionError
    assert await ledger.spent("t") == (30, 0)


async def test_a_cancelled_request_is_settled(admission: Admission, ledger: RedisLedger) -> None:
    inside = asyncio.Event()
    task = asyncio.ensure_future(spending(admission, "h", 30, inside, 60))
    await inside.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()  # once more, while it settles
    with pytest.raises(asyncio.CancelledError):
        await task
    async with admission:
        pass
    assert await ledger.spent("t") == (30, 0)


async def test_cancelled_at_any_moment_nothing_stays_held(admission: Admission, ledger: RedisLedger) -> None:
    for step in range(12):
        task = asyncio.ensure_future(spending(admission, f"h{step}", 1, asyncio.Event(), 0.01))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    async with admission:
        pass
    await asyncio.sleep(0.05)  # a reserve that was cut off may be on its way
    spent, held = await ledger.spent("t")
    assert (spent <= 12, held) == (True, 0)
    async with admission.admit(QUERY, "a", Amount(10), 60), admission.admit(QUERY, "b", Amount(10), 60):
        pass


async def test_a_stream_that_is_closed_is_settled(admission: Admission, ledger: RedisLedger) -> None:
    async def stream() -> AsyncIterator[int]:
        async with admission.admit(QUERY, "h", Amount(400), 60) as bill:
            for number in range(10):
                bill.charge(Usage(cost=7))
                yield number

    numbers = stream()
    assert [await anext(numbers), await anext(numbers)] == [0, 1]
    await numbers.aclose()  # type: ignore[attr-defined]
    assert await ledger.spent("t") == (14, 0)


async def test_one_too_many_is_refused_at_once(admission: Admission, ledger: RedisLedger) -> None:
    async with admission.admit(QUERY, "a", Amount(10), 60), admission.admit(QUERY, "b", Amount(10), 60):
        with pytest.raises(Overloaded, match="2 permits"):
            async with admission.admit(QUERY, "c", Amount(10), 60):
                pass
        assert await ledger.spent("t") == (0, 20)
    async with admission.admit(QUERY, "c", Amount(10), 60):
        pass


async def test_no_budget_gives_the_permit_back(admission: Admission) -> None:
    for _ in range(5):
        with pytest.raises(BudgetExhausted):
            async with admission.admit(QUERY, "h", Amount(1_001), 60):
                pass
    async with admission.admit(QUERY, "a", Amount(10), 60), admission.admit(QUERY, "b", Amount(10), 60):
        pass


async def test_a_hold_grows_as_far_as_the_budget_has_room(admission: Admission, ledger: RedisLedger) -> None:
    async with admission.admit(QUERY, "big", Amount(450), 60), admission.admit(QUERY, "small", Amount(450), 60, least=Amount(50)) as bill:
        assert (bill.held.cost, await ledger.spent("t")) == (50, (0, 500))
        assert await admission.covers(bill, Amount(50))
        assert await admission.covers(bill, Amount(550))
        assert not await admission.covers(bill, Amount(551))
        assert (bill.held.cost, await ledger.spent("t")) == (550, (0, 1_000))
        bill.charge(Usage(cost=520))
    assert await ledger.spent("t") == (520, 0)


async def test_without_redis_the_bill_says_so(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store, RedisLedger(store, lambda _: (DAY,)) as ledger:
        async with Admission(Turnstile(1), ledger, Telemetry()).admit(QUERY, "h", Amount(400), 60) as bill:
            assert bill.degraded
        assert ledger.owed == 1
