"""How sure a model was of what it wrote, read from the log-probabilities of each token's likeliest alternatives."""

from collections.abc import Sequence
from math import exp, fsum, log

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from router.types import Sample

Floats = NDArray[np.float64]
_LEAST = -100.0  # a log-probability below this is as good as none, and a server's way of saying so may be minus infinity
_MASS = 1e-7  # probability that single-precision arithmetic cannot tell from none


def token_confidences(sample: Sample, top: int) -> Floats:
    """Of each token, minus the mean log-probability of its `top` likeliest alternatives: the higher, the more peaked (DeepConf, eq. 2).

    A server may return one entry more, the token written where it is none of these; only the likeliest count.
    """
    return np.array([-_mean(row[:top]) for row in sample.top_logprobs if row])


def sliding_means(values: Floats, window: int) -> Floats:
    """Means of all windows of that length; of a shorter sequence, the mean of all."""
    means: Floats = sliding_window_view(values, min(window, len(values))).mean(axis=-1)
    return means


def token_entropy(row: Sequence[float]) -> float:
    """Entropy of one token's alternatives, in nats, what is not among them taken for one more: a lower bound, exact where they are all."""
    rest = 1 - fsum(map(exp, row))
    return -fsum(exp(value) * value for value in row if value > _LEAST) - (rest * log(rest) if rest > _MASS else 0.0)


def token_certainty(row: Sequence[float], vocabulary: int = 0) -> float:
    """KL(uniform || p) of one token, in nats: minus the mean over the vocabulary of log(size * p).

    Exact where the row is the whole vocabulary. Else, with the size of the `vocabulary`, the mass that is left is spread evenly over the tokens
    that are left, which gives a lower bound; without it the row is taken for the vocabulary, as it stands.
    """
    size = max(vocabulary, len(row))
    left = size - len(row)
    logs = fsum(max(value, _LEAST) for value in row)
    if left:
        mass = min(max(1 - fsum(map(exp, row)), _MASS), left * exp(min(row)))
        logs += left * max(log(mass / left) if mass else _LEAST, _LEAST)
    return -logs / size - log(size)


def _mean(row: Sequence[float]) -> float:
    return fsum(max(value, _LEAST) for value in row) / len(row)
