"""What became of the most similar queries in the log, found through an inverted file (Sivic & Zisserman 2003), beside the columns themselves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.heads import Head, heads

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Places = NDArray[np.intp]


@heads.register("neighbours")
@dataclass(frozen=True, slots=True)
class Neighbours(Head):
    """Logged `rows` (m, p), of unit length, sorted by the cell that each is nearest to; cell c holds those from `starts[c]` to `starts[c + 1]`.

    `centres` (c, p) are the cells', of which the nearest `probes` () are searched; `right` and `wrong` (m, k) are the weights of outcomes, zero where
    none was seen. A row counts exp(sharpness (cosine - 1)); `base` (k,) are the rates to which their sum is shrunk, as by `held` () rows.
    Compared are `columns` (p,), less `mean` and times `scale`, both (p,). Log-odds are `weights` (k, d) of the columns and `slope` (k,) of what
    the neighbours say beyond the base rate.
    """

    rows: Floats
    right: Floats
    wrong: Floats
    centres: Floats
    starts: Places
    probes: Places
    sharpness: Array
    base: Array
    held: Array
    columns: Places
    mean: Array
    scale: Array
    weights: Array
    slope: Array

    def logits(self, x: NDArray[np.floating[Any]]) -> Array:
        """Log-odds (n, k)."""
        queries = unit(x[:, self.columns], self.mean, self.scale)
        told = np.stack([self._told(query) for query in queries]) if len(x) else np.zeros((0, len(self.base)))
        return np.asarray(x @ self.weights.T + told * self.slope, float)

    def _told(self, query: Floats) -> Array:
        cells = np.argpartition(self.centres @ query, -int(self.probes))[-int(self.probes) :]
        parts = [slice(self.starts[cell], self.starts[cell + 1]) for cell in cells]
        right, wrong = np.zeros(len(self.base)), np.zeros(len(self.base))
        for part in parts:
            near = np.exp(self.sharpness * (self.rows[part] @ query - 1)).astype(np.float32)
            right += near @ self.right[part]
            wrong += near @ self.wrong[part]
        return surplus(right, wrong, self.base, self.held)


def unit(x: NDArray[np.floating[Any]], mean: Array, scale: Array) -> Floats:
    """Columns of one size, rows (n, p) of unit length."""
    moved = (x - mean) * scale
    out: Floats = (moved / np.maximum(np.sqrt((moved * moved).sum(axis=1, keepdims=True)), 1e-9)).astype(np.float32)
    return out


def surplus(right: Array, wrong: Array, base: Array, held: Array | float) -> Array:
    """Log-odds of outcomes shrunk to their base rates, less those of the base rates."""
    return np.asarray(np.log((right + held * base) / (wrong + held * (1 - base))) - np.log(base / (1 - base)))
