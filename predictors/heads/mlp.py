"""A small neural network: one hidden layer that all outputs share, so that plans seen little learn from those seen much."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.heads import Head, heads

Array = NDArray[np.float64]


@heads.register("mlp")
@dataclass(frozen=True, slots=True)
class Mlp(Head):
    """`trunk` (h, d) of the columns, what is below zero cut off, then `weights` (k, h) and `bias` (k,)."""

    trunk: Array
    weights: Array
    bias: Array

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k)."""
        return np.asarray(np.maximum(x @ self.trunk.T, 0.0) @ self.weights.T + self.bias, float)
