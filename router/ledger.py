"""The ledger: who may spend what, to the micro-dollar, across routers."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import Self

from redis.asyncio import Redis

from router.errors import BudgetExhausted, StoreUnavailable
from router.store import Store, budget_key, hold_key, leases_key
from router.tenants import DAY, Window

# All scripts begin alike. Redis' own clock decides, so routers need not agree on the time. Holds whose lease is over are released, and
# a window that is over starts again from nothing. KEYS: budget hash, leases by expiry, this hold. ARGV: hold id, two numbers, lease in ms,
# and of each window its name, its length in ms and its limit (-1: none).
PRELUDE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('HINCRBY', KEYS[1], 'held', 0 - string.match(lease, '^%d+'))
  redis.call('ZREM', KEYS[2], lease)
end
local windows, keep = {}, 86400
for place = 5, #ARGV, 3 do
  local window = {name = ARGV[place], length = tonumber(ARGV[place + 1]), limit = tonumber(ARGV[place + 2])}
  local current = tostring(math.floor(now / window.length))
  if redis.call('HGET', KEYS[1], window.name) ~= current then
    redis.call('HSET', KEYS[1], window.name, current, window.name .. '_spent', 0)
  end
  window.spent = tonumber(redis.call('HGET', KEYS[1], window.name .. '_spent'))
  keep = math.max(keep, math.ceil(window.length / 1000))
  windows[#windows + 1] = window
end
local held = tonumber(redis.call('HGET', KEYS[1], 'held') or 0)
redis.call('EXPIRE', KEYS[1], keep + 86400)
"""

# The numbers are the micro-dollars wanted and the least that will do. Gives what is held, or the window that is exhausted and the ms until it ends.
# A request gets the least where others like those in flight, and it, could not all have what they want; a hold that is known grows as it needs.
RESERVE = (
    PRELUDE
    + """
local known = redis.call('GET', KEYS[3])
if known == 'settled' then return {0} end
local most, least, had = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(known or 0)
if known and most <= had then return {had} end
local amount, many = most, redis.call('ZCARD', KEYS[2]) + 2
for _, window in ipairs(windows) do
  local left = window.limit - window.spent - held
  if window.limit >= 0 and known and most - had > left then return {had} end
  if window.limit >= 0 and least > left and not known then
    return {window.name, window.limit, window.spent, held, window.length - now % window.length}
  end
  if window.limit >= 0 and most * many > left and not known then amount = least end
end
local till, text = now + ARGV[4], string.format('%.0f', amount)
if known then
  till = redis.call('ZSCORE', KEYS[2], known .. ':' .. ARGV[1])
  if not till then return {had} end
  redis.call('ZREM', KEYS[2], known .. ':' .. ARGV[1])
end
redis.call('HINCRBY', KEYS[1], 'held', string.format('%.0f', amount - had))
redis.call('ZADD', KEYS[2], till, text .. ':' .. ARGV[1])
redis.call('EXPIRE', KEYS[2], 172800)
redis.call('SET', KEYS[3], text, 'PX', ARGV[4] + 86400000)
return {amount}
"""
)

# The first number is the micro-dollars used. A hold that is unknown, or whose lease is over, is charged all the same.
SETTLE = (
    PRELUDE
    + """
local hold = redis.call('GET', KEYS[3])
if hold == 'settled' then return 0 end
if hold and redis.call('ZREM', KEYS[2], hold .. ':' .. ARGV[1]) == 1 then redis.call('HINCRBY', KEYS[1], 'held', 0 - hold) end
for _, window in ipairs(windows) do redis.call('HINCRBY', KEYS[1], window.name .. '_spent', ARGV[2]) end
redis.call('SET', KEYS[3], 'settled', 'EX', 86400)
return 1
"""
)

# Spent in each window, in their order, and held.
SPENT = (
    PRELUDE
    + """
local found = {}
for place, window in ipairs(windows) do found[place] = window.spent end
found[#found + 1] = held
return found
"""
)

