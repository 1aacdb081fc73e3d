"""Outcomes as they come, to posteriors: what every router makes of the same decision log is the same, bit for bit.

A decision's rows come in any order, late and repeated. Its first purchase is counted once, by the most trusted source that has rated it so far; a
more trusted one takes the place of the earlier one. Old outcomes fade with the time that the rows themselves tell.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from policies.posterior import Posterior, fit
from policies.tally import Array, Page, Tally, row
from router.types import Record

TRUST: Mapping[str, float] = {"unit_test": 1.0, "verifier": 0.9, "user": 0.6, "judge": 0.5}  # how much of an outcome a source's word counts as
FLEET = ""  # the tenant of whom nothing is known yet
_DAY = 86_400.0
_STEPS = 64  # in which a half-life passes


@dataclass(slots=True)
class _Case:
    """What the rows of one decision have told: its first purchase, the answer given, the ratings, and what was counted of it."""

    first: Record | None = None
    given: str | None = None
    ratings: dict[str, tuple[int, float]] = field(default_factory=dict)
    counted: tuple[str, Array, float, float, int] | None = None  # source, row, residual, weight, and the age of the world then


class Learner:
    """Folds rows of the decision log. `quarantined` counts what was not believed, by reason; `outcomes` those that count now."""

    def __init__(self, *, half_life: float = 14.0, most: float = 500.0, remember: int = 50_000) -> None:
        """`half_life` in days. One tenant is worth at most `most` outcomes of a plan to others; `remember` decisions may still be rated."""
        self.quarantined: Counter[str] = Counter()
        self.outcomes = 0
        self._page: Page | None = None
        self._cases: OrderedDict[str, _Case] = OrderedDict()
        self._step, self._most, self._remember = half_life * _DAY / _STEPS, most, remember
        self._began: float | None = None
        self._age = 0

    def fold(self, record: Record) -> bool:
        """Take one row in; whether there is anything new to learn from it."""
        self._pass_time(record.at)
        if record.kind == "reward":
            return self._rated(record)
        if record.stage and record.action == "buy":
            return False
        case = self._case(record.decision_id)
        new = False
        if record.stage == 0 and record.action == "buy" and case.first is None:
            new = self._bought(case, record)
        if record.action != "buy" or not record.stop_reason:  # the end of a request, or a decision that the caller carries out
            case.given = record.answer if record.action != "buy" else record.outcome_answer
        return self._settle(case) or new

    def posteriors(self) -> dict[str, Posterior]:
        """By tenant, and for FLEET: a tenant's own outcomes count in full, those of all others together as no more than `most` of each plan."""
        page = self._page
        if page is None or not page.tallies:
            return {}
        fleet = {plan: page.fleet(plan, self._most) for plan in page.plans}
        found = {FLEET: fit(page.predictor, fleet)}
        for tenant in page.tenants if len(page.tenants) > 1 else ():
            found[tenant] = fit(page.predictor, {plan: self._for(page, tenant, plan, fleet[plan]) for plan in page.plans})
        return found

    def _for(self, page: Page, tenant: str, plan: str, fleet: Tally) -> Tally:
        own = page.tallies.get((tenant, plan), Tally.empty(page.width))
        others = fleet.plus(own.times(-min(1.0, self._most / max(own.weight, 1e-9))))
        return own.plus(others.times(min(1.0, self._most / max(others.weight, 1e-9))))

    def _case(self, decision_id: str) -> _Case:
        if decision_id not in self._cases and len(self._cases) >= self._remember:
            self._cases.popitem(last=False)
        return self._cases.setdefault(decision_id, _Case())

    def _bought(self, case: _Case, record: Record) -> bool:
        """Begin a new page where the predictor is another than so far: its errors are others."""
        if record.plan not in record.offered or len(record.costs) != len(record.offered):
            self.quarantined["incomplete"] += 1
            return False
        numbers = (*record.context, *record.costs, *record.success)
        if not all(map(math.isfinite, numbers)):
            self.quarantined["not finite"] += 1
            return False
        width = 2 + len(record.context)
        if self._page is None or (self._page.predictor, self._page.width) != (record.predictor, width):
            self._page, self.outcomes = Page(record.predictor, width), 0
        case.first = record
        if not record.cost:
            return False
        expected = record.costs[record.offered.index(record.plan)]
        self._put(record, self._tally(record).paid(record.cost, expected))
        return True

    def _rated(self, record: Record) -> bool:
        value = record.reward
        if value is None or not 0 <= value <= 1:  # NaN is neither
            self.quarantined["out of range"] += 1
            return False
        if record.reward_source not in TRUST:
            self.quarantined["unknown source"] += 1
            return False
        case = self._case(record.decision_id)
        if record.stage > 0 or record.reward_source in case.ratings:
            return False
        case.ratings[record.reward_source] = (record.stage, value)
        return self._settle(case)

    def _settle(self, case: _Case) -> bool:
        """Count the first purchase by the most trusted word there is."""
        first, page = case.first, self._page
        if first is None or page is None or page.predictor != first.predictor:
            return False
        told = {source: right for source, rating in case.ratings.items() if (right := _right(case, first, *rating)) is not None}
        source = max(told, key=TRUST.__getitem__, default="")
        if not source or (case.counted and case.counted[0] == source):
            return False
        tally = self._tally(first)
        if case.counted:
            _, x, residual, weight, then = case.counted
            tally, self.outcomes = tally.told(x, residual, -weight * _faded(self._age - then)), self.outcomes - 1
        forecast = first.success[first.offered.index(first.plan)]
        x, residual, weight = row(np.array(first.context), forecast), told[source] - forecast, TRUST[source]
        self._put(first, tally.told(x, residual, weight))
        case.counted, self.outcomes = (source, x, residual, weight, self._age), self.outcomes + 1
        return True

    def _tally(self, record: Record) -> Tally:
        assert self._page is not None
        return self._page.tallies.get((record.tenant, record.plan)) or Tally.empty(self._page.width)

    def _put(self, record: Record, tally: Tally) -> None:
        assert self._page is not None
        self._page.tallies[record.tenant, record.plan] = tally

    def _pass_time(self, at: float) -> None:
        """In steps, so that it costs nothing; a row that is late makes nothing younger."""
        if self._began is None:
            self._began = at
        age = int((at - self._began) // self._step)
        if age > self._age:
            passed, self._age = age - self._age, age
            if self._page:
                self._page.tallies.update({key: tally.times(_faded(passed)) for key, tally in self._page.tallies.items()})


def _faded(steps: int) -> float:
    return float(0.5 ** (steps / _STEPS))


def _right(case: _Case, first: Record, stage: int, value: float) -> float | None:
    """What a rating says of the first purchase's own answer; None where it says nothing yet.

    The answer given may be another one: if that is right this one is wrong, and if that is wrong nothing is known.
    """
    planned = not first.stop_reason  # nothing was bought by us: the caller rates the plan itself
    if stage == 0 or planned:
        return value
    if case.given is None:
        return None
    if case.given == first.outcome_answer:
        return value
    return 0.0 if value == 1 else None
