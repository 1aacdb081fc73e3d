"""The way of a request: admit, look in the cache, describe; then predict, decide, execute and observe until it is time to answer."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import structlog

from router.admission import Admission, Bill
from router.congestion import Congestion
from router.errors import (
    BackendUnavailable,
    BudgetExhausted,
    DeadlineExceeded,
    JournalUnavailable,
    NoGuarantee,
    Overloaded,
    RouterError,
    UnknownDecision,
    UnknownPlan,
    UnknownPolicy,
)
from router.ports import Allocate, Cache, Describer, Executor, Journal, Pacer, Policy, Predictor, Visit
from router.record import Book, bought, by_stage, rated, rewarded, spent
from router.stamp import Stamp
from router.telemetry import Telemetry, current_line, trace_id
from router.telemetry.spans import tell_decision
from router.tenants import Tenants
from router.turn import AS_CONFIGURED, NOTHING, Arm, Second, Turn
from router.types import (
    Action,
    Allocation,
    Amount,
    Answer,
    Batch,
    Decision,
    Ending,
    Features,
    Final,
    Outcome,
    Plan,
    Planned,
    Prediction,
    Query,
    Record,
    Reward,
    Stage,
    Usage,
)

log = structlog.get_logger("rheostat.pipeline")
_LEASE_MARGIN = 30.0  # seconds a hold outlives the deadline, for settling
_LONGEST_LEASE = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a pipeline is made of."""

    catalogue: Mapping[str, Plan]
    describer: Describer
    prior: Predictor
    policies: Mapping[str, Policy]  # the first is the default
    allocate: Allocate
    executor: Executor
    congestion: Congestion
    admission: Admission
    cache: Cache
    journal: Journal
    tenants: Tenants
    pacers: Mapping[str, Pacer]  # of tenants with an objective
    telemetry: Telemetry
    second: Second | None = None
    stamp: Stamp
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time


