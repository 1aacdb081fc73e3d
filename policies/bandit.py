"""What the policies that learn online have in common: forecasts corrected by a posterior, and the worth of each choice then."""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from policies.allocator import onward_value
from policies.choosing import ending
from policies.posterior import Corrected, Posterior, correct
from policies.tally import Array
from router.types import Evidence, Knobs, Plan, Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandit:
    """Without a posterior, or with one of another predictor's errors, it does what the forecasts say, as unsure of them as they are themselves."""

    posterior: Posterior | None = field(default=None, init=False, repr=False)

    def after(self, posterior: Posterior) -> Self:
        """The same policy with more experience."""
        made = copy(self)
        object.__setattr__(made, "posterior", posterior)
        return made

    @property
    def learned(self) -> str:
        """The version of what was learned."""
        return self.posterior.version if self.posterior else "new"


@dataclass(frozen=True, slots=True, eq=False)
class Menu:
    """The open choices: `names` of the plans not bought yet, the mean worth of buying each, (n,), how to end, and what that is worth."""

    names: list[str]
    corrected: Corrected
    worth: Array
    end: str
    end_worth: float
    least: float  # what a purchase must be worth, where there is an answer to end with

    @classmethod
    def of(cls, bandit: Bandit, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Self:
        """What is open to a policy here."""
        end, end_worth = ending(prediction, evidence, knobs)
        bought = evidence.bought
        fresh = np.array([plan.id not in bought for plan in plans], bool)
        seen = correct(bandit.posterior, prediction, tuple(plan.id for plan in plans))
        ahead = onward_value(prediction, evidence, seen.success, np.where(fresh, seen.cost, np.inf), knobs)
        kept = Corrected(seen.success[fresh], seen.spread[fresh], seen.draws[:, fresh], seen.cost[fresh] - ahead[fresh])
        names = [plan.id for plan, new in zip(plans, fresh, strict=True) if new]
        least = knobs.value * prediction.in_hand if evidence.answered else -np.inf
        return cls(names, kept, knobs.value * kept.success - kept.cost, end, end_worth, least)

    @property
    def scores(self) -> dict[str, float]:
        """What every open choice is worth on average."""
        return {self.end: self.end_worth, **dict(zip(self.names, self.worth.tolist(), strict=True))}

    def best(self, worth: Array) -> str:
        """The choice to prefer if purchases are worth this."""
        if not self.names or worth.max() <= self.least:
            return self.end
        return self.names[int(worth.argmax())]
