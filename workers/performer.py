"""The performer: carries out a strategy's orders on real pools, and charges each for what it took, however it ends."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace

from router.errors import BackendUnavailable, RouterError
from router.ports import Spent
from router.telemetry import Telemetry
from router.types import Budget, Call, Fate, Price, Run, Sample, Usage, Vector
from workers.machine import Order
from workers.orders import HiddenOrder, LeftOrder, RunOrder, SampleOrder, ScoreOrder
from workers.pool import Pool
from workers.spending import Spending

_ONE_CALL = Usage(calls=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Performer:
    """Orders of one execution, for a tenant of this weight.

    `pools` and `prices` have the plan's own under ""; `cut` hears of samples that were cancelled.
    """

    tenant: str
    weight: float
    pools: Mapping[str, Pool]
    prices: Mapping[str, Price]
    spending: Spending
    telemetry: Telemetry
    cut: Callable[[int, str], None]
    seconds_left: Callable[[], float]

    async def perform(self, order: Order[object]) -> object:
        """The order's result; raises RouterError."""
        match order:
            case SampleOrder():
                return await self._sample(order)
            case ScoreOrder():
                return await self._score(order)
            case RunOrder():
                return await self._run(order.program)
            case HiddenOrder():
                return await self._hidden(order.call)
            case LeftOrder():
                return self._left()
            case _:
                raise TypeError(f"a strategy may not await {order!r}")

    async def _sample(self, order: SampleOrder) -> Sample:
        if order.pool not in self.pools:
            raise BackendUnavailable(f"the plan has no helper pool {order.pool!r}; it has {', '.join(filter(None, self.pools)) or 'none'}")
        pool, price, spent = self.pools[order.pool], self.prices[order.pool], Spent()
        worst = Usage(prompt_tokens=pool.backend.count(order.call), samples=1, calls=1)
        async with self.spending.hold(price, worst, order.call.max_tokens) as granted:
            call = order.call if granted == order.call.max_tokens else replace(order.call, max_tokens=granted)
            try:
                with pool.outstanding.sample(worst.prompt_tokens + granted):
                    async with self._slot(pool):
                        with pool.energy.working(spent):
                            sample = await self.telemetry.sampled(pool.model, call, spent, pool.backend.sample(call, spent), price=price)
            except asyncio.CancelledError:
                self._charge(pool, price, _sold(spent, Fate.CANCELLED))
                self.cut(spent.completion, order.pool)
                raise
            except RouterError:
                self._charge(pool, price, _sold(spent, Fate.DISCARDED))
                raise
            self._charge(pool, price, _sold(spent, Fate.KEPT))
            return sample

    def _slot(self, pool: Pool) -> AbstractAsyncContextManager[object]:
        return nullcontext() if pool.turnstile is None else pool.turnstile.inside(self.tenant, self.weight)

    def _charge(self, pool: Pool, price: Price, usage: Usage) -> None:
        self.spending.charge(price, replace(usage, joules=pool.energy.share(usage.tokens), energy=pool.energy.source))

    async def _score(self, order: ScoreOrder) -> list[float]:
        pool, price, spent = self.pools[""], self.prices[""], Spent()
        if (verifier := pool.verifier) is None:
            raise BackendUnavailable("the pool has no verifier")
        async with self.spending.hold(price, Usage(scored_tokens=verifier.count(order.query, order.texts), calls=1)):
            try:
                with pool.energy.working(spent), self.telemetry.scoring(len(order.texts), spent, price):
                    return list(await verifier.score(order.query, order.texts, spent))
            finally:
                self._charge(pool, price, Usage(scored_tokens=spent.prompt + spent.completion, calls=1))

    async def _hidden(self, call: Call) -> Vector:
        pool, price, spent = self.pools[""], self.prices[""], Spent()
        async with self.spending.hold(price, Usage(prompt_tokens=pool.backend.count(call), calls=1)):
            try:
                with pool.energy.working(spent):
                    return await pool.backend.hidden(call, spent)
            finally:
                self._charge(pool, price, Usage(prompt_tokens=spent.prompt, calls=1))

    async def _run(self, program: str) -> Run:
        if (sandbox := self.pools[""].sandbox) is None:
            raise BackendUnavailable("the pool has no sandbox")
        async with self.spending.hold(self.prices[""], _ONE_CALL):
            try:
                return await self.telemetry.ran_program(sandbox.run(program))
            finally:
                self.spending.charge(self.prices[""], _ONE_CALL)

    def _left(self) -> Budget:
        left = self.spending.left
        return replace(left, seconds=max(0.0, self.seconds_left()))


def _sold(spent: Spent, fate: Fate) -> Usage:
    """What one sample took, with what became of it."""
    usage = Usage(prompt_tokens=spent.prompt, samples=1, calls=1)
    match fate:
        case Fate.KEPT:
            return replace(usage, kept_tokens=spent.completion)
        case Fate.DISCARDED:
            return replace(usage, discarded_tokens=spent.completion)
        case Fate.CANCELLED:
            return replace(usage, cancelled_tokens=spent.completion)
