"""One head from one sheet: which model family is fitted, and how well it does on rows it was not fitted on."""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors.calibration import GRID, KNOTS, Calibrations
from predictors.heads import Calibrated
from predictors.training.calibrating import choose
from predictors.training.newton import softplus
from predictors.training.sheets import FOLDS, Sheet

_FEWEST = 30  # rows, with at least five of each kind, under which an output is only its base rate
_FEWEST_OF_A_KIND = 5
_ENOUGH = 8_000  # rows to choose a family on

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A family with its hyper-parameters, tried on sheets of at least `fewest` and at most `most` rows."""

    family: str
    hyper: Mapping[str, float] = field(default_factory=dict)
    fewest: int = 0
    most: float = math.inf

    def __str__(self) -> str:
        return f"{self.family}({', '.join(f'{name}={value}' for name, value in self.hyper.items())})"

    def fit(self, sheet: Sheet, seed: int) -> Arrays:
        """Arrays of the family's head."""
        module = importlib.import_module(f"predictors.training.families.{self.family}")  # torch only where it is asked for
        hyper: dict[str, Any] = {**self.hyper, **({"vector": sheet.vector} if "probe" in self.hyper else {})}
        found: Arrays = module.fit(sheet.x.astype(float), sheet.y.astype(float), sheet.weight.astype(float), sheet.group % FOLDS, seed, **hyper)
        return found


PLAIN = Candidate("logistic", {"strength": 0.1, "probe": 0.1})
CANDIDATES = (
    PLAIN,
    Candidate("logistic", {"strength": 1.0, "probe": 0.01}),
    Candidate("logistic", {"strength": 0.01, "probe": 1.0}),
    Candidate("logistic", {"strength": 0.1, "probe": 1.0}),
    Candidate("logistic", {"strength": 1.0, "probe": 1.0}),
    Candidate("item_response", {"strength": 0.1}),
    Candidate("boosting", {"depth": 3, "trees": 30, "rate": 0.2}, fewest=1_500, most=20_000),
    Candidate("mlp", {"hidden": 32}, fewest=2_000, most=10_000),
    Candidate("neighbours", {"sharpness": 10.0}, fewest=2_000, most=10_000),
)
"""From simple to dear."""


@dataclass(frozen=True, slots=True)
class FittedHead:
    """Arrays of a model family with k outputs over d columns, and log-odds (n, k) of every row of its sheet by models that did not see its group.

    Beside the family's own, `arrays` hold what `predictors.heads.Calibrated` takes: `calibration_x` and `calibration_y` (k, KNOTS), `spread` (k,).
    `facts` says for each output, in lists of length k, how it was fitted: `rows` (observed), `calibration` (kind), `base_rate_only`; and of all
    together `chosen` and, where there was a choice, the held-out log loss of all that was `tried` and what was `skipped` as the sheet's size forbids.
    """

    family: str
    arrays: Arrays
    held_out: Array
    facts: dict[str, Any]


def fit_head(sheet: Sheet, *, seed: int, among: Sequence[Candidate] = CANDIDATES) -> FittedHead:
    """The best of the simplest family that does, on held-out groups, as well as the best of all but for chance, fitted to all rows and calibrated.

    An output with too little to learn from is its base rate.
    """
    poor = np.array([_poor(sheet, place) for place in range(sheet.y.shape[1])])
    kept = replace(sheet, y=np.where(poor, np.nan, sheet.y).astype(np.float32))
    if poor.all():
        among = (PLAIN,)
    chosen, told, folds = _chosen(kept, among, seed)
    arrays = chosen.fit(kept, seed)
    raw = np.stack([Calibrated.of(chosen.family, one | _uncalibrated(len(poor))).head.logits(sheet.x) for one in folds])
    held_out = raw[sheet.group % FOLDS, np.arange(len(sheet.x))]
    maps, kinds = zip(*[_calibration(sheet, place, held_out[:, place], bool(poor[place]), seed) for place in range(len(poor))], strict=True)
    x, y = (np.stack([one[side] for one in maps]) for side in (0, 1))
    calibrations = Calibrations(x, y)
    spread = np.where(poor, [_doubt(sheet, place) for place in range(len(poor))], _jackknife(np.stack([calibrations.apply(one) for one in raw])))
    seen = [int(sheet.seen(place).sum()) for place in range(len(poor))]
    facts = {"rows": seen, "base_rate_only": poor.tolist(), "calibration": list(kinds), "chosen": str(chosen), **told}
    arrays |= {"calibration_x": x, "calibration_y": y, "spread": spread}
    return FittedHead(chosen.family, arrays, calibrations.apply(held_out), {**facts, "hyper": dict(chosen.hyper)})


def again(head: FittedHead) -> tuple[Candidate]:
    """What was chosen for this head, to be fitted to other labels."""
    return (Candidate(head.family, head.facts["hyper"]),)


def logits(head: FittedHead, x: NDArray[np.floating[Any]]) -> Array:
    """Log-odds (n, k) of rows (n, d)."""
    return Calibrated.of(head.family, head.arrays).logits(x)


