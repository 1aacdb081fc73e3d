"""scikit-learn's gradient-boosted trees of each output, flattened."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from predictors.training.families import Array, Places, even, observed, rates

_LEAST = 20  # rows in a leaf
_BINS = 64


def fit(x: Array, y: Array, weight: Array, fold: Places, seed: int, *, depth: int = 3, trees: int = 60, rate: float = 0.1) -> dict[str, NDArray[Any]]:
    """Arrays of `predictors.heads.boosting`. Columns are put into bins here: scikit-learn takes minutes over those of weighted rows."""
    seen, edges = observed(y, weight), np.quantile(x, np.linspace(0, 1, _BINS + 1)[1:-1], axis=0)
    codes = binned(x, edges)
    kept = even(weight, seen)
    models: dict[int, HistGradientBoostingClassifier] = {}
    for place in range(y.shape[1]):
        rows = np.flatnonzero(seen[:, place])
        right = y[rows, place]
        both, label = np.concatenate((rows, rows)), np.repeat([1, 0], len(rows))  # a label between 0 and 1 is that much of either
        mass = kept[both, place] * np.concatenate((right, 1 - right))
        use = mass > 0
        if len(np.unique(label[use])) == 2:
            model = HistGradientBoostingClassifier(
                max_depth=depth, max_iter=trees, learning_rate=rate, min_samples_leaf=_LEAST, max_bins=_BINS, early_stopping=False, random_state=seed
            )
            models[place] = model.fit(codes[both[use]], label[use], sample_weight=mass[use])
    base = rates(y, weight, seen)
    return flattened(models, np.log(base / (1 - base)), edges)


def binned(x: Array, edges: Array) -> Array:
    """Rows as the numbers (n, d) of their bins, of which the c-th ends at, and holds, the c-th of the edges (bins - 1, d)."""
    return np.column_stack([np.searchsorted(edge, column) for edge, column in zip(edges.T, x.T, strict=True)]).astype(float)


def flattened(models: dict[int, HistGradientBoostingClassifier], base: Array, edges: Array) -> dict[str, NDArray[Any]]:
    """The arrays of classifiers fitted to bins, by output; outputs without one keep their `base` (k,), in log-odds."""
    base, parts, roots, outputs, count = base.copy(), [], [], [], 0
    for place, model in models.items():
        base[place] = float(model._baseline_prediction.item())
        for (tree,) in model._predictors:
            nodes = tree.nodes
            leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
            left, right = (np.where(leaf, own, nodes[side]) + count for side in ("left", "right"))
            feature, last = (np.where(leaf, 0, nodes[name]).astype(int) for name in ("feature_idx", "num_threshold"))
            parts.append(
                (
                    feature,
                    np.where(leaf, 0.0, edges[np.minimum(last, len(edges) - 1), feature]),
                    left,
                    right,
                    np.where(leaf, nodes["value"], 0.0),
                    nodes["depth"],
                )
            )
            roots.append(count)
            outputs.append(place)
            count += len(nodes)
    empty = [(np.zeros(0),) * 6]
    feature, threshold, left, right, value, deep = map(np.concatenate, zip(*(parts or empty), strict=True))
    places = {"feature": feature, "left": left, "right": right, "roots": np.array(roots), "outputs": np.array(outputs), "depth": deep.max(initial=0)}
    return {"threshold": threshold, "value": value, "base": base, **{name: np.asarray(one, np.int64) for name, one in places.items()}}
