"""Gradient-boosted trees (Friedman 2001), flattened: all trees of all outputs are walked together, a level at a time."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.heads import Head, heads

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@heads.register("boosting")
@dataclass(frozen=True, slots=True)
class Boosting(Head):
    """Nodes (m,): a row goes to `left` where its column `feature` is at most `threshold`, else to `right`; a leaf leads to itself and has a `value`.

    Trees (t,): each begins at one of `roots`, is at most `depth` () deep, and adds to one of `outputs`. `base` (k,) is what they add to.
    """

    feature: Places
    threshold: Array
    left: Places
    right: Places
    value: Array
    roots: Places
    outputs: Places
    base: Array
    depth: Places
    _children: Places = field(init=False, repr=False)
    _adds: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_children", np.stack((self.right, self.left), axis=1).ravel())
        object.__setattr__(self, "_adds", (self.outputs[:, None] == np.arange(len(self.base))).astype(float))

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k)."""
        rows, begin = x.ravel(), np.arange(len(x))[:, None] * x.shape[1]
        node = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        for _ in range(int(self.depth)):
            stays = rows.take(self.feature.take(node) + begin) <= self.threshold.take(node)
            node = self._children.take(2 * node + stays)
        return np.asarray(self.base + self.value.take(node) @ self._adds)
