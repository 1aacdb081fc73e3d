"""Figures of a router on a board: how good, how dear, how well calibrated; each with its 95 % bootstrap interval, questions drawn as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies import metrics
from policies.controls import wilson
from predictors.training.scoring import score
from router.benchmark.board import Board

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]
Interval = tuple[float, float, float]  # the figure, and the ends of its interval

RESAMPLES = 300
PRICES = np.concatenate(([0.0], np.geomspace(1e-3, 8.0, 28)))  # quality that the mean cost of the dearest arm is worth
_FIGURES = ("area", "area_log", "aiq", "quality_at_quarter", "cost_of_best_constant")


@dataclass(frozen=True, slots=True)
class Curve:
    """A router at several operating points: quality and cost (n, points), cost in units of the dearest arm's mean."""

    quality: Array
    cost: Array


def constants(board: Board) -> Curve:
    """Every arm for every question: what a static mixture mixes."""
    return Curve(board.quality, board.share)


def chosen(board: Board, forecast: Array) -> Curve:
    """For each question the arm of the highest forecast less price times the arm's usual cost, at each price."""
    arms, place = constants(board), _places(board, forecast)
    rows = np.arange(len(place))[:, None]
    return Curve(arms.quality[rows, place], arms.cost[rows, place])


def mixture(board: Board) -> Curve:
    """The same arm for every question at each price, the best one by these very questions: with hindsight, so that it is the harder to beat."""
    return chosen(board, np.repeat(board.quality.mean(axis=0, keepdims=True), len(board.text), axis=0))


def shuffled(board: Board, forecast: Array) -> Curve:
    """Each question given another's forecast, in the mean over all ways to do so: every arm as often as it was chosen."""
    arms, place = constants(board), _places(board, forecast)
    share = np.stack([(place == arm).mean(axis=0) for arm in range(len(board.items))])
    return Curve(arms.quality @ share, arms.cost @ share)


def _places(board: Board, forecast: Array) -> NDArray[np.int64]:
    """The arm for each question at each price: (n, prices)."""
    usual = constants(board).cost.mean(axis=0)
    return np.asarray((forecast[:, :, None] - PRICES * usual[None, :, None]).argmax(axis=1))


def oracle(board: Board) -> Curve:
    """Hindsight: for each question the cheapest of its best arms, at each price."""
    arms = constants(board)
    place = (arms.quality[:, :, None] - np.maximum(PRICES, 1e-6) * arms.cost[:, :, None]).argmax(axis=1)
    rows = np.arange(len(place))[:, None]
    return Curve(arms.quality[rows, place], arms.cost[rows, place])


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the cheapest and the dearest arm of a board stand, and how good the best constant one is."""

    low: float
    best: float

    @classmethod
    def of(cls, board: Board) -> "Scale":
        """Of a board's arms."""
        arms = constants(board)
        return cls(float(arms.cost.mean(axis=0).min()), float(arms.quality.mean(axis=0).max()))


def figures(curve: Curve, scale: Scale, weight: Array) -> dict[str, float]:
    """The figures under these weights of the questions (n,), which add up to 1."""
    quality, cost = weight @ curve.quality, weight @ curve.cost
    line = metrics.path(cost, quality)
    return {
        "area": metrics.area(line, scale.low, 1.0),
        "area_log": metrics.area(line, scale.low, 1.0, log=True),
        "aiq": metrics.aiq(cost, quality, 1.0),
        "quality_at_quarter": metrics.quality_at(line, 0.25),
        "cost_of_best_constant": metrics.cost_at(line, scale.best),
    }


def judged(curves: Mapping[str, Curve], scale: Scale, against: str) -> dict[str, dict[str, Interval]]:
    """All figures of all routers, and `ahead`: the area less that of `against`, paired."""
    count = len(next(iter(curves.values())).quality)
    weights = metrics.draws(count, np.random.default_rng(0), RESAMPLES)
    drawn = {name: [figures(curve, scale, weight) for weight in weights] for name, curve in curves.items()}
    found = {name: {figure: _interval([one[figure] for one in rows]) for figure in _FIGURES} for name, rows in drawn.items()}
    for name, rows in drawn.items():
        found[name]["ahead"] = _interval([mine["area"] - theirs["area"] for mine, theirs in zip(rows, drawn[against], strict=True)])
    return found


def calibration(forecast: Array, board: Board) -> dict[str, dict[str, Interval | None]]:
    """AUC, Brier and ECE of the forecast of each arm, and `gain`: of the dearest arm's being right where the cheapest is not."""
    found = {arm: _scored(forecast[:, place], board.quality[:, place], board) for place, (arm, _) in enumerate(board.items)}
    order = board.cost.mean(axis=0).argsort()
    cheap, dear = int(order[0]), int(order[-1])
    gain = (board.quality[:, dear] >= 0.5) & (board.quality[:, cheap] < 0.5)
    found["gain"] = {"auc": _scored((forecast[:, dear] - forecast[:, cheap] + 1) / 2, gain.astype(float), board)["auc"]}
    return found


def two_arms(forecast: Array, board: Board) -> dict[str, Interval]:
    """APGR and CPT where there is a weak and a strong arm."""
    weights = metrics.draws(len(forecast), np.random.default_rng(0), RESAMPLES)
    score, (weak, strong) = forecast[:, 1] - forecast[:, 0], board.quality.T
    curves = [metrics.call_curve(score, weak, strong, weight) for weight in weights]
    return {
        "APGR": _interval([metrics.apgr(*curve) for curve in curves]),
        "CPT(50 %)": _interval([metrics.cpt(*curve, 0.5) for curve in curves]),
        "CPT(80 %)": _interval([metrics.cpt(*curve, 0.8) for curve in curves]),
    }


def kept(given: Rows, wrong: Rows, alpha: float) -> dict[str, Any]:
    """Share of answers given, and the share of those that were wrong, (Wilson's interval); kept, where that may still be `alpha`."""
    count = int(given.sum())
    share = metrics.bootstrap(lambda weight: float(weight @ given), len(given), np.random.default_rng(0), RESAMPLES)
    rate = (float(wrong.sum()) / max(1, count), *(wilson(float(wrong.sum()), count) if count else (0.0, 1.0)))
    return {"given": share, "wrong": rate, "kept": rate[1] <= alpha}


def _scored(p: Array, y: Array, board: Board) -> dict[str, Interval | None]:
    found = score(np.clip(p, 1e-4, 1 - 1e-4), np.asarray(y >= 0.5, float), group=np.unique(board.group, return_inverse=True)[1], resamples=RESAMPLES)
    return {name: None if one is None else (one.value, one.low, one.high) for name, one in found.items() if name in ("auc", "brier", "ece")}


def _interval(values: list[float]) -> Interval:
    """The first is the figure itself, the others are resamples."""
    low, high = np.quantile(values[1:], (0.025, 0.975), method="nearest")
    return float(values[0]), float(low), float(high)
