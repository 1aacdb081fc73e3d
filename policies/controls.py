"""What a router must be measured against: constant plans, the static mixture of equal cost, routers that know very little, and hindsight.

All are worked out from the same table: every plan's outcome and cost on every question of one run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.metrics import hull, quality_at

Array = NDArray[np.float64]

FOLDS = 5
_RESAMPLES = 2_000
_PRICES = np.concatenate(([0.0], np.geomspace(1e-7, 1e-1, 61)))  # quality per micro-dollar


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One run: `right` and `cost` of each plan on each question (questions, plans), and the router's own (questions,).

    `bought[i]` holds the columns of the plans the router bought for question i, the one that gave the answer last.
    """

    plans: tuple[str, ...]
    right: Array
    cost: Array
    routed_right: Array
    routed_cost: Array
    bought: tuple[tuple[int, ...], ...]

    def at(self, rows: NDArray[np.int64]) -> "Table":
        """The run on some of its questions, with repetition."""
        return Table(
            plans=self.plans,
            right=self.right[rows],
            cost=self.cost[rows],
            routed_right=self.routed_right[rows],
            routed_cost=self.routed_cost[rows],
            bought=tuple(self.bought[row] for row in rows),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Accuracy and micro-dollars per question."""

    accuracy: float
    cost: float


def constant(table: Table, plan: str) -> Point:
    """The same plan for every question."""
    column = table.plans.index(plan)
    return Point(accuracy=float(table.right[:, column].mean()), cost=float(table.cost[:, column].mean()))


def best_constant(table: Table) -> str:
    """The plan that is most often right; of equals the cheapest."""
    return max(table.plans, key=lambda plan: (constant(table, plan).accuracy, -constant(table, plan).cost))


def mixture(table: Table, cost: float | None = None) -> Point:
    """The best random mixture of constant plans that costs as much as the router: the concave hull of the constants at its cost."""
    cost = float(table.routed_cost.mean()) if cost is None else cost
    return Point(accuracy=quality_at(hull(table.cost.mean(0), table.right.mean(0)), cost), cost=cost)


def grouped(table: Table, groups: Sequence[str]) -> Point:
    """A router that knows only each question's group: its plan per group is chosen on the other folds, at the router's cost.

    It trades quality for cost at one price for all groups; the price is the one at which it spends what the router spends, or a mixture of the
    two nearest. Nothing is chosen by how well it did on the questions it is judged on.
    """
    names = np.array(groups)
    fold = np.arange(len(names)) % FOLDS
    cost = float(table.routed_cost.mean())
    points = [_grouped_at(table, names, fold, price) for price in _PRICES]  # from dear to cheap
    place = next((index for index, point in enumerate(points) if point.cost <= cost), len(points) - 1)
    cheap = points[place]
    if place == 0 or cheap.cost > cost:
        return cheap
    dear = points[place - 1]
    share = (cost - cheap.cost) / (dear.cost - cheap.cost)
    return Point(accuracy=cheap.accuracy + share * (dear.accuracy - cheap.accuracy), cost=cost)


def _grouped_at(table: Table, names: NDArray[np.str_], fold: NDArray[np.int64], price: float) -> Point:
    chosen = np.zeros(len(names), int)
    worth = table.right - price * table.cost
    for part in range(FOLDS):
        for name in np.unique(names):
            known = (fold != part) & (names == name)
            mean = worth[known if known.any() else fold != part].mean(0)
            chosen[(fold == part) & (names == name)] = int(mean.argmax())
    rows = np.arange(len(names))
    return Point(accuracy=float(table.right[rows, chosen].mean()), cost=float(table.cost[rows, chosen].mean()))


def by_length(table: Table, lengths: Sequence[int], bins: int = 5) -> Point:
    """A router that knows only how long the prompt is: five equal groups."""
    ranks = np.argsort(np.argsort(np.array(lengths), kind="stable"), kind="stable")
    return grouped(table, [str(rank * bins // len(ranks)) for rank in ranks])


def shuffled(table: Table, rng: np.random.Generator, times: int = 200) -> Point:
    """The router's own purchases, each given to a random other question: the same spending without looking at the query."""
    points = [_reassigned(table, [table.bought[other] for other in rng.permutation(len(table.bought))]) for _ in range(times)]
    return Point(accuracy=float(np.mean([point.accuracy for point in points])), cost=float(np.mean([point.cost for point in points])))


def _reassigned(table: Table, bought: Sequence[tuple[int, ...]]) -> Point:
    """These purchases, one per question, as if the last of each had given the answer."""
    right = [table.right[row, plans[-1]] if plans else 0.0 for row, plans in enumerate(bought)]
    cost = [table.cost[row, list(plans)].sum() for row, plans in enumerate(bought)]
    return Point(accuracy=float(np.mean(right)), cost=float(np.mean(cost)))


def oracle(table: Table) -> Point:
    """Hindsight: the cheapest plan that was right, or the cheapest of all where none was."""
    price = np.where(table.right > 0, table.cost, np.inf)
    chosen = np.where(np.isfinite(price).any(1), price.argmin(1), table.cost.argmin(1))
    rows = np.arange(len(chosen))
    return Point(accuracy=float(table.right[rows, chosen].mean()), cost=float(table.cost[rows, chosen].mean()))


def interval(table: Table, figure: Callable[[Table], float], rng: np.random.Generator) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a figure, questions resampled as a whole (paired)."""
    count = len(table.routed_right)
    values = [figure(table.at(rng.integers(count, size=count))) for _ in range(_RESAMPLES)]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def wilson(right: float, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z, share = 1.96, right / count
    centre, half = share + z * z / (2 * count), z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return float((centre - half) / (1 + z * z / count)), float((centre + half) / (1 + z * z / count))
