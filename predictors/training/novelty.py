"""How unusual a query is among those learned from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

_MOST = 5_000  # rows looked at
_PERCENTILES = 101


def novelty_arrays(features: NDArray[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays of the artifact: `novelty_mean` (f,), `novelty_axes` (f, f), `novelty_quantiles` (101,) of the distances from the mean along the axes.

    The distance is Mahalanobis (1936), with the covariance shrunk as by Ledoit & Wolf (2004).
    """
    x = features[:: 1 + len(features) // _MOST].astype(float)
    mean = x.mean(axis=0)
    covariance, _ = ledoit_wolf(x)
    values, vectors = np.linalg.eigh(covariance)
    axes = (vectors / np.sqrt(np.maximum(values, 1e-6))).astype(np.float32)
    distances = np.sqrt((((x - mean) @ axes) ** 2).sum(axis=1))
    return {"novelty_mean": mean, "novelty_axes": axes, "novelty_quantiles": np.quantile(distances, np.linspace(0, 1, _PERCENTILES))}
