"""Logistic loss at its minimum, by Newton's method."""

import numpy as np
from numpy.typing import NDArray

_STEPS = 60
_HALVINGS = 30  # of a step that goes too far
_CLOSE = 1e-8  # largest slope, per row, at which a minimum is reached
_FLATTEST = 0.05

Array = NDArray[np.float64]


def minimise(x: Array, y: Array, weight: Array, ridge: Array, origin: Array | float = 0.0) -> tuple[Array, Array]:
    """The w (d,) that minimises sum_i weight_i (softplus(z_i) - y_i z_i) + sum_j ridge_j (w_j - origin_j)^2 / 2, and the Hessian there (d, d).

    z = x w are log-odds. The loss is convex whatever y is; for y in [0, 1] it is the cross-entropy.
    """

    def loss(w: Array, z: Array) -> float:
        return float(weight @ (softplus(z) - y * z) + ridge @ (w - origin) ** 2 / 2)

    w = np.zeros(x.shape[1]) + origin
    z = x @ w
    least, hessian = loss(w, z), np.diag(ridge)
    for _ in range(_STEPS):
        p = sigmoid(z)
        slope = x.T @ (weight * (p - y)) + ridge * (w - origin)
        scaled = x * np.sqrt(weight * p * (1 - p))[:, None]
        hessian = scaled.T @ scaled + np.diag(ridge)  # a matrix by itself costs half as much as by another
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


def line(held_out: Array, y: Array, weight: Array, held: float) -> tuple[float, float]:
    """Slope and shift of log-odds (n,) that minimise the loss, held to 1 and 0 by `held` (Platt 1999). The slope is positive: order is kept."""
    x = np.column_stack((held_out, np.ones(len(held_out))))
    (slope, shift), _ = minimise(x, y, weight, np.full(2, held), np.array([1.0, 0.0]))
    if slope < _FLATTEST:
        (slope, shift), _ = minimise(x, y, weight, np.array([1e12, held]), np.array([_FLATTEST, 0.0]))
    return float(slope), float(shift)


def sigmoid(x: Array) -> Array:
    """P from log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), without overflow."""
    return np.asarray(np.logaddexp(0.0, x))
