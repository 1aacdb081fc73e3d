"""Logistic loss at its minimum, by Newton's method."""

import numpy as np
from numpy.typing import NDArray

_STEPS = 60
_HALVINGS = 30  # of a step that goes too far
_CLOSE = 1e-9  # largest slope, per row, at which a minimum is reached

Array = NDArray[np.float64]


def minimise(x: Array, y: Array, weight: Array, ridge: Array, origin: Array | float = 0.0) -> tuple[Array, Array]:
    """The w (d,) at which sum_i weight_i (softplus(z_i) - y_i z_i) + sum_j ridge_j (w_j - origin_j)^2 / 2 is least, z = x w; and the Hessian there (d, d).

    The loss is convex whatever y is; for y in [0, 1] it is the cross-entropy.
    """

    def loss(w: Array, z: Array) -> float:
        return float(weight @ (softplus(z) - y * z) + ridge @ (w - origin) ** 2 / 2)

    w = np.zeros(x.shape[1]) + origin
    z = x @ w
    least, hessian = loss(w, z), np.diag(ridge)
    for _ in range(_STEPS):
        p = sigmoid(z)
        slope = x.T @ (weight * (p - y)) + ridge * (w - origin)
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        if np.abs(slope).max() <= _CLOSE * max(1.0, weight.sum()):
            break
        step = np.linalg.solve(hessian, slope)
        along = x @ step
        for half in 0.5 ** np.arange(_HALVINGS):
            if (found := loss(w - half * step, z - half * along)) <= least:
                w, z, least = w - half * step, z - half * along, found
                break
        else:
            break
    return w, hessian


def sigmoid(x: Array) -> Array:
    """P from log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.logaddexp(0.0, x))
