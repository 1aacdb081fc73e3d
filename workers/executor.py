"""The executor: runs one plan's strategy on its pool, inside budget and deadline."""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.errors import BackendUnavailable, BudgetExhausted, UnknownPlan
from router.ports import Meter, Strategy
from router.telemetry import Telemetry
from router.types import Budget, Evidence, Outcome, Plan, Query, Usage
from workers.pool import Pool
from workers.spending import Spending
from workers.strategies import strategies
from workers.tools import MeteredTools

__all__ = ["LocalExecutor", "Pool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalExecutor:
    """Runs plans in this process, on pools by name. `clock` is the one that `Query.deadline` is told on."""

    pools: Mapping[str, Pool]
    clock: Callable[[], float] = time.monotonic
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    telemetry: Telemetry = field(default_factory=Telemetry)

    def check(self, plans: Sequence[Plan]) -> None:
        """Raise UnknownPlan for the first plan that these pools cannot run."""
        for plan in plans:
            self._prepare(plan)

    async def execute(self, query: Query, plan: Plan, evidence: Evidence, budget: Budget, meter: Meter) -> Outcome:
        """See `Executor.execute`."""
        pool, strategy = self._prepare(plan)
        spending = Spending(_lower(plan.budget, budget), plan.price, pool.joules_per_token, meter)
        earlier = [candidate for outcome in evidence.outcomes if outcome.plan == plan.id for candidate in outcome.candidates]
        tools = MeteredTools(pool, spending, self.telemetry, self._generator(query, plan, evidence), earlier)
        started = self.clock()
        try:
            with self.telemetry.workflow(plan.strategy, plan.id):
                reason = await self._run(strategy, query, tools)
        finally:
            lost = spending.spent.kept_tokens - tools.kept_tokens
            spending.charge(Usage(kept_tokens=-lost, discarded_tokens=lost, seconds=self.clock() - started))
        chosen = strategy.choose(tools.candidates)
        best = None if chosen is None else tools.candidates[chosen]
        return Outcome(
            plan=plan.id,
            answer=best.answer if best else None,
            text=best.text if best else "",
            candidates=tools.new,
            usage=spending.spent,
            stop_reason=reason,
        )

    async def _run(self, strategy: Strategy, query: Query, tools: MeteredTools) -> str:
        """Why it stopped: what the strategy says, or what cut it short."""
        left = query.deadline - self.clock()
        scope = asyncio.timeout(None if left == float("inf") else left)
        try:
            async with scope:
                return await strategy.run(query, tools)
        except BudgetExhausted:
            return "budget"
        except BackendUnavailable:
            if not tools.new:
                raise
            return "backend"
        except TimeoutError:
            if not scope.expired():
                raise
            return "deadline"

    def _prepare(self, plan: Plan) -> tuple[Pool, Strategy]:
        if plan.pool not in self.pools:
            raise UnknownPlan(f"plan {plan.id}: no pool {plan.pool!r}; known: {', '.join(sorted(self.pools))}", plan=plan.id)
        pool = self.pools[plan.pool]
        try:
            strategy = strategies.build(plan.strategy, plan.options)
        except ValueError as error:
            raise UnknownPlan(f"plan {plan.id}: {error}", plan=plan.id) from error
        if missing := strategy.needs - pool.capabilities:
            raise UnknownPlan(f"plan {plan.id}: {plan.strategy} needs {', '.join(sorted(missing))}, which pool {plan.pool} lacks", plan=plan.id)
        return pool, strategy

    def _generator(self, query: Query, plan: Plan, evidence: Evidence) -> np.random.Generator:
        """A seeded query gives the same samples for the same plan at the same stage, and others when it is bought again."""
        if query.seed is None:
            return np.random.default_rng(self.rng.integers(2**63))
        return np.random.default_rng((query.seed, zlib.crc32(plan.id.encode()), evidence.stage))


def _lower(first: Budget, second: Budget) -> Budget:
    """The tighter of two budgets, ceiling by ceiling."""
    return Budget(
        tokens=min((one for one in (first.tokens, second.tokens) if one is not None), default=None),
        cost=min((one for one in (first.cost, second.cost) if one is not None), default=None),
    )
