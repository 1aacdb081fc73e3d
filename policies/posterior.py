"""What outcomes say of the forecasts' errors, in arrays that are quick to serve, and forecasts corrected by it; `hierarchy` has the model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from policies.hierarchy import Solved
from policies.network import Network
from policies.tally import Array, Tally, log_odds
from router.types import Prediction

SAMPLES = 128
NEW = ""  # stands for every plan of which nothing is known yet
_SCALES = (0.0025, 0.01, 0.04, 0.16)  # variances of a coefficient, in units of probability squared
_KNOWN = 5.0  # outcomes after which a plan is half as fresh
_SURPRISE = 0.04  # the least variance of a plan's own intercept: however well others are forecast, one may be forecast badly
_NOISE = (0.02, 0.25)  # the least and the most variance of an outcome
_CONTEXTS = (0.25, 4.0)  # of a coefficient of the context, relative to that of the intercept, over the number of its columns
_ORDERS = 64  # catalogues, as budgets leave them, that a posterior is kept in the order of
_PRICES = (5.0, 10.0)  # purchases that say that the forecasts of cost are right, on the whole and by context
_CHEAPEST, _DEAREST = 0.1, 10.0  # times its forecast that a price can be thought to be

Floats = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Posterior:
    """One tenant's: for each of k `plans`, NEW among them, the `mean` (k, d), the `covariance` (k, d, d) and SAMPLES draws (k, m, d) of its theta.

    `price` (k, 1 + c) is linear in 1 and the context: what the plan costs for each micro-dollar forecast; `count` (k,) outcomes are behind it. It
    corrects forecasts of the version `predictor` and no others; `earlier` ones those of other versions that serve or have served. With a `network`
    its features stand beside the context; `deep` is the same tenant's with one, where one is wanted and there is one. `version` names all of it by
    its content.
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
        """In the order of this catalogue, worked out once and kept."""
        if plans not in self.orders:
            if len(self.orders) >= _ORDERS:
                self.orders.clear()
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
    are covariances and `cross` (n, d) what of them goes with the log-odds. `price` (n,) and (n, c) goes with 1 and with the context; `fresh` (n,) is
    1 for a plan without outcomes, and falls to 0 with them.
    """

    price: tuple[Floats, Floats]
    fresh: Floats
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
            price=(np.ascontiguousarray(posterior.price[take, 0]), np.ascontiguousarray(posterior.price[take, 1:])),
            fresh=(_KNOWN / (_KNOWN + posterior.count[take])).astype(np.float32),
            mean=_split(mean),
            samples=_split(posterior.samples[take] - mean[:, None]),
            square=covariance.reshape(len(plans), -1),
            cross=np.ascontiguousarray(covariance[:, 1]),
        )

    def priced(self, context: Numbers) -> Array:
        """What plans cost for each micro-dollar forecast, (n,)."""
        level, rest = self.price
        priced: Array = np.minimum(np.maximum(level + rest.dot(context), _CHEAPEST), _DEAREST)
        return priced

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
    ((width, columns),) = {(len(tally.moment), len(tally.paid) - 2) for tally in tallies.values()}
    tallies = {**tallies, NEW: Tally.empty(width, columns)}
    plans = tuple(sorted(tallies))
    seen = [tallies[plan] for plan in plans]
    count = np.array([tally.weight for tally in seen])
    noise = min(_NOISE[1], max(_NOISE[0], sum(tally.square for tally in seen) / count.sum())) if count.any() else _NOISE[1]
    sizes: Array = np.array([[1.0, 1.0, *[context / max(1, width - 2)] * (width - 2)] for context in _CONTEXTS])
    shared, own = np.array([(one * size, other * size) for one, other, size in product(_SCALES, _SCALES, sizes)]).swapaxes(0, 1)
    own[:, 0] = np.maximum(own[:, 0], _SURPRISE)
    solved = Solved.of(seen, noise, shared, own)
    mean, covariance = solved.moments()
    price = np.stack([_price(tally.paid) for tally in seen])
    arrays = {"mean": mean, "covariance": covariance, "samples": solved.draws(np.random.default_rng(0), SAMPLES), "price": price, "count": count}
    served: dict[str, Any] = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    version = _digest(predictor, *plans, *(array.tobytes() for array in served.values()), network.weights.tobytes() if network else "")
    return Posterior(predictor=predictor, plans=plans, version=version, network=network, **served)


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
        """SAMPLES draws of P(right), (n, m), `width` times as far from their mean as they are; all of it for plans of which little is known."""
        drawn = self.ordered.draws(self.odds, self.context) if self.ordered else _unknown(self.prediction)
        drawn *= (width + (1 - width) * self.ordered.fresh)[:, None] if self.ordered else width
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
    return Corrected(success, cost * ordered.priced(prediction.context), centre, odds, context, prediction, ordered)


def _price(paid: Array) -> Array:
    """A ridge regression of how much more was paid than forecast, (1 + c,), with 1 added to what goes with 1."""
    held = np.array([_PRICES[0], *[_PRICES[1]] * (len(paid) - 2)])
    price = np.asarray(np.linalg.solve(paid[:-1, :-1] + np.diag(held), paid[:-1, -1]), float)
    price[0] += 1.0
    return price


def _interval(prediction: Prediction) -> Array:
    return np.array([one.high - one.low for one in prediction.forecasts]) / 3.29  # a 90 % interval


def _unknown(prediction: Prediction) -> Floats:
    """Draws where nothing was learned, less their mean, (n, m)."""
    drawn: Floats = _interval(prediction).astype(np.float32)[:, None] * _normal(len(prediction.forecasts))
    return drawn


@cache
def _normal(plans: int) -> Floats:
    return np.random.default_rng(1).standard_normal((plans, SAMPLES), np.float32)
