"""What outcomes say of the forecasts of one version of the predictor, by tenant and plan: it says nothing of another version's."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from policies.change import change
from policies.sources import Ear
from policies.tally import Array, Tally

Ears = Mapping[str, Ear]
_RECENT = 256  # outcomes among which a change is looked for
_EVERY = 8  # outcomes of a plan from one look to the next
_RIDGE = 5.0  # outcomes that say that the forecasts are right, where a change is looked for


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One that counts: what a `source` `told` of a plan bought at `at`; the world was `age` old then."""

    told: Array
    source: str
    at: float
    age: int


@dataclass(slots=True, eq=False)
class Strand:
    """One tenant's outcomes of one plan: the last of them by number, the sums of all by source, micro-dollars spent and forecast.

    Where a change has been noticed, `first` is the first outcome that counts, and `since` when the earliest of their purchases was made.
    """

    width: int
    sums: dict[str, Array] = field(default_factory=dict)
    recent: OrderedDict[int, Outcome] = field(default_factory=OrderedDict)
    cost: float = 0.0
    expected: float = 0.0
    number: int = 0
    first: int = 0
    since: float = -math.inf

    def tally(self, ears: Ears) -> Tally:
        """All of it, as far as its sources are believed."""
        heard = [ears[source].sums(sums) for source, sums in self.sums.items() if ears[source].index]
        return Tally(sum(heard, np.zeros((self.width + 2, self.width + 2))), self.cost, self.expected)

    def add(self, outcome: Outcome) -> int:
        """Count one more; its number."""
        self.number += 1
        self.recent[self.number] = outcome
        if len(self.recent) > _RECENT:
            self.recent.popitem(last=False)
        self._sum(outcome, 1.0)
        return self.number

    def take_back(self, number: int, outcome: Outcome, share: float) -> None:
        """Count one no more, of which this share has not faded; nothing is done where a change did so before."""
        if number >= self.first:
            self.recent.pop(number, None)
            self._sum(outcome, -share)

    def changed(self, ears: Ears, left: Callable[[Outcome], float]) -> bool:
        """Look for a change, now and then; what was before it counts no more. `left` is the share of an outcome that has not faded."""
        if self.number % _EVERY:
            return False
        heard = {number: one for number, one in self.recent.items() if ears[one.source].index}
        place = change(*self._residuals(list(heard.values()), ears)) if heard else 0
        if not place:
            return False
        self.first = list(heard)[place]
        self.recent = OrderedDict((number, one) for number, one in self.recent.items() if number >= self.first)
        self.since, self.sums = min(one.at for one in self.recent.values()), {}
        for one in self.recent.values():
            self._sum(one, left(one))
        return True

    def fade(self, share: float) -> None:
        """As if each outcome counted this much of what it did."""
        self.sums = {source: sums * share for source, sums in self.sums.items()}
        self.cost, self.expected = self.cost * share, self.expected * share

    def _residuals(self, heard: list[Outcome], ears: Ears) -> tuple[Array, Array]:
        """By how much outcomes were better than all of them together make of the forecasts, so that other queries are no change; and weights."""
        tally = self.tally(ears)
        theta = np.linalg.solve(tally.gram + _RIDGE * np.eye(self.width), tally.moment)
        told = np.array([one.told for one in heard])
        index, offset = np.array([(ears[one.source].index, ears[one.source].offset) for one in heard]).T
        return (told[:, -2] - offset) / index - told[:, -1] - told[:, :-2] @ theta, index**2

    def _sum(self, outcome: Outcome, share: float) -> None:
        one = (share * outcome.told)[:, None] * outcome.told
        self.sums[outcome.source] = self.sums[outcome.source] + one if outcome.source in self.sums else one


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Strands of one version of the predictor, with rows of one width."""

    predictor: str
    width: int
    strands: dict[tuple[str, str], Strand] = field(default_factory=dict)

    def strand(self, tenant: str, plan: str) -> Strand:
        """The one of a tenant and a plan, empty where there was none."""
        if (tenant, plan) not in self.strands:
            self.strands[tenant, plan] = Strand(self.width)
        return self.strands[tenant, plan]

    def tallies(self, ears: Callable[[str], Ears], most: float) -> tuple[dict[str, Tally], dict[str, dict[str, Tally]]]:
        """By plan, those of all tenants together, of whom none counts for more than `most` outcomes; and by tenant and plan.

        A tenant's own count in full and those of the others as no more than `most`, so that nobody can flood anybody; where it has noticed a change
        that they may not have, as no more than its own since then.
        """
        own = {key: strand.tally(ears(key[0])) for key, strand in sorted(self.strands.items())}
        fleet: dict[str, Tally] = {}
        for (_, plan), tally in own.items():
            fleet[plan] = tally.at_most(most).plus(fleet.get(plan, Tally.empty(self.width)))
        found: dict[str, dict[str, Tally]] = {tenant: dict(fleet) for tenant, _ in own}
        for (tenant, plan), tally in own.items():
            others = fleet[plan].plus(tally.at_most(most).times(-1.0))
            found[tenant][plan] = tally.plus(others.at_most(min(most, tally.weight) if self.strands[tenant, plan].first else most))
        return fleet, found
