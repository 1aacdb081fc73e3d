"""Estimators of what a policy would have earned over several decisions that lead to one another: from `Trajectories` to `Terms`.

With rho_t the product of the importance ratios up to step t (rho_0 = 1, and the last one stays after the end), q_t the model of the logged action,
v_t = sum_b pi(b | x_t) q(x_t, b), sums over n trajectories and their steps t:

    PDIS   sum_t sum rho_t r_t / n                                            Precup, Sutton and Singh 2000, section 3
    WPDIS  sum_t ( sum rho_t r_t / sum rho_t )                                Thomas 2015, section 3.9: their weighted form, consistent
    DR     sum_t sum ( rho_t (r_t - q_t) + rho_t-1 v_t ) / n                  Jiang and Li 2016, arXiv 1511.03722, equation 10, unrolled
    WDR    sum_t ( sum rho_t (r_t - q_t) / sum rho_t
                   + sum rho_t-1 v_t / sum rho_t-1 )                          Thomas and Brunskill 2016, arXiv 1604.00923, section 5

In the denominators of WDR what is known of an action counts without being taken, as in its numerators.

PDIS and DR are unbiased where propensities are right; DR also where they are not, if the model is. The weighted ones are consistent, and steadier.
"""

import numpy as np

from policies.evaluation.logs import Array, Trajectories, invalid
from policies.evaluation.terms import Terms, mean


def pdis(trajectories: Trajectories) -> Terms:
    """Per-decision importance sampling."""
    return mean("pdis", (trajectories.running * trajectories.rewards).sum(1))


def wpdis(trajectories: Trajectories) -> Terms:
    """Weighted per-decision importance sampling."""
    running = trajectories.running
    return Terms(method="wpdis", numerator=running * trajectories.rewards, denominator=running)


def sequential_dr(trajectories: Trajectories) -> Terms:
    """Doubly robust over steps. Raises `InvalidQuery` without a model."""
    base, correction = _parts(trajectories)
    return mean("sequential-dr", (base + correction).sum(1))


def wdr(trajectories: Trajectories) -> Terms:
    """Weighted doubly robust over steps. Raises `InvalidQuery` without a model."""
    base, correction = _parts(trajectories)
    return Terms(method="wdr", numerator=np.hstack((base, correction)), denominator=np.hstack((trajectories.mass_before, trajectories.mass)))


def _parts(trajectories: Trajectories) -> tuple[Array, Array]:
    """rho_t-1 v_t and rho_t (r_t - q_t), (n, T) both."""
    values = trajectories.values
    if values is None:
        raise invalid("model", "is needed by doubly robust estimators")
    return trajectories.before * trajectories.expected(values), trajectories.running * (trajectories.rewards - trajectories.of_action(values))
