"""The executor: runs one plan's strategy on its pool, inside budget and deadline. It owns concurrency, metering and cancellation."""

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from router.errors import BackendUnavailable, BudgetExhausted, InvalidQuery, Overloaded, RouterError, UnknownPlan
from router.ports import Meter, Strategy
from router.telemetry import Telemetry
from router.types import Budget, Evidence, Outcome, Plan, Query, Usage
from workers.machine import Machine, Order
from workers.outlast import outlast
from workers.performer import Performer
from workers.pool import Pool
from workers.replay import Tape
from workers.spending import Spending
from workers.strategies import strategies
from workers.tools import StrategyTools

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
        pools, strategy = self._prepare(plan)
        pool, prices = pools[""], {"": plan.price, **plan.helpers}
        ceiling = plan.budget.tighter(budget)
        spending = Spending(ceiling, meter)
        earlier = [candidate for outcome in evidence.outcomes if outcome.pool == plan.pool for candidate in outcome.candidates]
        machine, seed, started = Machine(), self._seed(query, plan, evidence), self.clock()
        tools = StrategyTools(machine, np.random.default_rng(seed), style=pool.backend.style, prices=prices, earlier=earlier)
        deadline = min(query.deadline, started + ceiling.seconds) if ceiling.seconds is not None else query.deadline
        performer = Performer(
            tenant=query.tenant,
            weight=query.weight,
            pools=pools,
            prices=prices,
            spending=spending,
            telemetry=self.telemetry,
            cut=tools.cut,
            seconds_left=lambda: deadline - self.clock(),
        )
        tape = Tape(query, plan, tools.style, seed, earlier)
        try:
            with self.telemetry.workflow(plan.strategy, plan.id):
                machine.start(strategy.run(query, tools))
                tape.reason = await self._run(machine, performer, tape, deadline, tools)
        finally:
            lost = spending.spent.kept_tokens - tools.kept_tokens
            spending.charge(plan.price, Usage(kept_tokens=-lost, discarded_tokens=lost, seconds=self.clock() - started))
        chosen = strategy.choose(tools.candidates)
        best = None if chosen is None else tools.candidates[chosen]
        return Outcome(
            plan=plan.id,
            answer=best.answer if best else None,
            text=best.text if best else "",
            candidates=tools.new,
            usage=spending.spent,
            stop_reason=tape.reason,
            pool=plan.pool,
            trace=tape.written() if query.traced else "",
        )

    async def _run(self, machine: Machine, performer: Performer, tape: Tape, deadline: float, tools: StrategyTools) -> str:
        """Why it stopped: what the strategy says, or what cut it short."""
        left = deadline - self.clock()
        scope = asyncio.timeout(None if left == float("inf") else left)
        try:
            async with scope:
                return await _drive(machine, performer, tape)
        except BudgetExhausted:
            return "budget"
        except (BackendUnavailable, Overloaded, InvalidQuery):  # a text that grew too long for the model is refused like any bad query
            if not tools.new:
                raise
            return "backend"
        except TimeoutError:
            if not scope.expired():
                raise
            return "deadline"

    def _prepare(self, plan: Plan) -> tuple[Mapping[str, Pool], Strategy]:
        """The plan's pool (under "") and its helpers, and its strategy; UnknownPlan where they do not fit together."""
        for name in (plan.pool, *plan.helpers):
            if name not in self.pools:
                raise UnknownPlan(f"plan {plan.id}: no pool {name!r}; known: {', '.join(sorted(self.pools))}", plan=plan.id)
        pool = self.pools[plan.pool]
        try:
            strategy = strategies.build(plan.strategy, plan.options)
        except ValueError as error:
            raise UnknownPlan(f"plan {plan.id}: {error}", plan=plan.id) from error
        offered = pool.capabilities | ({"helper"} if plan.helpers else frozenset())
        if missing := strategy.needs - offered:
            raise UnknownPlan(f"plan {plan.id}: {plan.strategy} needs {', '.join(sorted(missing))}, which pool {plan.pool} lacks", plan=plan.id)
        return {"": pool, **{name: self.pools[name] for name in plan.helpers}}, strategy

    def _seed(self, query: Query, plan: Plan, evidence: Evidence) -> tuple[int, ...]:
        """A seeded query gives the same samples for the same plan at the same stage, and others when it is bought again."""
        if query.seed is None:
            return (int(self.rng.integers(2**63)),)
        return (query.seed, zlib.crc32(plan.id.encode()), evidence.stage)


async def _drive(machine: Machine, performer: Performer, tape: Tape) -> str:
    """Give the machine what it orders until it has finished; whatever ends this, no order outlives it."""
    running: dict[int, asyncio.Task[object]] = {}
    ordered: dict[int, Order[object]] = {}
    done: asyncio.Queue[int] = asyncio.Queue()
    try:
        while True:
            for number, order in machine.ask():
                ordered[number], running[number] = order, (task := asyncio.create_task(performer.perform(order)))
                task.add_done_callback(lambda _, number=number: done.put_nowait(number))  # type: ignore[misc]
            for number in machine.dropped():
                running[number].cancel()
            if machine.finished:
                return str(machine.result())
            number = await done.get()
            task = running.pop(number)
            order, result = ordered.pop(number), _result(task)
            if machine.tell(number, result):
                tape.told.append((number, order, result))
    finally:
        machine.close()
        for task in running.values():
            task.cancel()
        if running:
            await outlast(asyncio.gather(*running.values(), return_exceptions=True))


def _result(task: asyncio.Task[object]) -> object:
    """What to tell of an order: its result, or the error to raise where it is awaited. What is no RouterError is a bug, and is raised here."""
    if task.cancelled():
        return BackendUnavailable("the call was cancelled from outside")
    error = task.exception()
    if error is not None and not isinstance(error, RouterError):
        raise error
    return error or task.result()
