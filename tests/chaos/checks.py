"""Checks, from outside: what was promised is in the logs, what was spent is in the ledger, and nothing is left over."""

import asyncio
import json
from collections import defaultdict
from pathlib import Path

from redis.exceptions import RedisError

from router.decisions import read_log, records
from router.errors import StoreUnavailable
from router.ledger.ledger import RedisLedger
from router.store import open_redis
from router.tenants import DAY, Tenants
from router.types import Record
from tests.chaos.faults import Faults
from tests.chaos.town import ROUTERS, TENANTS, Town
from tests.chaos.traffic import DEADLINE, Promises

CLEARING = 3.0  # seconds: two for a worker that is stopped or cut off to say what was spent, one for a Redis that does not answer
LEASE = DEADLINE + 30.0 + 10.0  # seconds after which a dead router's holds must be gone


async def ledgers(town: Town) -> dict[str, tuple[int, int]]:
    """Micro-dollars spent today, and held, of each tenant, once nothing is held any more, or after the longest lease."""
    tenants = Tenants({name: one.tenant(name) for name, one in TENANTS.items()})
    async with open_redis(town.redis_url, town.folder) as store:
        ledger = RedisLedger(store, tenants.windows)
        for _ in range(round(LEASE)):
            try:
                found = {name: await ledger.spent(name, DAY.name) for name in TENANTS}
                if not any(held for _, held in found.values()):
                    break
            except (StoreUnavailable, RedisError):
                pass
            await asyncio.sleep(1.0)
        return found


def rows(town: Town) -> list[Record]:
    """All that the routers have logged."""
    return [row for number in range(ROUTERS) for row in records(read_log(town.folder / f"data{number}" / "journal"))]


def violations(promises: Promises, logged: list[Record], spent: dict[str, tuple[int, int]], faults: Faults, logs: list[Path]) -> list[str]:
    """Everything that must never happen and did."""
    by_decision: dict[str, list[Record]] = defaultdict(list)
    for row in logged:
        by_decision[row.decision_id].append(row)
    lines = [line for log in logs for line in _lines(log)]
    return [
        *_broken_promises(promises, by_decision),
        *(
            f"decision {one}: row {row.id} is {row.tenant}'s, {tenant} asked"
            for one, tenant in promises.asked.items()
            for row in by_decision[one]
            if row.tenant != tenant
        ),
        *_money(_costs(by_decision, lines, faults), spent, faults),
        *_unlogged(by_decision, lines, faults),
        *(f"a client's {kind} took {took:.1f} s of a deadline of {DEADLINE:g}" for kind, took in promises.late),
        *_late(lines),
    ]


def _broken_promises(promises: Promises, by_decision: dict[str, list[Record]]) -> list[str]:
    found = []
    for decision, tenant, cost in promises.answers:
        stages = [row for row in by_decision[decision] if row.kind == "stage"]
        if not stages:
            found.append(f"decision {decision} of {tenant} was answered, and is in no log")
        elif sum(row.cost for row in stages) != cost:
            found.append(f"decision {decision} of {tenant} cost {cost}, and {sum(row.cost for row in stages)} in the log")
    for decision, tenant, reward in promises.outcomes:
        if not any(row.kind == "reward" and row.reward == reward for row in by_decision[decision]):
            found.append(f"the outcome of decision {decision} of {tenant} was acknowledged, and is in no log")
    return found


def _costs(by_decision: dict[str, list[Record]], lines: list[dict], faults: Faults) -> dict[str, int]:
    """What each tenant's requests cost: as logged or, where the disk was full, as their lines say."""
    told = {line["decision_id"]: line for line in lines if line.get("cost_microdollars") and "decision_id" in line}
    costs: dict[str, int] = defaultdict(int)
    for decision in told.keys() | by_decision.keys():
        logged, line = by_decision.get(decision, []), told.get(decision, {"cost_microdollars": 0, "tenant": ""})
        tenant = logged[0].tenant if logged else line["tenant"]
        costs[tenant] += max(_cost(logged), line["cost_microdollars"] if faults.counts["disk full"] else 0)
    return costs


def _unlogged(by_decision: dict[str, list[Record]], lines: list[dict], faults: Faults) -> list[str]:
    """Money that was spent and is in no log, although there was room on the disk."""
    if faults.counts["disk full"]:
        return []
    bought = [line for line in lines if line.get("cost_microdollars") and "decision_id" in line]
    return [
        f"decision {line['decision_id']} spent {line['cost_microdollars']}, and {_cost(by_decision[line['decision_id']])} are in the log"
        for line in bought
        if _cost(by_decision[line["decision_id"]]) < line["cost_microdollars"]
    ]


def _cost(rows: list[Record]) -> int:
    return sum(row.cost for row in rows if row.kind == "stage")


def _money(costs: dict[str, int], spent: dict[str, tuple[int, int]], faults: Faults) -> list[str]:
    """What is logged is charged, by a router that was killed when it begins again.

    While Redis is away each router may grant a tenant's budget anew, as documented.
    """
    found = []
    for tenant, (charged, held) in spent.items():
        cost, limit = costs.get(tenant, 0), TENANTS[tenant].per_day
        if held:
            found.append(f"{tenant}: {held} micro-dollars are still held")
        if charged != cost:
            found.append(f"{tenant}: {charged} micro-dollars are charged, and {cost} are in the logs")
        if limit and cost > limit * (1 + ROUTERS * faults.outages):
            found.append(f"{tenant}: {cost} micro-dollars were spent of {limit}")
    return found


def _late(lines: list[dict]) -> list[str]:
    """Calls that were still being cleared away long after their deadline, as the routers tell; their callers had left by then."""
    late = [line for line in lines if line["ms"] > (DEADLINE + CLEARING) * 1e3]
    return [f"{line['method']} took {line['ms'] / 1e3:.1f} s of a deadline of {DEADLINE:g}: {line}" for line in late]


def _lines(log: Path) -> list[dict]:
    """The line of every call that a router ended."""
    told = (_json(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [line for line in told if line.get("event") == "call_served"]


def _json(line: str) -> dict:
    try:
        return json.loads(line)
    except ValueError:  # the router was killed in the middle of it
        return {}
