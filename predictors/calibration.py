"""Calibration: from the log-odds a model says to the log-odds that came true."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KNOTS = 65
LIMIT = 12.0  # log-odds; a map's first and last knot lie no further out, and beyond them it is level

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A non-decreasing map of log-odds, straight between its knots: `x` strictly increasing (KNOTS,), `y` (KNOTS,).

    Whatever was fitted (temperature, Platt, beta, isotonic) is served as this one table, so that serving knows one kind, every plan's calibration has
    one shape, and a new kind changes nothing here. Straight lines are met exactly, beta's curve to .002 of probability.
    """

    x: Array
    y: Array

    def apply(self, logits: Array) -> Array:
        """Calibrated log-odds, of any shape."""
        out: Array = np.interp(logits, self.x, self.y)
        return out


GRID: Array = np.linspace(-LIMIT, LIMIT, KNOTS)
IDENTITY = Calibration(GRID, GRID)
