"""How each model family is fitted: `fit(x, y, weight, fold, seed, **hyper)` gives the arrays of its head.

`x` (n, d), the first column being the constant 1; `y` (n, k) in [0, 1], NaN where it was not observed, and `weight` (n, k); `fold` (n,) says which
rows are held out together. An output that was never observed comes out finite.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Seen = NDArray[np.bool_]


def observed(y: Array, weight: Array) -> Seen:
    """Which outcomes (n, k) there are."""
    return np.asarray(~np.isnan(y) & (weight > 0))


def even(weight: Array, seen: Seen) -> Array:
    """Weights (n, k), zero where nothing was seen, of mean 1 where something was."""
    kept = np.where(seen, weight, 0.0)
    return np.asarray(kept * seen.sum(axis=0) / np.maximum(kept.sum(axis=0), 1e-12))


def sizes(x: NDArray[np.floating[Any]]) -> Array:
    """The standard deviation of each column (d,), 1 for those that do not move."""
    scale = x.std(0, dtype=float) if len(x) else np.zeros(x.shape[1])
    return np.where(scale < 1e-6, 1.0, scale)


def rates(y: Array, weight: Array, seen: Seen) -> Array:
    """P(right) of each output (k,), as if one in two had been right before anything was seen (Laplace)."""
    kept = even(weight, seen)
    return np.asarray(((kept * np.nan_to_num(y)).sum(axis=0) + 1) / (kept.sum(axis=0) + 2))
