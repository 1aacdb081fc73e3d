"""Faults, drawn from a seed: each happens, lasts for a while, and is mended."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.chaos.town import Resident, Town, skewing

BETWEEN = 3.0  # seconds, on average
_SKEW = 40  # seconds by which a clock may be wrong
Fault = Callable[[], Awaitable[None]]


class Faults:
    """What happens to a town. `counts` says what did; `missing` what cannot be done here, and why."""

    def __init__(self, town: Town, seed: int) -> None:
        self._town = town
        self._rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.missing: dict[str, str] = {}
        self._kinds: dict[str, Fault] = {
            "worker killed": lambda: self._kill(self._one(town.workers)),
            "worker stopped": lambda: self._stop(self._one(town.workers), 0.3, 4.0),
            "worker slow": lambda: self._slow(self._one(town.to_worker)),
            "worker cut off": lambda: self._cut(self._one(town.to_worker)),
            "Redis killed": lambda: self._kill(town.redis),
            "Redis stopped": lambda: self._stop(town.redis, 0.2, 3.0),
            "Redis slow": lambda: self._slow(self._one(town.to_redis)),
            "Redis cut off": lambda: self._cut(self._one(town.to_redis)),
            "router killed": lambda: self._kill(self._one(town.routers)),
        }
        self._allow("disk full", self._fill, bool(town.disks), "no file system can be mounted")
        self._allow("clock skewed", self._skew, skewing() is not None, "libfaketime is not installed")

    def _allow(self, name: str, fault: Fault, can: bool, why: str) -> None:
        if can:
            self._kinds[name] = fault
        else:
            self.missing[name] = why

    @property
    def outages(self) -> int:
        """How often a router may have been without Redis."""
        return sum(count for name, count in self.counts.items() if "Redis" in name)

    async def strike(self, seconds: float) -> None:
        """One fault after another, some at a time, for so long; each kind once before any comes again."""
        end, order, running = asyncio.get_running_loop().time() + seconds, [], set()
        while (now := asyncio.get_running_loop().time()) < end:
            order = order or self._rng.sample(sorted(self._kinds), len(self._kinds))
            name = order.pop()
            self.counts[name] += 1
            running.add(task := asyncio.create_task(self._kinds[name](), name=name))
            task.add_done_callback(running.discard)
            await asyncio.sleep(min(end - now, self._rng.expovariate(1 / BETWEEN)))
        await asyncio.gather(*running)
        self._town.mend()

    def _one(self, some: list) -> object:
        return self._rng.choice(some)

    def _while(self, low: float, high: float) -> float:
        return self._rng.uniform(low, high)

    async def _kill(self, resident: Resident) -> None:
        """As kill -9; it stays dead for a moment."""
        resident.asleep = True
        resident.send(signal.SIGKILL)
        await asyncio.sleep(self._while(0.0, 2.0))
        resident.asleep = False

    async def _stop(self, resident: Resident, low: float, high: float) -> None:
        resident.send(signal.SIGSTOP)
        await asyncio.sleep(self._while(low, high))
        resident.send(signal.SIGCONT)

    async def _slow(self, link) -> None:
        link.delay = self._while(0.05, 0.4)
        await asyncio.sleep(self._while(0.5, 4.0))
        link.delay = 0.0

    async def _cut(self, link) -> None:
        """Either as when a cable is pulled, or as when the other side is gone."""
        link.stop_up() if self._rng.random() < 0.5 else link.cut()
        await asyncio.sleep(self._while(0.3, 4.0))
        link.mend()

    async def _fill(self) -> None:
        """Not a byte more fits on the disk of a router."""
        ballast = self._rng.choice(self._town.disks) / "ballast"
        left = os.statvfs(ballast.parent)
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while left.f_bavail:
                file.write(b"\0" * left.f_frsize * left.f_bavail)
                left = os.statvfs(ballast.parent)
        await asyncio.sleep(self._while(0.5, 3.0))
        ballast.unlink(missing_ok=True)

    async def _skew(self) -> None:
        """A router starts again with a clock that is wrong."""
        router: Resident = self._rng.choice(self._town.routers)
        router.env |= {"LD_PRELOAD": skewing() or "", "FAKETIME": f"{self._rng.randint(-_SKEW, _SKEW):+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        await self._kill(router)
