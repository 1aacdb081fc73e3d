"""How far a source of rewards is believed: as far as it agrees with the checks, where both have rated the same answer.

A source that says "right" of right answers with probability `sensitivity`, and of wrong ones with 1 - `specificity`, is heard as
(value - (1 - specificity)) / J with J = sensitivity + specificity - 1 (Youden 1950), which is right on average, and counts J^2, the inverse of what
that does to its variance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies.tally import Array

USUAL: Mapping[str, float] = {"unit_test": 1.0, "verifier": 0.98, "user": 0.85, "judge": 0.80}  # sensitivity and specificity, before anything is seen
CHECKS = ("unit_test", "verifier")  # what the others are held against, the surer first
_PRIOR = 20.0  # answers of either kind that USUAL counts as
_ALLOWED = 0.35  # share of the right answers, or of the wrong ones, that a source may misjudge
_CHANCE = 0.01  # that one which misjudges no more is ever quarantined, for either kind
_LEAST = 0.05  # J under which there is nothing to hear


@dataclass(frozen=True, slots=True)
class Ear:
    """What is made of a source's word: `index` is J, 0 where it is not believed, and `offset` = 1 - specificity."""

    index: float
    offset: float = 0.0
    quarantined: bool = False

    def sums(self, sums: Array) -> Array:
        """A tally's `sums` of words, as sums of the outcomes that they stand for."""
        heard = sums.copy()
        heard[-2] = (heard[-2] - self.offset * heard[0]) / self.index
        heard[:, -2] = (heard[:, -2] - self.offset * heard[:, 0]) / self.index
        return heard * self.index**2


def ear(source: str, compared: Array) -> Ear:
    """After so many comparisons: `compared` (2, 2) counts [wrong, right] answers by [all, misjudged]."""
    usual = USUAL[source]
    missed = (compared[:, 1] + _PRIOR * (1 - usual)) / (compared[:, 0] + _PRIOR)
    index = 1.0 - float(missed.sum())
    if any(_worse(float(wrong), float(count)) for count, wrong in compared):
        return Ear(0.0, quarantined=True)
    return Ear(index, float(missed[0])) if index >= _LEAST else Ear(0.0)


def comparison(right: float, said: float) -> Array:
    """What one answer adds to `compared`: it is right to this degree, and the source said so much."""
    return np.array([[1 - right, (1 - right) * said], [right, right * (1 - said)]])


def _worse(wrong: float, count: float) -> bool:
    """Whether more are misjudged than is allowed: Chernoff's bound at every count at once, as sum of 1 / (n (n + 1)) = 1."""
    share = wrong / count if count else 0.0
    if share <= _ALLOWED:
        return False
    apart = share * math.log(share / _ALLOWED) + ((1 - share) * math.log((1 - share) / (1 - _ALLOWED)) if share < 1 else 0.0)
    return count * apart > math.log(count * (count + 1) / _CHANCE)
