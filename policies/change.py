"""Whether a plan is still what it was: a likelihood-ratio test for a change of the mean of its recent outcomes.

The generalised likelihood ratio of Besson & Kaufmann (2019, arXiv 1902.01575, equation 4) in its form for sub-Gaussian values: an outcome in [0, 1]
is 1/2-sub-Gaussian about its mean, whatever its distribution (Hoeffding 1963).
"""

import math

import numpy as np

from policies.tally import Array

FALSE_ALARM = 0.01  # of a plan that does not change


def change(values: Array, weights: Array) -> int:
    """Where the mean changed: the index of the first value after it, or 0 where nothing says so.

    `values` (n,) count `weights` (n,), each at most 1. With W and m the weights and means before and after, 2 W1 W2 / (W1 + W2) (m1 - m2)^2 is held
    against log(3 n^(3/2) / FALSE_ALARM).
    """
    count = len(values)
    if count < 2:
        return 0
    weight, total = np.cumsum(weights), np.cumsum(weights * values)
    before, after = weight[:-1], weight[-1] - weight[:-1]
    product = before * after
    apart = total[:-1] * weight[-1] - total[-1] * before  # (m1 - m2) W1 W2
    ratio = 2 * apart**2 / np.maximum(product * weight[-1], 1e-9)
    at = int(ratio.argmax())
    return at + 1 if ratio[at] > math.log(3 * count**1.5 / FALSE_ALARM) else 0
