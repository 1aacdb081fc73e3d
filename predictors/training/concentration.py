"""How much queries differ: a Beta distribution of each query's chance to be answered right, from repeated samples."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, polygamma, psi

_LEAST, _MOST = 1e-3, 1e4  # of either parameter; beyond, the samples no longer tell

Array = NDArray[np.float64]


def fit_beta_binomial(right: Array, total: Array) -> tuple[float, float]:
    """The Beta (a, b) of most likelihood for `right` of `total` samples of each query, both (queries,); Newton's method from the moments.

    a / (a + b) is the mean chance, a + b the concentration that `curves.believe` asks for. Queries that differ less than samples of one chance would
    do have a concentration as large as allowed.
    """
    theta = np.log(_moments(right, total).clip(_LEAST, _MOST))
    for _ in range(100):
        slope, bend = _derivatives(np.exp(theta), right, total)
        curvature, axes = np.linalg.eigh(bend)  # uphill also where the likelihood is not concave
        step = axes @ ((axes.T @ slope) / np.maximum(np.abs(curvature), 1e-9))
        step *= min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        while _likelihood(np.exp((theta + step).clip(np.log(_LEAST), np.log(_MOST))), right, total) < _likelihood(np.exp(theta), right, total):
            step /= 2
            if np.abs(step).max() < 1e-10:
                break
        theta = (theta + step).clip(np.log(_LEAST), np.log(_MOST))
        if np.abs(step).max() < 1e-8:
            break
    a, b = np.exp(theta)
    return float(a), float(b)


def _moments(right: Array, total: Array) -> Array:
    """Mean and concentration that give the mean and the variance seen (Kleinman 1973), as (a, b)."""
    mean = float((right.sum() + 0.5) / (total.sum() + 1))
    within = mean * (1 - mean)
    excess = float((((right - total * mean) ** 2) - total * within).sum() / max(1.0, (total * (total - 1)).sum()) / within)
    concentration = 1 / min(max(excess, 1e-3), 0.9) - 1
    return np.array([mean, 1 - mean]) * concentration


def _likelihood(ab: Array, right: Array, total: Array) -> float:
    a, b = ab
    return float((betaln(a + right, b + total - right) - betaln(a, b)).sum())


def _derivatives(ab: Array, right: Array, total: Array) -> tuple[Array, Array]:
    """Slope (2,) and curvature (2, 2) of the log-likelihood in ln a and ln b."""
    wrong, both = total - right, ab.sum()
    counts = (right, wrong)
    shared = (psi(both) - psi(both + total)).sum()
    slope = np.array([(psi(one + seen) - psi(one)).sum() + shared for one, seen in zip(ab, counts, strict=True)])
    bend = np.full((2, 2), float((polygamma(1, both) - polygamma(1, both + total)).sum()))
    bend += np.diag([(polygamma(1, one + seen) - polygamma(1, one)).sum() for one, seen in zip(ab, counts, strict=True)])
    return slope * ab, bend * np.outer(ab, ab) + np.diag(slope * ab)
