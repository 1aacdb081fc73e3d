"""So many at once, a bounded queue, fair shares."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import DeadlineExceeded, Overloaded
from router.turnstile import Turnstile


async def stay(turnstile: Turnstile, tenant: str, seconds: float, weight: float = 1.0) -> float:
    async with turnstile.inside(tenant, weight) as waited:
        await asyncio.sleep(seconds)
    return waited


async def held(turnstile: Turnstile, tenant: str, until: asyncio.Event) -> None:
    async with turnstile.inside(tenant):
        await until.wait()


async def test_a_free_permit_is_had_at_once_and_a_full_queue_refuses_at_once() -> None:
    turnstile, over = Turnstile(2, queue=1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(held(turnstile, "a", over))
        await asyncio.sleep(0)
        assert (turnstile.taken, turnstile.waiting) == (2, 1)
        with pytest.raises(Overloaded, match="2 permits") as caught:
            await stay(turnstile, "a", 0)
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 0
        over.set()
    assert (turnstile.taken, turnstile.waiting) == (0, 0)
    assert await stay(turnstile, "a", 0) == pytest.approx(0, abs=0.01)


async def test_who_waits_longer_than_it_has_patience_gives_up() -> None:
    turnstile, over = Turnstile(1, queue=5), asyncio.Event()
    inside = asyncio.create_task(held(turnstile, "a", over))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        async with turnstile.inside("b", patience=0.01):
            pass
    assert turnstile.waiting == 0
    over.set()
    await inside


async def test_a_flood_of_one_tenant_does_not_hold_up_another() -> None:
    turnstile = Turnstile(8, queue=200)
    flood = [asyncio.create_task(stay(turnstile, "flood", 0.02)) for _ in range(200)]
    await asyncio.sleep(0.03)
    waits = [await stay(turnstile, "other", 0.001) for _ in range(20)]
    assert not all(task.done() for task in flood)
    assert max(waits) < 0.04  # as soon as anybody leaves
    await asyncio.gather(*flood)


async def test_the_last_permits_are_kept_for_others_once_there_are_others() -> None:
    turnstile, over = Turnstile(8, queue=20), asyncio.Event()
    await stay(turnstile, "other", 0)
    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(held(turnstile, "flood", over))
        await asyncio.sleep(0)
        assert turnstile.taken == 6
        assert await stay(turnstile, "other", 0) < 0.01  # no wait at all
        over.set()


async def test_alone_a_tenant_may_have_them_all() -> None:
    turnstile, over = Turnstile(8, queue=20), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(held(turnstile, "flood", over))
        await asyncio.sleep(0)
        assert turnstile.taken == 8
        over.set()


async def test_where_all_are_busy_shares_are_as_the_weights() -> None:
    turnstile, done = Turnstile(4, queue=1_000), Counter[str]()

    async def busy(tenant: str, weight: float) -> None:
        while True:
            await stay(turnstile, tenant, 0.002, weight)
            done[tenant] += 1

    callers = [asyncio.create_task(busy(*who)) for who in (("low", 0.25), ("normal", 1.0), ("high", 4.0)) for _ in range(20)]
    await asyncio.sleep(1.5)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert 2.5 < done["high"] / done["normal"] < 6
    assert 2.5 < done["normal"] / done["low"] < 6
    assert (turnstile.taken, turnstile.waiting) == (0, 0)


async def test_a_full_queue_makes_room_for_a_tenant_with_a_shorter_line() -> None:
    turnstile, over = Turnstile(1, queue=4), asyncio.Event()
    flood = [asyncio.create_task(held(turnstile, "flood", over)) for _ in range(5)]
    await asyncio.sleep(0)
    others = [asyncio.create_task(held(turnstile, "other", over)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert [task.done() for task in flood] == [False, False, False, True, True]  # the latest went
    assert isinstance(flood[-1].exception(), Overloaded)
    assert [task.done() for task in others] == [False, False, True]  # and then the lines are as long as one another
    over.set()
    await asyncio.gather(*flood, *others, return_exceptions=True)
    assert (turnstile.taken, turnstile.waiting) == (0, 0)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32), permits=st.integers(1, 6), queue=st.integers(0, 8))
async def test_whatever_happens_nobody_is_lost(seed: int, permits: int, queue: int) -> None:
    dice, turnstile, most = random.Random(seed), Turnstile(permits, queue), 0

    async def visit(tenant: str) -> None:
        nonlocal most
        async with turnstile.inside(tenant, dice.choice([0.25, 1, 4]), dice.choice([0.0005, 1.0])):
            most = max(most, turnstile.taken)
            await asyncio.sleep(dice.random() * 0.002)

    tasks = []
    for _ in range(60):
        tasks.append(asyncio.create_task(visit(dice.choice("abc"))))
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.002)
        if dice.random() < 0.2:
            dice.choice(tasks).cancel()
    for task in tasks:
        with suppress(Overloaded, DeadlineExceeded, asyncio.CancelledError):
            async with asyncio.timeout(5):
                await task
    assert (turnstile.taken, turnstile.waiting) == (0, 0)
    assert 0 < most <= permits
