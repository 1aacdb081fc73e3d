"""Many queries known in advance and one budget for all: which plan each gets.

A query's choices are points (cost, success); nothing, (0, 0), is one of them. The corners of their upper concave hull are steps of falling success
per micro-dollar, and taking the steepest step of all queries, one after the other, is optimal wherever the budget is just spent (Fox 1966, Discrete
optimization via marginal analysis). The same greedy allocates samples of a language model in Damani et al. 2024 (Learning how hard to think,
arXiv 2410.04707). The first step that does not fit ends the optimum of the linear relaxation (Sinha & Zoltners 1979, the multiple-choice knapsack),
which no choice can exceed; what is left then goes to the steepest steps that still fit, on the hull or under it.
"""

import heapq

import numpy as np
from numpy.typing import NDArray

from router.errors import InvalidQuery
from router.types import Allocation

Array = NDArray[np.float64]
Places = NDArray[np.int64]


def allocate(success: Array, cost: Array, budget: float) -> Allocation:
    """The plan of each query, for the most right answers that `budget` micro-dollars are expected to buy.

    `success` and `cost` (n, plans) are P(right) and expected micro-dollars. The success is less than `bound` by no more than the gain of one step.
    More budget never gives less success. Raises InvalidQuery, which names the argument that is wrong.
    """
    _check(success, cost, budget)
    right, price = (np.column_stack((np.zeros(len(part)), part)) for part in (success, cost))  # place 0: nothing
    right = np.where(price > budget, 0.0, right)  # never fits, and would make the bound loose
    at = np.where(price == 0, right, -1.0).argmax(axis=1)
    base = float(np.take_along_axis(right, at[:, None], axis=1).sum())
    row, place, slope, extra = _steps(right, price, at)
    order = np.argsort(-slope, kind="stable")
    row, place, slope, extra = row[order], place[order], slope[order], extra[order]
    total = np.cumsum(extra)
    taken = int(np.searchsorted(total, budget, side="right"))
    at[row[:taken]] = place[:taken]  # of one query's steps the last counts
    left = budget - (float(total[taken - 1]) if taken else 0.0)
    multiplier = float(slope[taken]) if taken < len(slope) else 0.0
    bound = base + float(slope[:taken] @ extra[:taken]) + multiplier * left
    if multiplier:
        _fill(right, price, at, left)
    rows = np.arange(len(at))
    return Allocation(chosen=at - 1, success=float(right[rows, at].sum()), cost=float(price[rows, at].sum()), price=multiplier, bound=bound)


def _steps(right: Array, price: Array, start: Places) -> tuple[Places, Places, Array, Array]:
    """Query, place, success per micro-dollar and micro-dollars of every step along the hulls from `start` (n,), a query's own in their order."""
    rows, at, highest = np.arange(len(start)), start, np.full(len(start), np.inf)
    found: list[tuple[Places, Places, Array, Array]] = []
    while len(rows):
        place, slope, extra = _steepest(right[rows], price[rows], at, np.inf)
        more = slope > 0
        rows, at, extra, highest = rows[more], place[more], extra[more], np.minimum(slope, highest)[more]  # rounding must not turn the order
        found.append((rows, at, highest, extra))
    row, place, slope, extra = (np.concatenate(part) for part in zip(*found, strict=True)) if found else (rows, at, highest, highest)
    return row, place, slope, extra


def _steepest(right: Array, price: Array, at: Places, left: float) -> tuple[Places, Array, Array]:
    """Of each query the step from `at` with the most success per micro-dollar that `left` pays for: place, slope (0: none) and micro-dollars."""
    gain = right - np.take_along_axis(right, at[:, None], axis=1)
    extra = price - np.take_along_axis(price, at[:, None], axis=1)
    slope = np.divide(gain, extra, out=np.zeros_like(gain), where=(gain > 0) & (extra > 0) & (extra <= left))
    place = slope.argmax(axis=1)
    rows = np.arange(len(at))
    return place, slope[rows, place], extra[rows, place]


def _fill(right: Array, price: Array, at: Places, left: float) -> None:
    """Take the steepest step that fits, in `at`, until none does.

    A step that no longer fits is replaced by its query's steepest that does; these are looked for together, just before one less steep is taken.
    """
    queue: list[tuple[float, int, int]] = []
    stale = list(range(len(at)))
    while stale:
        rows = np.array(stale)
        place, slope, _ = _steepest(right[rows], price[rows], at[rows], left)
        for item in zip((-slope).tolist(), stale, place.tolist(), strict=True):
            if item[0]:
                heapq.heappush(queue, item)
        stale = []
        while queue:
            _, row, new = queue[0]
            extra = price[row, new] - price[row, at[row]]
            if extra <= left and stale:
                break
            heapq.heappop(queue)
            stale.append(row)
            if extra <= left:
                at[row], left = new, left - extra
                break


def _check(success: Array, cost: Array, budget: float) -> None:
    if success.ndim != 2:
        raise InvalidQuery(f"success must be a table of queries by plans, not of shape {success.shape}", field="success")
    if cost.shape != success.shape:
        raise InvalidQuery(f"cost has shape {cost.shape}, success {success.shape}", field="cost")
    if not ((success >= 0) & (success <= 1)).all():
        raise InvalidQuery("success must lie in [0, 1]", field="success")
    if not ((cost >= 0) & np.isfinite(cost)).all():
        raise InvalidQuery("cost must be finite and not negative", field="cost")
    if not 0 <= budget < np.inf:
        raise InvalidQuery(f"budget must be finite and not negative, not {budget}", field="budget")
