"""Optimism: every plan as good as it may well be, so that what is not known is found out.

LinUCB (Li et al. 2010, arXiv 1003.0146, algorithm 1), with the plans' coefficients drawn from shared ones as in its hybrid model (algorithm 2) and
the forecast as what is corrected.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies import policies
from policies.bandit import Bandit
from policies.choosing import explore
from router.types import Choices, Evidence, Knobs, Plan, Prediction


@policies.register("linucb")
@dataclass(frozen=True, slots=True, kw_only=True)
class LinUcb(Bandit):
    """Takes each plan for `alpha` standard deviations better than its corrected forecast."""

    alpha: float = 1.0

    @property
    def version(self) -> str:
        """How optimistic, and after which outcomes."""
        return f"linucb-{self.alpha}-{self.learned}"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """The plan of the highest upper bound, or the end."""
        seen, menu = self.menu(prediction, evidence, knobs)
        bound = np.minimum(menu.success + self.alpha * seen.spread(), 1.0)
        preferred = menu.best((menu.value * bound - menu.price).tolist())
        reason = f"the most it may well be worth, {self.alpha} deviations up"
        return explore(menu.scores(menu.worth()), preferred, knobs, policy=self.version, reason=reason)
