"""The served form of a guarantee: above which score an answer may be accepted, for each share of wrong ones that a tenant may allow."""

import numpy as np
from numpy.typing import NDArray

ALPHAS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)

Array = NDArray[np.float64]


def threshold(thresholds: Array, alpha: float) -> float:
    """The threshold of the strictest promise that is on the safe side of `alpha`; infinite where nothing may be accepted.

    `thresholds` (len(ALPHAS),) holds one for each of ALPHAS, infinite where calibration allowed none.
    """
    place = int(np.searchsorted(ALPHAS, alpha, side="right"))
    return float(thresholds[place - 1]) if place else np.inf