def recalibrated(head: FittedHead, slope: Array, shift: Array) -> FittedHead:
    """The head with its log-odds times `slope`, plus `shift`, both (k,)."""
    moved = {"calibration_y": head.arrays["calibration_y"] * slope[:, None] + shift[:, None], "spread": head.arrays["spread"] * slope}
    return replace(head, arrays={**head.arrays, **moved}, held_out=head.held_out * slope + shift)


def _poor(sheet: Sheet, place: int) -> bool:
    y = sheet.y[sheet.seen(place), place]
    return bool(len(y) < _FEWEST or min(y.sum(), (1 - y).sum()) < _FEWEST_OF_A_KIND)


def _chosen(sheet: Sheet, among: Sequence[Candidate], seed: int) -> tuple[Candidate, dict[str, Any], list[Arrays]]:
    """The best of the first family whose least loss exceeds that of all by no more than the standard error, over groups, of the difference.

    Breiman et al. 1984, section 3.4.3. Candidates of one family cost the same to serve, so among them nothing but the loss counts.
    """
    fitting = [one for one in among if one.fewest <= len(sheet.x) <= one.most]
    if len(fitting) == 1:
        return fitting[0], {}, _folds(fitting[0], sheet, seed)
    few = sheet.most(_ENOUGH)
    group = np.unique(few.group, return_inverse=True)[1]
    seen = ~np.isnan(few.y) & (few.weight > 0)
    weight, y = np.where(seen, few.weight, 0.0).astype(float), np.nan_to_num(few.y)
    losses, models = [], []
    for one in fitting:
        models.append(_folds(one, few, seed))
        z = _out_of_fold(one, models[-1], few)
        losses.append(np.bincount(group, (weight * (softplus(z) - y * z)).sum(axis=1)) / weight.sum())
    means = [float(loss.sum()) for loss in losses]
    best = losses[int(np.argmin(means))]
    within = [loss.sum() - best.sum() <= math.sqrt(len(loss)) * (loss - best).std() for loss in losses]
    skipped = {str(one): f"for sheets of {one.fewest:,} to {one.most:,} rows" for one in among if one not in fitting}
    family = fitting[within.index(True)].family
    place = min((index for index, one in enumerate(fitting) if one.family == family), key=means.__getitem__)
    folds = models[place] if few is sheet else _folds(fitting[place], sheet, seed)
    tried = dict(zip(map(str, fitting), [round(one, 5) for one in means], strict=True))
    return fitting[place], {"tried": tried, "skipped": skipped}, folds


def _folds(candidate: Candidate, sheet: Sheet, seed: int) -> list[Arrays]:
    """Arrays of one model for each fold, fitted to the rest."""
    fold = sheet.group % FOLDS
    return [candidate.fit(_rows(sheet, fold != out), seed) for out in range(FOLDS)]


def _out_of_fold(candidate: Candidate, folds: Sequence[Arrays], sheet: Sheet) -> Array:
    fold, out = sheet.group % FOLDS, np.zeros(sheet.y.shape)
    for part, arrays in enumerate(folds):
        here = fold == part
        out[here] = Calibrated.of(candidate.family, arrays | _uncalibrated(sheet.y.shape[1])).head.logits(sheet.x[here])
    return out


def _rows(sheet: Sheet, keep: NDArray[np.bool_]) -> Sheet:
    return replace(sheet, **{name: getattr(sheet, name)[keep] for name in ("x", "y", "weight", "group")})


def _uncalibrated(count: int) -> Arrays:
    grid = np.tile(GRID, (count, 1))
    return {"calibration_x": grid, "calibration_y": grid, "spread": np.zeros(count)}


def _calibration(sheet: Sheet, place: int, held_out: Array, poor: bool, seed: int) -> tuple[tuple[Array, Array], str]:
    """The knots of an output's map, and its kind; level where the output is its base rate."""
    if poor:
        rate, _ = _base_rate(sheet, place)
        return (GRID, np.full(KNOTS, math.log(rate / (1 - rate)))), "none"
    seen = sheet.seen(place)
    y, weight = sheet.y[seen, place].astype(float), sheet.weight[seen, place].astype(float)
    found, facts = choose(held_out[seen], y, weight, sheet.group[seen], seed)
    return (found.x, found.y), str(facts["kind"])


def _base_rate(sheet: Sheet, place: int) -> tuple[float, float]:
    """P(right), as one in two were right before anything was seen (Laplace), and how many rows say so."""
    seen = sheet.seen(place)
    y, weight = sheet.y[seen, place].astype(float), sheet.weight[seen, place].astype(float)
    count = len(y)
    return float((weight @ y * count / max(weight.sum(), 1e-12) + 1) / (count + 2)), count + 2.0


def _doubt(sheet: Sheet, place: int) -> float:
    """The standard deviation of a base rate's log-odds."""
    rate, count = _base_rate(sheet, place)
    return math.sqrt(1 / (count * rate * (1 - rate)))


def _jackknife(logits: Array) -> Array:
    """The standard deviation (k,) of log-odds, averaged over rows, from those of the fold models (K, n, k): delete-group jackknife (Kott 2001)."""
    variance: Array = (len(logits) - 1) * logits.var(axis=0)
    return np.asarray(np.sqrt(variance.sum(axis=0) / max(1, len(variance))))
