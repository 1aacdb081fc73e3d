"""Logistic regression: a straight line in log-odds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.heads import Head, heads

Array = NDArray[np.float64]


@heads.register("logistic")
@dataclass(frozen=True, slots=True)
class Logistic(Head):
    """`weights` (k, d) of the columns."""

    weights: Array

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k)."""
        return np.asarray(x @ self.weights.T, float)

    def beside(self, rows: Array) -> Callable[[Array], Array]:
        """See `Head.beside`; the rows' share is worked out once."""
        split = self.weights.shape[1] - rows.shape[1]
        lead, told = np.ascontiguousarray(self.weights[:, :split]), rows @ self.weights[:, split:].T
        return lambda first: lead @ first + told
