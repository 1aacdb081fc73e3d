"""Estimators of what a policy would have earned on single decisions: from a log to `Terms`.

With r the reward, rho the importance ratio pi(a | x) / p of the logged action, q the model and n the rows, sums running over rows:

    IPS        sum rho r / n                                                  Horvitz and Thompson 1952; Strehl et al. 2010, arXiv 1003.0120
    SNIPS      sum rho r / sum rho                                            Swaminathan and Joachims 2015, equation 9
    DR         sum ( sum_b pi(b | x) q(x, b) + rho (r - q(x, a)) ) / n        Dudik, Langford and Li 2011, arXiv 1103.4601, equation 3
    SWITCH-DR  the same with rho (r - q) only where rho <= tau                Wang, Agarwal and Dudik 2017, arXiv 1612.01205, section 4

IPS is unbiased where propensities are right and nothing the policy does was impossible; DR also where the model is right instead. SNIPS is
consistent, and does not move when a constant is added to rewards. SWITCH-DR trades the variance of large ratios for the model's error there.
"""

import math

import numpy as np

from policies.evaluation.logs import Array, Trials, invalid
from policies.evaluation.terms import Terms, mean

_CANDIDATES = 50  # thresholds tried, at equal quantiles of the ratios


def ips(trials: Trials) -> Terms:
    """Inverse propensity scoring."""
    span = None
    if trials.bounds is not None and trials.least is not None:
        low, high = trials.bounds
        span = min(low, 0.0) / trials.least, max(high, 0.0) / trials.least
    return mean("ips", trials.ratios * trials.reward, span)


def snips(trials: Trials) -> Terms:
    """Self-normalised inverse propensity scoring."""
    ratios = trials.ratios
    return Terms(method="snips", numerator=(ratios * trials.reward)[:, None], denominator=ratios[:, None])


def dr(trials: Trials) -> Terms:
    """Doubly robust. Raises `InvalidQuery` without a model."""
    base, correction = _parts(trials)
    span = None
    if trials.bounds is not None and trials.least is not None:
        low, high = trials.bounds
        span = low - (high - low) / trials.least, high + (high - low) / trials.least
    return mean("dr", base + correction, span)


def switch_dr(trials: Trials, tau: float | None = None) -> Terms:
    """Doubly robust where the ratio is at most `tau`, the model alone elsewhere; 0 is the model alone, infinity is `dr`.

    Without `tau` the one of least estimated mean squared error is taken (their section 4.2): the sample variance of the rows over n, plus the square
    of R times the share of the policy's choices with a ratio above tau, an upper bound of the bias if the model is nowhere wrong by more than R: the
    width of the rewards' bounds, or of what was seen where there are none. The share is worked out over all actions where `logging` was kept, and
    estimated by the mean of rho over rows with rho > tau otherwise; that seldom finds a switch worth while. The interval of the estimate leaves the
    bias out; `figures` has its bound.

    Raises `InvalidQuery` without a model and for a `tau` below 0.
    """
    base, correction = _parts(trials)
    ratios, share = trials.ratios, trials.weights / trials.weights.sum()
    width = float(np.ptp(trials.reward if trials.bounds is None else trials.bounds))

    def modelled(tau: float) -> float:
        if trials.logging is None:
            return float(share @ np.where(ratios > tau, ratios, 0.0))
        rare = (trials.logging == 0) | (trials.target > tau * trials.logging) if tau < math.inf else trials.logging == 0
        return float(share @ np.where(rare, trials.target, 0.0).sum(1))

    def error(tau: float) -> float:
        rows = base + np.where(ratios > tau, 0.0, correction)
        return float(share**2 @ (rows - share @ rows) ** 2) + (width * modelled(tau)) ** 2

    if tau is None:
        candidates = np.unique(np.concatenate(([0.0], np.quantile(ratios, np.linspace(0, 1, _CANDIDATES), method="lower"), [math.inf])))
        tau = min(candidates.tolist(), key=error)
    elif not tau >= 0:
        raise invalid("tau", "must be at least 0")
    alone, values = modelled(tau), base + np.where(ratios > tau, 0.0, correction)
    told = f"the model alone speaks for {alone:.1%} of the choices: up to {width * alone:.3g} of bias that the interval leaves out"
    return Terms(
        method="switch-dr",
        numerator=values[:, None],
        denominator=np.ones((len(values), 1)),
        figures={"tau": tau, "modelled": alone, "bias": width * alone},
        warnings=(told,) if alone else (),
    )


def _parts(trials: Trials) -> tuple[Array, Array]:
    """What the model says of the target's choices, and rho (r - q) of the logged action, (n,) both."""
    if trials.model is None:
        raise invalid("model", "is needed by doubly robust estimators")
    return (trials.target * trials.model).sum(1), trials.ratios * (trials.reward - trials.of_action(trials.model))
