"""The site: routers, workers and Redis of a simulated fleet, the budgets that they keep, and what they do by themselves.

The queues of pools are those of the real turnstile, prices those of the real congestion, what is granted while Redis is away is the real allowance's;
budgets are what their scripts say.
"""

import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from simpy import Environment, Event

from router.congestion import Congestion
from router.errors import BudgetExhausted, StoreUnavailable
from router.journal import JournalOptions
from router.ledger.allowance import LOCAL_LIMIT, MOST_OWED, Allowance
from router.ledger.ledger import CONFIRM_AFTER, TRIES
from router.simulation.gate import Gate
from router.simulation.ledger import Account
from router.simulation.measured import Traffic
from router.simulation.pools import Worker, loads
from router.simulation.scenario import Scenario
from router.simulation.shape import Shape, asked_steadily, rows
from router.simulation.stations import Core, Disk, Shared
from router.store import REST, SOCKET_TIMEOUT
from router.tenants import Window
from router.types import Amount
from workers.fleet import LOOK

Walk = Generator[Event, Any, Any]
COURIER = CONFIRM_AFTER / TRIES  # seconds between two tries to deliver what Redis has not got
SHIPPED = JournalOptions().ship_seconds  # that a row may wait for the stream
SMALL = "small"  # the tenant whose budget ends
MICRO = 1e-6


@dataclass(slots=True)
class Hold:
    """What a request may come to, and has come to; `local` names it where a router granted it on its own. Micro-dollars."""

    held: int
    spent: int = 0
    local: str = ""


@dataclass(slots=True)
class Router:
    """One router process."""

    core: Core
    gate: Gate
    disk: Disk
    allowance: Allowance
    resting: float = 0.0  # until when it leaves Redis alone
    owed: list[tuple[str, Hold]] = field(default_factory=list)  # by tenant, settlements that wait for Redis


@dataclass(slots=True)
class Tally:
    """What happened since the warm-up. `latencies` in seconds, of answers; `lags` of what is learned."""

    latencies: list[float] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    purchases: int = 0
    moved: int = 0  # purchases that a shadow price changed
    degraded: int = 0
    cost: int = 0
    lags: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)  # the highest shadow price at each look


