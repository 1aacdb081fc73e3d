"""What outcomes say of the forecasts of one version of the predictor, by tenant and plan: it says nothing of another version's."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from policies.change import change
from policies.network import WIDTH, Network
from policies.sources import Ear
from policies.tally import Array, Tally

Ears = Mapping[str, Ear]
RECENT = 256  # outcomes among which a change is looked for
_EVERY = 8  # outcomes of a plan from one look to the next
_FIT, _REFIT = 500, 2_000  # outcomes after which a network is fitted, and after which it is fitted again at the latest
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
    """One tenant's outcomes of one plan: the last `keep` of them by number, the sums of all by source, and of what purchases cost (`paid`).

    Where a change has been noticed, `first` is the first outcome that counts, and `since` when the earliest of their purchases was made.
    """

    width: int
    keep: int = RECENT
    sums: dict[str, Array] = field(default_factory=dict)
    recent: OrderedDict[int, Outcome] = field(default_factory=OrderedDict)
    paid: Array = field(init=False)
    number: int = 0
    first: int = 0
    since: float = -math.inf

    def __post_init__(self) -> None:
        self.paid = np.zeros((self.width, self.width))

    def pay(self, purchase: Array) -> None:
        """Count what one more cost."""
        self.paid += purchase[:, None] * purchase

    def tally(self, ears: Ears) -> Tally:
        """All of it, as far as its sources are believed."""
        heard = [ears[source].sums(sums) for source, sums in self.sums.items() if ears[source].index]
        return Tally(sum(heard, np.zeros((self.width + 2, self.width + 2))), self.paid.copy())

    def retold(self, ears: Ears, network: Network, left: Callable[[Outcome], float]) -> Tally:
        """The recent ones of it, with a network's features beside the context."""
        heard = [one for one in self.recent.values() if ears[one.source].index]
        if not heard:
            return Tally(np.zeros((self.width + WIDTH + 2,) * 2), self.paid.copy())
        rows, value, weight = _heard(heard, ears)
        told = np.column_stack((rows[:, :2], network.beside(rows[:, 2:-2]), value, rows[:, -1]))
        weight = weight * np.array([left(one) for one in heard])
        return Tally((told * weight[:, None]).T @ told, self.paid.copy())

    def add(self, outcome: Outcome) -> int:
        """Count one more; its number."""
        self.number += 1
        self.recent[self.number] = outcome
        if len(self.recent) > self.keep:
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
        heard = [(number, one) for number, one in self.recent.items() if ears[one.source].index][-RECENT:]
        place = change(*self._residuals([one for _, one in heard], ears)) if heard else 0
        if not place:
            return False
        self.first = heard[place][0]
        self.recent = OrderedDict((number, one) for number, one in self.recent.items() if number >= self.first)
        self.since, self.sums = min(one.at for one in self.recent.values()), {}
        for one in self.recent.values():
            self._sum(one, left(one))
        return True

    def fade(self, share: float) -> None:
        """As if each outcome counted this much of what it did."""
        self.sums = {source: sums * share for source, sums in self.sums.items()}
        self.paid = self.paid * share

    def _residuals(self, heard: list[Outcome], ears: Ears) -> tuple[Array, Array]:
        """By how much outcomes were better than all of them together make of the forecasts, so that other queries are no change; and weights."""
        tally = self.tally(ears)
        theta = np.linalg.solve(tally.gram + _RIDGE * np.eye(self.width), tally.moment)
        told, value, weight = _heard(heard, ears)
        return value - told[:, -1] - told[:, :-2] @ theta, weight

    def _sum(self, outcome: Outcome, share: float) -> None:
        one = (share * outcome.told)[:, None] * outcome.told
        self.sums[outcome.source] = self.sums[outcome.source] + one if outcome.source in self.sums else one


def _heard(outcomes: list[Outcome], ears: Ears) -> tuple[Array, Array, Array]:
    """What was told (n, d + 2), the values that it stands for, and how much they count, (n,)."""
    told = np.concatenate([one.told for one in outcomes]).reshape(len(outcomes), -1)
    index = np.array([ears[one.source].index for one in outcomes])
    offset = np.array([ears[one.source].offset for one in outcomes])
    return told, (told[:, -2] - offset) / index, index**2


@dataclass(slots=True, eq=False)
class Page:
    """Strands of one version of the predictor, with rows of one width and `keep` outcomes each, and the network last fitted to them.

    `outcomes` counts them, `refit` is how many there must be for a network to be fitted next.
    """

    predictor: str
    width: int
    keep: int = RECENT
    strands: dict[tuple[str, str], Strand] = field(default_factory=dict)
    network: Network | None = None
    outcomes: int = 0
    refit: int = _FIT

    def strand(self, tenant: str, plan: str) -> Strand:
        """The one of a tenant and a plan, empty where there was none."""
        if (tenant, plan) not in self.strands:
            self.strands[tenant, plan] = Strand(self.width, self.keep)
        return self.strands[tenant, plan]

    def fit_network(self, ears: Callable[[str], Ears]) -> None:
        """To the recent outcomes of all tenants, where those since the last time are as many again, or enough."""
        if self.outcomes < self.refit or self.width == 2:
            return
        self.refit = self.outcomes + min(self.outcomes, _REFIT)
        plans = {plan: place for place, plan in enumerate(sorted({plan for _, plan in self.strands}))}
        parts = [
            (*_heard(heard, ears(tenant)), np.full(len(heard), plans[plan]))
            for (tenant, plan), strand in sorted(self.strands.items())
            if (heard := [one for one in strand.recent.values() if ears(tenant)[one.source].index])
        ]
        if not parts:
            return
        told, value, weight, plan = (np.concatenate(part) for part in zip(*parts, strict=True))
        self.network = Network.fitted(told[:, 2:-2], value - told[:, -1], weight, plan)

    def tallies(self, tally: Callable[[str, Strand], Tally], most: float) -> tuple[dict[str, Tally], dict[str, dict[str, Tally]]]:
        """By plan, those of all tenants together, of whom none counts for more than `most` outcomes; and by tenant and plan.

        A tenant's own count in full and those of the others as no more than `most`, so that nobody can flood anybody; where it has noticed a change
        that they may not have, as no more than its own since then. `tally` makes one of a tenant's strand.
        """
        own = {key: tally(key[0], strand) for key, strand in sorted(self.strands.items())}
        fleet: dict[str, Tally] = {}
        for (_, plan), mine in own.items():
            fleet[plan] = mine.at_most(most).plus(fleet[plan]) if plan in fleet else mine.at_most(most)
        found: dict[str, dict[str, Tally]] = {tenant: dict(fleet) for tenant, _ in own}
        for (tenant, plan), mine in own.items():
            others = fleet[plan].plus(mine.at_most(most).times(-1.0))
            found[tenant][plan] = mine.plus(others.at_most(min(most, mine.weight) if self.strands[tenant, plan].first else most))
        return fleet, found
