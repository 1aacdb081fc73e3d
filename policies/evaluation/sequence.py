"""A confidence sequence of a policy's value, or of how much better it is than another: it may be looked at after every decision, and stopped at any.

With probability `level` the truth lies between `low` and `high` at all times at once, whatever the rule for stopping; an ordinary interval that is
looked at again and again is sooner or later wrong. The acting policy may learn meanwhile, as long as propensities are those of each moment.

For a term X >= 0 of mean mu <= 1, m_t in [0, 1] a guess of it before X_t is seen and 0 < lambda < 1,

    prod_t exp( lambda (X_t - mu) - psi(lambda) (X_t - m_t)^2 ),    psi(l) = -ln(1 - l) - l

is a supermartingale that begins at 1 (Fan, Grama and Liu 2015, equation 4.11, as X_t - m_t >= -1), so that by Ville's inequality with 1 - alpha

    mu >= mean_t X - ( psi(lambda) sum (X_t - m_t)^2 + ln(1 / alpha) ) / (lambda t)    for all t:

the empirical Bernstein sequence of Waudby-Smith and Ramdas 2024, arXiv 2010.09686, theorem 2, in the form that needs no upper bound of X
(Waudby-Smith et al. 2022, arXiv 2210.10768). The largest importance weight therefore plays no part. Every lambda is best at some t; there are a few,
each with its part of alpha (stitching: Howard et al. 2021, arXiv 1810.08240, section 3.1). Upper ends are lower ends of the loss: as ratios average
1, the value of 1 - r is 1 minus that of r; and for two policies rho r + rho' (1 - r) has mean V - V' + 1.
"""

import math
from dataclasses import dataclass

import numpy as np

from policies.evaluation.logs import Array, Trials, invalid

_BETS = 0.75 / 2 ** np.arange(9)  # lambda; the largest is best after some ten decisions, the least after a million


@dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """Ends after each decision, (n,) both, never moving apart."""

    low: Array
    high: Array


def sequence(trials: Trials, against: Trials | None = None, level: float = 0.95) -> Sequence:
    """The value of the log's target policy, or how much more it is than that of `against`, after each row in the order of the log.

    Raises `InvalidQuery` where rewards have no `bounds`, and for weights and groups: each row must be one decision, new when it was made.
    """
    if trials.bounds is None:
        raise invalid("bounds", "must be known for a confidence sequence")
    for name, values in (("weight", trials.weight), ("group", trials.group)):
        if values is not None:
            raise invalid(name, "must be left out: a confidence sequence takes one decision at a time")
    if not 0 < level < 1:
        raise invalid("level", "must lie between 0 and 1")
    low, high = trials.bounds
    reward, width, alpha = (trials.reward - low) / (high - low), high - low, (1 - level) / 2
    ours = trials.ratios
    if against is None:
        below, above = _lower(ours * reward, alpha), _lower(ours * (1 - reward), alpha)
        return Sequence(low=low + width * below, high=high - width * above)
    theirs = against.ratios
    below = _lower((ours * reward + theirs * (1 - reward)) / 2, alpha)
    above = _lower((theirs * reward + ours * (1 - reward)) / 2, alpha)
    return Sequence(low=width * (2 * below - 1), high=width * (1 - 2 * above))


def _lower(terms: Array, alpha: float) -> Array:
    """Lower ends, (n,), of the mean, which lies in [0, 1], of terms (n,) not below 0; each is the best so far."""
    count = np.arange(1, len(terms) + 1)
    guess = np.minimum((0.5 + np.cumsum(terms)) / (count + 1), 1.0)
    squares = np.cumsum((terms - np.concatenate(([0.5], guess[:-1]))) ** 2)
    doubt = math.log(len(_BETS) / alpha)
    margin = np.min([((-math.log1p(-bet) - bet) * squares + doubt) / (bet * count) for bet in _BETS.tolist()], axis=0)
    return np.maximum.accumulate(np.maximum(np.cumsum(terms) / count - margin, 0.0))
