"""Always the same plan, once: the constant plan every router must be measured against."""

from collections.abc import Sequence
from dataclasses import dataclass

from policies import policies
from policies.choosing import ending, explore
from router.types import Choices, Evidence, Knobs, Plan, Prediction


@policies.register("fixed")
@dataclass(frozen=True, slots=True)
class Fixed:
    """Buys `plan`, or where it is empty the first plan offered, and stops."""

    plan: str = ""

    @property
    def version(self) -> str:
        """The plan."""
        return f"fixed-{self.plan or 'first'}"

    def weigh(self, prediction: Prediction, evidence: Evidence, plans: Sequence[Plan], knobs: Knobs) -> Choices:
        """Buy it once, then end; what an earlier request has bought beside it is no reason to do without it."""
        end, worth = ending(prediction, evidence, knobs)
        bought = self.plan in evidence.bought if self.plan else evidence.stage
        open_plans = () if bought else plans
        preferred = next((plan.id for plan in open_plans if plan.id == self.plan or not self.plan), end)
        scores = {end: worth, **{plan.id: float(plan.id == preferred) for plan in open_plans}}
        return explore(scores, preferred, knobs, policy=self.version, reason=f"always {self.plan or 'the first plan'}")
