"""One router's requests in a process of its own, to be killed: `python -m tests.router.spender URL NAME COUNT SEED`.

Prints a line before and after each step, so that whoever kills it knows how far each request had come.
"""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

from router import store
from router.errors import BudgetExhausted, StoreUnavailable
from router.ledger.ledger import RedisLedger
from router.store import open_redis
from router.terms import BudgetSettings
from router.types import Amount

LEASE = 2.0
TENANT = BudgetSettings(per_day=40_000, tokens_per_day=400_000, per_minute=10**9)
FLEET = BudgetSettings(per_day=50_000, tokens_per_month=500_000)


async def held_for(ledger: RedisLedger, tenant: str, hold_id: str, worst: Amount) -> Amount:
    """What is held, however busy Redis is."""
    while True:
        try:
            await ledger.reserve(tenant, hold_id, worst, LEASE, Amount(worst.cost // 10, worst.tokens // 10))
            return await ledger.reserve(tenant, hold_id, worst, LEASE)
        except StoreUnavailable:
            await asyncio.sleep(0.05)


async def request(ledger: RedisLedger, dice: random.Random, hold_id: str) -> None:
    tenant, worst = dice.choice("ab"), Amount(dice.randint(0, 400), dice.randint(0, 4_000))
    used = Amount(round(worst.cost * dice.random()), round(worst.tokens * dice.random()))
    await asyncio.sleep(dice.random() * 0.5)
    try:
        held = await held_for(ledger, tenant, hold_id, worst)
    except BudgetExhausted as refused:
        print("refused", hold_id, refused.reason, flush=True)
        return
    used = Amount(min(used.cost, held.cost), min(used.tokens, held.tokens))
    await asyncio.sleep(dice.random() * 0.3)
    print("settling", tenant, hold_id, *used, flush=True)
    await ledger.settle(tenant, hold_id, used)
    owed = (charge := ledger._charges.get(hold_id)) is not None and not charge.acknowledged
    print("owing" if owed else "settled", tenant, hold_id, *used, flush=True)  # a busy Redis is told later, or never by who is killed


async def main(url: str, name: str, count: int, seed: int) -> None:
    store.SOCKET_TIMEOUT = 10.0  # a busy machine is no outage
    dice = random.Random(seed)
    async with (
        open_redis(url, Path(tempfile.gettempdir())) as shared,
        RedisLedger(shared, lambda _: TENANT.windows, fleet=FLEET.windows, local_limit=0) as ledger,
        asyncio.TaskGroup() as group,
    ):
        for number in range(count):
            group.create_task(request(ledger, dice, f"{name}-{number}"))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
