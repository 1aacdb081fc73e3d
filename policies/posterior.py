"""What outcomes say of the forecasts' errors: a Bayesian linear model for each plan, all of them drawn from one that they share.

With x a `tally.row`, the outcome of plan a less its forecast is x' theta_a + noise; theta_a ~ N(theta_0, own D), theta_0 ~ N(0, shared D). So what is
learned of one plan tells of the others, most of all of those with few outcomes. Lindley & Smith (1972, "Bayes estimates for the linear model",
section 2); sampled backwards, theta_0 first. The two scales are not known: all is averaged over what the outcomes say of them, on a grid (fully
Bayesian, where the likeliest scales alone would take few outcomes for many).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from policies.network import Network
from policies.tally import Array, Tally, log_odds
from router.types import Prediction

SAMPLES = 128
NEW = ""  # stands for every plan of which nothing is known yet
_SCALES = (0.0025, 0.01, 0.04, 0.16)  # variances of a coefficient, in units of probability squared
_SURPRISE = 0.04  # the least variance of a plan's own intercept: however well others are forecast, one may be forecast badly
_NOISE = (0.02, 0.25)  # the least and the most variance of an outcome
_CONTEXT = 0.25  # of a coefficient of the context, relative to that of the intercept, over the number of its columns
_PRICES = 5.0  # purchases that the forecasts of cost count as

Floats = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Posterior:
    """One tenant's: for each of k `plans`, NEW among them, the `mean` (k, d), the `covariance` (k, d, d) and SAMPLES draws (k, m, d) of its theta.

    `price` (k,) is what the plan costs for each micro-dollar forecast, `count` (k,) outcomes behind it. It corrects forecasts of the version
    `predictor` and no others; `earlier` ones those of other versions that serve or have served. With a `network` its features stand beside the
    context; `deep` is the same tenant's with one, where one is wanted and there is one. `version` names all of it by its content.
    """

    predictor: str
    plans: tuple[str, ...]
    mean: Floats
    covariance: Floats
    samples: Floats
    price: Floats
    count: Floats
    version: str
    network: Network | None = field(default=None, repr=False)
    deep: "Posterior | None" = field(default=None, repr=False)
    earlier: "Posterior | None" = field(default=None, repr=False)
    orders: dict[tuple[str, ...], "Ordered"] = field(default_factory=dict, init=False, repr=False)

    def ordered(self, plans: tuple[str, ...]) -> "Ordered":
        """In the order of this catalogue, worked out once."""
        if plans not in self.orders:
            self.orders[plans] = Ordered.of(self, plans)
        return self.orders[plans]

    def after(self, earlier: "Posterior | None") -> "Posterior":
        """With what is known of the forecasts of versions that served before."""
        return replace(self, earlier=earlier, version=_digest(self.version, earlier.version)) if earlier else self

    def of(self, predictor: str) -> "Posterior | None":
        """The one that corrects forecasts of this version, if any does."""
        found: Posterior | None = self
        while found and found.predictor != predictor:
            found = found.earlier
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """A posterior's arrays for the n plans of one catalogue, split as decisions want them: queries differ in the context, plans in the log-odds.

    `mean` (n, d) and `samples` (n, m, d), less the mean, are split into what goes with 1, with the log-odds, and with the context; `square` (n, d d)
    are covariances and `cross` (n, d) what of them goes with the log-odds.
    """

    price: Array
    mean: tuple[Floats, Floats, Floats]
    samples: tuple[Floats, Floats, Floats]
    square: Floats
    cross: Floats

    @classmethod
    def of(cls, posterior: Posterior, plans: tuple[str, ...]) -> Self:
        """For these plans."""
        place = {plan: place for place, plan in enumerate(posterior.plans)}
        take = np.array([place.get(plan, place[NEW]) for plan in plans])
        mean, covariance = posterior.mean[take], posterior.covariance[take]
        return cls(
            price=posterior.price[take].astype(float),
            mean=_split(mean),
            samples=_split(posterior.samples[take] - mean[:, None]),
            square=covariance.reshape(len(plans), -1),
            cross=np.ascontiguousarray(covariance[:, 1]),
        )

    def moved(self, odds: Array, context: Numbers) -> Array:
        """By how much the forecasts are wrong on average, (n,)."""
        level, slope, rest = self.mean
        moved: Array = level + slope * odds + rest.dot(context)
        return moved

    def spread(self, odds: Array, context: Numbers) -> Array:
        """Standard deviation of that, (n,): the root of x' S x, with what goes with the log-odds apart, as all else is alike for all plans."""
        even = np.empty(len(context) + 2, np.float32)
        even[0], even[1], even[2:] = 1.0, 0.0, context
        variance = self.square.dot((even[:, None] * even).reshape(-1)) + odds * (2 * self.cross.dot(even) + odds * self.cross[:, 1])
        spread: Array = np.sqrt(np.maximum(variance, 0.0))
        return spread

    def draws(self, odds: Array, context: Numbers) -> Floats:
        """Draws of it, less its mean, (n, m)."""
        level, slope, rest = self.samples
        drawn: Floats = rest.reshape(level.size, len(context)).dot(context).reshape(level.shape)
        drawn += level
        drawn += slope * odds.astype(np.float32)[:, None]
        return drawn


