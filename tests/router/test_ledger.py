"""Nobody overspends, nothing is charged twice, nothing is lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import BudgetExhausted, StoreUnavailable
from router.ledger import RedisLedger
from router.store import Store, open_redis
from router.tenants import DAY, Window

TODAY = DAY._replace(limit=1_000)
WINDOWS = {
    "free": (DAY,),
    "day": (TODAY,),
    "minute": (Window("minute", 60, 100), TODAY),
    "capped": (DAY, Window("cap", 1.0, 100)),
}


def a_ledger(store: Store, **options: Any) -> RedisLedger:
    return RedisLedger(store, lambda tenant: WINDOWS.get(tenant, WINDOWS["day"]), confirm_after=0.3, **options)


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[RedisLedger]:
    async with a_ledger(store) as ledger:
        yield ledger


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_hold_becomes_what_was_used(ledger: RedisLedger) -> None:
    await ledger.reserve("day", "h1", 600, 60)
    assert await ledger.spent("day") == (0, 600)
    with pytest.raises(BudgetExhausted) as caught:
        await ledger.reserve("day", "h2", 401, 60)
    assert caught.value.metadata == {"window": "day", "limit": "1000", "used": "600", "asked": "401"}
    await ledger.settle("day", "h1", 250)
    assert await ledger.spent("day") == (250, 0)
    await ledger.reserve("day", "h2", 750, 60)
    with pytest.raises(BudgetExhausted):
        await ledger.reserve("day", "h3", 1, 60)


async def test_each_window_limits_and_no_limit_is_still_metered(ledger: RedisLedger) -> None:
    with pytest.raises(BudgetExhausted, match="minute"):
        await ledger.reserve("minute", "h", 101, 60)
    await ledger.reserve("free", "h", 10**12, 60)
    await ledger.settle("free", "h", 10**12)
    assert await ledger.spent("free") == (10**12, 0)


async def test_repeating_changes_nothing(ledger: RedisLedger) -> None:
    for _ in range(3):
        await ledger.reserve("day", "h", 600, 60)
    assert await ledger.spent("day") == (0, 600)
    for cost in (100, 100, 900):
        await ledger.settle("day", "h", cost)
    await ledger.reserve("day", "h", 600, 60)
    assert await ledger.spent("day") == (100, 0)


async def test_free_holds_and_costs_beyond_the_hold(ledger: RedisLedger) -> None:
    await ledger.reserve("day", "none", 0, 60)
    await ledger.settle("day", "none", 0)
    await ledger.reserve("day", "more", 100, 60)
    await ledger.settle("day", "more", 1_500)
    assert await ledger.spent("day") == (1_500, 0)
    for cost in (-1, 2**60):
        with pytest.raises(ValueError, match="micro-dollars"):
            await ledger.reserve("day", "bad", cost, 60)


async def test_a_lease_ends_and_a_late_charge_still_counts(ledger: RedisLedger) -> None:
    await ledger.reserve("day", "dead", 1_000, 0.05)
    await ledger.reserve("day", "zero", 0, 0.05)
    with pytest.raises(BudgetExhausted):
        await ledger.reserve("day", "next", 1, 60)
    await asyncio.sleep(0.1)
    await ledger.reserve("day", "next", 1_000, float("inf"))
    assert await ledger.spent("day") == (0, 1_000)
    await ledger.settle("day", "dead", 30)
    assert await ledger.spent("day") == (30, 1_000)


async def test_where_the_budget_gets_tight_the_least_is_held_and_grows(ledger: RedisLedger) -> None:
    assert await ledger.reserve("free", "all", 4_000, 60, least=10) == 4_000
    assert [await ledger.reserve("day", f"h{number}", 300, 60, least=10) for number in range(4)] == [300, 10, 10, 10]
    assert await ledger.reserve("day", "h1", 680, 60) == 680
    assert await ledger.reserve("day", "h2", 11, 60) == 10  # there is no more
    assert await ledger.reserve("day", "h1", 5, 60) == 680
    assert await ledger.spent("day") == (0, 1_000)
    with pytest.raises(BudgetExhausted) as caught:
        await ledger.reserve("day", "late", 4_000, 60, least=2)
    assert caught.value.metadata == {"window": "day", "limit": "1000", "used": "1000", "asked": "2"}
    assert caught.value.retry_after == 1.0  # what is held may be given back
    await ledger.settle("day", "h1", 100)
    assert await ledger.reserve("day", "h1", 4_000, 60, least=10) == 0  # it has had its turn
    assert await ledger.reserve("day", "h2", 11, 60) == 11
    assert await ledger.spent("day") == (100, 321)


async def test_a_hold_that_has_grown_ends_with_its_first_lease(ledger: RedisLedger) -> None:
    await ledger.reserve("day", "dead", 600, 0.2, least=10)
    await ledger.reserve("day", "dead", 900, 60)
    await asyncio.sleep(0.25)
    assert await ledger.reserve("day", "dead", 950, 60) == 900
    assert await ledger.spent("day") == (0, 0)


async def test_a_window_of_any_length_begins_anew(ledger: RedisLedger) -> None:
    await asyncio.sleep(1 - time.time() % 1)
    await ledger.reserve("capped", "h", 100, 60)
    await ledger.settle("capped", "h", 90)
    with pytest.raises(BudgetExhausted, match="the cap's budget") as caught:
        await ledger.reserve("capped", "next", 100, 60, least=11)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 1
    await asyncio.sleep(caught.value.retry_after + 0.05)
    assert await ledger.spent("capped", "cap") == (0, 0)
    assert await ledger.reserve("capped", "next", 100, 60) == 100
    assert await ledger.spent("capped") == (90, 100)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may answer late, and a ledger in its local mode is not what is tested."""
    monkeypatch.setattr("router.store.SOCKET_TIMEOUT", 10.0)


