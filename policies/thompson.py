"""Thompson sampling: each choice as often as it is believed to be the best one.

Thompson (1933); for linear models Agrawal & Goyal (2013, arXiv 1209.3352). Draws of the posterior are made when it is published, and the same ones
serve every decision. So the chance of a choice is counted, not estimated: it is the share of draws in which the choice is best, and exactly what is
drawn from. Against infinitely many draws that share is off by at most 1 / (2 sqrt(draws)) in standard deviation. A posterior that is made narrower
regrets less in the rounds that matter (Chapelle & Li 2011, "An empirical evaluation of Thompson sampling", section 3, posterior reshaping).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies import policies
from policies.bandit import Bandit
from policies.choosing import mix
from policies.menu import Menu
from policies.posterior import Corrected
from router.types import Choices, Evidence, Knobs, Plan, Prediction


@policies.register("thompson")
@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson(Bandit):
    """Draws count as `width` times as far from their mean as they are. The tenant's exploration share is a floor under every choice."""

    width: float = 0.5

    @property
    def version(self) -> str:
        """After which outcomes."""
        return f"thompson-{self.learned}"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """Over what is best in each draw."""
        seen, menu = self.menu(prediction, evidence, knobs)
        worth = menu.worth()
        preferred, own = menu.best(worth), self._shares(seen, menu, evidence)
        reason = f"best in {own.get(preferred, 0.0):.0%} of what is believed possible"
        return mix(menu.scores(worth), own, preferred, knobs, policy=self.version, reason=reason)

    def _shares(self, seen: Corrected, menu: Menu, evidence: Evidence) -> dict[str, float]:
        """Of the draws, by the choice that is best in them."""
        if not menu.names:
            return {menu.end: 1.0}
        worth = menu.value * seen.draws(self.width) - menu.price[:, None]
        place = worth.argmax(axis=0)
        if evidence.stage:
            place[np.maximum.reduce(worth) <= menu.least] = len(worth)
        counts = np.bincount(place, minlength=len(worth) + 1).tolist()
        return {name: count / len(place) for name, count in zip((*menu.names, menu.end), counts, strict=True) if count}
