"""What is believed before anything was learned: a dearer plan is a better plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from predictors import predictors
from predictors.guarantee import NEVER
from router.types import Answer, Curve, Evidence, Features, Forecast, Plan, Prediction, Vector

CONTEXT = 16  # numbers in which a query is told apart


@lru_cache(maxsize=8)
def _directions(width: int) -> Vector:
    """Random ones, which keep distances (Johnson & Lindenstrauss 1984), for want of anything learned: (width, CONTEXT)."""
    drawn = np.random.default_rng(width).normal(size=(width, CONTEXT))
    return np.asarray(drawn / np.sqrt(CONTEXT), np.float32)


@predictors.register("prior")
@dataclass(frozen=True, slots=True)
class Prior:
    """Success rises evenly with a plan's ceiling from `low` to `high`; serves until a predictor was fitted, and when one fails."""

    low: float = 0.3
    high: float = 0.9
    agreement: float = 0.9  # belief in an answer that two plans gave

    @property
    def version(self) -> str:
        """The numbers themselves."""
        return f"prior-{self.low}-{self.high}-{self.agreement}"

    def predict(self, features: Features, evidence: Evidence, plans: Sequence[Plan]) -> Prediction:
        """The same for every query."""
        best = self.best(features, evidence)
        in_hand = best.confidence if best else 0.0
        ceilings = np.array([plan.budget.cost or 0 for plan in plans], float)
        ranks = ceilings.argsort().argsort() / max(1, len(plans) - 1)
        bought = evidence.bought
        return Prediction(
            in_hand=in_hand,
            forecasts=tuple(self._forecast(plan, float(rank), in_hand, plan.id in bought) for plan, rank in zip(plans, ranks, strict=True)),
            version=self.version,
            context=features.vector @ _directions(len(features.vector)),
        )

    def best(self, features: Features, evidence: Evidence) -> Answer | None:
        """The answer most plans gave; among equals the latest."""
        read = [outcome for outcome in evidence.outcomes if outcome.answer is not None]
        if not read:
            return None
        answers = [outcome.answer for outcome in read]
        chosen = max(enumerate(read), key=lambda pair: (answers.count(pair[1].answer), pair[0]))[1]
        confidence = self.agreement if answers.count(chosen.answer) > 1 else (self.low + self.high) / 2
        return Answer(text=chosen.text, answer=chosen.answer or "", confidence=confidence, plan=chosen.plan)

    def curves(self, prediction: Prediction, plans: Sequence[Plan], value: float) -> tuple[Curve, ...]:
        """Nothing is known of samples."""
        return ()

    def bar(self, risk: float) -> float:
        """Nothing was learned, so nothing can be promised."""
        return NEVER if risk < 1 else 0.0

    def _forecast(self, plan: Plan, rank: float, in_hand: float, bought: bool) -> Forecast:
        success = max(in_hand, 0.0 if bought else self.low + (self.high - self.low) * rank)
        cost = (plan.budget.cost or 0) / 2
        return Forecast(plan=plan.id, success=success, low=in_hand, high=1.0, tokens=(plan.budget.tokens or 0) / 2, cost=cost, seconds=1.0)
