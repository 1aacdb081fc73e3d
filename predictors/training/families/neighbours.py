"""Neighbours: an inverted file over the rows, and what their outcomes are worth beside the columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from predictors.heads.neighbours import surplus, unit
from predictors.training.families import Array, Places, even, observed, rates, sizes
from predictors.training.newton import minimise

_PROBES = 4
_BLOCK = 500  # rows compared with all others at a time


def fit(
    x: Array, y: Array, weight: Array, fold: Places, seed: int, *, sharpness: float = 10.0, held: float = 2.0, strength: float = 0.03
) -> dict[str, NDArray[Any]]:
    """Arrays of `predictors.heads.neighbours`; all columns but the constant are compared. Rows of one fold are not one another's neighbours here."""
    seen, scale, columns = observed(y, weight), sizes(x), np.arange(1, x.shape[1])
    kept = even(weight, seen)
    mean, sharp = x[:, columns].mean(axis=0), np.array(sharpness)
    rows = unit(x[:, columns], mean, 1 / scale[columns])
    right, wrong = ((kept * one).astype(np.float32) for one in (np.nan_to_num(y), 1 - np.nan_to_num(y)))
    base = rates(y, weight, seen)
    told = np.concatenate([_told(part, rows, right, wrong, fold, sharpness, base, held) for part in _blocks(len(rows))])
    ridge = np.append(1e-6, np.full(x.shape[1] - 1, 1 / strength))
    weights, slope = np.zeros((y.shape[1], x.shape[1])), np.zeros(y.shape[1])
    for place in np.flatnonzero(seen.any(axis=0)):
        use = seen[:, place]
        both = np.column_stack((x[use] / scale, told[use, place]))
        *weights[place], slope[place] = minimise(both, y[use, place], kept[use, place], np.append(ridge, 1 / strength))[0]
        weights[place] /= scale
    order, centres, starts = inverted(rows, seed)
    return {
        **{"rows": rows[order], "right": right[order], "wrong": wrong[order]},
        **{"centres": centres, "starts": starts, "probes": np.array(min(_PROBES, len(centres))), "sharpness": sharp, "base": base},
        **{"held": np.array(held), "columns": columns, "mean": mean, "scale": 1 / scale[columns], "weights": weights, "slope": slope},
    }


def inverted(rows: NDArray[np.float32], seed: int) -> tuple[Places, NDArray[np.float32], Places]:
    """The order in which rows of one cell lie side by side, the cells' centres, about sqrt(n) of them, and where each begins."""
    cells = max(1, int(len(rows) ** 0.5))
    model = MiniBatchKMeans(cells, random_state=seed, n_init=1, max_iter=20, batch_size=2_048).fit(rows[:: 1 + len(rows) // 100_000])
    cell = np.asarray(model.predict(rows))
    starts = np.append(0, np.bincount(cell, minlength=cells).cumsum())
    return np.argsort(cell, kind="stable"), model.cluster_centers_.astype(np.float32), starts


def _blocks(count: int) -> list[slice]:
    return [slice(begin, begin + _BLOCK) for begin in range(0, count, _BLOCK)]


def _told(  # noqa: PLR0917
    part: slice,
    rows: NDArray[np.float32],
    right: NDArray[np.float32],
    wrong: NDArray[np.float32],
    fold: Places,
    sharpness: float,
    base: Array,
    held: float,
) -> Array:
    near = np.exp(sharpness * (rows[part] @ rows.T - 1)) * (fold[part, None] != fold)
    return surplus(near @ right, near @ wrong, base, held)
