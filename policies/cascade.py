"""A cascade with a guarantee: the cheapest plan that may be enough, until the answer may be given at the tenant's risk.

Where the answer may be given is told by conformal risk control on logged outcomes (`Predictor.bar`): the pipeline sets `abstain_below` to it, so
that at most the share `risk` of the answers given is wrong. Rungs that are not expected to reach the bar are passed over (cf. FrugalGPT, arXiv
2305.05176, which asks them all).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from policies import policies
from policies.choosing import ending, explore
from router.types import Choices, Evidence, Knobs, Plan, Prediction


@policies.register("cascade")
@dataclass(frozen=True, slots=True)
class Cascade:
    """Ends once belief reaches the tenant's bar, or `bar` where the tenant has set a lower one; what is worth it does not ask."""

    bar: float = 0.5

    @property
    def version(self) -> str:
        """The least bar."""
        return f"cascade-{self.bar}"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """The cheapest plan forecast to reach the bar, or where none is the likeliest; the end where the bar is reached."""
        end, worth = ending(prediction, evidence, knobs)
        bar = max(self.bar, knobs.abstain_below)
        bought = evidence.bought
        rungs = [one for one in prediction.forecasts if one.plan not in bought]
        scores = {end: worth, **{one.plan: knobs.value * one.success - one.cost for one in rungs}}
        enough = [one for one in rungs if one.success >= bar]
        if (evidence.answered and prediction.in_hand >= bar) or not rungs:
            preferred, reason = end, f"belief {prediction.in_hand:.2f}, and the bar is {bar:.2f}"
        elif enough:
            preferred, reason = min(enough, key=lambda one: one.cost).plan, f"the cheapest that is forecast to reach the bar of {bar:.2f}"
        else:
            preferred, reason = max(rungs, key=lambda one: (one.success, -one.cost)).plan, f"none is forecast to reach the bar of {bar:.2f}"
        return explore(scores, preferred, knobs, policy=self.version, reason=reason)
