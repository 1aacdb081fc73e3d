"""A ladder: the cheapest plan first, the next dearer one while the answer in hand is believed less than a bar."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies import policies
from policies.choosing import ending, explore
from router.types import Choices, Evidence, Knobs, Plan, Prediction


@policies.register("threshold")
@dataclass(frozen=True, slots=True)
class Threshold:
    """Climbs the plans in order of expected cost until belief reaches `bar`, or the tenant's own bar where that is higher.

    FrugalGPT's cascade (Chen et al. 2023, arXiv 2305.05176).
    """

    bar: float = 0.8

    @property
    def version(self) -> str:
        """The bar."""
        return f"threshold-{self.bar}"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """Buy the cheapest plan dearer than any bought so far, or end."""
        end, worth = ending(prediction, evidence, knobs)
        bought = evidence.bought
        cost = {forecast.plan: forecast.cost for forecast in prediction.forecasts}
        reached = max((cost[plan] for plan in bought & cost.keys()), default=-1.0)
        ladder = [plan.id for plan in plans if plan.id not in bought and cost[plan.id] > reached]
        scores = {end: worth, **{plan: -cost[plan] for plan in ladder}}
        enough = evidence.answered and prediction.in_hand >= max(self.bar, knobs.abstain_below)
        preferred = end if enough or not ladder else min(ladder, key=cost.__getitem__)
        reason = f"belief {prediction.in_hand:.2f} {'reaches' if enough else 'is under'} {self.bar}"
        return explore(scores, preferred, knobs, policy=self.version, reason=reason)
