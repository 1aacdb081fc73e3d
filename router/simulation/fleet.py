"""The fleet in a simulation: every request walks through it as `router/pipeline.py` has it walk through the real one.

Left out: hedged runs, ejected workers, requests for the same answer that join one another, and what a client does that is refused.
"""

from collections.abc import Mapping
from typing import Any

from simpy import AnyOf, Event

from router.errors import BudgetExhausted, DeadlineExceeded, RouterError
from router.simulation.arrivals import arrivals
from router.simulation.gate import permit
from router.simulation.measured import Episode, Purchase, Step
from router.simulation.site import Hold, Router, Site, Tally, Walk

_STAGES = 4  # purchases of a request, at most


class Fleet(Site):
    """A slice of one cell, under way. `run` plays so many seconds, of which the first `warm` are not counted."""

    def run(self, seconds: float, warm: float) -> dict[str, float]:
        """What each part was busy with, of the time counted."""
        env = self.env
        self.accounts = self.open_accounts(warm + seconds)
        env.process(self._arrive())
        env.process(self.look())
        if self.scenario.learning:
            env.process(self.learn())
        for router in self.routers:
            env.process(self.deliver(router))
        env.run(warm)
        before, self.tally = self.busy(), Tally()
        env.run(warm + seconds)
        return {name: (busy - before[name]) / seconds for name, busy in self.busy().items()}

    def _arrive(self) -> Walk:
        kind, rate = self.scenario.arrivals, self.shape.rate * self.shape.share
        for gap in arrivals(kind, rate, self.traffic.gaps, self.rng):
            yield self.env.timeout(gap)
            self.env.process(self._request(self.rng.choice(self.traffic.episodes)))

    def _request(self, episode: Episode) -> Walk:
        came = self.env.now
        try:
            ending = yield from self._answered(self.rng.choice(self.routers), episode, self.tenant())
        except RouterError as error:
            ending = error.reason
        self.tally.endings[ending] += 1
        if ending == "answered":
            self.tally.latencies.append(self.env.now - came)

    def _answered(self, router: Router, episode: Episode, tenant: str) -> Walk:
        """From the door to the end of the call."""
        costs = self.scenario
        yield self.work(router, costs.router.call / 2)
        yield from self.ask(router, costs.redis.look)
        if not episode.steps:
            yield self.work(router, costs.router.call / 2)
            yield self.logged(router)
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
        hold = yield from self.hold(router, tenant, max(ceilings.values()) * _STAGES, min(ceilings.values()))
        ending = "answered"
        try:
            for step in episode.steps:
                if ending := (yield from self._stage(router, step, tenant, hold)):
                    break
        except RouterError:
            yield from self.settle(router, tenant, hold)
            raise
        yield self.work(router, self.scenario.router.call / 2)
        yield self.logged(router)
        yield from self.ask(router, self.scenario.redis.keep)
        yield from self.settle(router, tenant, hold)
        self.report(router)
        return "answered" if hold.spent else ending

    def _stage(self, router: Router, step: Step, tenant: str, hold: Hold) -> Walk:
        """Decide and buy once; why nothing was bought, if so."""
        yield self.work(router, self.scenario.router.stage / 2)
        purchase = self._chosen(step, self.congestion.shares)
        if purchase is None:
            return "abstained"
        if not (yield from self.covered(router, tenant, hold, self.traffic.ceilings[purchase.plan])):
            purchase = self._fitting(step, tenant, hold)
            if purchase is None:
                return BudgetExhausted.reason
        yield from self._execute(router, purchase, tenant)
        hold.spent += purchase.cost
        yield self.work(router, self.scenario.router.stage / 2)
        yield self.logged(router)
        return ""

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
        under_way, draw = self.under_way, self.rng.random
        place = min(range(len(self.workers)), key=lambda one: (under_way[who, one], draw()))
        worker, costs = self.workers[place], self.scenario.worker
        under_way[who, place] += 1
        try:
            done = worker.core.serve(self.env.now, self.drawn(costs.call + costs.sample * purchase.samples))
            yield self.env.timeout(done - self.env.now)
            yield worker.run(purchase, tenant)
        finally:
            under_way[who, place] -= 1
