"""Logistic regression: a straight line in log-odds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.heads import heads

Array = NDArray[np.float64]


@heads.register("logistic")
@dataclass(frozen=True, slots=True)
class Logistic:
    """`weights` (k, d) of the columns."""

    weights: Array

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k)."""
        return np.asarray(x @ self.weights.T, float)
