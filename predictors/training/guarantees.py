"""Conformal risk control: the lowest score at which answers may be accepted so that few enough of them are wrong.

All rows must be exchangeable with what is served later: one row per question, and none that the score was fitted or calibrated on. Where questions
differ in kind from those served later, `weight` (n,) says how much oftener a row's kind will be met than it was (a likelihood ratio, to a
constant); its largest value must be the largest there can be. The others are scores (n,), higher is surer, and wrong (n,) of 0 and 1. Accepted is
`score >= threshold`.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from predictors.guarantee import ALPHAS, NEVER

_STEPS = 100  # thresholds tried, at most

Array = NDArray[np.float64]


def accept_threshold(
    scores: Array, wrong: Array, alpha: float, delta: float = 0.1, weight: Array | None = None, *, starts: int = 2, seed: int = 0
) -> float | None:
    """The lowest threshold at which, with probability 1 - `delta`, at most a share `alpha` of the accepted is wrong; None: accept nothing.

    Learn then Test (Angelopoulos et al. 2021, section 3): thresholds are tested from strict to lax by the exact binomial test (its bound is Clopper
    and Pearson's) until one fails. Of so few answers as the strictest accepts, one that is wrong by chance would end it all; so `delta` is shared by
    that start and `starts` - 1 laxer ones, and where one chain reaches another's start their shares add up (Bretz et al. 2009).

    With weights, rows are first thinned in proportion, which leaves an exact sample of what is to come (rejection sampling: Park et al. 2022, PAC
    prediction sets under covariate shift).
    """
    if weight is not None:
        kept = np.random.default_rng(seed).random(len(scores)) * weight.max(initial=0.0) < weight
        scores, wrong = scores[kept], wrong[kept]
    fewest = math.ceil(math.log(delta / starts) / math.log1p(-alpha))  # all of fewer might be right by chance
    if fewest > len(scores):
        return None
    values, accepted, missed = _ladder(scores, wrong, np.ones(len(scores)))
    places = np.searchsorted(accepted, np.geomspace(fewest, len(scores), _STEPS).round())
    tried, budget, lowest = np.unique(places), np.zeros(len(values)), None
    np.add.at(budget, places[:: _STEPS // starts][:starts], delta / starts)
    chances = bdtr(missed[tried], accepted[tried].astype(int), alpha)  # of so few wrong ones if the share of them were above alpha
    carried = 0.0
    for place, chance in zip(tried, chances, strict=True):
        carried += budget[place]
        if carried > 0 and chance <= carried:
            lowest = float(values[place])
        else:
            carried = 0.0
    return lowest


def risk_control(scores: Array, wrong: Array, alpha: float, weight: Array | None = None) -> float | None:
    """The lowest threshold at which at most a share `alpha` of all queries is accepted and wrong, on average over calibration sets.

    Conformal risk control (Angelopoulos et al. 2022, equation 4), weighted as by Tibshirani et al. 2019 with the next query's weight taken to be the
    largest. None: accept nothing.
    """
    weight = np.ones(len(scores)) if weight is None else weight
    values, _, missed = _ladder(scores, wrong, weight)
    following = weight.max(initial=0.0)  # the next query, taken to be accepted and wrong
    allowed = (missed + following) / (weight.sum() + following) <= alpha
    return float(values[allowed][-1]) if allowed.any() else None


def thresholds(scores: Array, wrong: Array, delta: float = 0.1, weight: Array | None = None) -> Array:
    """`accept_threshold` for each of ALPHAS, NEVER where it is None: (len(ALPHAS),). Each holds with 1 - `delta`, not all of them at once."""
    found = [accept_threshold(scores, wrong, alpha, delta, weight) for alpha in ALPHAS]
    return np.array([NEVER if one is None else one for one in found])


def _ladder(scores: Array, wrong: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Every distinct score from high to low, the weight accepted there, and the weight of what is wrong among it."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    return scores[order][ends], np.cumsum(weight[order])[ends], np.cumsum((weight * wrong)[order])[ends]
