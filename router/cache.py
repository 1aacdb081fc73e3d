"""The cache: answers already paid for, within one tenant."""

import random

from router.errors import StoreUnavailable
from router.store import Store, cache_entry_key


class RedisCache:
    """Values in Redis for about `ttl` seconds: +-10 %, so that what was stored together does not end together. See ports.Cache."""

    def __init__(self, store: Store, *, ttl: float = 3_600.0) -> None:
        self._store = store
        self._ttl = ttl
        self.unreachable = 0  # reads and writes that Redis did not answer

    async def get(self, key: str) -> bytes | None:
        """The stored value; None when there is none or Redis is away."""
        try:
            value: bytes | str | None = await self._store.ask(lambda redis: redis.get(cache_entry_key(key)))
        except StoreUnavailable:
            self.unreachable += 1
            return None
        return value.encode() if isinstance(value, str) else value

    async def put(self, key: str, value: bytes) -> None:
        """Store; not at all when Redis is away."""
        lifetime = max(1, round(self._ttl * random.uniform(0.9, 1.1) * 1000))
        try:
            await self._store.ask(lambda redis: redis.set(cache_entry_key(key), value, px=lifetime))
        except StoreUnavailable:
            self.unreachable += 1