HELD_UP = 1.0  # seconds after which those in flight may have left enough
CONFIRM_AFTER = 3.0  # seconds; Redis syncs its file each second, and may be a second late
LONGEST_LEASE = 86_400.0  # seconds; shorter than the keys live
MOST = 2**52  # micro-dollars; Lua counts exactly up to 2^53


@dataclass(slots=True, kw_only=True)
class Charge:
    """A settlement that Redis may still lose. It is repeated until it is surely on Redis' disk; the hold id makes that harmless."""

    tenant: str
    hold_id: str
    cost: int
    due: float  # when to send it, again or at all, on the ledger's clock
    acknowledged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHold:
    """A hold granted while Redis was away."""

    tenant: str
    cost: int
    until: float


class RedisLedger:
    """Holds and charges in Redis. Open it as a context manager: a task of its own delivers what Redis has not got yet.

    While Redis is away, each router grants on its own up to `local_limit` micro-dollars per tenant (never more than the tenant's own limits),
    counting what is held and what is still to be delivered; with `max_owed` settlements undelivered it grants nothing, so none is dropped.
    """

    def __init__(
        self,
        store: Store,
        windows: Callable[[str], tuple[Window, ...]],
        *,
        local_limit: int = 1_000_000,
        max_owed: int = 10_000,
        confirm_after: float = CONFIRM_AFTER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._windows = windows
        self._local_limit = local_limit
        self._max_owed = max_owed
        self._confirm_after = confirm_after
        self._clock = clock
        self._charges: dict[str, Charge] = {}
        self._local: dict[str, LocalHold] = {}
        self._reserve = store.client.register_script(RESERVE)
        self._settle = store.client.register_script(SETTLE)
        self._spent = store.client.register_script(SPENT)

    async def __aenter__(self) -> Self:
        self._courier = asyncio.create_task(self._deliver_forever(), name="ledger-courier")
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._courier.cancel()
        with suppress(asyncio.CancelledError):
            await self._courier
        with suppress(StoreUnavailable):
            await self._deliver(list(self._owed()))

    @property
    def degraded(self) -> bool:
        """Whether Redis was away a moment ago."""
        return not self._store.available

    @property
    def owed(self) -> int:
        """Settlements that Redis has not acknowledged."""
        return sum(1 for _ in self._owed())

    async def reserve(self, tenant: str, hold_id: str, cost: int, ttl: float, least: int | None = None) -> int:
        """Hold `cost`, or `least`, for at most `ttl` seconds; raises BudgetExhausted. See ports.Ledger."""
        least = cost if least is None else least
        _check(cost)
        _check(least)
        lease = max(1, round(min(ttl, LONGEST_LEASE) * 1000))
        try:
            told = await self._store.ask(lambda _: self._reserve(keys=_keys(tenant, hold_id), args=self._args(tenant, hold_id, cost, least, lease)))
        except StoreUnavailable:
            return self._reserve_locally(tenant, hold_id, cost, ttl, least)
        if len(told) == 1:
            return int(told[0])
        name, limit, spent, held, left = told
        retry_after = left / 1000 if spent + least > limit else HELD_UP
        raise _exhausted(name.decode(), limit=limit, used=spent + held, asked=least, retry_after=retry_after)

    async def settle(self, tenant: str, hold_id: str, cost: int) -> None:
        """Charge what was used, be it more than was held, and free the rest. Never fails: what Redis cannot take now is delivered later."""
        _check(cost)
        self._local.pop(hold_id, None)
        charge = self._charges.setdefault(hold_id, Charge(tenant=tenant, hold_id=hold_id, cost=cost, due=self._clock() + self._confirm_after))
        if not charge.acknowledged:
            with suppress(StoreUnavailable):
                await self._deliver([charge])

    async def spent(self, tenant: str, window: str = DAY.name) -> tuple[int, int]:
        """Micro-dollars (spent in this window, held now); raises StoreUnavailable."""
        *spent, held = await self._store.ask(lambda _: self._spent(keys=_keys(tenant, ""), args=self._args(tenant, "")))
        place = [one.name for one in self._windows(tenant)].index(window)
        return int(spent[place]), int(held)

    def _args(self, tenant: str, hold_id: str, *numbers: int) -> list[str | int]:
        """What every script is given."""
        args: list[str | int] = [hold_id, *numbers, *(0,) * (3 - len(numbers))]
        for window in self._windows(tenant):
            args += [window.name, round(window.seconds * 1000), -1 if window.limit is None else window.limit]
        return args

    def _reserve_locally(self, tenant: str, hold_id: str, cost: int, ttl: float, least: int) -> int:
        now = self._clock()
        self._local = {known: hold for known, hold in self._local.items() if hold.until > now}
        if hold_id in self._charges:
            return 0
        known = self._local.get(hold_id)
        if known and known.cost >= cost:
            return known.cost
        if self.owed + len(self._local) >= self._max_owed:
            raise StoreUnavailable("Redis is away and too many settlements wait for it")
        limit = min(limit for limit in (self._local_limit, *(one.limit for one in self._windows(tenant))) if limit is not None)
        outstanding: Iterator[LocalHold | Charge] = chain(self._local.values(), self._owed())
        costs = [item.cost for item in outstanding if item.tenant == tenant and item is not known]
        left = limit - sum(costs)
        if known:
            granted = cost if cost <= left else known.cost
        elif least > left:
            raise _exhausted("outage", limit=limit, used=limit - left, asked=least, retry_after=HELD_UP)
        else:
            granted = cost if cost * (len(costs) + 2) <= left else least
        self._local[hold_id] = LocalHold(tenant=tenant, cost=granted, until=now + ttl)
        return granted

    def _owed(self) -> Iterator[Charge]:
        return (charge for charge in self._charges.values() if not charge.acknowledged)

    async def _deliver_forever(self) -> None:
        while True:
            await asyncio.sleep(self._confirm_after / 12)
            now = self._clock()
            due = [charge for charge in self._charges.values() if charge.due <= now]
            with suppress(StoreUnavailable):
                for start in range(0, len(due), 256):
                    await self._deliver(due[start : start + 256])

    async def _deliver(self, charges: Sequence[Charge]) -> None:
        """Send. What had been acknowledged before is done with: the first time is on disk by now, or this time made up for its loss."""
        confirmed = [charge for charge in charges if charge.acknowledged]
        await self._store.ask(lambda redis: self._send(redis, charges))
        for charge in charges:
            charge.acknowledged, charge.due = True, self._clock() + self._confirm_after
        for charge in confirmed:
            self._charges.pop(charge.hold_id, None)

    async def _send(self, redis: Redis, charges: Sequence[Charge]) -> None:
        if len(charges) == 1:  # one way to Redis and back; a pipeline first asks whether the script is there
            await self._charge(charges[0], redis)
            return
        async with redis.pipeline(transaction=False) as pipeline:
            for charge in charges:
                await self._charge(charge, pipeline)
            await pipeline.execute()

    async def _charge(self, charge: Charge, client: Redis) -> None:
        args = self._args(charge.tenant, charge.hold_id, charge.cost)
        await self._settle(keys=_keys(charge.tenant, charge.hold_id), args=args, client=client)


def _keys(tenant: str, hold_id: str) -> list[str]:
    return [budget_key(tenant), leases_key(tenant), hold_key(tenant, hold_id)]


def _exhausted(window: str, *, limit: int, used: int, asked: int, retry_after: float) -> BudgetExhausted:
    message = f"{asked} micro-dollars do not fit the {window}'s budget: {used} of {limit} are spent or held; try again in {math.ceil(retry_after)} s"
    return BudgetExhausted(message, retry_after=retry_after, window=window, limit=limit, used=used, asked=asked)


def _check(cost: int) -> None:
    if not 0 <= cost <= MOST:
        raise ValueError(f"a cost must be between 0 and {MOST} micro-dollars, not {cost}")
