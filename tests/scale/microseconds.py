"""What a scenario's microseconds are on this machine, from the real parts."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from router.journal import JournalOptions, open_journal
from router.ledger.ledger import RedisLedger
from router.simulation.scenario import RedisSettings
from router.store import Store, open_redis
from router.tenants import DAY, Window
from router.types import Amount, Record

MANY = 500


def redis(many: int = MANY) -> RedisSettings:
    """Of the ledger's scripts and the stream, by Redis' own count of what its scripts took."""
    return asyncio.run(_redis(many))


def sync(many: int = 50) -> float:
    """Seconds that forcing a row to disk takes; the median."""
    return asyncio.run(_sync(many))


async def _redis(many: int) -> RedisSettings:
    with tempfile.TemporaryDirectory(prefix="rheostat-") as folder:
        async with open_redis(None, Path(folder) / "redis") as store, RedisLedger(store, lambda _: (DAY, Window("minute", 60, 10**12))) as ledger:
            await ledger.reserve("tenant", "first", Amount(10), 60.0)
            began = time.perf_counter()
            reserve = await _took(store, *(ledger.reserve("tenant", f"hold-{number}", Amount(10), 60.0) for number in range(many)))
            trip = (time.perf_counter() - began) / many * 1e6 - reserve
            settle = await _took(store, *(ledger.settle("tenant", f"hold-{number}", Amount(5)) for number in range(many)))
            async with open_journal(Path(folder) / "journal", store, JournalOptions(ship_seconds=60.0)) as journal:
                await journal.write([_row(number) for number in range(many)])
                row = await _took(store, journal.ship_once()) / many
    return RedisSettings(reserve=reserve, settle=settle, row=row, trip=max(0.0, trip))


async def _took(store: Store, *work) -> float:
    """Microseconds in Redis of each."""
    await store.client.config_resetstat()
    for one in work:
        await one
    told = (await store.client.info("commandstats")).get("cmdstat_evalsha", {"usec": 0})
    return told["usec"] / len(work)


async def _sync(many: int) -> float:
    with tempfile.TemporaryDirectory(prefix="rheostat-") as folder:
        async with open_journal(Path(folder) / "journal", None) as journal:
            taken = []
            for number in range(many):
                began = time.perf_counter()
                await journal.write([_row(number)])
                taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _row(number: int) -> Record:
    """As long as most are."""
    offered = tuple(f"a-plan-{one}" for one in range(8))
    numbers = {"features": (0.37,) * 100, "context": (0.5,) * 10, **dict.fromkeys(("scores", "success", "costs", "chances"), (0.37,) * 8)}
    return Record(id=f"{number}/0", kind="stage", decision_id=f"decision-{number}", tenant="tenant", at=0.0, offered=offered, **numbers)
