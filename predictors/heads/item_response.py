"""Item response theory: how easy a query is, and what each plan makes of it.

The two-parameter logistic model of Birnbaum (1968, "Some latent trait models", equation 17.3.1), a query's place on the scale being a linear function
of its columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.heads import Head, heads

Array = NDArray[np.float64]


@heads.register("item_response")
@dataclass(frozen=True, slots=True)
class ItemResponse(Head):
    """Log-odds = discrimination x ease + ability: `direction` (d,) tells the ease, `discrimination` (k,) >= 0 and `ability` (k,) the plan."""

    direction: Array
    discrimination: Array
    ability: Array

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k)."""
        return np.asarray((x @ self.direction)[:, None] * self.discrimination + self.ability, float)
