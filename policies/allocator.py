"""The sequential allocator: buy what is worth most, counting what its evidence will let us decide next.

The value of buying plan p with an answer believed to degree c in hand is, in micro-dollars and with w the worth of a right answer,

    V(p) = w q_p - cost_p + E_c'[ max(0, max_p' ( w (1 - c') rescue_p,p' - cost_p' )) ]

where q_p is the predicted P(right after p) and c' the belief after p's evidence: log-odds c' = log-odds q_p + a log-likelihood ratio whose
distribution, for right and for wrong answers, was learned from the log (`Onward`). Stopping is worth w c, abstaining w times the tenant's bar.
The last term is one-step look-ahead in the sense of the value of information (Russell & Wefald 1991): a cheap plan that tells right from wrong
is worth buying for what it saves, even when it is unlikely to be right by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies import policies
from policies.choosing import ABSTAIN, STOP, ending, explore
from router.types import Choices, Evidence, Knobs, Onward, Plan, Prediction

Array = NDArray[np.float64]


@policies.register("allocator")
@dataclass(frozen=True, slots=True)
class Allocator:
    """Buy, stop, or abstain, by value of information; never buys a plan twice."""

    look_ahead: bool = True

    @property
    def version(self) -> str:
        """Whether it looks ahead."""
        return "allocator-2" if self.look_ahead else "allocator-1"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """The highest-valued choice, or a recorded exploration."""
        end, worth = ending(prediction, evidence, knobs)
        bought = evidence.bought
        fresh = [plan.id not in bought for plan in plans]
        success = np.array([forecast.success for forecast in prediction.forecasts])
        cost = np.array([forecast.cost if new else np.inf for forecast, new in zip(prediction.forecasts, fresh, strict=True)])
        value = knobs.value * success - cost
        if self.look_ahead:
            value += onward_value(prediction, evidence, success, cost, knobs)
        buying = {plan.id: one for plan, one, new in zip(plans, value.tolist(), fresh, strict=True) if new}
        preferred = max(buying, key=buying.__getitem__, default=end)
        if evidence.answered and buying.get(preferred, worth) <= knobs.value * prediction.in_hand:
            preferred = end  # what is in hand, withheld or not, is worth as much
        scores = {end: worth, **buying}
        return explore(scores, preferred, knobs, policy=self.version, reason=_reason(prediction, scores, preferred))


def onward_value(prediction: Prediction, evidence: Evidence, success: Array, cost: Array, knobs: Knobs) -> Array:
    """The look-ahead term of every plan, shape (plans,), micro-dollars, never negative; what costs infinity is not to be had.

    It is nothing where this is the last purchase, or where what evidence tells is not known.
    """
    if prediction.onward is None or evidence.stage + 1 >= knobs.max_stages:
        return np.zeros(len(success))
    return looked_ahead(prediction.onward, success, cost, knobs.value)


def looked_ahead(onward: Onward, success: Array, cost: Array, worth: float) -> Array:
    """The last term of V(p)."""
    plans, _, quantiles = onward.ratios.shape
    right = np.minimum(success, 1 - 1e-6)
    odds = right / (1 - right)
    doubt = 1 / (1 + odds[:, None] * np.exp(onward.ratios.reshape(plans, -1)))  # 1 - belief afterwards: (plans, wrong/right x quantiles)
    rescue = np.multiply(onward.rescue.T, worth, order="C")
    rescue.reshape(-1)[:: plans + 1] = 0.0  # the same plan is not bought twice
    net = rescue[:, :, None] * doubt - cost[:, None, None]  # (what is bought then, what now, ...): a maximum over the first axis is quick
    gain = np.maximum.reduce(net, axis=0, initial=0.0)
    wrong, hit = (np.add.reduce(gain.reshape(plans, 2, quantiles), axis=2) / quantiles).T
    out: Array = wrong + success * (hit - wrong)
    return out


def _reason(prediction: Prediction, scores: dict[str, float], preferred: str) -> str:
    if preferred == ABSTAIN:
        return f"nothing on offer is worth its price and belief {prediction.in_hand:.2f} is under the bar"
    if preferred == STOP:
        return f"belief {prediction.in_hand:.2f}: no plan is worth its price"
    rest = max((value for name, value in scores.items() if name not in (preferred, ABSTAIN)), default=0.0)
    return f"worth {scores[preferred]:.0f} micro-dollars, the next best choice {rest:.0f}"