def _split(array: Floats) -> tuple[Floats, Floats, Floats]:
    """What goes with 1, with the log-odds, and with the context."""
    return np.ascontiguousarray(array[..., 0]), np.ascontiguousarray(array[..., 1]), np.ascontiguousarray(array[..., 2:])


def _digest(*parts: str | bytes) -> str:
    """What changes whenever any of these does."""
    whole = hashlib.blake2b(digest_size=6)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()


def fit(predictor: str, tallies: Mapping[str, Tally], network: Network | None = None) -> Posterior:
    """The posterior after these outcomes, by plan; the same, bit for bit, for the same tallies."""
    (width,) = {len(tally.moment) for tally in tallies.values()}
    tallies = {**tallies, NEW: Tally.empty(width)}
    plans = tuple(sorted(tallies))
    seen = [tallies[plan] for plan in plans]
    count = np.array([tally.weight for tally in seen])
    noise = min(_NOISE[1], max(_NOISE[0], sum(tally.square for tally in seen) / count.sum())) if count.any() else _NOISE[1]
    sizes: Array = np.array([1.0, 1.0, *[_CONTEXT / max(1, width - 2)] * (width - 2)])
    shared, own = np.array(list(product(_SCALES, _SCALES))).T[:, :, None] * sizes
    own[:, 0] = np.maximum(own[:, 0], _SURPRISE)
    solved = _Solved.of(seen, noise, shared, own)
    mean, covariance = solved.moments()
    paid = np.array([(tally.cost, tally.expected) for tally in seen])
    held = _PRICES * paid[:, 1] / np.maximum(count, 1.0)
    price = np.where(paid[:, 1] > 0, (paid[:, 0] + held) / np.maximum(paid[:, 1] + held, 1e-9), 1.0)
    arrays = {"mean": mean, "covariance": covariance, "samples": solved.draws(np.random.default_rng(0), SAMPLES), "price": price, "count": count}
    served: dict[str, Any] = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    version = _digest(predictor, *plans, *(array.tobytes() for array in served.values()), network.weights.tobytes() if network else "")
    return Posterior(predictor=predictor, plans=plans, version=version, network=network, **served)


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


class Corrected(NamedTuple):
    """Forecasts of n plans, corrected: P(right) `success` (n,) and `cost` (n,).

    `centre` (n,) is the success before it was held between the answer in hand and 1, `odds` (n,) the forecasts' log-odds as in a `row`. A tuple,
    since every decision makes one.
    """

    success: Array
    cost: Array
    centre: Array
    odds: Array
    context: Numbers
    prediction: Prediction
    ordered: Ordered | None

    def spread(self) -> Array:
        """Standard deviation of P(right), (n,)."""
        if self.ordered is None:
            return _interval(self.prediction)
        return self.ordered.spread(self.odds, self.context)

    def draws(self, width: float) -> Floats:
        """SAMPLES draws of P(right), (n, m), `width` times as far from their mean as they are."""
        drawn = self.ordered.draws(self.odds, self.context) if self.ordered else _unknown(self.prediction)
        drawn *= width
        drawn += self.centre.astype(np.float32)[:, None]
        return np.minimum(np.maximum(drawn, self.prediction.in_hand, out=drawn), 1.0, out=drawn)


def correct(posterior: Posterior | None, prediction: Prediction) -> Corrected:
    """What the posterior makes of a prediction; without one, or with none of such forecasts, what was forecast, as unsure as the intervals say."""
    forecast = np.array([one.success for one in prediction.forecasts])
    cost = np.array([one.cost for one in prediction.forecasts])
    posterior = posterior.of(prediction.version) if posterior else None
    if posterior is None or not prediction.forecasts:
        return Corrected(forecast, cost, forecast, forecast, prediction.context, prediction, None)
    ordered, odds = posterior.ordered(tuple([one.plan for one in prediction.forecasts])), log_odds(forecast)
    context = posterior.network.beside(prediction.context) if posterior.network else prediction.context
    centre = forecast + ordered.moved(odds, context)
    success = np.minimum(np.maximum(centre, prediction.in_hand), 1.0)
    return Corrected(success, cost * ordered.price, centre, odds, context, prediction, ordered)


def _interval(prediction: Prediction) -> Array:
    return np.array([one.high - one.low for one in prediction.forecasts]) / 3.29  # a 90 % interval


def _unknown(prediction: Prediction) -> Floats:
    """Draws where nothing was learned, less their mean, (n, m)."""
    drawn: Floats = _interval(prediction).astype(np.float32)[:, None] * _normal(len(prediction.forecasts))
    return drawn


@cache
def _normal(plans: int) -> Floats:
    return np.random.default_rng(1).standard_normal((plans, SAMPLES), np.float32)
