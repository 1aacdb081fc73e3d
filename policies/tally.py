"""What outcomes add up to: sufficient statistics of a linear model of what the forecasts got wrong, and of what plans cost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_DEAREST = 9.0  # times what was expected, on top of it
_SURE = 4.6  # log-odds beyond which a forecast says no more: 1 % and 99 %


def row(context: Sequence[float], success: float) -> tuple[float, ...]:
    """The columns a correction is linear in: 1, the log-odds of the forecast in units of 4.6, the context; 2 + c."""
    kept = min(max(success, 0.01), 0.99)
    return 1.0, math.log(kept / (1 - kept)) / _SURE, *context


def log_odds(success: Array) -> Array:
    """That column for several forecasts, (n,)."""
    kept = np.minimum(np.maximum(success, 0.01), 0.99)
    odds: Array = np.log(kept / (1 - kept)) / _SURE
    return odds


def told(context: Sequence[float], success: float, value: float) -> Array:
    """One outcome, z = (its row, its value, the forecast `success`), (d + 2,)."""
    return np.array((*row(context, success), value, success))


def paid(context: Sequence[float], cost: float, expected: float) -> Array:
    """One purchase, (1, its context, by what share it cost more than expected), (c + 2,), the latter bounded, so that nobody can make a price up."""
    return np.array((1.0, *context, min(cost / max(expected, 1e-9) - 1, _DEAREST)))


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Sums over the outcomes of one plan, so that tallies of different times, sources and tenants add.

    `sums` (d + 2, d + 2) = sum of w z z', where z = (x, value, forecast) is what was `told`, x its `row`, and w how much it counts. `paid`
    (c + 2, c + 2) is the same of what purchases cost, as the function of this name has it.
    """

    sums: Array
    paid: Array

    @classmethod
    def empty(cls, width: int, context: int) -> Self:
        """Of nothing, with rows of this width, and so many columns of context in purchases."""
        return cls(np.zeros((width + 2, width + 2)), np.zeros((context + 2, context + 2)))

    @property
    def gram(self) -> Array:
        """Sum of w x x', (d, d)."""
        return self.sums[:-2, :-2]

    @property
    def moment(self) -> Array:
        """Sum of w x r, (d,), with r = value - forecast."""
        difference: Array = self.sums[:-2, -2] - self.sums[:-2, -1]
        return difference

    @property
    def square(self) -> float:
        """Sum of w r^2."""
        return float(self.sums[-2, -2] - 2 * self.sums[-2, -1] + self.sums[-1, -1])

    @property
    def weight(self) -> float:
        """Sum of w: a row begins with 1."""
        return float(self.sums[0, 0])

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(self.sums + other.sums, self.paid + other.paid)

    def times(self, share: float) -> "Tally":
        """As if each outcome counted this much of what it did."""
        return Tally(self.sums * share, self.paid * share)

    def at_most(self, weight: float) -> "Tally":
        """As if all outcomes together, and all purchases, counted no more than this."""
        shares = (min(1.0, weight / max(float(one[0, 0]), 1e-9)) for one in (self.sums, self.paid))
        return Tally(*(share * one for share, one in zip(shares, (self.sums, self.paid), strict=True)))
