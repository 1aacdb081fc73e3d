"""Correcting for what was bought: only the plan that a policy chose is seen at work, and a policy chooses what it thinks will do."""

import numpy as np
from numpy.typing import NDArray

from predictors.training.newton import line, sigmoid

_HELD = 5.0  # rows' worth of holding slope and shift at 1 and 0

Array = NDArray[np.float64]
Places = NDArray[np.int64]


def pseudo_outcomes(held_out: Array, y: NDArray[np.floating], bought: Places, chance: Array) -> Array:
    """What each plan (n, k) would have been worth: m_p + 1{bought = p} (y - m_p) / chance (Kennedy 2023, "Towards optimal doubly robust estimation").

    `held_out` (n, k) are log-odds of m_p by models that did not see the row; `y` (n, k) outcomes, `bought` (n,) whose was seen, -1 for none, and
    `chance` (n,) with what probability it was. Their mean is that of the truth if either m or the chances are right; single ones may leave [0, 1].
    """
    worth = sigmoid(held_out)
    rows = np.flatnonzero(bought >= 0)
    at = rows, bought[rows]
    worth[at] += (y[at] - worth[at]) / chance[rows]
    return worth


def recalibrate(held_out: Array, worth: Array, weight: Array) -> tuple[Array, Array]:
    """Slope and shift (k,) of the log-odds that fit the pseudo-outcomes of all rows, of which row i stands for `weight` decisions.

    The logistic loss softplus(z) - worth z is convex though a pseudo-outcome may be below 0 or above 1, and is least at their mean as for labels.
    """
    found = np.array([line(held_out[:, place], worth[:, place], weight / weight.mean(), _HELD) for place in range(held_out.shape[1])])
    return found[:, 0], found[:, 1]
