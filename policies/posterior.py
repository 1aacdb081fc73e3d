"""What outcomes say of the forecasts' errors: a Bayesian linear model for each plan, all of them drawn from one that they share.

With x a `tally.row`, the outcome of plan a less its forecast is x' theta_a + noise; theta_a ~ N(theta_0, own D), theta_0 ~ N(0, shared D). So what is
learned of one plan tells of the others, most of all of those with few outcomes. Lindley & Smith (1972, "Bayes estimates for the linear model",
section 2); sampled backwards, theta_0 first. The two scales are not known: all is averaged over what the outcomes say of them, on a grid (fully
Bayesian, where the likeliest scales alone would take few outcomes for many).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from policies.tally import Array, Tally, rows
from router.types import Prediction

SAMPLES = 128
_SCALES = (0.0025, 0.01, 0.04, 0.16)  # variances of a coefficient, in units of probability squared
_NOISE = (0.02, 0.25)  # the least and the most variance of an outcome
_CONTEXT = 0.25  # of a coefficient of the context, relative to that of the intercept, over the number of its columns
_PRICES = 5.0  # purchases that the forecasts of cost count as

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Posterior:
    """One tenant's: for each of k `plans` the `mean` (k, d), the `covariance` (k, d, d) and SAMPLES draws (k, m, d) of its theta.

    `price` (k,) is what the plan costs for each micro-dollar forecast, `count` (k,) outcomes behind it. It corrects forecasts of the version
    `predictor` and no others; `earlier` ones those of other versions that serve or have served. `version` names all of it by its content.
    """

    predictor: str
    plans: tuple[str, ...]
    mean: Floats
    covariance: Floats
    samples: Floats
    price: Floats
    count: Floats
    version: str
    earlier: "Posterior | None" = field(default=None, repr=False)

    def places(self, plans: tuple[str, ...]) -> list[int]:
        """Where each plan stands here; -1 for one that nothing is known of."""
        index = {plan: place for place, plan in enumerate(self.plans)}
        return [index.get(plan, -1) for plan in plans]

    def after(self, earlier: "Posterior | None") -> "Posterior":
        """With what is known of the forecasts of versions that served before."""
        return replace(self, earlier=earlier, version=_digest(self.version, earlier.version)) if earlier else self

    def of(self, predictor: str) -> "Posterior | None":
        """The one that corrects forecasts of this version, if any does."""
        found: Posterior | None = self
        while found and found.predictor != predictor:
            found = found.earlier
        return found


def _digest(*parts: str | bytes) -> str:
    """What changes whenever any of these does."""
    whole = hashlib.blake2b(digest_size=6)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()


def fit(predictor: str, tallies: Mapping[str, Tally]) -> Posterior:
    """The posterior after these outcomes, by plan; the same, bit for bit, for the same tallies."""
    plans, (width,) = tuple(sorted(tallies)), {len(tally.moment) for tally in tallies.values()}
    seen = [tallies[plan] for plan in plans]
    count = np.array([tally.weight for tally in seen])
    noise = min(_NOISE[1], max(_NOISE[0], sum(tally.square for tally in seen) / count.sum())) if count.any() else _NOISE[1]
    sizes: Array = np.array([1.0, 1.0, *[_CONTEXT / max(1, width - 2)] * (width - 2)])
    shared, own = np.array(list(product(_SCALES, _SCALES))).T[:, :, None] * sizes
    solved = _Solved.of(seen, noise, shared, own)
    mean, covariance = solved.moments()
    paid = np.array([(tally.cost, tally.expected) for tally in seen])
    held = _PRICES * paid[:, 1] / np.maximum(count, 1.0)
    price = np.where(paid[:, 1] > 0, (paid[:, 0] + held) / np.maximum(paid[:, 1] + held, 1e-9), 1.0)
    arrays = {"mean": mean, "covariance": covariance, "samples": solved.draws(np.random.default_rng(0), SAMPLES), "price": price, "count": count}
    served: dict[str, Any] = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    version = _digest(predictor, *plans, *(array.tobytes() for array in served.values()))
    return Posterior(predictor=predictor, plans=plans, version=version, **served)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """The model at g pairs of scales, and how likely each pair is, `chance` (g,), all of them alike beforehand.

    `inverse` (g, k, d, d) and `told` (k, d) are covariance and precision times mean of each plan's own theta given theta_0 = 0, `prior` (g, d) its
    prior precision and `root` (g, k, d, d) gives z' root the covariance; `middle` (g, d), `spread` and `top_root` (g, d, d) say the same of theta_0.
    """

    prior: Array
    root: Array
    inverse: Array
    told: Array
    middle: Array
    spread: Array
    top_root: Array
    likelihood: Array

    @classmethod
    def of(cls, seen: list[Tally], noise: float, shared: Array, own: Array) -> Self:
        prior = 1 / own
        told = np.stack([tally.moment for tally in seen]) / noise
        lower = np.linalg.cholesky(np.stack([tally.gram for tally in seen]) / noise + _diagonal(prior)[:, None])
        root = np.asarray(np.linalg.inv(lower), float)
        inverse = root.swapaxes(-1, -2) @ root
        passed = prior[:, :, None] * inverse.sum(axis=1) * prior[:, None, :]
        top = np.linalg.cholesky(_diagonal(1 / shared + len(seen) * prior) - passed)
        top_root = np.asarray(np.linalg.inv(top), float)
        spread = top_root.swapaxes(-1, -2) @ top_root
        alone = (inverse @ told[:, :, None])[..., 0]
        say = prior * alone.sum(axis=1)
        middle = (spread @ say[:, :, None])[..., 0]
        fit = (alone * told).sum(axis=(1, 2)) + (say * middle).sum(axis=1)
        sizes = (len(seen) * np.log(prior) - np.log(shared)).sum(axis=1)
        roots = np.log(np.diagonal(lower, axis1=-2, axis2=-1)).sum(axis=(1, 2)) + np.log(np.diagonal(top, axis1=-2, axis2=-1)).sum(axis=1)
        return cls(prior, root, inverse, told, middle, spread, top_root, 0.5 * (fit + sizes) - roots)

    @property
    def chance(self) -> Array:
        """P(scales | outcomes), (g,)."""
        chance = np.exp(self.likelihood - self.likelihood.max())
        return np.asarray(chance / chance.sum())

    def moments(self) -> tuple[Array, Array]:
        """Mean (k, d) and covariance (k, d, d) of each plan's theta, over all scales."""
        pull = self.inverse * self.prior[:, None, None, :]  # theta_a moves so with theta_0
        means = (self.inverse @ (self.told + (self.prior * self.middle)[:, None])[..., None])[..., 0]
        mean = np.tensordot(self.chance, means, 1)
        apart = means - mean
        covariance = self.inverse + pull @ self.spread[:, None] @ pull.swapaxes(-1, -2) + apart[..., :, None] * apart[..., None, :]
        return mean, np.tensordot(self.chance, covariance, 1)

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """Joint draws (k, count, d), in pairs about the mean at their scales; of each scale as many as its chance says."""
        half = rng.normal(size=(count // 2, len(self.told) + 1, self.told.shape[1]))
        scale = np.searchsorted(np.cumsum(self.chance), (np.arange(count // 2) + 0.5) / (count // 2))
        drawn = [self._drawn(int(one), np.concatenate((half[scale == one], -half[scale == one]))) for one in np.unique(scale)]
        return np.concatenate(drawn, axis=1)

    def _drawn(self, scale: int, normal: Array) -> Array:
        middle = self.middle[scale] + normal[:, -1] @ self.top_root[scale]
        means = np.einsum("kij,mkj->kmi", self.inverse[scale], self.told + self.prior[scale] * middle[:, None])
        drawn: Array = means + normal[:, :-1].swapaxes(0, 1) @ self.root[scale]
        return drawn


def _diagonal(values: Array) -> Array:
    """Diagonal matrices (g, d, d) of rows (g, d)."""
    matrices: Array = values[:, :, None] * np.eye(values.shape[1])
    return matrices


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """Forecasts of n plans, corrected: P(right) `success` (n,), its standard deviation `spread` (n,), `draws` (m, n) of it, and `cost` (n,)."""

    success: Array
    spread: Array
    draws: Array
    cost: Array


def correct(posterior: Posterior | None, prediction: Prediction, plans: tuple[str, ...]) -> Corrected:
    """What the posterior makes of a prediction for these plans, in order; without one, or with one of other forecasts, what was forecast.

    A plan without outcomes is corrected by nothing and is as unsure as its own interval says.
    """
    success = np.array([forecast.success for forecast in prediction.forecasts])
    cost = np.array([forecast.cost for forecast in prediction.forecasts])
    spread = np.array([forecast.high - forecast.low for forecast in prediction.forecasts]) / 3.29  # a 90 % interval
    posterior = posterior.of(prediction.version) if posterior else None
    if posterior is None or not plans:
        return Corrected(success, spread, success + spread * _NORMAL[:, : len(plans)], cost)
    x = rows(prediction.context, success).astype(np.float32)
    parts = posterior.price, posterior.mean, posterior.covariance, posterior.samples
    there = np.ones(len(plans), bool)
    if plans != posterior.plans:
        known = np.array(posterior.places(plans))
        there, take = known >= 0, np.maximum(known, 0)
        parts = tuple(part.take(take, axis=0) for part in parts)
    price, mean, covariance, samples = parts
    moved = (mean * x).sum(axis=1)
    sure = np.sqrt(((covariance @ x[:, :, None])[:, :, 0] * x).sum(axis=1))
    drawn = (samples @ x[:, :, None])[:, :, 0].T
    if not there.all():
        moved, sure, price = np.where(there, moved, 0.0), np.where(there, sure, spread), np.where(there, price, 1.0)
        drawn = np.where(there, drawn, spread * _NORMAL[:, : len(plans)])
    return Corrected(
        success=np.minimum(np.maximum(success + moved, prediction.in_hand), 1.0),
        spread=sure,
        draws=np.minimum(np.maximum(success + drawn, prediction.in_hand), 1.0),
        cost=cost * price,
    )


_NORMAL = np.random.default_rng(1).normal(size=(SAMPLES, 64))  # for plans without outcomes