class Pipeline:
    """Every request is one walk through the parts.

    `catalogue`, `predictor`, `learned`, policies by name and tenant that know more than those configured, and `arms`, by tenant, may be replaced at
    any time: a request keeps what it began with. `reports` counts what was reported, by tenant.
    """

    def __init__(self, parts: Parts, predictor: Predictor) -> None:
        self.catalogue = parts.catalogue
        self.predictor = predictor
        self.learned: Mapping[tuple[str, str], Policy] = {}
        self.arms: Mapping[str, Sequence[Arm]] = {}
        self.reports: Counter[str] = Counter()
        self._parts = parts
        self._rng = np.random.default_rng()  # making one takes longer than deciding

    async def plan(self, query: Query, *, curves: bool = False) -> Planned:
        """What would be bought first. Nothing is spent; the decision is logged, so that its outcome can be reported."""
        turn = await self._turn(query, self._book(query), Bill())
        plans = self._affordable(turn)
        prediction, decision = await self._decide(turn, plans)
        await self._write([turn.book.stage(0, self._parts.now(), features=turn.features, prediction=prediction, decision=decision, best=None)])
        grown = turn.predictor.curves(prediction, plans, turn.knobs.value) if curves else ()
        return Planned(decision_id=turn.book.decision_id, prediction=prediction, decision=decision, value=turn.knobs.value, curves=grown)

    async def plan_batch(self, queries: Sequence[Query], budget: float) -> Batch:
        """What to buy for each of many queries, so that one budget of micro-dollars is expected to give the most right answers.

        Nothing is spent; every decision is logged, so that its outcome can be reported. What is not worth its price to the whole is an abstention.
        """
        names = list(self.catalogue)
        turns, predictions = [], []
        success, cost = (np.zeros((len(queries), len(names))) for _ in range(2))  # of no success and no cost: not on offer
        for row, query in enumerate(queries):
            turn = await self._turn(query, self._book(query), Bill())
            prediction = self._predict(turn, [plan for plan in self._affordable(turn) if plan.id in names])  # others may come meanwhile
            places = [names.index(one.plan) for one in prediction.forecasts]
            success[row, places] = [one.success for one in prediction.forecasts]
            cost[row, places] = [one.cost for one in prediction.forecasts]
            turns.append(turn)
            predictions.append(prediction)
            await asyncio.sleep(0)  # others are served meanwhile
        found = await asyncio.to_thread(self._parts.allocate, success, cost, budget)
        planned = [
            Planned(decision_id=turn.book.decision_id, prediction=prediction, decision=_shared(names[place] if place >= 0 else "", prediction, found))
            for turn, prediction, place in zip(turns, predictions, found.chosen.tolist(), strict=True)
        ]
        at = self._parts.now()
        rows = [
            turn.book.stage(0, at, features=turn.features, prediction=one.prediction, decision=one.decision, best=None)
            for turn, one in zip(turns, planned, strict=True)
        ]
        await self._write(rows)
        return Batch(planned=tuple(planned), allocation=found)

    async def answer(self, query: Query) -> AsyncGenerator[Stage | Final, None]:
        """Stages as they happen, then the final answer. Closing this cancels everything outstanding and settles what it cost."""
        line = current_line()
        line.tenant = query.tenant
        second = self._parts.second
        deciding = self.predictor.version + (second.predictor.version if second else "")
        async with self._parts.cache.visit(query, self.catalogue, deciding) as visit:
            features = await self._features(query) if visit.seeks and not visit.found else None
            if found := visit.found or (await visit.near(features) if features else None):
                final = await self._again(query, visit, found)
                line.ended(final)
                yield final
                return
            async with aclosing(self._bought(query, visit, features)) as events:
                async for event in events:
                    if isinstance(event, Final):
                        line.ended(event)
                    yield event

    async def _bought(self, query: Query, visit: Visit, features: Features | None) -> AsyncGenerator[Stage | Final, None]:
        """An answer that has to be paid for."""
        worst, least = self._worst(query)
        book = self._book(query)
        left = query.deadline - self._parts.clock()
        lease = min(left + _LEASE_MARGIN, _LONGEST_LEASE)
        async with self._parts.admission.admit(query, book.decision_id, worst, lease, least=least, patience=left) as bill:
            turn = await self._turn(query, book, bill, features)
            turn.visit = visit
            if turn.inherit():
                self._predict(turn, turn.plans)  # so that a predictor that fails is replaced before it is asked for the best
                turn.best = turn.predictor.best(turn.features, turn.evidence)
            with self._paced(turn):
                async with aclosing(self._walk(turn)) as events:
                    async for event in events:
                        if isinstance(event, Final):
                            await visit.keep(event, turn.features)
                        yield event

    async def report(self, reward: Reward, tenant: str) -> None:
        """Join a reward to its decision; UnknownDecision when there is none, or it is another tenant's."""
        rows = await self._known(reward.decision_id, tenant)
        await self._write([rewarded(reward, tenant)])
        self.reports[tenant] += 1
        plans = [row.plan for row in rows if row.plan]
        self._parts.telemetry.rewarded(plans[-1] if plans else "", reward, tenant)
        pacer = self._parts.pacers.get(tenant)
        if pacer and (belief := rated(await self._known(reward.decision_id, tenant), reward)) is not None:
            pacer.rate(reward=reward.value, belief=belief, at=self._parts.now())

    async def _known(self, decision_id: str, tenant: str) -> Sequence[Record]:
        """The rows of a decision of this tenant; none where another router made it and nobody can say more of it now."""
        try:
            return await self.explain(decision_id, tenant)
        except (UnknownDecision, JournalUnavailable):
            if not self._parts.stamp.known(decision_id, tenant):
                raise
            return ()

    async def explain(self, decision_id: str, tenant: str) -> Sequence[Record]:
        """The rows of one decision, stages first."""
        rows = [row async for row in self._parts.journal.read(decision_id)]
        if not rows or any(row.tenant != tenant for row in rows):
            raise UnknownDecision(f"tenant {tenant!r} has no decision {decision_id!r}", decision_id=decision_id)
        return by_stage(rows)

    async def _walk(self, turn: Turn) -> AsyncGenerator[Stage | Final, None]:
        """The loop."""
        for index in range(turn.query.knobs.max_stages + 1):
            plans = self._served(turn, self._affordable(turn))
            forced = self._forced(turn, index, plans)
            prediction, decision = await self._decide(turn, () if forced else plans)
            if turn.short and decision.action is not Action.BUY:
                forced = "budget"
            if turn.late and decision.action is not Action.BUY:
                forced = "deadline"
            row = turn.book.stage(index, self._parts.now(), features=turn.features, prediction=prediction, decision=decision, best=turn.best)
            if decision.action is not Action.BUY:
                yield await self._end(turn, row, _ending(decision, turn.best, forced))
                return
            stage = Stage(decision_id=row.decision_id, index=index, prediction=prediction, decision=decision, best=turn.best)
            self._reserve(turn, prediction, decision)
            yield stage
            outcome = await self._buy(turn, row, turn.plan(decision.plan))
            if outcome is not None:
                yield replace(stage, outcome=outcome, best=turn.best)

    @contextmanager
    def _paced(self, turn: Turn) -> Iterator[None]:
        """However the request ends, its tenant's pacer hears what it cost and gave, and nothing stays reserved."""
        try:
            yield
        finally:
            if pacer := self._pacer(turn):
                pacer.update(cost=turn.bill.usage.cost, quality=turn.quality, at=self._parts.now(), held=turn.held)

    def _pacer(self, turn: Turn) -> Pacer | None:
        return self._parts.pacers.get(turn.query.tenant)

    def _reserve(self, turn: Turn, prediction: Prediction, decision: Decision) -> None:
        """Tell the tenant's pacer what this purchase is expected to cost."""
        if pacer := self._pacer(turn):
            cost = next(one.cost for one in prediction.forecasts if one.plan == decision.plan)
            pacer.reserve(cost, self._parts.now())
            turn.held += cost

    def _forced(self, turn: Turn, index: int, plans: Sequence[Plan]) -> Ending | None:
        """Why nothing more may be bought, whatever the policy would say."""
        if turn.broken:
            return "degraded"
        if self._parts.clock() >= turn.query.deadline:
            return "deadline"
        if index >= turn.query.knobs.max_stages:
            return "stages"
        return None if plans else "budget"

    async def _decide(self, turn: Turn, plans: Sequence[Plan]) -> tuple[Prediction, Decision]:
        began = self._parts.clock()
        with self._parts.telemetry.step("decide", stage=turn.evidence.stage) as span:
            prediction, decision = await self._settled(turn, plans)
            tell_decision(span, decision)
        self._parts.telemetry.decided(decision, type(turn.policy).__name__.lower(), self._parts.clock() - began)
        return prediction, decision

    async def _settled(self, turn: Turn, plans: Sequence[Plan]) -> tuple[Prediction, Decision]:
        """A choice that was looked at twice where it is close, and that the tenant can pay."""
        prediction, decision = self._choose(turn, plans)
        if await self._saw_more(turn, decision):
            prediction, decision = self._choose(turn, plans)
        self._foresee(turn, prediction)
        turn.short = False
        while decision.plan and not await self._covered(turn, turn.plan(decision.plan)):
            turn.short, plans = True, _cheaper(plans, turn.plan(decision.plan))
            prediction, decision = self._choose(turn, plans)
        return prediction, decision

    def _foresee(self, turn: Turn, prediction: Prediction) -> None:
        """Tell the tenant's pacer what could be bought; a request that chooses among the plans by itself says nothing of the tenant's floor."""
        if turn.evidence.stage or not (pacer := self._pacer(turn)):
            return
        if turn.query.knobs.plans == self._parts.tenants[turn.query.tenant].knobs.plans:
            pacer.foresee(prediction, turn.knobs.max_stages)

    async def _covered(self, turn: Turn, plan: Plan) -> bool:
        """Whether the tenant's budget has room for the worst case of this purchase, which is held from now on."""
        return not turn.bill.hold_id or await self._parts.admission.covers(turn.bill, turn.bill.usage.amount.plus(plan.worst))

    async def _spare(self, turn: Turn, plan: Plan, before: Usage) -> bool:
        """Whether the request and its tenant can pay this plan's worst case twice, after what was spent before."""
        twice, left = plan.worst.plus(plan.worst), turn.query.budget.less(before)
        fits = _fits(twice.cost, left.cost) and _fits(twice.tokens, left.tokens)
        return fits and await self._parts.admission.covers(turn.bill, before.amount.plus(twice))

    async def _saw_more(self, turn: Turn, decision: Decision) -> bool:
        """Take the second look where the first decision is close; the request then goes on with what it showed.

        Only the scores say whether it is close, never what was drawn: the propensity of the decision made again is still exact.
        """
        second, scores = self._parts.second, sorted(decision.scores.values())
        if second is None or turn.evidence.stage or turn.degraded or len(scores) < 2:
            return False
        if scores[-1] - scores[-2] >= second.close * turn.query.knobs.value:
            return False
        self._parts.telemetry.reconsidered()
        described = await self._describe(turn, second.describer)
        if described:
            turn.predictor = second.predictor
        return described

    def _choose(self, turn: Turn, plans: Sequence[Plan]) -> tuple[Prediction, Decision]:
        began = self._parts.clock()
        prediction = self._predict(turn, plans)
        if late := self._late(turn, prediction):
            plans = [plan for plan in plans if plan.id not in late]
            turn.late, prediction = not plans, self._predict(turn, plans)
        self._parts.telemetry.predicted(type(turn.predictor).__name__.lower(), self._parts.clock() - began)
        congestion = self._parts.congestion
        decision = turn.policy.weigh(congestion.priced(prediction, plans), turn.evidence, plans, turn.knobs).draw(turn.rng)
        said = [part for part in (turn.note, congestion.reason(plans), decision.reason) if part]
        return prediction, replace(decision, reason=": ".join(said)) if len(said) > 1 else decision

    def _late(self, turn: Turn, prediction: Prediction) -> set[str]:
        """Plans that are known not to be done by the deadline as a rule; with an answer in hand, those of which more than one in ten is not."""
        left = turn.query.deadline - self._parts.clock()
        return {one.plan for one in prediction.forecasts if one.seconds_high and (one.seconds_high if turn.best else one.seconds) > left}

    def _predict(self, turn: Turn, plans: Sequence[Plan]) -> Prediction:
        """A predictor that fails is replaced by the prior, for this request."""
        try:
            return turn.predictor.predict(turn.features, turn.evidence, plans)
        except RouterError as error:
            log.warning("predictor_failed", reason=error.reason, error=error.message)
            turn.predictor = self._parts.prior
            return turn.predictor.predict(turn.features, turn.evidence, plans)

    async def _buy(self, turn: Turn, row: Record, plan: Plan) -> Outcome | None:
        """Execute and observe one plan; None when its pool failed but an answer is in hand. What was spent is logged in any case.

        A plan that its pool cannot run is offered no more.
        """
        before = turn.bill.usage
        spare = partial(self._spare, turn, plan, before)

        def took() -> Usage:
            return turn.bill.usage.since(before)

        try:
            with self._parts.telemetry.stage(row.decision_id, row, took):
                outcome = await self._parts.executor.execute(turn.query, plan, turn.evidence, turn.left, turn.bill, spare=spare)
        except (BackendUnavailable, Overloaded, UnknownPlan) as error:
            if isinstance(error, UnknownPlan):
                log.error("plan_retired", plan=plan.id, error=error.message)
                self.catalogue = {name: one for name, one in self.catalogue.items() if name != plan.id}
            await self._write([spent(row, took(), "failed")])
            if turn.best is None:
                raise
            turn.degraded.append(error.reason)
            turn.broken = True
            return None
        except BaseException:
            cut = spent(row, took(), "cancelled")
            await self._parts.admission.uncancelled(self._parts.journal.write([cut]))
            raise
        finally:
            self._parts.telemetry.charged(plan, took())
        turn.bought(row.id, outcome)
        await self._write([bought(row, outcome)])
        return outcome

    async def _end(self, turn: Turn, row: Record, ending: Ending) -> Final:
        """Write the last row, then give the final answer: nothing is acknowledged that is not logged."""
        await self._write([replace(row, stop_reason=ending)])
        if turn.best is None and ending == "deadline":
            raise DeadlineExceeded("no answer could be had before the deadline", decision_id=row.decision_id)
        if turn.best is None and ending == "budget":
            raise BudgetExhausted("no plan's worst case fits what this request may spend", decision_id=row.decision_id)
        final = turn.final(ending)
        turn.quality = final.answer.confidence if final.answer else 0.0
        return final

    async def _write(self, rows: Sequence[Record]) -> None:
        with self._parts.telemetry.step("record"):
            await self._parts.journal.write(rows)

    async def _again(self, query: Query, visit: Visit, found: Final) -> Final:
        """What was paid for before, as this request's own decision, unless it is the same request again."""
        if found.decision_id or found.answer is None:
            return found
        book = self._book(query)
        await self._write([book.cached(self._parts.now(), found.answer, found.receipt.hit)])
        if pacer := self._parts.pacers.get(query.tenant):
            pacer.update(cost=0.0, quality=found.answer.confidence, at=self._parts.now())
        final = replace(found, decision_id=book.decision_id)
        await visit.keep(final)
        return final

    async def _turn(self, query: Query, book: Book, bill: Bill, features: Features | None = None) -> Turn:
        rng = self._rng if query.seed is None else np.random.default_rng(query.seed)
        tenant, arm, pacer = self._parts.tenants[query.tenant], self._arm(query, rng), self._parts.pacers.get(query.tenant)
        changed = {name: value for name, value in arm.knobs.items() if getattr(query.knobs, name) == getattr(tenant.knobs, name)}
        if pacer:
            changed["value"] = pacer.value(self._parts.now())
        if changed:
            query = replace(query, knobs=replace(query.knobs, **changed))
            book = replace(book, query=query)
        turn = Turn(
            query=query,
            book=replace(book, arm=arm.name) if arm.name else book,
            bill=bill,
            features=features or NOTHING,
            predictor=arm.predictor or self.predictor,
            policy=arm.policy or self._policy(query),
            plans=self._allowed(query),
            rng=rng,
            note=arm.note,
        )
        if turn.knobs.abstain_below > 1:
            risk = query.knobs.risk
            raise NoGuarantee(
                f"no answer can be given at a risk of {risk:g} yet: ask for a higher one, or report more outcomes and retrain", risk=risk
            )
        if features is None and not await self._describe(turn, self._parts.describer):
            turn.predictor = self._parts.prior
        return turn

    def _arm(self, query: Query, rng: np.random.Generator) -> Arm:
        """Of a request that names a policy of its own, what it names decides."""
        arms = self.arms.get(query.tenant)
        if not arms or query.knobs.policy != self._parts.tenants[query.tenant].knobs.policy:
            return AS_CONFIGURED
        at = rng.random()
        for arm in arms:
            at -= arm.share
            if at < 0:
                return arm
        return AS_CONFIGURED

    async def _features(self, query: Query) -> Features | None:
        """None where they cannot be had now; whoever needs them says so."""
        with suppress(RouterError):
            return await self._parts.describer.describe(query)
        return None

    async def _describe(self, turn: Turn, describer: Describer) -> bool:
        """Whether it worked; a describer that fails leaves the features as they are."""
        try:
            with self._parts.telemetry.step("describe"):
                turn.features = await describer.describe(turn.query)
        except RouterError as error:
            log.warning("describer_failed", reason=error.reason, error=error.message)
            turn.degraded.append(error.reason)
            return False
        return True

    def _book(self, query: Query) -> Book:
        prompt = self._parts.tenants[query.tenant].retain(query.text)
        return Book(query=query, decision_id=self._parts.stamp.new(query.tenant), prompt=prompt, trace_id=trace_id())

    def _policy(self, query: Query) -> Policy:
        policies = self._parts.policies
        name = query.knobs.policy or next(iter(policies))
        if name not in policies:
            raise UnknownPolicy(f"no policy {name!r} is configured; there are {', '.join(policies)}", policy=name)
        return self.learned.get((name, query.tenant)) or self.learned.get((name, "")) or policies[name]

    def _allowed(self, query: Query) -> tuple[Plan, ...]:
        catalogue = self.catalogue
        for name in query.knobs.plans:
            if name not in catalogue:
                raise UnknownPlan(f"no plan {name!r} is in the catalogue; there are {', '.join(catalogue)}", plan=name)
        named = [plan for name, plan in catalogue.items() if name in query.knobs.plans or not query.knobs.plans]
        if not self._parts.tenants[query.tenant].counts_tokens:
            return tuple(named)
        bounded = tuple(plan for plan in named if plan.budget.tokens is not None)
        if not bounded:
            raise UnknownPlan("no plan on offer has a ceiling on its tokens, which this tenant's budget in tokens needs", plan=named[0].id)
        return bounded

    def _affordable(self, turn: Turn) -> tuple[Plan, ...]:
        """Plans whose ceiling fits what is left; a request's budget so is never passed."""
        left = turn.left
        return tuple(plan for plan in turn.plans if _fits(plan.budget.cost, left.cost) and _fits(plan.budget.tokens, left.tokens))

    def _served(self, turn: Turn, plans: Sequence[Plan]) -> Sequence[Plan]:
        """Those that some worker can run. Where there are none what is in hand is the answer; raises BackendUnavailable if that is nothing."""
        serves = self._parts.executor.serves
        if all(map(serves, plans)):
            return plans
        served = tuple(filter(serves, plans))
        if not served and turn.best is None:
            pools = ", ".join(sorted({plan.pool for plan in plans}))
            raise BackendUnavailable(f"no worker serves any plan on offer; their pools are {pools}", pools=pools)
        turn.broken = turn.broken or not served
        if BackendUnavailable.reason not in turn.degraded:
            turn.degraded.append(BackendUnavailable.reason)
        return served

    def _worst(self, query: Query) -> tuple[Amount, Amount]:
        """What this request can come to at the very most, and that without which it can buy nothing.

        Checks names on the way, before anything is held.
        """
        self._policy(query)
        costs, tokens = zip(*(plan.worst for plan in self._allowed(query)), strict=True)
        stages, budget = query.knobs.max_stages, query.budget
        worst = Amount(_capped(max(costs) * stages, budget.cost), _capped(max(tokens) * stages, budget.tokens))
        return worst, Amount(min(worst.cost, *costs), min(worst.tokens, *tokens))


