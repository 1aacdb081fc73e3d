"""A thousand requests at once from several routers, some of which are killed: not one token too many, and no hold that stays."""

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from router.errors import BudgetExhausted
from router.ledger.ledger import RedisLedger
from router.store import Store, hold_key, open_redis
from router.types import Amount
from tests.router.spender import FLEET, LEASE, TENANT

PROCESSES, EACH = 5, 200


async def spender(url: str, number: int, seed: int) -> asyncio.subprocess.Process:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.router.spender", url, f"p{number}", str(EACH), str(seed * 10 + number)]
    return await asyncio.create_subprocess_exec(*command, env=env, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2])


async def lines(process: asyncio.subprocess.Process, kill_after: int | None) -> list[list[str]]:
    """What it printed; killed after so many lines."""
    found = []
    async for line in process.stdout:
        found.append(line.decode().split())
        if kill_after is not None and len(found) >= kill_after:
            process.kill()
    await process.wait()
    return found


async def charged(store: Store, told: list[list[str]]) -> dict[str, Amount]:
    """What each tenant was charged: of what was being settled when its router was killed, Redis knows whether it came through."""
    total = {"a": Amount(0), "b": Amount(0)}
    acknowledged = {line[2] for line in told if line[0] == "settled"}
    for _, tenant, hold_id, cost, tokens in (line for line in told if line[0] == "settling"):
        if hold_id in acknowledged or await store.client.get(hold_key(tenant, hold_id)) == b"settled":
            total[tenant] = total[tenant].plus(Amount(int(cost), int(tokens)))
    return total


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_process_overspends_and_no_hold_outlives_its_lease(mortal_redis: Any, tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    processes = [await spender(mortal_redis.url, number, seed) for number in range(PROCESSES)]
    kills = [dice.randint(1, 150) if number < 3 else None for number in range(PROCESSES)]
    told = [line for part in await asyncio.gather(*map(lines, processes, kills)) for line in part]
    assert sum(process.returncode != 0 for process in processes) == 3
    async with open_redis(mortal_redis.url, tmp_path) as store, RedisLedger(store, lambda _: TENANT.windows, fleet=FLEET.windows) as ledger:
        total = await charged(store, told)
        await asyncio.sleep(LEASE)
        for tenant, spent in total.items():
            assert await ledger.spent(tenant) == (spent.cost, 0)
            assert await ledger.spent(tenant, "day-tokens") == (spent.tokens, 0)
            assert spent.cost <= TENANT.per_day
            assert spent.tokens <= TENANT.tokens_per_day
        both = total["a"].plus(total["b"])
        assert (await ledger.fleet_spent("day"), await ledger.fleet_spent("month-tokens")) == ((both.cost, 0), (both.tokens, 0))
        assert both.cost <= FLEET.per_day
        assert both.tokens <= FLEET.tokens_per_month
        left = Amount(min(TENANT.per_day - total["a"].cost, FLEET.per_day - both.cost), 0)
        with pytest.raises(BudgetExhausted):
            await ledger.reserve("a", "one too many", left.plus(Amount(1)), LEASE)
        assert await ledger.reserve("a", "all", left, LEASE) == left
    assert sum(line[0] == "settled" for line in told) > 100
