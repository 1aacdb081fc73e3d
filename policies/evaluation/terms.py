"""Every estimator here as a sum of ratios of means over independent units: what intervals, differences and resampling need to know of it."""

from dataclasses import dataclass, field

import numpy as np

from policies.evaluation.logs import Array, Log


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms:
    """An estimate as the sum over columns of sum(numerator) / sum(denominator); a mean has one column and denominators of 1.

    Both are (n, columns), a row for each row of the log. `span` are the bounds of a row of a mean where they are known; `figures` is what the
    estimator found on the way; `warnings` is what a reader of the estimate must know.
    """

    method: str
    numerator: Array
    denominator: Array
    span: tuple[float, float] | None = None
    figures: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def mean(method: str, values: Array, span: tuple[float, float] | None = None) -> Terms:
    """The terms of a plain mean of values (n,)."""
    return Terms(method=method, numerator=values[:, None], denominator=np.ones((len(values), 1)), span=span)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """Terms summed over the rows of each independent unit with their weights: (units, columns) both.

    `span` is None where units are not single rows of one weight: what is known of a row then says nothing of a unit.
    """

    numerator: Array
    denominator: Array
    span: tuple[float, float] | None

    @property
    def value(self) -> float:
        """The estimate."""
        return float((self.numerator.sum(0) / self.denominator.sum(0)).sum())

    @property
    def influence(self) -> Array:
        """What each unit does to the estimate to first order, (units,) (delta method); the estimate varies as their mean does."""
        ratio = self.numerator.sum(0) / self.denominator.sum(0)
        return np.asarray(((self.numerator - ratio * self.denominator) / self.denominator.mean(0)).sum(1))

    @property
    def error(self) -> float:
        """Standard error of the estimate; infinite for a single unit."""
        count = len(self.numerator)
        return float(np.sqrt((self.influence**2).sum() / (count * (count - 1)))) if count > 1 else float("inf")

    def resampled(self, counts: Array) -> tuple[Array, Array]:
        """The estimate and its error, (draws,) both, for counts (draws, units) of how often a unit was drawn; NaN where a denominator was not."""
        size = len(self.numerator)
        bottom = counts @ self.denominator
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = (counts @ self.numerator) / bottom
            influence = size * ((1 / bottom) @ self.numerator.T - (ratio / bottom) @ self.denominator.T)
        return ratio.sum(1), np.sqrt((counts * influence**2).sum(1) / (size * (size - 1)))

    @property
    def without(self) -> Array:
        """The estimate without each unit, (units,) (jackknife); NaN where nothing is left of a denominator."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(((self.numerator.sum(0) - self.numerator) / (self.denominator.sum(0) - self.denominator)).sum(1))


def units(log: Log, terms: Terms) -> Units:
    """The terms of each group of rows, or of each row where the log knows no groups."""
    single = log.group is None and log.weight is None
    numerator, denominator = (total(log, log.weights[:, None] * part) for part in (terms.numerator, terms.denominator))
    return Units(numerator=numerator, denominator=denominator, span=terms.span if single else None)


def total(log: Log, values: Array) -> Array:
    """Sums over each group's rows of values (n, ...), which they are already where the log knows no groups."""
    if log.group is None:
        return values
    names, place = np.unique(log.group, return_inverse=True)
    sums = np.zeros((len(names), *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums
