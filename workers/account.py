"""The account of one execution elsewhere: what its worker says that it spent, and whether that can be."""

import math

from router.errors import BackendUnavailable
from router.ports import Meter
from router.types import Budget, Outcome, Plan, Usage

_TOLERATED = 2  # times a ceiling


class Account:
    """Passes charges on to `meter` as long as they can be true; raises BackendUnavailable where one cannot, and that one is not charged.

    A worker keeps to its ceilings to the token, but for engines that count a prompt otherwise than it does. One that says it spent twice as much,
    or less than nothing, is not in order, and nobody pays for that.
    """

    def __init__(self, plan: Plan, budget: Budget, meter: Meter) -> None:
        self._plan = plan
        self._ceiling = plan.budget.tighter(budget)
        self._meter = meter
        self._spent = Usage()

    def charge(self, usage: Usage) -> None:
        """Add to what was spent."""
        spent = self._spent + usage
        if not _is_sane(spent):
            raise BackendUnavailable(f"the worker says that plan {self._plan.id} took less than nothing: {spent}")
        for name, most, used in (("tokens", self._ceiling.tokens, spent.tokens), ("micro-dollars", self._ceiling.cost, spent.cost)):
            if most is not None and used > _TOLERATED * most:
                raise BackendUnavailable(f"the worker says that plan {self._plan.id} took {used} {name}, of at most {most}")
        self._spent = spent
        self._meter.charge(usage)

    def checked(self, outcome: Outcome) -> Outcome:
        """The outcome, if it is one of this plan and costs what was charged."""
        if outcome.plan != self._plan.id:
            raise BackendUnavailable(f"the worker was asked for plan {self._plan.id} and ran {outcome.plan or 'none'}")
        if outcome.usage.amount != self._spent.amount:
            raise BackendUnavailable(f"the worker charged {self._spent.amount} for plan {self._plan.id} and says {outcome.usage.amount}")
        return outcome

    def cut(self, why: str) -> Outcome:
        """What there is where it ended without an outcome."""
        return Outcome(plan=self._plan.id, answer=None, text="", candidates=(), usage=self._spent, stop_reason=why)


def _is_sane(spent: Usage) -> bool:
    """The last charge may move tokens from kept to discarded; sums are never below nothing."""
    counts = (spent.prompt_tokens, spent.kept_tokens, spent.discarded_tokens, spent.cancelled_tokens, spent.scored_tokens, spent.cost)
    seconds = math.isfinite(spent.seconds) and math.isfinite(spent.joules) and spent.joules >= 0
    return seconds and min(*counts, spent.samples, spent.calls) >= 0
