"""Stations: where requests wait and are served. Each keeps its own books, so that a visit costs the simulation one event.

A core serves first come, first served, so that when a visit ends is known when it begins (Lindley's recursion). A GPU shares its steps among all
samples (processor sharing whose pace falls with their number: Yashkov 1987; continuous batching: Yu et al. 2022, "Orca"). Redis has one core for the
whole fleet, of which a slice is simulated: what the rest of the fleet asks between two visits comes as Poisson, and its work is reflected at zero
exactly.
"""

import math
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from itertools import count

import numpy as np
from simpy import Environment, Event

from router.simulation.scenario import EngineSettings

_AT_ONCE = 1e-9  # seconds, or tokens, that make no difference
_MEMORY = 1.0  # seconds over which the pace of visits is told


class Core:
    """A core, or `servers` of them, of which `stolen` is the share that other work takes."""

    def __init__(self, servers: int = 1, stolen: float = 0.0) -> None:
        self._free = [0.0] * servers
        self._slower = 1 / max(0.01, 1 - stolen)
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When work that comes now is done."""
        took = seconds * self._slower
        done = max(now, heappop(self._free)) + took
        heappush(self._free, done)
        self.busy += took
        return done


class Shared:
    """One core. `elsewhere` times as many visits come from what is not simulated of the fleet; `steady` is the share that goes on pollers."""

    def __init__(self, rng: np.random.Generator, elsewhere: float = 0.0, steady: float = 0.0) -> None:
        self._rng, self._elsewhere = rng, elsewhere
        self._slower = 1 / max(0.01, 1 - steady)
        self._work = self._at = self._pace = self._sum = 0.0
        self.visits = 0
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When a visit that comes now is done."""
        since, self._at = now - self._at, now
        self._pace *= math.exp(-since / _MEMORY)
        self._pass(since)
        self._pace += 1 / _MEMORY
        self.visits += 1
        self.add(seconds)
        return now + self._work

    def add(self, seconds: float) -> None:
        """Work that nobody waits for."""
        self._work += seconds * self._slower
        self._sum += seconds * self._slower
        self.busy += seconds * self._slower

    def _pass(self, since: float) -> None:
        """So many seconds go by, with visits from elsewhere: the work left is the greatest that began at any of them."""
        left = self._work - since
        if self._elsewhere and self.visits:
            many, job = int(self._rng.poisson(self._elsewhere * self._pace * since)), self._sum / self.visits
            if many:
                self.busy += many * job
                came = np.sort(self._rng.random(many)) * since
                left = max(left + many * job, float(((many - np.arange(many)) * job - (since - came)).max()))
        self._work = max(0.0, left)


class Gpu:
    """A GPU with an engine for each pool; those with samples take turns, a step each."""

    def __init__(self, env: Environment, engines: Mapping[str, EngineSettings]) -> None:
        self._env, self._engines = env, engines
        self._drawn = dict.fromkeys(engines, 0)
        self._order = count()
        self._ends: list[tuple[float, int, str, Callable[[], None]]] = []  # by the number of steps at which they end
        self._steps = self._at = self._read = 0.0
        self._step = 0.0
        self._armed = math.inf
        self.work = self.tokens = 0.0  # seconds that the same would take with all slots taken, and tokens

    @property
    def running(self) -> int:
        """Samples that are drawn."""
        return len(self._ends)

    def draw(self, pool: str, tokens: float, prompt: float, done: Callable[[], None]) -> None:
        """Begin a sample; `done` is called when it has its tokens."""
        self._advance()
        self._read = max(self._read, self._env.now) + prompt * self._engines[pool].prompt
        self._change(pool, 1)
        self.tokens += tokens
        self.work += self._engines[pool].least(tokens, prompt)
        heappush(self._ends, (self._steps + max(1.0, tokens), next(self._order), pool, done))
        self._arm()

    def _advance(self) -> None:
        now = self._env.now
        if self._ends:
            self._steps += max(0.0, now - max(self._at, min(self._read, now))) / self._step
        self._at = now

    def _change(self, pool: str, by: int) -> None:
        self._drawn[pool] += by
        self._step = sum(one.step + one.sequence * self._drawn[name] for name, one in self._engines.items() if self._drawn[name]) or _AT_ONCE

    def _arm(self) -> None:
        """Look again when the next sample may end; who looks too early, as others came, looks once more."""
        now = self._env.now
        end = max(now, self._read) + max(0.0, self._ends[0][0] - self._steps) * self._step
        if end >= self._armed - _AT_ONCE:
            return
        self._armed = end
        timer = self._env.timeout(end - now, value=end)
        timer.callbacks.append(self._look)

    def _look(self, timer: Event) -> None:
        if timer.value != self._armed:
            return
        self._armed = math.inf
        self._advance()
        ended = []
        while self._ends and (self._ends[0][0] - self._steps) * self._step <= _AT_ONCE:
            _, _, pool, done = heappop(self._ends)
            self._change(pool, -1)
            ended.append(done)
        if self._ends:
            self._arm()
        for done in ended:
            done()


class Disk:
    """Where a router forces its rows: those that wait together go together, and who was not alone is waited for a little (`FileJournal.commit`)."""

    GATHER = 0.002  # seconds

    def __init__(self, env: Environment, sync: float) -> None:
        self._env, self._sync = env, sync
        self._waiting: list[Event] = []
        self._idle = True
        self.busy = 0.0
        self.rows = 0

    def write(self) -> Event:
        """The event that a row is on disk."""
        done = self._env.event()
        self._waiting.append(done)
        self.rows += 1
        if self._idle:
            self._idle = False
            self._begin()
        return done

    def _begin(self, _: Event | None = None) -> None:
        if not self._waiting:
            self._idle = True
            return
        batch, self._waiting = self._waiting, []
        self.busy += self._sync
        timer = self._env.timeout(self._sync)
        timer.callbacks.append(lambda _: self._synced(batch))

    def _synced(self, batch: list[Event]) -> None:
        for done in batch:
            done.succeed()
        rest = self._env.timeout(self.GATHER if len(batch) > 1 else 0.0)
        rest.callbacks.append(self._begin)
