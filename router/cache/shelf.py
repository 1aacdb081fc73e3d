"""The shelves: what the cache keeps in Redis, each within its bytes, and the leases of those who are about to add to it."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.commands.core import AsyncScript

from router.errors import StoreUnavailable
from router.store import Store, cache_sizes_key, cache_used_key

ANSWERS, REQUESTS = 0, 1  # the shelves
_NAMES = ("answers", "requests")
_GATHER_SECONDS = 0.001
_OVERHEAD = 400  # bytes that an entry takes in Redis beside its value, its key three times among them

# KEYS: for each shelf the keys by last use and their sizes; keys to write; leases to end. ARGV: the shelves' bytes, the time in ms, the overhead,
# how many keys to write; for each its shelf, value and ms to live; for each lease whose it was. Server-side eviction would take budgets and
# posteriors as well as answers, so what was not used for longest goes here, in the same step that adds. Gives each shelf's bytes.
PUT = """
local function drop(shelf, key)
  local sizes = KEYS[2 * shelf]
  local size = redis.call('HGET', sizes, key)
  if size then redis.call('HINCRBY', sizes, '', '-' .. size) end
  redis.call('HDEL', sizes, key)
  redis.call('ZREM', KEYS[2 * shelf - 1], key)
  redis.call('DEL', key)
