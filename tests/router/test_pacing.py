"""What routers know of a tenant's pace, brought together in a real Redis, which may go away meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from policies.pacer import ObjectivePacer
from router.pacing import pacing
from router.store import Store, open_redis, pace_key
from router.types import Objective

DAILY = Objective(cap=1_000_000)
KEY = pace_key("acme", DAILY)


@asynccontextmanager
async def a_router(store: Store, seconds: float = 0.02) -> AsyncIterator[ObjectivePacer]:
    pacer = ObjectivePacer(DAILY, time.time())
    async with pacing(store, {KEY: pacer}, seconds):
        yield pacer


def spend(pacer: ObjectivePacer, times: int, cost: int = 10) -> None:
    for _ in range(times):
        pacer.update(cost=cost, quality=0.5, at=time.time())


async def until(truth: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not truth():
            await asyncio.sleep(0.01)


def spent(pacer: ObjectivePacer) -> int:
    return round(pacer.standing(time.time()).spent * 1_000_000)


def test_tenants_objectives_and_windows_have_keys_of_their_own() -> None:
    keys = {pace_key("acme", one) for one in (DAILY, Objective(cap=5), Objective(cap=5, window=60.0), Objective(floor=0.5), Objective(floor=0.7))}
    assert keys == {"rheostat:v1:pace:{acme}:cap:86400", "rheostat:v1:pace:{acme}:cap:60", "rheostat:v1:pace:{acme}:floor:86400"}


async def test_routers_know_soon_what_the_others_spend_and_a_restart_what_all_did(store: Store) -> None:
    async with a_router(store) as one, a_router(store) as two:
        spend(one, 3)
        spend(two, 4)
        await until(lambda: spent(one) == spent(two) == 70)
        now = time.time()
        assert one.value(now) == two.value(now)
        spend(two, 1)
    async with a_router(store) as again:
        await until(lambda: spent(again) == 80)


async def test_many_routers_at_once_lose_and_repeat_nothing(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.store.SOCKET_TIMEOUT", 10.0)  # a busy machine may answer late, and what is away then is not tested here

    async def busy() -> None:
        async with open_redis(redis_url, tmp_path) as store, a_router(store, seconds=0.001) as pacer:
            for _ in range(50):
                spend(pacer, 1)
                await asyncio.sleep(0.002)

    await asyncio.gather(*(busy() for _ in range(5)))
    async with open_redis(redis_url, tmp_path) as store, a_router(store) as last:
        assert spent(last) == 5 * 50 * 10


async def test_while_redis_is_away_each_goes_on_and_nothing_is_lost(mortal_redis: Any, tmp_path: Path) -> None:
    async with (
        open_redis(mortal_redis.url, tmp_path) as first,
        open_redis(mortal_redis.url, tmp_path) as second,
        a_router(first) as one,
        a_router(second) as two,
    ):
        spend(one, 1)
        await until(lambda: spent(two) == 10)
        mortal_redis.kill()
        spend(one, 2)
        spend(two, 3)
        await asyncio.sleep(0.1)
        assert (spent(one), spent(two)) == (30, 40)
        mortal_redis.start()
        await until(lambda: spent(one) == spent(two) == 60)


async def test_what_redis_has_forgotten_or_somebody_has_damaged_is_put_back(store: Store) -> None:
    async with a_router(store) as pacer:
        spend(pacer, 5)
        for command in (lambda redis: redis.flushall(), lambda redis: redis.set(KEY, b'{"pace": {"start": ')):
            await store.ask(command)
            await asyncio.sleep(0.1)
            async with a_router(store) as other:
                await until(lambda other=other: spent(other) == 50)
