"""The open choices and what they are worth: buying a plan counts what its evidence will let us decide next.

The worth of buying plan p with an answer believed to degree c in hand is, in micro-dollars and with w the worth of a right answer,

    V(p) = w q_p - cost_p + E_c'[ max(0, max_p' ( w (1 - c') rescue_p,p' - cost_p' )) ]

where q_p is the predicted P(right after p) and c' the belief after p's evidence: log-odds c' = log-odds q_p + a log-likelihood ratio whose
distribution, for right and for wrong answers, was learned from the log (`Onward`). Stopping is worth w c, abstaining w times the tenant's bar.
The last term is one-step look-ahead in the sense of the value of information (Russell & Wefald 1991): a cheap plan that tells right from wrong
is worth buying for what it saves, even when it is unlikely to be right by itself.
"""

from functools import cache
from typing import NamedTuple, Self

import numpy as np

from policies.choosing import ending
from policies.tally import Array
from router.types import Evidence, Knobs, Onward, Prediction


class Menu(NamedTuple):
    """What is open: n plans by name, P(right after) `success` (n,) and `price` (n,), their cost less what looking ahead is worth; how to end.

    What was bought has an infinite price. `least` is what a purchase must be worth to be better than the answer in hand. A tuple, since every
    decision makes one.
    """

    names: list[str]
    success: Array
    price: Array
    value: float
    end: str
    end_worth: float
    least: float

    @classmethod
    def of(cls, prediction: Prediction, evidence: Evidence, knobs: Knobs, success: Array, cost: Array, *, look_ahead: bool = True) -> Self:
        """Of all plans forecast, which turn out right and cost what `success` and `cost` (n,) say."""
        names = [one.plan for one in prediction.forecasts]
        if evidence.stage:
            bought = evidence.bought
            cost = np.where([name in bought for name in names], np.inf, cost)
        price = cost
        if look_ahead and prediction.onward is not None and evidence.stage + 1 < knobs.max_stages:
            price = cost - looked_ahead(prediction.onward, success, cost, knobs.value)
        least = knobs.value * prediction.in_hand if evidence.answered else -np.inf
        return cls(names, success, price, knobs.value, *ending(prediction, evidence, knobs), least)

    def worth(self) -> list[float]:
        """Of buying each plan."""
        worth: list[float] = (self.value * self.success - self.price).tolist()
        return worth

    def best(self, worth: list[float]) -> str:
        """The choice to prefer if buying is worth this: what is in hand, withheld or not, if that is worth as much."""
        most = max(worth, default=-np.inf)
        return self.names[worth.index(most)] if most > self.least else self.end

    def scores(self, worth: list[float]) -> dict[str, float]:
        """What every open choice is worth."""
        return {self.end: self.end_worth, **{name: one for name, one in zip(self.names, worth, strict=True) if one > -np.inf}}


def looked_ahead(onward: Onward, success: Array, cost: Array, worth: float) -> Array:
    """The last term of V(p), shape (plans,), micro-dollars, never negative; what costs infinity is not to be had."""
    plans, _, quantiles = onward.ratios.shape
    doubt = np.exp(onward.ratios.reshape(plans, -1))
    doubt *= (success / (1 + 1e-6 - success))[:, None]
    doubt += 1
    np.reciprocal(doubt, out=doubt)  # 1 - belief afterwards: (plans, wrong/right x quantiles)
    rescue = np.multiply(onward.rescue.T, worth, order="C")
    rescue.reshape(-1)[:: plans + 1] = 0.0  # the same plan is not bought twice
    net = rescue[:, :, None] * doubt  # (what is bought then, what now, ...): a maximum over the first axis is quick
    net -= cost[:, None, None]
    wrong, hit = np.maximum.reduce(net, axis=0, initial=0.0).dot(_means(quantiles)).T
    out: Array = wrong + success * (hit - wrong)
    return out


@cache
def _means(quantiles: int) -> Array:
    """What takes values (..., 2 x quantiles) to the two means."""
    return np.kron(np.eye(2), np.full((quantiles, 1), 1 / quantiles))