class Site:
    """A slice of one cell, before anybody asks anything of it."""

    def __init__(self, scenario: Scenario, shape: Shape, traffic: Traffic, seed: int) -> None:
        self.env = env = Environment()
        self.scenario, self.shape, self.traffic = scenario, shape, traffic
        self.rng = random.Random(seed)
        self.tally = Tally()
        engines = {name: scenario.of(name) for name in traffic.pools}
        costs = scenario.router
        self.routers = [
            Router(
                Core(stolen=shape.polling + shape.following),
                Gate(env, costs.permits, costs.queue),
                Disk(env, scenario.sync),
                Allowance(LOCAL_LIMIT, MOST_OWED, lambda: env.now),
            )
            for _ in range(shape.routers_in)
        ]
        self.workers = [Worker(env, engines, shape.gpus_each, shape.polled) for _ in range(shape.workers_in)]
        self.redis = Shared(np.random.default_rng(seed), 1 / shape.share - 1, asked_steadily(scenario, traffic, shape.routers, shape.rate))
        self.congestion = Congestion()
        self.accounts: dict[str, Account] = {}
        self.under_way: Counter[tuple[int, int]] = Counter()  # by router of the whole fleet, and worker of the slice
        self._rows = 0
        self._spread = (1 / costs.spread**2, costs.spread**2)

    def open_accounts(self, seconds: float) -> dict[str, Account]:
        """Tenants, the last of which is small, and comes to the end of its budget while it is looked at."""
        scenario, shape = self.scenario, self.shape
        found = {f"tenant-{number}": Account() for number in range(scenario.tenants)}
        spends = self.traffic.cost * shape.rate * shape.share * scenario.small
        found[SMALL] = Account(left=round(scenario.left * spends * seconds), whole=round(spends / shape.share * scenario.window))
        return found

    def busy(self) -> dict[str, float]:
        """Seconds, or pieces, that each part was busy with until now."""
        gpus = [gpu for worker in self.workers for gpu in worker.gpus]
        return {
            "routers": sum(one.core.busy for one in self.routers) / len(self.routers),
            "permits": sum(one.gate.inside_seconds for one in self.routers) / len(self.routers) / self.scenario.router.permits,
            "disk": sum(one.disk.busy for one in self.routers) / len(self.routers),
            "Redis": self.redis.busy,
            "Redis visits": float(self.redis.visits),
            "workers": sum(one.core.busy for one in self.workers) / len(self.workers),
            "GPUs": sum(gpu.work for gpu in gpus) / len(gpus),
            "slots": max(sum(one.gates[name].inside_seconds / one.gates[name].permits for one in self.workers) for name in self.traffic.pools)
            / len(self.workers),
            "tokens": sum(gpu.tokens for gpu in gpus),
        }

    def tenant(self) -> str:
        """Who asks."""
        return SMALL if self.rng.random() < self.scenario.small else f"tenant-{self.rng.randrange(self.scenario.tenants)}"

    def hold(self, router: Router, tenant: str, most: int, least: int) -> Walk:
        """Hold as much, or the least; where Redis does not answer, by this router's own leave."""
        if (yield from self.ask(router, self.scenario.redis.reserve)):
            amount = self.accounts[tenant].reserve(most, least)
            if amount is None:
                raise BudgetExhausted(f"tenant {tenant} has spent what it may")
            return Hold(amount)
        self.tally.degraded += 1
        name = str(self.rng.getrandbits(64))
        return Hold(self._allowed(router, tenant, name, most, least), local=name)

    def _allowed(self, router: Router, tenant: str, name: str, most: int, least: int) -> int:
        """What this router grants on its own."""
        whole = self.accounts[tenant].whole
        windows = () if whole is None else (Window("cap", self.scenario.window, whole),)
        if len(router.owed) >= MOST_OWED:
            raise StoreUnavailable("Redis is away and too many settlements wait for it")
        owed = [(tenant, Amount(sum(one.spent for who, one in router.owed if who == tenant)))] if whole is not None else []
        return router.allowance.grant(tenant, name, Amount(most), self.scenario.deadline, Amount(least), windows=windows, owed=owed).cost

    def covered(self, router: Router, tenant: str, hold: Hold, ceiling: int) -> Walk:
        """Whether the hold has room for a purchase; it grows, if it has to and may."""
        wanted = hold.spent + ceiling
        if hold.held < wanted:
            if hold.local:
                hold.held = self._allowed(router, tenant, hold.local, wanted, wanted)
            elif (yield from self.ask(router, self.scenario.redis.reserve)):
                hold.held = self.accounts[tenant].grow(hold.held, wanted)
        return hold.held >= wanted

    def settle(self, router: Router, tenant: str, hold: Hold) -> Walk:
        """Charge what was spent, now or later."""
        account = self.accounts[tenant]
        self.tally.cost += hold.spent
        account.used += hold.spent
        router.allowance.release(hold.local)
        if (yield from self.ask(router, self.scenario.redis.settle)):
            account.settle(0 if hold.local else hold.held, hold.spent)
            self.redis.add(self.scenario.redis.settle * MICRO)  # once more, when it is surely on disk
        else:
            router.owed.append((tenant, hold))

    def deliver(self, router: Router) -> Walk:
        """The courier."""
        while True:
            yield self.env.timeout(COURIER)
            owed, router.owed = router.owed[:256], router.owed[256:]
            if owed and (yield from self.ask(router, self.scenario.redis.settle * len(owed))):
                for tenant, hold in owed:
                    self.accounts[tenant].settle(0 if hold.local else hold.held, hold.spent)
            else:
                router.owed = owed + router.owed

    def report(self, router: Router) -> None:
        """An outcome comes for some; nobody waits for that."""
        if self.rng.random() < self.traffic.reports:
            router.core.serve(self.env.now, self.scenario.router.report * MICRO)
            self._row()

    def work(self, router: Router, microseconds: float) -> Event:
        """Some of a router's core."""
        return self.env.timeout(router.core.serve(self.env.now, self.drawn(microseconds)) - self.env.now)

    def drawn(self, microseconds: float) -> float:
        """Seconds, about so many."""
        shape, scale = self._spread
        return self.rng.gammavariate(shape, scale) * microseconds * MICRO

    def logged(self, router: Router) -> Event:
        """The event that a row is on disk."""
        self._row()
        return router.disk.write()

    def _row(self) -> None:
        self._rows += 1
        self.redis.add(self.scenario.redis.row * MICRO)

    def ask(self, router: Router, microseconds: float) -> Walk:
        """Ask Redis; whether it answered in time. A router that was let down leaves it alone for a while (`Store.ask`)."""
        now = self.env.now
        if now < router.resting:
            return False
        if self._away(now):
            router.resting = now + REST
            return False
        took = self.redis.serve(now, microseconds * MICRO) - now
        if took > SOCKET_TIMEOUT:
            yield self.env.timeout(SOCKET_TIMEOUT)
            router.resting = self.env.now + REST
            return False
        yield self.env.timeout(took + self.scenario.redis.trip * MICRO)
        return True

    def _away(self, now: float) -> bool:
        outage = self.scenario.outage
        return outage is not None and outage.begin <= now < outage.begin + outage.seconds

    def look(self) -> Walk:
        """Ask all workers how busy they are, again and again."""
        while True:
            self.congestion.observe(loads(self.workers), self.env.now)
            self.tally.shares.append(max(self.congestion.shares.values(), default=0.0))
            yield self.env.timeout(LOOK)

    def learn(self) -> Walk:
        """One router's learner: rows are shipped each second, followed every `learning_seconds`, and folded one after the other."""
        known, took = 0.0, self.scenario.router.fold * MICRO
        pace = max(1e-9, self.shape.rate * rows(self.traffic))
        while True:
            new, known = self._rows / self.shape.share - known, self._rows / self.shape.share
            yield self.env.timeout(new * took)
            self.tally.lags.append(SHIPPED / 2 + new / pace / 2 + new * took)
            yield self.env.timeout(self.scenario.learning_seconds)
