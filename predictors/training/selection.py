"""One head from one sheet: what is fitted, and how well it does on rows it was not fitted on."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.training.newton import line, minimise, softplus
from predictors.training.sheets import FOLDS, Sheet

_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)  # of what is learned against what is held back: the reciprocal of the ridge
_FEWEST = 30  # rows, with at least five of each kind, under which a head is only its base rate
_FEWEST_OF_A_KIND = 5
_HELD = 1e-2  # how much its slope and shift are held to 1 and 0
_ENOUGH = 20_000  # rows to choose a strength on

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FittedHead:
    """Arrays of a model family with k outputs over d columns, and log-odds (n, k) of every row of its sheet by models that did not see its group.

    `facts` says for each output, by the names in lists of length k, how it was fitted: `rows` (observed), `strength`, `base_rate_only`.
    """

    family: str
    arrays: dict[str, NDArray[np.float64]]
    held_out: NDArray[np.float64]
    facts: dict[str, object]


@dataclass(frozen=True, slots=True)
class _Column:
    """One output: weights (d,), the variance of each (d,), out-of-fold log-odds (n,), the strength chosen (0: base rate only)."""

    weights: Array
    variance: Array
    held_out: Array
    strength: float


def fit_head(sheet: Sheet, *, seed: int) -> FittedHead:
    """The head that does best on held-out groups, for every output of the sheet; one with too little to learn from is its base rate.

    Ridge logistic regression, column 0 being the constant 1; its strength is chosen, and its log-odds calibrated (Platt 1999), on held-out folds.
    `arrays`: `weights` and `variance`, each (k, d). Nothing is drawn at random here; `seed` is for families that do.
    """
    columns = [_column(sheet, place) for place in range(sheet.y.shape[1])]
    return FittedHead(
        family="logistic",
        arrays={"weights": np.stack([one.weights for one in columns]), "variance": np.stack([one.variance for one in columns])},
        held_out=np.stack([one.held_out for one in columns], axis=1),
        facts={
            "rows": [int(sheet.seen(place).sum()) for place in range(sheet.y.shape[1])],
            "strength": [one.strength for one in columns],
            "base_rate_only": [one.strength == 0 for one in columns],
        },
    )


def logits(head: FittedHead, x: NDArray[np.floating]) -> Array:
    """Log-odds (n, k) of rows (n, d)."""
    return np.asarray(x @ head.arrays["weights"].T, float)


def recalibrated(head: FittedHead, slope: Array, shift: Array) -> FittedHead:
    """The head with its log-odds times `slope`, plus `shift`, both (k,)."""
    weights = head.arrays["weights"] * slope[:, None]
    weights[:, 0] += shift
    arrays = {"weights": weights, "variance": head.arrays["variance"] * slope[:, None] ** 2}
    return FittedHead(head.family, arrays, head.held_out * slope + shift, head.facts)


def _column(sheet: Sheet, place: int) -> _Column:
    seen = sheet.seen(place)
    y, weight = sheet.y[seen, place].astype(float), sheet.weight[seen, place].astype(float)
    weight /= weight.mean() if len(weight) else 1.0
    if len(y) < _FEWEST or min(y.sum(), (1 - y).sum()) < _FEWEST_OF_A_KIND:
        return _base_rate(sheet, y, weight)
    scale = sheet.x[seen].std(0, dtype=float)
    scale[scale < 1e-6] = 1.0
    x = sheet.x / scale
    fold = sheet.group % FOLDS
    some = slice(None, None, 1 + len(y) // _ENOUGH)
    part = x[seen][some], y[some], weight[some], fold[seen][some]
    strength = min(_STRENGTHS, key=lambda one: _loss(_cross_fit(*part, part[0], part[3], one), y[some], weight[some]))
    held_out = _cross_fit(x[seen], y, weight, fold[seen], x, fold, strength)
    slope, shift = line(held_out[seen], y, weight, _HELD)
    weights, hessian = minimise(x[seen], y, weight, _ridge(x, strength))
    variance = slope**2 * np.diag(np.linalg.inv(hessian)) / scale**2
    weights = slope * weights / scale
    weights[0] += shift
    return _Column(weights, variance, slope * held_out + shift, strength)


def _cross_fit(x: Array, y: Array, weight: Array, fold: Places, everywhere: Array, folds: Places, strength: float) -> Array:  # noqa: PLR0917
    """Log-odds of all rows `everywhere` (n, d), those of each fold by a model of the other folds' observed rows `x`."""
    held_out = np.zeros(len(everywhere))
    for out in range(FOLDS):
        rest = fold != out
        if 0 < y[rest].sum() < rest.sum():
            held_out[folds == out] = everywhere[folds == out] @ minimise(x[rest], y[rest], weight[rest], _ridge(x, strength))[0]
    return held_out


def _ridge(x: Array, strength: float) -> Array:
    """Every column is held back but the first, which is the constant."""
    ridge = np.full(x.shape[1], 1 / strength)
    ridge[0] = 1e-6
    return ridge


def _base_rate(sheet: Sheet, y: Array, weight: Array) -> _Column:
    """As one in two were right before anything was seen (Laplace)."""
    count = weight.sum()
    rate = (weight @ y + 1) / (count + 2)
    width = sheet.x.shape[1]
    weights, variance = np.zeros(width), np.zeros(width)
    weights[0], variance[0] = math.log(rate / (1 - rate)), 1 / max(1e-9, (count + 2) * rate * (1 - rate))
    return _Column(weights, variance, np.full(len(sheet.x), weights[0]), 0.0)


def _loss(held_out: Array, y: Array, weight: Array) -> float:
    return float(weight @ (softplus(held_out) - y * held_out) / weight.sum())