@pytest.mark.usefixtures("patience")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), limit=st.integers(0, 20_000))
async def test_two_routers_never_overspend_by_one_micro_dollar(redis_url: str, tmp_path: Path, seed: int, limit: int) -> None:
    dice = random.Random(seed)
    tenant = f"t{seed}-{limit}"
    seen = SimpleNamespace(charged=0, most=0, refused=0)

    async def one(ledger: RedisLedger, hold_id: str, wanted: int, least: int, share: float) -> None:
        try:
            held = await ledger.reserve(tenant, hold_id, wanted, 60, least=least)
        except BudgetExhausted:
            seen.refused += 1
            return
        assert held in (least, wanted)
        held = await ledger.reserve(tenant, hold_id, wanted, 60)
        assert least <= held <= wanted
        seen.most = max(seen.most, sum(await ledger.spent(tenant)))
        await asyncio.sleep(share * 0.01)
        await ledger.settle(tenant, hold_id, round(share * held))
        seen.charged += round(share * held)

    async with open_redis(redis_url, tmp_path) as first, open_redis(redis_url, tmp_path) as second:
        pair = [RedisLedger(store, lambda _: (DAY._replace(limit=limit),)) for store in (first, second)]
        async with asyncio.TaskGroup() as group:
            for index in range(200):
                wanted = dice.randint(0, 400)
                least = dice.choice([wanted, dice.randint(0, wanted)])
                group.create_task(one(pair[index % 2], f"{tenant}/{index}", wanted, least, dice.random()))
        assert await pair[0].spent(tenant) == (seen.charged, 0)
    assert seen.charged <= limit
    assert seen.most <= limit


async def test_while_redis_is_away_a_local_limit_holds(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store, a_ledger(store, local_limit=500, max_owed=3) as ledger:
        await ledger.reserve("free", "a", 300, 60)
        await ledger.reserve("free", "a", 300, 60)
        with pytest.raises(BudgetExhausted, match="outage"):
            await ledger.reserve("free", "b", 201, 60)
        with pytest.raises(BudgetExhausted, match="outage"):
            await ledger.reserve("minute", "c", 101, 60)
        await ledger.settle("free", "a", 200)
        await ledger.reserve("free", "b", 300, 60)
        await ledger.settle("free", "b", 0)
        await ledger.reserve("free", "c", 1, 0.01)
        with pytest.raises(StoreUnavailable):
            await ledger.reserve("free", "d", 1, 60)
        await asyncio.sleep(0.02)
        await ledger.reserve("free", "d", 1, 60)
        assert ledger.owed == 2


async def test_while_redis_is_away_holds_grow_too(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store, a_ledger(store, local_limit=500) as ledger:
        assert [await ledger.reserve("free", f"h{number}", 200, 60, least=50) for number in range(3)] == [200, 50, 50]
        assert [await ledger.reserve("free", "h1", cost, 60) for cost in (251, 250, 1)] == [50, 250, 250]
        assert await ledger.reserve("capped", "other", 300, 60, least=50) == 50
        with pytest.raises(BudgetExhausted, match="outage"):
            await ledger.reserve("free", "late", 300, 60, least=1)


async def test_redis_killed_and_brought_back_is_charged_exactly_once(mortal_redis: Any, tmp_path: Path) -> None:
    async with open_redis(mortal_redis.url, tmp_path) as store, a_ledger(store) as ledger:
        await ledger.reserve("day", "before", 100, 60)
        await ledger.settle("day", "before", 10)
        await ledger.reserve("day", "across", 100, 60)
        mortal_redis.kill()
        await ledger.settle("day", "across", 20)
        await ledger.reserve("day", "during", 100, 60)
        await ledger.settle("day", "during", 30)
        await ledger.settle("day", "during", 30)
        assert ledger.owed == 2
        mortal_redis.start()

        async def delivered() -> bool:
            return ledger.owed == 0

        await until(delivered)
        assert await ledger.spent("day") == (60, 0)
        await asyncio.sleep(0.7)  # the confirmations
        assert await ledger.spent("day") == (60, 0)


async def test_an_acknowledged_charge_that_redis_loses_is_sent_again(store: Store, ledger: RedisLedger) -> None:
    await ledger.settle("day", "h", 40)
    await store.ask(lambda redis: redis.flushall())

    async def charged() -> bool:
        return await ledger.spent("day") == (40, 0)

    await until(charged)


async def test_closing_delivers_what_is_owed(store: Store) -> None:
    async with a_ledger(store) as ledger:
        store._resting_until = float("inf")
        await ledger.settle("day", "h", 40)
        assert ledger.owed == 1
        store._resting_until = 0.0
    assert await ledger.spent("day") == (40, 0)
