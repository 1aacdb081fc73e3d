"""A small network that learns features of the context, for a linear model on its last hidden layer.

Riquelme, Tucker & Snoek (2018, arXiv 1802.09127, section 3, "neural linear"): the network is fitted to outcomes now and then, and only its features
are kept; what is believed, and how surely, is the linear model's. Here they stand beside the context, so that what is linear is not lost.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from policies.tally import Array

WIDTH = 8
_STEPS = 300
_RATE = 0.02
_NOISE = 0.2  # variance of an outcome
_INNER = 12.0  # precision of a weight of the hidden layer, beforehand
_USED = 0.05  # variance of what a feature is worth to a plan, beforehand
_DECAY = (0.9, 0.999)  # of Adam's moments (Kingma & Ba 2015, arXiv 1412.6980, algorithm 1)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Features tanh(context @ `weights` (c, WIDTH) + `level`) x `scale` (WIDTH,): those that tell plans' outcomes apart count for more."""

    weights: NDArray[np.float32]
    level: NDArray[np.float32]
    scale: NDArray[np.float32]

    def beside(self, context: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """A context (c,), or several (n, c), and their features."""
        features = np.tanh(context @ self.weights + self.level) * self.scale
        return np.concatenate((context, features), axis=-1)

    @classmethod
    def fitted(cls, context: Array, residual: Array, weight: Array, plan: NDArray[np.intp]) -> Self:
        """To n outcomes: contexts (n, c), outcome less forecast, how much each counts, and the place of its plan; the same for the same outcomes."""
        rng, plans = np.random.default_rng(0), np.eye(plan.max() + 1)[plan]
        width, total = context.shape[1], weight.sum()
        inner = rng.normal(size=(width + 1, WIDTH)) / np.sqrt(width)
        outer = rng.normal(size=(WIDTH + 1, plans.shape[1])) * 0.1
        held = _NOISE / total * np.array([_INNER, 1 / _USED])
        x, moments = np.column_stack((context, np.ones(len(context)))), [np.zeros((2, *one.shape)) for one in (inner, outer)]
        for step in range(1, _STEPS + 1):
            hidden = np.column_stack((np.tanh(x @ inner), np.ones(len(x))))
            back = plans * (weight / total * ((hidden @ outer * plans).sum(axis=1) - residual))[:, None]
            slopes = x.T @ (back @ outer[:-1].T * (1 - hidden[:, :-1] ** 2)) + held[0] * inner, hidden.T @ back + held[1] * outer
            for array, slope, moment in zip((inner, outer), slopes, moments, strict=True):
                _adam(array, slope, moment, step)
        used = np.sqrt((outer[:-1] ** 2).mean(axis=1))
        scale = used / np.sqrt((used**2).mean())
        return cls(inner[:-1].astype(np.float32), inner[-1].astype(np.float32), scale.astype(np.float32))


def _adam(array: Array, slope: Array, moments: Array, step: int) -> None:
    """One step down the slope, in place; `moments` are the running means of slopes and of their squares."""
    mean, square = moments
    mean += (1 - _DECAY[0]) * (slope - mean)
    square += (1 - _DECAY[1]) * (slope**2 - square)
    array -= _RATE * mean / (1 - _DECAY[0] ** step) / (np.sqrt(square / (1 - _DECAY[1] ** step)) + 1e-8)