def _shared(plan: str, prediction: Prediction, found: Allocation) -> Decision:
    """One query's part of an allocation; its scores are at the value of a right answer at which it alone would be given as much."""
    value = 1 / found.price if found.price else 0.0
    choice = plan or Action.ABSTAIN.value
    return Decision(
        action=Action.BUY if plan else Action.ABSTAIN,
        plan=plan,
        propensity=1.0,
        scores={Action.ABSTAIN.value: 0.0, **{one.plan: value * one.success - one.cost for one in prediction.forecasts}},
        chances={choice: 1.0},
        explored=False,
        policy="batch",
        reason=f"the last right answer of the batch costs {value:.0f} micro-dollars",
    )


def _ending(decision: Decision, best: Answer | None, forced: Ending | None) -> Ending:
    """How a request ends. An answer in hand that is withheld is an abstention, whatever forced the end."""
    if decision.action is Action.ABSTAIN and (best is not None or forced is None):
        return "abstained"
    return forced or "stopped"


def _cheaper(plans: Sequence[Plan], than: Plan) -> tuple[Plan, ...]:
    """Those whose worst case is lower, in money or in tokens: all others fit as little."""
    return tuple(plan for plan in plans if not plan.worst.covers(than.worst))


def _capped(most: int, ceiling: int | None) -> int:
    return most if ceiling is None else min(most, ceiling)


def _fits(ceiling: int | None, left: int | None) -> bool:
    return left is None or (ceiling is not None and ceiling <= left)
