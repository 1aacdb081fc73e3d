"""Thompson sampling: each choice as often as it is believed to be the best one.

Thompson (1933); for linear models Agrawal & Goyal (2013, arXiv 1209.3352). Draws of the posterior are made when it is published, and the same ones
serve every decision. So the chance of a choice is counted, not estimated: it is the share of draws in which the choice is best, and exactly what is
drawn from. Against infinitely many draws that share is off by at most 1 / (2 sqrt(draws)) in standard deviation. A posterior that is made narrower
regrets less in the rounds that matter (Chapelle & Li 2011, "An empirical evaluation of Thompson sampling", section 3, posterior reshaping).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from policies import policies
from policies.bandit import Bandit, Menu
from policies.choosing import mix
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
        menu = Menu.of(self, prediction, evidence, plans, knobs)
        preferred = menu.best(menu.worth)
        if not menu.names:
            return mix(menu.scores, {preferred: 1.0}, preferred, knobs, policy=self.version, reason="nothing is left to buy")
        success = menu.corrected.success
        drawn = knobs.value * (success + self.width * (menu.corrected.draws - success)) - menu.corrected.cost
        best = drawn.argmax(axis=1)
        ends = drawn.max(axis=1) <= menu.least
        counted = Counter(menu.end if end else menu.names[place] for place, end in zip(best.tolist(), ends.tolist(), strict=True))
        own = {name: count / len(best) for name, count in counted.items()}
        reason = f"best in {own.get(preferred, 0.0):.0%} of what is believed possible"
        return mix(menu.scores, own, preferred, knobs, policy=self.version, reason=reason)
