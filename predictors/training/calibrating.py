"""Which calibration a model's log-odds need, found on rows it was not fitted on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from sklearn.isotonic import isotonic_regression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from predictors.calibration import GRID, IDENTITY, KNOTS, LIMIT, Calibration
from predictors.training.scoring import equal_mass, score

FOLDS = 5
_STEEPEST = 20.0  # of a slope; Platt's targets keep the best one finite, this keeps the search from wandering

Array = NDArray[np.float64]


def temperature(logits: Array, y: Array, weight: Array) -> Calibration:
    """Log-odds divided by one number (Guo et al. 2017, section 4.2)."""
    return _logistic(lambda x: x[:, None], logits, y, weight, shift=False)


def platt(logits: Array, y: Array, weight: Array) -> Calibration:
    """A straight line in log-odds (Platt 1999)."""
    return _logistic(lambda x: x[:, None], logits, y, weight)


def beta(logits: Array, y: Array, weight: Array) -> Calibration:
    """Log-odds c + a ln p - b ln(1 - p) with a, b >= 0 (Kull, Silva Filho and Flach 2017, equation 3): the two ends may be stretched differently."""
    return _logistic(lambda x: np.column_stack((log_expit(x), -log_expit(-x))), logits, y, weight)


def isotonic(logits: Array, y: Array, weight: Array) -> Calibration:
    """Any rising shape (Zadrozny and Elkan 2002): pooled adjacent violators over at most KNOTS - 1 bins, straight in log-odds between block centres.

    One row of the base rate in every bin keeps blocks away from 0 and 1.
    """
    weight = weight * len(y) / weight.sum()
    place = equal_mass(logits, weight, KNOTS - 1)
    mass = np.bincount(place, weight, KNOTS - 1)
    filled = mass > 0
    centre, right, mass = (np.bincount(place, weight * column, KNOTS - 1)[filled] for column in (logits, y, np.ones(len(y))))
    rate = (right.sum() + 0.5) / (mass.sum() + 1)
    risen = isotonic_regression((right + rate) / (mass + 1), sample_weight=mass + 1)
    block = np.unique(risen, return_inverse=True)[1]
    x = np.bincount(block, centre) / np.bincount(block, mass)
    rest = KNOTS - len(x)
    return Calibration(np.append(x, x[-1] + 1 + np.arange(rest)), np.append(logit(np.unique(risen)), np.full(rest, logit(risen[-1]))))


KINDS: dict[str, Callable[[Array, Array, Array], Calibration]] = {
    "none": lambda logits, y, weight: IDENTITY,
    "temperature": temperature,
    "platt": platt,
    "beta": beta,
    "isotonic": isotonic,
}


def choose(
    logits: Array, y: Array, weight: Array | None = None, group: NDArray[Any] | None = None, seed: int = 0
) -> tuple[Calibration, dict[str, object]]:
    """The kind of least log loss on held-out groups, fitted on all rows, and the held-out figures; of equals the simplest.

    All are (n,): out-of-fold log-odds, outcomes in [0, 1], weights, and what belongs together (a question). With fewer than two groups nothing can
    be held out and nothing is calibrated.
    """
    logits, weight = logits.clip(-LIMIT, LIMIT), np.ones(len(y)) if weight is None else weight
    rows = np.arange(len(y)) if group is None else np.unique(group, return_inverse=True)[1]
    groups = int(rows.max(initial=-1)) + 1
    if groups < 2:
        return IDENTITY, {"kind": "none", "rows": len(y)}
    fold = np.random.default_rng(seed).permutation(groups)[rows] % FOLDS
    held_out = {kind: np.zeros(len(y)) for kind in KINDS}
    with threadpool_limits(limits=1):  # on busy cores threads only wait for one another here
        for part in range(min(FOLDS, groups)):
            rest, here = fold != part, fold == part
            for kind, fit in KINDS.items():
                held_out[kind][here] = fit(logits[rest], y[rest], weight[rest]).apply(logits[here])
        losses = {kind: _log_loss(x, y, weight) for kind, x in held_out.items()}
        best = min(losses, key=losses.__getitem__)
        chosen = KINDS[best](logits, y, weight)
    before, after = (score(expit(x), y, weight=weight, group=rows, resamples=100)["ece"] for x in (logits, held_out[best]))
    facts: dict[str, object] = {
        "kind": best,
        "rows": len(y),
        "log_loss": {kind: round(loss, 5) for kind, loss in losses.items()},
        "ece": {"before": round(before.value, 4) if before else None, "after": round(after.value, 4) if after else None},
    }
    return chosen, facts


def _logistic(columns: Callable[[Array], Array], logits: Array, y: Array, weight: Array, *, shift: bool = True) -> Calibration:
    """Weights >= 0 of some rising columns of the log-odds, and a shift, of least log loss against Platt's targets."""
    x, weight = columns(logits), weight * len(y) / weight.sum()
    right, wrong = weight @ y, weight @ (1 - y)
    target = y * (right + 1) / (right + 2) + (1 - y) / (wrong + 2)

    def loss(theta: Array) -> tuple[float, Array]:
        z = x @ theta[:-1] + theta[-1]
        slope = weight * (expit(z) - target) / len(y)
        return _log_loss(z, target, weight), np.append(slope @ x, slope.sum())

    width = x.shape[1]
    bounds = [(0.0, _STEEPEST)] * width + [(-LIMIT, LIMIT) if shift else (0.0, 0.0)]
    theta = minimize(loss, np.append(np.ones(width), 0.0), jac=True, bounds=bounds, method="L-BFGS-B").x
    return Calibration(GRID, columns(GRID) @ theta[:-1] + theta[-1])


def _log_loss(logits: Array, y: Array, weight: Array) -> float:
    return float(-(weight @ (y * log_expit(logits) + (1 - y) * log_expit(-logits))) / weight.sum())
