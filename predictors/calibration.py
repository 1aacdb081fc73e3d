"""Calibration: from the log-odds a model says to the log-odds that came true."""

from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The maps of k outputs, `x` and `y` (k, KNOTS), laid end to end, so that one look-up serves all of them."""

    x: Array
    y: Array
    _shift: Array = field(init=False, repr=False)
    _knots: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lengths = self.x[:, -1] - self.x[:, 0] + 1.0
        shift = np.cumsum(lengths) - lengths - self.x[:, 0]
        object.__setattr__(self, "_shift", shift)
        object.__setattr__(self, "_knots", (self.x + shift[:, None]).ravel())

    def apply(self, logits: Array) -> Array:
        """Calibrated log-odds (n, k)."""
        inside = np.minimum(np.maximum(logits, self.x[:, 0]), self.x[:, -1])
        out: Array = np.interp(inside + self._shift, self._knots, self.y.ravel())
        return out
