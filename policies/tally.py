"""What the outcomes of one plan add up to: sufficient statistics of a linear model of what the forecasts got wrong, and of their cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from router.types import Vector

Array = NDArray[np.float64]
_SURE = 4.6  # log-odds beyond which a forecast says no more: 1 % and 99 %


def row(context: Vector, success: float) -> Array:
    """The columns a correction is linear in: 1, the log-odds of the forecast in units of 4.6, the context; (2 + c,)."""
    one: Array = rows(context, np.array([success]))[0]
    return one


def rows(context: Vector, success: Array) -> Array:
    """`row` for the forecasts of several plans, (k, 2 + c)."""
    out = np.empty((len(success), 2 + len(context)))
    kept = np.minimum(np.maximum(success, 0.01), 0.99)
    out[:, 0], out[:, 1], out[:, 2:] = 1.0, np.log(kept / (1 - kept)) / _SURE, context
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Sums over outcomes, so that tallies of different times, routers and tenants add.

    `gram` (d, d) = sum of w x x', `moment` (d,) = sum of w x r, `square` = sum of w r^2, `weight` = sum of w, where x is a `row`, r = outcome -
    forecast, and w how much the outcome counts. `cost` and `expected` are sums of micro-dollars spent and forecast.
    """

    gram: Array
    moment: Array
    square: float = 0.0
    weight: float = 0.0
    cost: float = 0.0
    expected: float = 0.0

    @classmethod
    def empty(cls, width: int) -> Self:
        """Of nothing, with rows of this width."""
        return cls(np.zeros((width, width)), np.zeros(width))

    def told(self, x: Array, residual: float, weight: float) -> "Tally":
        """With one more outcome."""
        scaled = weight * x
        return replace(
            self,
            gram=self.gram + scaled[:, None] * x,
            moment=self.moment + scaled * residual,
            square=self.square + weight * residual * residual,
            weight=self.weight + weight,
        )

    def paid(self, cost: float, expected: float) -> "Tally":
        """With one more purchase's price."""
        return replace(self, cost=self.cost + cost, expected=self.expected + expected)

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def times(self, share: float) -> "Tally":
        """As if each outcome counted this much of what it did."""
        return Tally(*(getattr(self, name) * share for name in self.__dataclass_fields__))

    def arrays(self) -> dict[str, Array]:
        """To keep."""
        return {"gram": self.gram, "moment": self.moment, "sums": np.array([self.square, self.weight, self.cost, self.expected])}

    @classmethod
    def of(cls, arrays: Mapping[str, Array]) -> Self:
        """From what was kept; ValueError where shapes do not fit or a number is not finite."""
        gram, moment, sums = arrays["gram"], arrays["moment"], arrays["sums"]
        if gram.shape != (len(moment), len(moment)) or sums.shape != (4,) or not all(np.isfinite(one).all() for one in (gram, moment, sums)):
            raise ValueError(f"tallies of shapes {gram.shape}, {moment.shape}, {sums.shape}, or numbers that are not finite")
        return cls(gram, moment, *map(float, sums))


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Tallies of one version of the predictor, by tenant and plan: what one version gets wrong says nothing of another."""

    predictor: str
    width: int
    tallies: dict[tuple[str, str], Tally] = field(default_factory=dict)

    def fleet(self, plan: str, most: float) -> Tally:
        """A plan's outcomes over all tenants, of which none counts for more than `most`, so that nobody can flood it."""
        total = Tally.empty(self.width)
        for (_, name), tally in self.tallies.items():
            if name == plan:
                total = total.plus(tally.times(min(1.0, most / max(tally.weight, 1e-9))))
        return total

    @property
    def plans(self) -> tuple[str, ...]:
        """Those with an outcome, by name."""
        return tuple(sorted({plan for _, plan in self.tallies}))

    @property
    def tenants(self) -> tuple[str, ...]:
        """Those with an outcome, by name."""
        return tuple(sorted({tenant for tenant, _ in self.tallies}))
