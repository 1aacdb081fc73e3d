"""Item response theory: one scale of ease for all plans, and where a new plan stands on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from predictors.training.families import Array, Places, even, observed, rates, sizes
from predictors.training.newton import minimise, sigmoid, softplus

_STEPS = 200
_LEAST_VARIANCE = 0.05  # of a plan's parameters about the others'


def fit(x: Array, y: Array, weight: Array, fold: Places, seed: int, *, strength: float = 0.1) -> dict[str, NDArray[Any]]:
    """Arrays of `predictors.heads.item_response`: the posterior's mode; priors are normal, variance `strength` on the direction and 1 on plans'."""
    scale, seen = sizes(x), observed(y, weight)
    scaled, kept, right = x / scale, even(weight, seen), np.nan_to_num(y)
    scaled[:, 0] = 0.0  # abilities are the constants
    width, plans = x.shape[1], y.shape[1]
    rate = rates(y, weight, seen)
    ability = np.log(rate / (1 - rate))

    def loss(theta: Array) -> tuple[float, Array]:
        direction, discrimination, shift = np.split(theta, (width, width + plans))
        ease = scaled @ direction
        z = ease[:, None] * discrimination + shift
        slope = kept * (sigmoid(z) - right)
        prior = direction @ direction / strength + (discrimination - 1) @ (discrimination - 1) + (shift - ability) @ (shift - ability) / 10
        gradient = scaled.T @ (slope @ discrimination) + direction / strength
        rest = (ease @ slope + discrimination - 1, slope.sum(axis=0) + (shift - ability) / 10)
        return float((kept * (softplus(z) - right * z)).sum() + prior / 2), np.concatenate((gradient, *rest))

    begin = np.concatenate((np.zeros(width), np.ones(plans), ability))
    bounds = [(None, None)] * width + [(0.0, None)] * plans + [(None, None)] * plans
    theta = minimize(loss, begin, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    direction, discrimination, shift = np.split(theta, (width, width + plans))
    return {"direction": direction / scale, "discrimination": discrimination, "ability": shift}


def place(arrays: Mapping[str, NDArray[Any]], ease: Array, y: Array) -> tuple[float, float]:
    """Discrimination and ability of a new plan, whose outcomes y (n,) on queries of this ease (n,), `x @ direction`, are few.

    The posterior's mode, the prior being normal with the mean and the variance of the other plans' parameters.
    """
    others = np.stack((arrays["discrimination"], arrays["ability"]), axis=1)
    mean, variance = others.mean(axis=0), np.maximum(others.var(axis=0), _LEAST_VARIANCE)
    x = np.column_stack((ease, np.ones(len(ease))))
    found, _ = minimise(x, y, np.ones(len(y)), 1 / variance, mean)
    if found[0] < 0:
        found, _ = minimise(x, y, np.ones(len(y)), np.array([1e12, 1 / variance[1]]), np.array([0.0, mean[1]]))
    return float(max(0.0, found[0])), float(found[1])
