"""Learning online: every router follows the decision stream, and makes the same of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import structlog

from router import archive
from router.background import background
from router.errors import StoreUnavailable
from router.store import Store, stream_key
from router.types import Record

P = TypeVar("P")
P_co = TypeVar("P_co", covariant=True)
log = structlog.get_logger("rheostat.learning")
_BATCH = 200


class Learner(Protocol[P_co]):
    """Rows to what is learned of each tenant. Deterministic: the same rows in the same order give the same posteriors."""

    def fold(self, record: Record) -> bool:
        """Take one row in; whether anything new is learned."""

    def posteriors(self) -> Mapping[str, P_co]:
        """By tenant; "" is for those of whom nothing is known."""


@asynccontextmanager
async def learning(
    store: Store, learner: Learner[P], publish: Callable[[Mapping[str, P]], None], seconds: float, followed: Callable[[], None] = lambda: None
) -> AsyncIterator[None]:
    """While this is open, `publish` gets new posteriors within about `seconds` of what they are learned from.

    Whenever the end of the stream is reached `followed` is called.
    """
    async with background(learning=_follow(store, learner, publish, seconds, followed)):
        yield


async def _follow(
    store: Store, learner: Learner[P], publish: Callable[[Mapping[str, P]], None], seconds: float, followed: Callable[[], None]
) -> None:
    """From the oldest row that the stream has: nothing else is kept, so a router that was killed has lost nothing and repeats nothing."""
    last = "-"
    while True:
        try:
            last, new = await _caught_up(store, learner, last)
            if new:
                publish(await asyncio.to_thread(learner.posteriors))
            followed()
        except StoreUnavailable as error:
            log.warning("learning_delayed", error=str(error))
        await asyncio.sleep(seconds)


async def _caught_up(store: Store, learner: Learner[P], last: str) -> tuple[str, bool]:
    """Fold all rows after `last`; the last one's place, and whether anything was learned."""
    new = False
    while True:
        begin = last if last == "-" else f"({last}"
        rows = await store.ask(lambda redis, begin=begin: redis.xrange(stream_key(), min=begin, count=_BATCH))  # type: ignore[misc]
        if not rows:
            return last, new
        new |= await asyncio.to_thread(_fold, learner, [fields[b"row"] for _, fields in rows])
        last = rows[-1][0].decode()


def _fold(learner: Learner[P], lines: Sequence[bytes]) -> bool:
    new = [learner.fold(archive.record(row)) for row in archive.rows(lines)]  # all of them, whatever the first says
    return any(new)
