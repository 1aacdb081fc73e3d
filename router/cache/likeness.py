"""Likeness: questions in other words, and how far the answers to them may be trusted; shared by all routers through Redis."""

import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from redis.asyncio import Redis

from router.cache.bar import NONE, bar, step_of
from router.cache.index import Index, Near
from router.errors import StoreUnavailable
from router.store import Store, alike_key, checked_key
from router.tenants import Tenant
from router.types import Features, Vector

Treatment = Literal["give", "check", "leave"]
_AT_ONCE = 2_000  # rows read in one go
_MONTH = 30 * 86_400  # seconds that counts of checks are kept after the last one
_PROBE = "probe_"  # names of the features that are the encoder's vector begin so


class Likeness:
    """Every router follows the same streams of vectors, one for each scope and encoder, and the same counts of checks, one for each tenant.

    What one router adds, it too sees when it follows next. While Redis is away nothing is added and everything else goes on as it was.
    """

    def __init__(self, store: Store, rows: int, seconds: float, share: float) -> None:
        """At most `rows` questions of a scope; streams are let go `seconds` after the last addition; `share` of the hits given is checked."""
        self._store, self._most, self._seconds, self._share = store, rows, seconds, share
        self._indexes: defaultdict[str, Index] = defaultdict(lambda: Index(rows))
        self._seen: dict[str, str] = {}  # streams to the last entry read
        self._bars: dict[str, float] = {}  # of tenants, by the keys of their counts
        self._risks: dict[str, float] = {}

    def nearest(self, scope: str, group: str, features: Features) -> Near | None:
        """The question of this scope and group that is most like one with these features; None where none is like it."""
        vector = encoded(features)
        if vector is None:
            return None
        stream = alike_key(scope, _short(features.version))
        self._seen.setdefault(stream, "0")
        near = self._indexes[stream].nearest(group, vector)
        return near if near and step_of(near.similarity) >= 0 else None

    def treatment(self, tenant: Tenant, features: Features, near: Near) -> Treatment:
        """What to do with the answer to the nearest question.

        Until any may be given all are checked, which costs nothing; then a share, drawn whatever the similarity, so that no bar is judged by other
        questions than it would let through.
        """
        key = checked_key(tenant.id, _short(features.version))
        self._risks[key] = tenant.semantic_risk or 0.0
        lowest = self._bars.get(key, NONE)
        if lowest == NONE or random.random() < self._share:
            return "check"
        return "give" if near.similarity >= lowest else "leave"

    async def add(self, scope: str, group: str, answer: str, features: Features) -> None:
        """A question that was answered; `answer` is its key."""
        vector = encoded(features)
        if vector is None:
            return
        stream = alike_key(scope, _short(features.version))
        row: dict[Any, Any] = {"g": group, "a": answer, "v": vector.astype(np.float16).tobytes()}

        async def added(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as both:
                both.xadd(stream, row, maxlen=self._most, approximate=True)
                both.expire(stream, round(self._seconds))
                await both.execute()

        await self._quietly(added)

    async def check(self, tenant: Tenant, features: Features, similarity: float, *, same: bool) -> None:
        """Count one comparison."""
        key, step = checked_key(tenant.id, _short(features.version)), step_of(similarity)

        async def counted(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as both:
                both.hincrby(key, f"{step}:compared", 1)
                both.hincrby(key, f"{step}:false", int(not same))
                both.expire(key, _MONTH)
                await both.execute()

        await self._quietly(counted)

    async def follow(self) -> None:
        """Take in what has been added and checked, by anybody."""

        async def followed(redis: Redis) -> None:
            seen: Any = self._seen  # redis types keys and answers as whatever there may be
            while seen:
                found: Any = await redis.xread(dict(seen), count=_AT_ONCE)
                if not found:
                    break
                for stream, batches in found.items():
                    self._take(stream.decode(), [entry for batch in batches for entry in batch])
            for key, risk in list(self._risks.items()):
                counts: Any = await redis.hgetall(key)
                self._bars[key] = bar(_counts(counts), risk)

        await self._quietly(followed)

    def _take(self, stream: str, entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> None:
        for place, row in entries:
            vector = np.frombuffer(row[b"v"], np.float16).astype(np.float32)
            self._indexes[stream].add(row[b"g"].decode(), row[b"a"].decode(), vector)
            self._seen[stream] = place.decode()

    async def _quietly(self, work: Callable[[Redis], Awaitable[None]]) -> None:
        with suppress(StoreUnavailable):
            await self._store.ask(work)


def encoded(features: Features) -> Vector | None:
    """The encoder's part of the features, of unit length; None where there is none, or it is all zeros."""
    first = next((place for place, name in enumerate(features.names) if name.startswith(_PROBE)), None)
    if first is None:
        return None
    vector = features.vector[first:]
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else None


def _counts(told: Mapping[bytes, bytes]) -> dict[int, tuple[int, int]]:
    counts: defaultdict[int, list[int]] = defaultdict(lambda: [0, 0])
    for name, count in told.items():
        step, _, kind = name.decode().partition(":")
        counts[int(step)][kind == "false"] = int(count)
    return {step: (compared, false) for step, (compared, false) in counts.items()}


def _short(version: str) -> str:
    return blake2b(version.encode(), digest_size=6).hexdigest()
