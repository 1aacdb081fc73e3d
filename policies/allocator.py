"""The sequential allocator: buy what is worth most, counting what its evidence will let us decide next (`menu` has the formula)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from policies import policies
from policies.choosing import ABSTAIN, STOP, explore
from policies.menu import Menu
from router.types import Choices, Evidence, Knobs, Plan, Prediction


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
        success = np.array([one.success for one in prediction.forecasts])
        cost = np.array([one.cost for one in prediction.forecasts])
        menu = Menu.of(prediction, evidence, knobs, success, cost, look_ahead=self.look_ahead)
        worth = menu.worth()
        preferred, scores = menu.best(worth), menu.scores(worth)
        return explore(scores, preferred, knobs, policy=self.version, reason=_reason(prediction, scores, preferred))


def _reason(prediction: Prediction, scores: dict[str, float], preferred: str) -> str:
    if preferred == ABSTAIN:
        return f"nothing on offer is worth its price and belief {prediction.in_hand:.2f} is under the bar"
    if preferred == STOP:
        return f"belief {prediction.in_hand:.2f}: no plan is worth its price"
    rest = max([value for name, value in scores.items() if name not in (preferred, ABSTAIN)], default=0.0)
    return f"worth {scores[preferred]:.0f} micro-dollars, the next best choice {rest:.0f}"
