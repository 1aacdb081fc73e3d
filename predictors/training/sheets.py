"""What a log teaches, as matrices to learn from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows to learn k outcomes from.

    `x` (n, d) columns, the first being the constant 1; `y` (n, k) P(outcome) in [0, 1], NaN where it was not observed; `weight` (n, k) how much each
    counts; `group` (n,) the same, and not negative, for rows of the same query: what is held out is held out with its group, in fold `group % FOLDS`.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    weight: NDArray[np.float32]
    group: NDArray[np.int64]

    def seen(self, place: int) -> NDArray[np.bool_]:
        """Which rows (n,) had this outcome observed."""
        return np.asarray(~np.isnan(self.y[:, place]) & (self.weight[:, place] > 0))
