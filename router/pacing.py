"""Pacing across routers: what each has learned of a tenant's pace, brought together in Redis."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from router.errors import StoreUnavailable
from router.ports import Pacer
from router.store import Store

log = structlog.get_logger("rheostat.pacing")
_SECONDS = 0.5
_TRIES = 32  # to be the next to write, among routers that share a tenant

# KEYS: a tenant's pace. ARGV: what it was, what it is to be. Gives what it is now.
REPLACE = """
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return current end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
"""


@asynccontextmanager
async def pacing(store: Store, pacers: Mapping[str, Pacer], seconds: float = _SECONDS) -> AsyncIterator[None]:
    """While this is open, pacers, by their keys in Redis, know what other routers' do within about `seconds`; before, what was known last.

    They may come and go.
    While Redis is away each goes on by itself; what one has learned meanwhile is lost only if it ends before Redis is back.
    """
    closing = asyncio.Event()
    await _exchange_all(store, pacers)
    task = asyncio.create_task(_exchange_until(closing, store, pacers, seconds), name="pacing")
    try:
        yield
    finally:
        closing.set()
        await task


async def _exchange_until(closing: asyncio.Event, store: Store, pacers: Mapping[str, Pacer], seconds: float) -> None:
    """Every so many seconds, and once more when this closes."""
    while not closing.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await closing.wait()
        await _exchange_all(store, pacers)


async def _exchange_all(store: Store, pacers: Mapping[str, Pacer]) -> None:
    replace = store.client.register_script(REPLACE)
    for key, pacer in list(pacers.items()):
        try:
            shared = await store.ask(lambda redis, key=key: redis.get(key)) or b""  # type: ignore[misc]
            for _ in range(_TRIES):
                wanted = pacer.merge(shared)
                if wanted == shared:
                    break
                shared = await store.ask(lambda _, key=key, was=shared, wanted=wanted: replace(keys=[key], args=[was, wanted]))  # type: ignore[misc]
        except StoreUnavailable as error:
            log.warning("pacing_alone", error=str(error))
            return
