"""Nobody overspends, nothing is charged twice, nothing is lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import BudgetExhausted, RateLimited, StoreUnavailable
from router.ledger.ledger import RedisLedger
from router.ledger.scripts import MONTH
from router.store import Store, open_redis
from router.tenants import DAY, Window
from router.terms import BudgetSettings, TenantSettings
from router.types import Amount

TODAY = DAY._replace(limit=1_000)
WINDOWS = {
    "free": (DAY,),
    "day": (TODAY,),
    "minute": (Window("minute", 60, 100), TODAY),
    "capped": (DAY, Window("cap", 1.0, 100)),
}


def a_ledger(store: Store, **options: Any) -> RedisLedger:
    return RedisLedger(store, lambda tenant: WINDOWS.get(tenant, WINDOWS["day"]), confirm_after=0.3, **options)


async def reserve(ledger: RedisLedger, tenant: str, hold_id: str, cost: int, ttl: float, *, least: int | None = None) -> int:
    """Micro-dollars alone."""
    return (await ledger.reserve(tenant, hold_id, Amount(cost), ttl, None if least is None else Amount(least))).cost


async def settle(ledger: RedisLedger, tenant: str, hold_id: str, cost: int) -> None:
    await ledger.settle(tenant, hold_id, Amount(cost))


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[RedisLedger]:
    async with a_ledger(store) as ledger:
        yield ledger


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_hold_becomes_what_was_used(ledger: RedisLedger) -> None:
    await reserve(ledger, "day", "h1", 600, 60)
    assert await ledger.spent("day") == (0, 600)
    with pytest.raises(BudgetExhausted) as caught:
        await reserve(ledger, "day", "h2", 401, 60)
    assert caught.value.metadata == {"window": "day", "limit": "1000", "used": "600", "asked": "401", "unit": "micro-dollars", "scope": "tenant"}
    await settle(ledger, "day", "h1", 250)
    assert await ledger.spent("day") == (250, 0)
    await reserve(ledger, "day", "h2", 750, 60)
    with pytest.raises(BudgetExhausted):
        await reserve(ledger, "day", "h3", 1, 60)


async def test_each_window_limits_and_no_limit_is_still_metered(ledger: RedisLedger) -> None:
    with pytest.raises(BudgetExhausted, match="minute"):
        await reserve(ledger, "minute", "h", 101, 60)
    await reserve(ledger, "free", "h", 10**12, 60)
    await settle(ledger, "free", "h", 10**12)
    assert await ledger.spent("free") == (10**12, 0)


async def test_repeating_changes_nothing(ledger: RedisLedger) -> None:
    for _ in range(3):
        await reserve(ledger, "day", "h", 600, 60)
    assert await ledger.spent("day") == (0, 600)
    for cost in (100, 100, 900):
        await settle(ledger, "day", "h", cost)
    await reserve(ledger, "day", "h", 600, 60)
    assert await ledger.spent("day") == (100, 0)


async def test_free_holds_and_costs_beyond_the_hold(ledger: RedisLedger) -> None:
    await reserve(ledger, "day", "none", 0, 60)
    await settle(ledger, "day", "none", 0)
    await reserve(ledger, "day", "more", 100, 60)
    await settle(ledger, "day", "more", 1_500)
    assert await ledger.spent("day") == (1_500, 0)
    for cost in (-1, 2**60):
        with pytest.raises(ValueError, match="micro-dollars"):
            await reserve(ledger, "day", "bad", cost, 60)


async def test_a_lease_ends_and_a_late_charge_still_counts(ledger: RedisLedger) -> None:
    await reserve(ledger, "day", "dead", 1_000, 0.05)
    await reserve(ledger, "day", "zero", 0, 0.05)
    with pytest.raises(BudgetExhausted):
        await reserve(ledger, "day", "next", 1, 60)
    await asyncio.sleep(0.1)
    await reserve(ledger, "day", "next", 1_000, float("inf"))
    assert await ledger.spent("day") == (0, 1_000)
    await settle(ledger, "day", "dead", 30)
    assert await ledger.spent("day") == (30, 1_000)


async def test_where_the_budget_gets_tight_the_least_is_held_and_grows(ledger: RedisLedger) -> None:
    assert await reserve(ledger, "free", "all", 4_000, 60, least=10) == 4_000
    assert [await reserve(ledger, "day", f"h{number}", 300, 60, least=10) for number in range(4)] == [300, 10, 10, 10]
    assert await reserve(ledger, "day", "h1", 680, 60) == 680
    assert await reserve(ledger, "day", "h2", 11, 60) == 10  # there is no more
    assert await reserve(ledger, "day", "h1", 5, 60) == 680
    assert await ledger.spent("day") == (0, 1_000)
    with pytest.raises(BudgetExhausted) as caught:
        await reserve(ledger, "day", "late", 4_000, 60, least=2)
    assert (caught.value.metadata["used"], caught.value.metadata["asked"]) == ("1000", "2")
    assert caught.value.retry_after == 1.0  # what is held may be given back
    await settle(ledger, "day", "h1", 100)
    assert await reserve(ledger, "day", "h1", 4_000, 60, least=10) == 0  # it has had its turn
    assert await reserve(ledger, "day", "h2", 11, 60) == 11
    assert await ledger.spent("day") == (100, 321)


async def test_a_hold_that_has_grown_ends_with_its_first_lease(ledger: RedisLedger) -> None:
    await reserve(ledger, "day", "dead", 600, 0.2, least=10)
    await reserve(ledger, "day", "dead", 900, 60)
    await asyncio.sleep(0.25)
    assert await reserve(ledger, "day", "dead", 950, 60) == 900
    assert await ledger.spent("day") == (0, 0)


async def test_a_window_of_any_length_begins_anew(ledger: RedisLedger) -> None:
    await asyncio.sleep(1 - time.time() % 1)
    await reserve(ledger, "capped", "h", 100, 60)
    await settle(ledger, "capped", "h", 90)
    with pytest.raises(BudgetExhausted, match="the cap's budget") as caught:
        await reserve(ledger, "capped", "next", 100, 60, least=11)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 1
    await asyncio.sleep(caught.value.retry_after + 0.05)
    assert await ledger.spent("capped", "cap") == (0, 0)
    assert await reserve(ledger, "capped", "next", 100, 60) == 100
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
            held = await reserve(ledger, tenant, hold_id, wanted, 60, least=least)
        except BudgetExhausted:
            seen.refused += 1
            return
        assert held in (least, wanted)
        held = await reserve(ledger, tenant, hold_id, wanted, 60)
        assert least <= held <= wanted
        seen.most = max(seen.most, sum(await ledger.spent(tenant)))
        await asyncio.sleep(share * 0.01)
        await settle(ledger, tenant, hold_id, round(share * held))
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
        await reserve(ledger, "free", "a", 300, 60)
        await reserve(ledger, "free", "a", 300, 60)
        with pytest.raises(BudgetExhausted, match="outage"):
            await reserve(ledger, "free", "b", 201, 60)
        with pytest.raises(BudgetExhausted, match="outage"):
            await reserve(ledger, "minute", "c", 101, 60)
        await settle(ledger, "free", "a", 200)
        await reserve(ledger, "free", "b", 300, 60)
        await settle(ledger, "free", "b", 0)
        await reserve(ledger, "free", "c", 1, 0.01)
        with pytest.raises(StoreUnavailable):
            await reserve(ledger, "free", "d", 1, 60)
        await asyncio.sleep(0.02)
        await reserve(ledger, "free", "d", 1, 60)
        assert ledger.owed == 2


async def test_while_redis_is_away_holds_grow_too(tmp_path: Path) -> None:
    async with open_redis("redis://127.0.0.1:1", tmp_path) as store, a_ledger(store, local_limit=500) as ledger:
        assert [await reserve(ledger, "free", f"h{number}", 200, 60, least=50) for number in range(3)] == [200, 50, 50]
        assert [await reserve(ledger, "free", "h1", cost, 60) for cost in (251, 250, 1)] == [50, 250, 250]
        assert await reserve(ledger, "capped", "other", 300, 60, least=50) == 50
        with pytest.raises(BudgetExhausted, match="outage"):
            await reserve(ledger, "free", "late", 300, 60, least=1)


async def test_redis_killed_and_brought_back_is_charged_exactly_once(mortal_redis: Any, tmp_path: Path) -> None:
    async with open_redis(mortal_redis.url, tmp_path) as store, a_ledger(store) as ledger:
        await reserve(ledger, "day", "before", 100, 60)
        await settle(ledger, "day", "before", 10)
        await reserve(ledger, "day", "across", 100, 60)
        mortal_redis.kill()
        await settle(ledger, "day", "across", 20)
        await reserve(ledger, "day", "during", 100, 60)
        await settle(ledger, "day", "during", 30)
        await settle(ledger, "day", "during", 30)
        assert ledger.owed == 2
        mortal_redis.start()

        async def delivered() -> bool:
            return ledger.owed == 0

        await until(delivered)
        assert await ledger.spent("day") == (60, 0)
        await asyncio.sleep(0.7)  # the confirmations
        assert await ledger.spent("day") == (60, 0)


async def test_an_acknowledged_charge_that_redis_loses_is_sent_again(store: Store, ledger: RedisLedger) -> None:
    await settle(ledger, "day", "h", 40)
    await store.ask(lambda redis: redis.flushall())

    async def charged() -> bool:
        return await ledger.spent("day") == (40, 0)

    await until(charged)


async def test_closing_delivers_what_is_owed(store: Store) -> None:
    async with a_ledger(store) as ledger:
        store._resting_until = float("inf")
        await settle(ledger, "day", "h", 40)
        assert ledger.owed == 1
        store._resting_until = 0.0
    assert await ledger.spent("day") == (40, 0)


def windows_of(**terms: Any) -> tuple[Window, ...]:
    return TenantSettings(**terms).tenant("t").windows


@pytest.mark.parametrize(
    ("terms", "window", "holds"),
    [
        ({"tokens_per_minute": 100}, "minute-tokens", [60, 41]),
        ({"tokens_per_day": 100}, "day-tokens", [60, 41]),
        ({"tokens_per_month": 100}, "month-tokens", [60, 41]),
        ({"per_month": 100}, "month", [60, 41]),
        ({"requests_per_minute": 2}, "minute-requests", [1, 1, 1]),
        ({"concurrency": 2}, "concurrency", [1, 1, 1]),
    ],
)
async def test_every_budget_of_a_tenant_limits(store: Store, terms: dict[str, int], window: str, holds: list[int]) -> None:
    async with RedisLedger(store, lambda _: windows_of(**terms)) as ledger:
        for number, amount in enumerate(holds[:-1]):
            assert await ledger.reserve("t", f"h{number}", Amount(amount, amount), 60) == (amount, amount)
        with pytest.raises((BudgetExhausted, RateLimited)) as caught:
            await ledger.reserve("t", "last", Amount(holds[-1], holds[-1]), 60)
        assert caught.value.metadata["window"] == window
        assert caught.value.reason == ("RATE_LIMITED" if window in ("minute-requests", "concurrency") else "BUDGET_EXHAUSTED")
        assert caught.value.retry_after is not None
        await ledger.settle("t", "h0", Amount(0))
        if window == "minute-requests":  # it was made, whatever it cost
            assert 0 < caught.value.retry_after <= 60
            with pytest.raises(RateLimited):
                await ledger.reserve("t", "last", Amount(1, 1), 60)
        else:
            assert await ledger.reserve("t", "last", Amount(holds[-1], holds[-1]), 60)


async def test_tokens_are_charged_and_refunded_beside_money(store: Store) -> None:
    async with RedisLedger(store, lambda _: windows_of(tokens_per_day=1_000, per_day=1_000)) as ledger:
        assert await ledger.reserve("t", "a", Amount(10, 900), 60, Amount(1, 90)) == (1, 90)  # two of these would not fit
        assert await ledger.reserve("t", "a", Amount(5, 300), 60) == (5, 300)
        assert await ledger.reserve("t", "b", Amount(5, 701), 60, Amount(5, 1)) == (5, 1)
        assert await ledger.spent("t", "day-tokens") == (0, 301)
        await ledger.settle("t", "a", Amount(7, 250))
        assert (await ledger.spent("t"), await ledger.spent("t", "day-tokens")) == ((7, 5), (250, 1))


async def test_the_fleet_limits_all_tenants_together(store: Store) -> None:
    fleet = BudgetSettings(per_day=100, tokens_per_day=1_000, requests_per_minute=4).windows
    async with RedisLedger(store, lambda _: windows_of(per_day=90), fleet=fleet) as ledger:
        await ledger.reserve("a", "one", Amount(60, 10), 60)
        await ledger.reserve("b", "two", Amount(30, 10), 0.05)
        with pytest.raises(BudgetExhausted, match="day's budget of the fleet: 90 of 100") as caught:
            await ledger.reserve("b", "more", Amount(11), 60)
        assert caught.value.metadata["scope"] == "fleet"
        await asyncio.sleep(0.1)
        await ledger.reserve("c", "more", Amount(11), 60)  # the dead one's is free again
        assert await ledger.fleet_spent("day") == (0, 71)
        await ledger.settle("a", "one", Amount(40, 400))
        await ledger.settle("b", "two", Amount(7, 7))
        assert (await ledger.fleet_spent("day"), await ledger.fleet_spent("day-tokens")) == ((47, 11), (407, 0))
        assert (await ledger.spent("a"), await ledger.spent("b")) == ((40, 0), (7, 0))
        await ledger.reserve("d", "h", Amount(1), 60)
        with pytest.raises(RateLimited, match="of the fleet"):
            await ledger.reserve("d", "i", Amount(1), 60)


@given(at=st.datetimes(datetime(1970, 1, 1), datetime(2400, 12, 31), timezones=st.just(UTC)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_month_is_that_of_the_calendar(redis_server: Any, at: datetime) -> None:
    with redis.Redis(unix_socket_path=str(redis_server.address)) as client:
        now = int(at.timestamp() * 1000)
        number, left = client.eval(MONTH + "local number, left = month(ARGV[1] + 0)\nreturn {number, left}", 0, now)
        ends = datetime(at.year + at.month // 12, at.month % 12 + 1, 1, tzinfo=UTC)
        assert left == round((ends - at.replace(microsecond=at.microsecond // 1000 * 1000)).total_seconds() * 1000)
        assert client.eval(MONTH + "return {month(ARGV[1] + 0)}", 0, now + left)[0] == number + 1
