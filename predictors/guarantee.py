"""The served form of a guarantee: above which score an answer may be accepted, for each share of wrong ones that a tenant may allow."""

import numpy as np
from numpy.typing import NDArray

NEVER = 2.0  # a threshold that no confidence reaches
ALPHAS = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)

Array = NDArray[np.float64]


def threshold(thresholds: Array, alpha: float) -> float:
    """The threshold of the laxest promise that is within `alpha`; NEVER where nothing may be accepted, 0 where all may be.

    `thresholds` (len(ALPHAS),) holds one for each of ALPHAS, NEVER where calibration allowed none.
    """
    if alpha >= 1:
        return 0.0
    place = int(np.searchsorted(ALPHAS, alpha, side="right"))
    return float(thresholds[place - 1]) if place else NEVER
