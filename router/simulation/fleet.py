"""The fleet in a simulation: every request walks through it as `router/pipeline.py` has it walk through the real one.

Admission and the queues of pools are decided by the real turnstile, prices by the real congestion, what is granted while Redis is away by the real
allowance; budgets by what their scripts say. Left out: hedged runs, ejected workers, requests for the same answer that join one another, and what a
client does that is refused.
"""

import random
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from simpy import AnyOf, Environment, Event

from router.congestion import Congestion
from router.errors import BudgetExhausted, DeadlineExceeded, RouterError, StoreUnavailable
from router.ledger.allowance import Allowance
from router.simulation.arrivals import arrivals
from router.simulation.gate import Gate, permit
from router.simulation.ledger import Account
from router.simulation.measured import Episode, Purchase, Step, Traffic
from router.simulation.pools import Worker, loads
from router.simulation.scenario import Scenario
from router.simulation.shape import Shape, asked_steadily, rows
from router.simulation.stations import Core, Disk, Shared
from router.store import SOCKET_TIMEOUT
from router.tenants import Window
from router.types import Amount
from workers.fleet import LOOK

Walk = Generator[Event, Any, Any]
REST = 0.25  # seconds that a router leaves Redis alone after a failure, see `Store`
COURIER = 0.25  # seconds between two tries to deliver what Redis has not got
LOCAL = 10_000_000  # micro-dollars that a router grants a tenant while Redis is away
SHIPPED = 1.0  # seconds that a row may wait for the stream
OWED = 10_000  # settlements that may wait for Redis
SMALL = "small"  # the tenant whose budget ends
_STAGES = 4  # purchases of a request, at most
_MICRO = 1e-6


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


