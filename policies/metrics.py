"""How good a router is over all that it may spend: hulls and areas over operating points, and the figures other benchmarks print.

An operating point is a mean cost and a mean quality per question; points are two arrays of one shape, (points,). Two points may always be mixed by
a coin, so between points a router is as good as the straight line. Which points are worth mixing is known in hindsight only: `hull` takes the best,
`path` all of them in order of cost, as a knob would pass them.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Line = tuple[Array, Array]  # corners, costs strictly rising, and qualities

_ARENA = (200.0, 0.0044)  # dollars per 1,000 questions that RouterArena counts as dearest and cheapest
_ARENA_WEIGHT = 0.1  # of cost against accuracy in RouterArena's score


def path(cost: Array, quality: Array) -> Line:
    """All points in order of cost, whether or not a dearer one does better; of equal cost their mean."""
    prices, place, count = np.unique(cost, return_inverse=True, return_counts=True)
    return prices, np.bincount(place, quality) / count


def hull(cost: Array, quality: Array) -> Line:
    """Corners of the upper, concave, non-decreasing hull, cheapest first: both coordinates strictly increase from corner to corner."""
    corners: list[tuple[float, float]] = []
    for price, lack in sorted(zip(cost.tolist(), (-quality).tolist(), strict=True)):  # of equal cost the best first
        if corners and -lack <= corners[-1][1]:
            continue
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], (price, -lack)):
            corners.pop()
        corners.append((price, -lack))
    return np.array([price for price, _ in corners]), np.array([height for _, height in corners])


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])


def quality_at(line: Line, budget: float) -> float:
    """The mean quality that `budget` per question buys.

    Below the cheapest point it is that point's quality, for want of another; where a router has no point so cheap, give the constant plans too.
    """
    return float(np.interp(budget, *line))


def cost_at(line: Line, wanted: float) -> float:
    """The least cost per question at which a quality is reached; infinite where it never is."""
    prices, heights = line
    if wanted > heights.max():
        return math.inf
    place = int((heights >= wanted).argmax())
    return float(np.interp(wanted, heights[place - 1 : place + 1], prices[place - 1 : place + 1])) if place else float(prices[0])


def area(line: Line, low: float, high: float, *, log: bool = False) -> float:
    """Mean height between two costs, every cost counting the same, or every doubling of it with `log` (then `low` > 0).

    The line is straight in cost on either axis, for mixtures are; the integrals are exact.
    """
    prices, heights = line
    if low == high:
        return float(np.interp(low, prices, heights))
    knots = np.concatenate(([low], prices[(prices > low) & (prices < high)], [high]))
    height = np.interp(knots, prices, heights)
    if not log:
        return float(np.trapezoid(height, knots) / (high - low))
    slope = np.diff(height) / np.diff(knots)
    return float(((height[:-1] - slope * knots[:-1]) * np.diff(np.log(knots)) + np.diff(height)).sum() / math.log(high / low))


def aiq(cost: Array, quality: Array, dearest: float) -> float:
    """Average Improvement in Quality (Hu et al. 2024, RouterBench, arXiv 2403.12031): the area from the router's cheapest point to the
    dearest of all routers compared. Their `AIQ.py` divides that integral by `dearest` and not, as the paper does, by the range.
    """
    return area(hull(cost, quality), float(cost.min()), dearest)


def call_curve(score: Array, weak: Array, strong: Array, weight: Array | None = None, thresholds: int | None = None) -> tuple[Array, Array]:
    """Share of questions sent to the strong arm, from none to all, and mean quality then; the questions of the highest scores are sent first.

    All arguments are (questions,). Without `thresholds` there is a point at every distinct score. With it there are points at that many equal
    quantiles of the score only, as RouteLLM's `benchmarks.py` has them. Questions of equal score go together.
    """
    weight = np.ones(len(score)) if weight is None else weight
    order = np.argsort(-score, kind="stable")
    falling = score[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(score) - 1)
    if thresholds is not None:
        edges = np.quantile(score, np.linspace(0, 1, thresholds + 1))[:-1]
        ends = np.unique(np.searchsorted(-falling, -edges, side="right") - 1)
    share = np.cumsum(weight[order])[ends]
    gain = np.cumsum((weight * (strong - weak))[order])[ends]
    total = weight.sum()
    return np.append(0.0, share / total), (weight @ weak + np.append(0.0, gain)) / total


def apgr(share: Array, quality: Array) -> float:
    """Average performance gap recovered (Ong et al. 2024, RouteLLM, arXiv 2406.18665): the area under a call curve, weak arm 0, strong
    arm 1. A coin has 1/2. NaN where the arms are equally good.
    """
    recovered = _recovered(quality)
    return float(np.trapezoid(recovered, share))


def cpt(share: Array, quality: Array, recovered: float) -> float:
    """Call-performance threshold (RouteLLM): the smallest share of strong calls that recovers this much of the gap between the arms.

    Their `evaluate.py` inverts the curve as if it always rose; this is the first place where it gets there, straight between points.
    """
    gap = _recovered(quality)
    if math.isnan(gap[0]):
        return math.nan
    place = int((gap >= recovered - 1e-12).argmax())  # the last point has all of the gap, up to rounding
    return float(np.interp(recovered, gap[place - 1 : place + 1], share[place - 1 : place + 1])) if place else 0.0


def _recovered(quality: Array) -> Array:
    """Share of the gap between the arms that each point of a call curve recovers."""
    gap = quality[-1] - quality[0]
    return (quality - quality[0]) / gap if gap else np.full(len(quality), math.nan)


def arena(accuracy: float, cost: float) -> float:
    """RouterArena's score in [0, 1]: a weighted harmonic mean of accuracy and of how cheap it was on a log scale; `cost` in dollars per 1,000."""
    dear, cheap = _ARENA
    thrift = min(1.0, max(0.0, math.log(dear / cost) / math.log(dear / cheap)))
    both = _ARENA_WEIGHT * accuracy + thrift
    return (1 + _ARENA_WEIGHT) * accuracy * thrift / both if both else 0.0


def bootstrap(figure: Callable[[Array], float], count: int, rng: np.random.Generator, resamples: int = 500) -> tuple[float, float, float]:
    """A figure of `count` questions with its 95 % percentile bootstrap interval, the questions drawn as a whole.

    `figure` is given a weight for each question, (count,), summing to 1: for matrices (questions, points), `weight @ matrix` are the points. A
    difference of two routers is one figure, so that both are judged on the same draw.
    """
    whole, *drawn = draws(count, rng, resamples)
    low, high = np.quantile([figure(draw) for draw in drawn], (0.025, 0.975))
    return figure(whole), float(low), float(high)


def draws(count: int, rng: np.random.Generator, resamples: int) -> Array:
    """Weights of the questions, each row summing to 1: every question once, then `resamples` bootstrap draws, (1 + resamples, count)."""
    even = np.full(count, 1 / count)
    return np.vstack((even, rng.multinomial(count, even, size=resamples) / count))
