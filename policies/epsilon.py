"""Epsilon-greedy: the best by what was learned, and now and then any other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from policies import policies
from policies.bandit import Bandit
from policies.choosing import explore
from router.types import Choices, Evidence, Knobs, Plan, Prediction


@policies.register("epsilon")
@dataclass(frozen=True, slots=True, kw_only=True)
class Epsilon(Bandit):
    """Draws the share `epsilon`, or the tenant's exploration share where that is more, evenly over what is open.

    Sutton & Barto (2018, "Reinforcement learning", section 2.2).
    """

    epsilon: float = 0.05

    @property
    def version(self) -> str:
        """The share, and after which outcomes."""
        return f"epsilon-{self.epsilon}-{self.learned}"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """The corrected forecasts' best, or any other."""
        _, menu = self.menu(prediction, evidence, knobs)
        worth, share = menu.worth(), replace(knobs, exploration=max(self.epsilon, knobs.exploration))
        return explore(menu.scores(worth), menu.best(worth), share, policy=self.version, reason="worth most by what was learned")
