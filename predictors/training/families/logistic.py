"""Ridge logistic regression of each output."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.training.families import Array, Places, even, observed, sizes
from predictors.training.newton import minimise


def fit(
    x: Array, y: Array, weight: Array, fold: Places, seed: int, *, strength: float = 0.1, probe: float = 1.0, vector: tuple[int, int] = (0, 0)
) -> dict[str, NDArray[Any]]:
    """Arrays of `predictors.heads.logistic`; `strength` is the reciprocal of the ridge, from which the constant is free.

    It is that times `probe` for the columns `vector`: hundreds that each say little are held back more than a few that were made to say much.
    """
    scale, seen = sizes(x), observed(y, weight)
    kept, scaled = even(weight, seen), x / scale
    ridge = np.append(1e-6, np.full(x.shape[1] - 1, 1 / strength))
    ridge[slice(*vector)] /= probe
    weights = np.zeros((y.shape[1], x.shape[1]))
    for place in np.flatnonzero(seen.any(axis=0)):
        rows = seen[:, place]
        weights[place] = minimise(scaled[rows], y[rows, place], kept[rows, place], ridge)[0] / scale
    return {"weights": weights}
