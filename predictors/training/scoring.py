"""How good probabilities are: AUC, Brier score, log loss and expected calibration error, with intervals that know which rows belong together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

BINS = 10
_CLIP = 1e-12  # nearer to 0 and 1 a wrong probability would cost infinitely much
_BATCH = 20  # resamples at a time, so that their weights stay in the processor's cache

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number and the 95 % bootstrap interval of what it estimates."""

    value: float
    low: float
    high: float


def score(
    p: Array, y: Array, *, weight: Array | None = None, group: NDArray[Any] | None = None, resamples: int = 1_000, seed: int = 0
) -> dict[str, Figure | None]:
    """`auc`, `brier`, `log_loss` and `ece` of probabilities (n,) for outcomes (n,) in [0, 1]; AUC is None where only one outcome was seen.

    Rows of one `group` (a question, say) are resampled together (cluster bootstrap), each group being an own one by default. A soft outcome
    counts as right with its own weight and as wrong with the rest.
    """
    order = np.argsort(p, kind="stable")
    p, y, weight = p[order], y[order], np.ones(len(y)) if weight is None else weight[order]
    rows = np.arange(len(y)) if group is None else np.unique(group, return_inverse=True)[1][order]
    ties = np.flatnonzero(np.diff(p, prepend=-1))
    binned = np.equal(equal_mass(p, weight, BINS)[:, None], np.arange(BINS))
    columns = np.column_stack((_losses(p, y), binned * (y - p)[:, None]))
    found = _figures(weight[None], columns, ties, y)[:, 0]
    rng, batches = np.random.default_rng(seed), []
    with threadpool_limits(limits=1):  # on busy cores threads only wait for one another here
        for start in range(0, resamples, _BATCH):
            drawn = _counts(rng, min(_BATCH, resamples - start), int(rows.max()) + 1)
            batches.append(_figures(weight * drawn.take(rows, axis=1), columns, ties, y))
    spread = np.hstack(batches)
    # noise in a bin only ever adds to an absolute error: as far as resamples lie above the figure, the figure lies above the truth
    spread[3] = np.maximum(0.0, 2 * found[3] - spread[3])
    return {
        name: None if np.isnan(value) else Figure(value=float(value), low=float(low), high=float(high))
        for name, value, (low, high) in zip(("auc", "brier", "log_loss", "ece"), found, map(_interval, spread), strict=True)
    }


def reliability(p: Array, y: Array) -> list[tuple[float, float, float]]:
    """Of bins of equally many rows, lowest probabilities first: mean probability, mean outcome, and the bin's share of the rows."""
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), BINS) if len(part)]
    return [(float(p[part].mean()), float(y[part].mean()), len(part) / len(p)) for part in parts]


def _losses(p: Array, y: Array) -> Array:
    """Brier and log loss of each row: (n, 2)."""
    safe = p.clip(_CLIP, 1 - _CLIP)
    return np.column_stack(((p - y) ** 2, -y * np.log(safe) - (1 - y) * np.log1p(-safe)))


def equal_mass(values: Array, weight: Array, bins: int) -> NDArray[np.intp]:
    """Which of `bins` bins of about equal weight each row falls into, lowest values first: (n,). Equal values share one."""
    ranks = np.unique(values, return_inverse=True)[1]
    mass = np.bincount(ranks, weight)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    place: NDArray[np.intp] = (middle * bins).astype(np.intp).clip(max=bins - 1)[ranks]
    return place


def _counts(rng: np.random.Generator, times: int, groups: int) -> Array:
    """How often each group is drawn in each of `times` resamples: (times, groups)."""
    drawn = rng.integers(groups, size=(times, groups)) + groups * np.arange(times)[:, None]
    return np.bincount(drawn.ravel(), minlength=times * groups).reshape(times, groups).astype(float)


def _figures(weight: Array, columns: Array, ties: NDArray[np.intp], y: Array) -> Array:
    """The four figures under each row of `weight` (r, n): (4, r). Rows are in order of p; `ties` says where each value of p starts."""
    means = weight @ columns / weight.sum(1, keepdims=True)
    return np.stack((_auc(weight, ties, y), means[:, 0], means[:, 1], np.abs(means[:, 2:]).sum(1)))


def _auc(weight: Array, ties: NDArray[np.intp], y: Array) -> Array:
    """P(a right row ranks above a wrong one) + P(they tie) / 2 under each row of `weight` (Mann-Whitney U); NaN where there are no pairs."""
    right, wrong = weight * y, weight * (1 - y)
    if len(ties) < len(y):
        right, wrong = np.add.reduceat(right, ties, axis=1), np.add.reduceat(wrong, ties, axis=1)
    above = np.einsum("rn,rn->r", right, np.cumsum(wrong, 1) - wrong / 2)
    pairs = right.sum(1) * wrong.sum(1)
    return np.where(pairs > 0, above / np.maximum(pairs, 1e-300), np.nan)


def _interval(spread: Array) -> tuple[float, float]:
    known = spread[~np.isnan(spread)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
