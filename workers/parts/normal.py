"""The normal distribution where it is far out: logarithms of its tails and of the mass between two points."""

from math import erf, erfc, exp, expm1, log, log1p, pi, sqrt

_FAR = 25.0  # beyond this the tail is close to the smallest number there is


def log_tail(x: float) -> float:
    """Log P(X > x); the continued fraction of the tail where it is far out (Abramowitz and Stegun, 26.2.14)."""
    if x < _FAR:
        return log(erfc(x / sqrt(2)) / 2)
    fraction = x
    for term in range(20, 0, -1):
        fraction = x + term / fraction
    return -x * x / 2 - log(2 * pi) / 2 - log(fraction)


def log_between(low: float, high: float) -> float:
    """Log P(low < X <= high), to full precision in both tails; minus infinity where there is nothing between."""
    if high <= low:
        return -float("inf")
    if low > 0:
        return log_tail(low) + _log1mexp(log_tail(high) - log_tail(low))
    if high < 0:
        return log_between(-high, -low)
    return log((erf(high / sqrt(2)) + erf(-low / sqrt(2))) / 2)


def _log1mexp(x: float) -> float:
    """log(1 - exp(x)) for x < 0."""
    if x == 0:
        return -float("inf")
    return log(-expm1(x)) if x > -log(2) else log1p(-exp(x))
