"""What each plan costs: its expectation by query, and how far one purchase's tokens and seconds stray from theirs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.training.sheets import Log

POINTS = (0.5, 0.9)
_CUT = (
    "budget",
    "deadline",
    "cancelled",
    "backend",
    "failed",
)  # stop reasons after which more would have been spent: what was spent is a lower bound
_FEWEST = 10  # purchases under which nothing is said of their spread

Array = NDArray[np.float64]


def cost_arrays(log: Log, plans: Sequence[str]) -> dict[str, Array]:
    """Arrays of the artifact: `cost` (plans, f), the log of micro-dollars by features, and `tokens_per_cost` and `seconds_per_cost` (plans,).

    `tokens_quantiles` and `seconds_quantiles` (plans, 2) are the POINTS of what was spent as a ratio to its expectation.
    """
    width = log.features.shape[1]
    arrays = {name: np.zeros(len(plans)) for name in ("tokens_per_cost", "seconds_per_cost")}
    arrays |= {name: np.ones((len(plans), len(POINTS))) for name in ("tokens_quantiles", "seconds_quantiles")}
    arrays["cost"] = np.zeros((len(plans), width))
    bought = _by_plan(log)
    for place, plan in enumerate(plans):
        if plan not in bought:
            continue
        decision, cost, tokens, seconds, cut, made = bought[plan]
        x, weight = log.features[decision.astype(int)].astype(float), log.weight[decision.astype(int)]
        if not (whole := made > 0).any():
            continue
        arrays["cost"][place] = _log_linear(x[whole], cost[whole], weight[whole])
        expected = np.exp(x @ arrays["cost"][place]).astype(float)
        for name, spent in (("tokens", tokens), ("seconds", seconds)):
            per_cost = arrays[f"{name}_per_cost"][place] = (weight * made @ spent) / (weight * made @ cost)
            if len(cost) >= _FEWEST and per_cost > 0:
                arrays[f"{name}_quantiles"][place] = quantiles(spent / (expected * per_cost), cut > 0, weight)
    return arrays


def quantiles(value: Array, cut: NDArray[np.bool_], weight: Array, points: Sequence[float] = POINTS) -> Array:
    """Quantiles of what `value` (n,) would have been had nothing been cut short, by the estimator of Kaplan & Meier (1958).

    A cut one counts as at risk until its value and is then shared out among the larger ones. Where too many were cut to tell, the largest value.
    """
    order = np.lexsort((cut, value))  # among equals the whole ones come first
    value, cut, weight = value[order], cut[order], weight[order]
    at_risk = weight[::-1].cumsum()[::-1]
    survival = np.cumprod(1 - np.where(cut, 0.0, weight / at_risk))
    places = [int(np.searchsorted(-survival, -(1 - point) - 1e-12)) for point in points]
    return np.array([value[min(place, len(value) - 1)] for place in places])


def _log_linear(x: Array, cost: Array, weight: Array) -> Array:
    """Ridge regression of the logarithm; column 0 is the constant 1, by which the mean is met exactly."""
    weighted = x * weight[:, None]
    fitted = np.asarray(np.linalg.solve(weighted.T @ x + np.eye(x.shape[1]), weighted.T @ np.log(cost)), float)
    fitted[0] += np.log((weight @ cost) / (weight @ np.exp(x @ fitted)))
    return fitted


def _by_plan(log: Log) -> dict[str, Array]:
    """Of each plan's purchases that cost anything: decision, cost, tokens, seconds, whether it was cut short, and came to an outcome, (6, n)."""
    rows: dict[str, list[tuple[float, ...]]] = {}
    for index, decision in enumerate(log.decisions):
        for one in decision.purchases:
            if one.stop_reason and one.cost > 0:
                rows.setdefault(one.shown.plan, []).append((index, one.cost, one.tokens, one.seconds, one.stop_reason in _CUT, one.made))
    return {plan: np.array(found, float).T for plan, found in rows.items()}