class Fleet:
    """A slice of one cell, under way. `run` plays so many seconds, of which the first `warm` are not counted."""

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
                Allowance(LOCAL, OWED, lambda: env.now),
            )
            for _ in range(shape.routers_in)
        ]
        self.workers = [Worker(env, engines, shape.gpus_each, shape.polled) for _ in range(shape.workers_in)]
        self.redis = Shared(np.random.default_rng(seed), 1 / shape.share - 1, asked_steadily(scenario, traffic, shape.routers, shape.rate))
        self.congestion = Congestion()
        self.accounts: dict[str, Account] = {}
        self._under_way: Counter[tuple[int, int]] = Counter()  # by router of the whole fleet, and worker of the slice
        self._rows = 0
        self._spread = (1 / costs.spread**2, costs.spread**2)

    def _accounts(self, seconds: float) -> dict[str, Account]:
        """Tenants, the last of which is small, and comes to the end of its budget while it is looked at."""
        scenario, shape = self.scenario, self.shape
        found = {f"tenant-{number}": Account() for number in range(scenario.tenants)}
        spends = self.traffic.cost * shape.rate * shape.share * scenario.small
        found[SMALL] = Account(left=round(scenario.left * spends * seconds), whole=round(spends / shape.share * scenario.window))
        return found

    def run(self, seconds: float, warm: float) -> dict[str, float]:
        """What each part was busy with, of the time counted."""
        env = self.env
        self.accounts = self._accounts(warm + seconds)
        env.process(self._arrive())
        env.process(self._look())
        if self.scenario.learning:
            env.process(self._learn())
        for router in self.routers:
            env.process(self._deliver(router))
        env.run(warm)
        before, self.tally = self._busy(), Tally()
        env.run(warm + seconds)
        return {name: (busy - before[name]) / seconds for name, busy in self._busy().items()}

    def _busy(self) -> dict[str, float]:
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

    def _arrive(self) -> Walk:
        kind, rate = self.scenario.arrivals, self.shape.rate * self.shape.share
        for gap in arrivals(kind, rate, self.traffic.gaps, self.rng):
            yield self.env.timeout(gap)
            self.env.process(self._request(self.rng.choice(self.traffic.episodes)))

    def _request(self, episode: Episode) -> Walk:
        came = self.env.now
        try:
            ending = yield from self._answered(self.rng.choice(self.routers), episode, self._tenant())
        except RouterError as error:
            ending = error.reason
        self.tally.endings[ending] += 1
        if ending == "answered":
            self.tally.latencies.append(self.env.now - came)

    def _tenant(self) -> str:
        return SMALL if self.rng.random() < self.scenario.small else f"tenant-{self.rng.randrange(self.scenario.tenants)}"

    def _answered(self, router: Router, episode: Episode, tenant: str) -> Walk:
        """From the door to the end of the call."""
        costs = self.scenario
        yield self._work(router, costs.router.call / 2)
        yield from self._ask(router, costs.redis.look)
        if not episode.steps:
            yield self._work(router, costs.router.call / 2)
            yield self._logged(router)
            return "answered"
        waiter, entered = permit(self.env)
        router.gate.come(tenant, waiter)
        yield from self._patient(router, waiter, entered)
        try:
            ending = yield from self._bought(router, episode, tenant)
        except RouterError:
            router.gate.go(waiter)
            raise
        router.gate.go(waiter)
        return ending

    def _patient(self, router: Router, waiter: Any, entered: Event) -> Walk:  # noqa: ANN401
        """Wait for a permit as long as the deadline allows."""
        if entered.triggered:
            yield entered
            return
        yield AnyOf(self.env, [entered, self.env.timeout(self.scenario.deadline)])
        if not entered.triggered:
            router.gate.tire(waiter)
            raise DeadlineExceeded("so long in the queue was not enough")

    def _bought(self, router: Router, episode: Episode, tenant: str) -> Walk:
        """Inside: hold, buy, settle, however it ends."""
        ceilings = self.traffic.ceilings
        hold = yield from self._hold(router, tenant, max(ceilings.values()) * _STAGES, min(ceilings.values()))
        ending = "answered"
        try:
            for step in episode.steps:
                if ending := (yield from self._stage(router, step, tenant, hold)):
                    break
        except RouterError:
            yield from self._settle(router, tenant, hold)
            raise
        yield self._work(router, self.scenario.router.call / 2)
        yield self._logged(router)
        yield from self._ask(router, self.scenario.redis.keep)
        yield from self._settle(router, tenant, hold)
        self._report(router)
        return "answered" if hold.spent else ending

    def _stage(self, router: Router, step: Step, tenant: str, hold: Hold) -> Walk:
        """Decide and buy once; why nothing was bought, if so."""
        yield self._work(router, self.scenario.router.stage / 2)
        purchase = self._chosen(step, self.congestion.shares)
        if purchase is None:
            return "abstained"
        if not (yield from self._covered(router, tenant, hold, self.traffic.ceilings[purchase.plan])):
            purchase = self._fitting(step, tenant, hold)
            if purchase is None:
                return BudgetExhausted.reason
        yield from self._execute(router, purchase, tenant)
        hold.spent += purchase.cost
        yield self._work(router, self.scenario.router.stage / 2)
        yield self._logged(router)
        return ""

    def _hold(self, router: Router, tenant: str, most: int, least: int) -> Walk:
        """Hold as much, or the least; where Redis does not answer, by this router's own leave."""
        if (yield from self._ask(router, self.scenario.redis.reserve)):
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
        if len(router.owed) >= OWED:
            raise StoreUnavailable("Redis is away and too many settlements wait for it")
        owed = [(tenant, Amount(sum(one.spent for who, one in router.owed if who == tenant)))] if whole is not None else []
        return router.allowance.grant(tenant, name, Amount(most), self.scenario.deadline, Amount(least), windows=windows, owed=owed).cost

    def _covered(self, router: Router, tenant: str, hold: Hold, ceiling: int) -> Walk:
        """Whether the hold has room for a purchase; it grows, if it has to and may."""
        wanted = hold.spent + ceiling
        if hold.held < wanted:
            if hold.local:
                hold.held = self._allowed(router, tenant, hold.local, wanted, wanted)
            elif (yield from self._ask(router, self.scenario.redis.reserve)):
                hold.held = self.accounts[tenant].grow(hold.held, wanted)
        return hold.held >= wanted

    def _settle(self, router: Router, tenant: str, hold: Hold) -> Walk:
        account = self.accounts[tenant]
        self.tally.cost += hold.spent
        account.used += hold.spent
        router.allowance.release(hold.local)
        if (yield from self._ask(router, self.scenario.redis.settle)):
            account.settle(0 if hold.local else hold.held, hold.spent)
            self.redis.add(self.scenario.redis.settle * _MICRO)  # once more, when it is surely on disk
        else:
            router.owed.append((tenant, hold))

    def _deliver(self, router: Router) -> Walk:
        """The courier."""
        while True:
            yield self.env.timeout(COURIER)
            owed, router.owed = router.owed[:256], router.owed[256:]
            if owed and (yield from self._ask(router, self.scenario.redis.settle * len(owed))):
                for tenant, hold in owed:
                    self.accounts[tenant].settle(0 if hold.local else hold.held, hold.spent)
            else:
                router.owed = owed + router.owed

    def _report(self, router: Router) -> None:
        """An outcome comes for some; nobody waits for that."""
        if self.rng.random() < self.traffic.reports:
            router.core.serve(self.env.now, self.scenario.router.report * _MICRO)
            self._row()

    def _chosen(self, step: Step, shares: Mapping[str, float]) -> Purchase | None:
        """What is bought at these shadow prices; None where nothing is worth it. Another plan gives what it gave to somebody in the log."""
        self.tally.purchases += 1
        if not shares or not step.choices:
            return step.purchase
        pool_of = self.traffic.pool_of
        before = max(step.choices, key=lambda one: one[1])[0]
        after = max(step.choices, key=lambda one: one[1] - one[2] * shares.get(pool_of.get(one[0], ""), 0.0))[0]
        if after == before or before != step.purchase.plan:  # what was explored stays explored
            return step.purchase
        self.tally.moved += 1
        return self._as_of(after)

    def _fitting(self, step: Step, tenant: str, hold: Hold) -> Purchase | None:
        """The best choice of those that what is left of the budget pays for, held from now on."""
        ceilings, account = self.traffic.ceilings, self.accounts[tenant]
        left = (hold.held if hold.local else account.most(hold.held)) - hold.spent
        fit = [one for one in step.choices if ceilings.get(one[0], left + 1) <= left]
        if not fit:
            return None
        plan = max(fit, key=lambda one: one[1])[0]
        if not hold.local:
            hold.held = account.grow(hold.held, hold.spent + ceilings[plan])
        return self._as_of(plan)

    def _as_of(self, plan: str) -> Purchase | None:
        own = self.traffic.by_plan.get(plan)
        return self.rng.choice(own) if own else None

    def _execute(self, router: Router, purchase: Purchase, tenant: str) -> Walk:
        """On the worker that has the least of this router's, though a router knows its own alone (`Fleet._next`)."""
        who = self.rng.randrange(self.shape.routers)
        under_way, draw = self._under_way, self.rng.random
        place = min(range(len(self.workers)), key=lambda one: (under_way[who, one], draw()))
        worker, costs = self.workers[place], self.scenario.worker
        under_way[who, place] += 1
        try:
            done = worker.core.serve(self.env.now, self._drawn(costs.call + costs.sample * purchase.samples))
            yield self.env.timeout(done - self.env.now)
            yield worker.run(purchase, tenant)
        finally:
            under_way[who, place] -= 1

    def _work(self, router: Router, microseconds: float) -> Event:
        """Some of a router's core."""
        return self.env.timeout(router.core.serve(self.env.now, self._drawn(microseconds)) - self.env.now)

    def _drawn(self, microseconds: float) -> float:
        """Seconds, about so many."""
        shape, scale = self._spread
        return self.rng.gammavariate(shape, scale) * microseconds * _MICRO

    def _logged(self, router: Router) -> Event:
        self._row()
        return router.disk.write()

    def _row(self) -> None:
        self._rows += 1
        self.redis.add(self.scenario.redis.row * _MICRO)

    def _ask(self, router: Router, microseconds: float) -> Walk:
        """Ask Redis; whether it answered in time. A router that was let down leaves it alone for a while (`Store.ask`)."""
        now = self.env.now
        if now < router.resting:
            return False
        if self._away(now):
            router.resting = now + REST
            return False
        took = self.redis.serve(now, microseconds * _MICRO) - now
        if took > SOCKET_TIMEOUT:
            yield self.env.timeout(SOCKET_TIMEOUT)
            router.resting = self.env.now + REST
            return False
        yield self.env.timeout(took + self.scenario.redis.trip * _MICRO)
        return True

    def _away(self, now: float) -> bool:
        outage = self.scenario.outage
        return outage is not None and outage.begin <= now < outage.begin + outage.seconds

    def _look(self) -> Walk:
        """Ask all workers how busy they are, again and again."""
        while True:
            self.congestion.observe(loads(self.workers), self.env.now)
            self.tally.shares.append(max(self.congestion.shares.values(), default=0.0))
            yield self.env.timeout(LOOK)

    def _learn(self) -> Walk:
        """One router's learner: rows are shipped each second, followed every `learning_seconds`, and folded one after the other."""
        known, took = 0.0, self.scenario.router.fold * _MICRO
        pace = max(1e-9, self.shape.rate * rows(self.traffic))
        while True:
            new, known = self._rows / self.shape.share - known, self._rows / self.shape.share
            yield self.env.timeout(new * took)
            self.tally.lags.append(SHIPPED / 2 + new / pace / 2 + new * took)
            yield self.env.timeout(self.scenario.learning_seconds)
