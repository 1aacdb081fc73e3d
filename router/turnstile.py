"""The turnstile: so many inside at once, a bounded queue before it, and fair shares between tenants.

Who comes next is decided by how long each tenant's requests were inside, divided by its weight: the tenant that had least is next. A tenant that
comes back after a rest begins at what the busy ones have had, so that nobody saves up. This is the virtual token counter of Sheng et al. 2024
("Fairness in serving large language models", arXiv 2401.00588, algorithm 2) with seconds inside for tokens served.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from router.errors import DeadlineExceeded, Overloaded

_FORGET = 60.0  # seconds after which a tenant of which nobody is there counts no more
_MANY = 256  # tenants kept in mind, before those who are not there are looked through
_AT_FIRST = 0.1  # seconds that somebody is thought to stay, before anybody has left


@dataclass(slots=True, eq=False)
class _Line:
    """One tenant's: who is inside and who waits, and the seconds it had for its weight."""

    had: float = 0.0
    weight: float = 1.0
    inside: int = 0
    waiting: deque["asyncio.Future[None]"] = field(default_factory=deque)
    seen: float = 0.0


class Turnstile:
    """At most `permits` inside, at most `queue` waiting; further ones are refused with Overloaded, which says when to come again.

    Where the queue is full, somebody of the longest line gives way to a tenant with a shorter one (longest queue drop: Suter et al. 1998). While
    there are several tenants, one that has its share of the permits may take none of the last `headroom` of them: another finds one free.
    """

    def __init__(self, permits: int, queue: int = 0, *, headroom: float = 0.25, clock: Callable[[], float] = time.monotonic) -> None:
        self.permits = permits
        self.taken = 0
        self.waiting = 0
        self._queue = queue
        self._spare = int(permits * headroom)
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._stay = _AT_FIRST

    @asynccontextmanager
    async def inside(self, tenant: str, weight: float = 1.0, patience: float = float("inf")) -> AsyncIterator[float]:
        """Come in, having waited so many seconds, and leave at exit. Raises Overloaded, or DeadlineExceeded after `patience` seconds of waiting."""
        line, came = self._line(tenant, weight), self._clock()
        if not self._waiting_before(line) and self._open(line):
            self._enter(line)
        else:
            await self._queue_up(line, patience)
        entered = self._clock()
        try:
            yield entered - came
        finally:
            self._leave(line, self._clock() - entered)

    def _line(self, tenant: str, weight: float) -> _Line:
        now, line = self._clock(), self._lines.get(tenant)
        if line is None:
            if len(self._lines) >= _MANY:
                self._lines = {name: one for name, one in self._lines.items() if one.inside or one.waiting or now - one.seen < _FORGET}
            line = self._lines[tenant] = _Line()
        if not line.inside and not line.waiting:
            line.had = max(line.had, min((one.had for one in self._lines.values() if one.inside or one.waiting), default=0.0))
        line.seen, line.weight = now, weight
        return line

    def _waiting_before(self, line: _Line) -> bool:
        """Whether somebody waits who may come in: those who may only not take the last permits hold nobody else up."""
        return self.waiting > 0 and any(one.waiting and (one is line or self._open(one)) for one in self._lines.values())

    def _open(self, line: _Line) -> bool:
        """Whether there is a permit for one more of this line."""
        free = self.permits - self.taken
        if free <= 0 or free > self._spare:
            return free > 0
        now = self._clock()
        weights = [one.weight for one in self._lines.values() if one.inside or one.waiting or now - one.seen < _FORGET]
        return len(weights) == 1 or line.inside < self.permits * line.weight / sum(weights)

    def _enter(self, line: _Line) -> None:
        self.taken += 1
        line.inside += 1

    def _leave(self, line: _Line, stayed: float) -> None:
        self.taken -= 1
        line.inside -= 1
        line.had += stayed / line.weight
        self._stay += 0.05 * (stayed - self._stay)
        self._let_in()

    def _let_in(self) -> None:
        while self.waiting:
            lines = [one for one in self._lines.values() if one.waiting and self._open(one)]
            if not lines:
                return
            line = min(lines, key=lambda one: one.had + one.inside * self._stay / one.weight)
            if not (waiter := self._next(line)).done():  # it may have given up in this moment
                self._enter(line)
                waiter.set_result(None)

    def _next(self, line: _Line, place: int = 0) -> "asyncio.Future[None]":
        self.waiting -= 1
        waiter = line.waiting[place]
        del line.waiting[place]
        return waiter

    async def _queue_up(self, line: _Line, patience: float) -> None:
        if self.waiting >= self._queue:
            self._make_room(line)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(waiter)
        self.waiting += 1
        try:
            async with asyncio.timeout(None if patience == float("inf") else patience):
                await waiter
        except TimeoutError as error:
            self._give_up(line, waiter)
            raise DeadlineExceeded(f"{patience:.1f} s in the queue were not enough") from error
        except asyncio.CancelledError:
            self._give_up(line, waiter)
            raise

    def _give_up(self, line: _Line, waiter: "asyncio.Future[None]") -> None:
        """Leave the queue or, if it was let in in the same moment, the inside."""
        if waiter in line.waiting:
            line.waiting.remove(waiter)
            self.waiting -= 1
        elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self._leave(line, 0.0)

    def _make_room(self, line: _Line) -> None:
        longest = max(self._lines.values(), key=lambda one: len(one.waiting))
        if len(longest.waiting) <= len(line.waiting) + 1:
            raise self._full()
        if not (waiter := self._next(longest, -1)).done():
            waiter.set_exception(self._full())

    def _full(self) -> Overloaded:
        wait = self._stay * (self.waiting + 1) / self.permits
        return Overloaded(
            f"all {self.permits} permits are taken, and {self.waiting} requests wait: try again in {wait:.1f} s",
            retry_after=max(0.05, wait),
            permits=self.permits,
            waiting=self.waiting,
        )