end
local count = tonumber(ARGV[5])
for index = 1, count do
  local key, shelf, value = KEYS[4 + index], ARGV[3 * index + 3] + 1, ARGV[3 * index + 4]
  local size = math.floor(#value * 1.25) + ARGV[4]
  drop(shelf, key)
  redis.call('SET', key, value, 'PX', ARGV[3 * index + 5])
  redis.call('ZADD', KEYS[2 * shelf - 1], ARGV[3], key)
  redis.call('HSET', KEYS[2 * shelf], key, size)
  redis.call('HINCRBY', KEYS[2 * shelf], '', size)
end
for index = 1, #KEYS - 4 - count do
  local lease = KEYS[4 + count + index]
  if redis.call('GET', lease) == ARGV[5 + 3 * count + index] then redis.call('DEL', lease) end
end
local bytes = {}
for shelf = 1, 2 do
  local used = KEYS[2 * shelf - 1]
  for _, key in ipairs(redis.call('ZRANGE', used, 0, 7)) do
    if redis.call('EXISTS', key) == 0 then drop(shelf, key) end
  end
  local total = tonumber(redis.call('HGET', KEYS[2 * shelf], '') or 0)
  while total > tonumber(ARGV[shelf]) do
    local oldest = redis.call('ZRANGE', used, 0, 0)[1]
    if not oldest then redis.call('DEL', KEYS[2 * shelf]) total = 0 break end
    drop(shelf, oldest)
    total = tonumber(redis.call('HGET', KEYS[2 * shelf], ''))
  end
  bytes[shelf] = total
end
return bytes
"""

# KEYS: leases, then what they are to make. ARGV: how many leases, ms, whose each is. Takes all or none. Gives `made` where what
# they are for is there already, or `taken` and whose the first is that is somebody else's.
CLAIM = """
local count = tonumber(ARGV[1])
for index = count + 1, #KEYS do
  if redis.call('EXISTS', KEYS[index]) == 1 then return {'made', ''} end
end
for index = 1, count do
  local owner = redis.call('GET', KEYS[index])
  if owner and owner ~= ARGV[2 + index] then return {'taken', owner} end
end
for index = 1, count do redis.call('SET', KEYS[index], ARGV[2 + index], 'PX', ARGV[2]) end
return {'ours', ''}
"""

RENEW = """
for index = 1, #KEYS do
  if redis.call('GET', KEYS[index]) == ARGV[1 + index] then redis.call('PEXPIRE', KEYS[index], ARGV[1]) end
end
"""


class Entry(NamedTuple):
    """What is to be kept: on which shelf, and for how many seconds."""

    shelf: int
    value: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Claim:
    """How a claim ended: `made` says that what it was for is there by now, `owner` who else holds a lease. Neither: it was granted."""

    made: bool = False
    owner: str = ""


class Shelves:
    """Answers with evidence on one shelf, ended requests on the other; see `store.cache_key` for the keys.

    Reads that come while one is under way go together in the next one. Redis away: nothing is found, nothing kept, every claim granted.
    """

    def __init__(self, store: Store, bytes_of: tuple[int, int]) -> None:
        self.bytes = [0, 0]  # taken on each shelf, as far as this router knows
        self.unreachable = 0  # what Redis did not answer
        self._store = store
        self._most = bytes_of
        self._books = [key(name) for name in _NAMES for key in (cache_used_key, cache_sizes_key)]
        self._put, self._claim, self._renew = (store.client.register_script(script) for script in (PUT, CLAIM, RENEW))
        self._waiting: list[tuple[Sequence[str], asyncio.Future[Sequence[bytes | None]]]] = []
        self._reading: asyncio.Task[None] | None = None
        self._touched: dict[str, float] = {}

    async def read(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The values of these keys, None for each that is not there."""
        found: asyncio.Future[Sequence[bytes | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, found))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="cache-read")
        return await found

    def touch(self, key: str) -> None:
        """An answer was used; Redis hears of it with the next `renew`."""
        self._touched[key] = time.time() * 1e3

    async def put(self, entries: Mapping[str, Entry], leases: Mapping[str, str]) -> None:
        """Keep these by their keys, and end these leases."""
        shelves = [one for entry in entries.values() for one in (entry.shelf, entry.value, _milliseconds(entry))]
        args = [*self._most, time.time() * 1e3, _OVERHEAD, len(entries), *shelves, *leases.values()]
        taken = await self._asked(self._put, [*self._books, *entries, *leases], args)
        if taken is not None:
            self.bytes = taken

    async def claim(self, leases: Mapping[str, str], makes: Sequence[str], seconds: float) -> Claim:
        """Leases by their keys, with whose they are to be; all or none. They are for what comes under the keys `makes`."""
        told = await self._asked(self._claim, [*leases, *makes], [len(leases), round(seconds * 1e3), *leases.values()])
        if told is None:
            return Claim()
        state, owner = (one.decode() if isinstance(one, bytes) else one for one in told)
        return Claim(made=state == "made", owner=owner)

    async def renew(self, leases: Mapping[str, str], seconds: float) -> None:
        """Hold on to leases, and tell what was used."""
        if leases:
            await self._asked(self._renew, list(leases), [round(seconds * 1e3), *leases.values()])
        touched, self._touched = self._touched, {}
        if touched:
            try:
                await self._store.ask(lambda redis: redis.zadd(self._books[0], touched, xx=True))
            except StoreUnavailable:
                self.unreachable += 1

    async def _asked(self, script: AsyncScript, keys: Sequence[str], args: Sequence[float | str | bytes]) -> list[Any] | None:
        try:
            told: list[Any] = await self._store.ask(lambda _: script(keys=keys, args=args))
        except StoreUnavailable:
            self.unreachable += 1
            return None
        return told

    async def _read(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            keys = [key for wanted, _ in batch for key in wanted]
            try:
                found = await self._store.ask(lambda redis, keys=keys: redis.mget(keys))  # type: ignore[misc]
            except StoreUnavailable:
                self.unreachable += 1
                found = [None] * len(keys)
            values = iter(found)
            for wanted, future in batch:
                mine = [next(values) for _ in wanted]
                if not future.done():  # its caller may be gone
                    future.set_result(mine)
            if len(batch) > 1:  # busy: a trip to Redis costs the event loop more than a key does
                await asyncio.sleep(_GATHER_SECONDS)
        self._reading = None


def _milliseconds(entry: Entry) -> int:
    """About so many for answers: what was stored together is not to end together. Not fewer for requests, which are promised."""
    return max(1, round(entry.seconds * random.uniform(0.9 if entry.shelf == ANSWERS else 1.0, 1.1) * 1e3))
