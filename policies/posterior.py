"""What outcomes say of the forecasts' errors: a Bayesian linear model for each plan, all of them drawn from one that they share.

With x a `tally.row`, the outcome of plan a less its forecast is x' theta_a + noise; theta_a ~ N(theta_0, own D), theta_0 ~ N(0, shared D). So what is
learned of one plan tells of the others, most of all of those with few outcomes. Lindley & Smith (1972, "Bayes estimates for the linear model",
section 2); sampled backwards, theta_0 first. The two scales are those under which the outcomes are most likely (empirical Bayes).
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


def fit(predictor: str, tallies: Mapping[str, Tally], *, samples: int = SAMPLES) -> Posterior:
    """The posterior after these outcomes, by plan; the same, bit for bit, for the same tallies."""
    plans, (width,) = tuple(sorted(tallies)), {len(tally.moment) for tally in tallies.values()}
    seen = [tallies[plan] for plan in plans]
    weight = sum(tally.weight for tally in seen)
    noise = min(_NOISE[1], max(_NOISE[0], sum(tally.square for tally in seen) / weight)) if weight else _NOISE[1]
    sizes: Array = np.array([1.0, 1.0, *[_CONTEXT / max(1, width - 2)] * (width - 2)])
    solved = [_Solved.of(seen, noise, shared * sizes, own * sizes) for shared, own in product(_SCALES, _SCALES)]
    best = max(solved, key=lambda one: one.likelihood)
    mean, covariance = best.moments()
    draws = best.draws(np.random.default_rng(0), samples)
    paid = np.array([(tally.cost, tally.expected) for tally in seen])
    held = _PRICES * paid[:, 1] / np.maximum([tally.weight for tally in seen], 1.0)
    price = (paid[:, 0] + held) / np.maximum(paid[:, 1] + held, 1e-9)
    count = np.array([tally.weight for tally in seen])
    arrays = {"mean": mean, "covariance": covariance, "samples": draws, "price": np.where(paid[:, 1] > 0, price, 1.0), "count": count}
    served: dict[str, Any] = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    version = _digest(predictor, *plans, *(array.tobytes() for array in served.values()))
    return Posterior(predictor=predictor, plans=plans, version=version, **served)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """The model at one pair of scales. `precision` (k, d, d) and `told` (k, d) are of each plan's own theta, given theta_0 = 0, and `prior` (d,) too.

    `top` (d, d) and `say` (d,) are the precision of theta_0 and the precision times its mean.
    """

    prior: Array
    precision: Array
    inverse: Array
    told: Array
    top: Array
    say: Array
    likelihood: float

    @classmethod
    def of(cls, seen: list[Tally], noise: float, shared: Array, own: Array) -> Self:
        prior = 1 / own
        precision = np.stack([tally.gram / noise for tally in seen]) + np.diag(prior)
        told = np.stack([tally.moment / noise for tally in seen])
        inverse = np.asarray(np.linalg.inv(precision), float)
        passed = prior[:, None] * inverse * prior  # (k, d, d)
        top = np.diag(1 / shared + len(seen) * prior) - passed.sum(axis=0)
        say = (prior * np.einsum("kij,kj->ki", inverse, told)).sum(axis=0)
        middle = np.linalg.solve(top, say)
        fit = float(np.einsum("ki,kij,kj->", told, inverse, told) + say @ middle)
        sizes = len(seen) * np.log(prior).sum() - np.linalg.slogdet(precision)[1].sum() - np.log(shared).sum() - np.linalg.slogdet(top)[1]
        return cls(prior, precision, inverse, told, top, say, 0.5 * (fit + float(sizes)))

    def moments(self) -> tuple[Array, Array]:
        """Mean (k, d) and covariance (k, d, d) of each plan's theta."""
        spread = np.linalg.inv(self.top)
        pull = self.inverse * self.prior  # theta_a moves so with theta_0
        mean = np.einsum("kij,kj->ki", self.inverse, self.told + self.prior * (spread @ self.say))
        return mean, self.inverse + pull @ spread @ pull.swapaxes(1, 2)

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """Joint draws (k, count, d), in pairs about the mean."""
        plans, width = self.told.shape
        half = rng.normal(size=(count // 2, plans + 1, width))
        normal = np.concatenate((half, -half))
        middle = np.linalg.solve(self.top, self.say) + normal[:, -1] @ np.linalg.inv(np.linalg.cholesky(self.top))
        means = np.einsum("kij,mkj->kmi", self.inverse, self.told + self.prior * middle[:, None])
        roots = np.linalg.inv(np.linalg.cholesky(self.precision))  # (k, d, d): z' root has the precision's inverse as covariance
        return np.asarray(means + np.einsum("mki,kij->kmj", normal[:, :-1], roots))


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
