"""Logistic heads over features and evidence, served as plain arrays: P(right) of the answer in hand and of every plan that could be bought."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from predictors import predictors
from predictors.artifact import Artifact, load
from predictors.evidence import of_outcome, summarise
from router.errors import BadArtifact
from router.types import Answer, Evidence, Features, Forecast, Onward, Outcome, Plan, Prediction, Vector

BUNDLED = Path(__file__).parent / "bundled"
KIND = "logistic"
_SIDES = np.array([[-1.645], [0.0], [1.645]])  # standard deviations: the ends and the middle of a 90 % interval

Array = NDArray[np.float64]
Places = NDArray[np.int_]


@predictors.register("logistic")
@dataclass(frozen=True, slots=True)
class Logistic:
    """With c the belief in the answer in hand, P(right after p) = c + (1 - c) P(p rescues | in hand is wrong): buying never lowers it.

    Heads: `belief` over (features, evidence); per plan `start` over features, used while nothing is in hand, and `rescue` over (features,
    evidence), fitted where the answer in hand was wrong. A plan the artifact does not know gets the widest interval there is, c to 1.
    """

    path: str = str(BUNDLED)
    _artifact: Artifact = field(init=False, repr=False)
    _index: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        artifact = load(Path(self.path), kind=KIND)
        object.__setattr__(self, "_artifact", artifact)
        object.__setattr__(self, "_index", {plan: index for index, plan in enumerate(artifact.plans)})

    @property
    def version(self) -> str:
        """Digest of the arrays."""
        return self._artifact.version

    @property
    def feature_version(self) -> str:
        """The features it was fitted on; others must not be given to it."""
        return self._artifact.feature_version

    def best(self, features: Features, evidence: Evidence) -> Answer | None:
        """The stage answer believed in most."""
        found = self._believed(features, evidence)
        if found is None:
            return None
        outcome, belief, _ = found
        return Answer(text=outcome.text, answer=outcome.answer or "", confidence=belief, plan=outcome.plan)

    def predict(self, features: Features, evidence: Evidence, plans: Sequence[Plan]) -> Prediction:
        """One forecast per plan, in about a tenth of a millisecond."""
        if features.version != self.feature_version:
            raise BadArtifact(f"fitted on features {self.feature_version}, given {features.version}: run `rheostat retrain`")
        found = self._believed(features, evidence)
        in_hand = found[1] if found else 0.0
        known = np.array([self._index[plan.id] for plan in plans if plan.id in self._index], int)
        logits, spread = self._rescues(features.vector, evidence, found[2] if found else None, known)
        low, success, high = in_hand + (1 - in_hand) * _sigmoid(logits + _SIDES * spread)
        cost = np.exp((self._arrays("cost") @ features.vector).take(known).clip(-20, 20))
        tokens, seconds = cost * self._arrays("tokens_per_cost").take(known), cost * self._arrays("seconds_per_cost").take(known)
        columns = zip(success.tolist(), low.tolist(), high.tolist(), tokens.tolist(), cost.tolist(), seconds.tolist(), strict=True)
        rows = dict(zip(known.tolist(), columns, strict=True))
        return Prediction(
            in_hand=in_hand,
            forecasts=tuple(_forecast(plan, rows.get(self._index.get(plan.id, -1)), in_hand) for plan in plans),
            version=self.version,
            onward=self._onward(features.vector, plans),
        )

    def _arrays(self, name: str) -> Array:
        return self._artifact.arrays[name]

    def _believed(self, features: Features, evidence: Evidence) -> tuple[Outcome, float, Vector] | None:
        """The stage whose answer is believed most, that belief, and what speaks for it."""
        read = {outcome.answer: outcome for outcome in evidence.outcomes if outcome.answer is not None}
        if not read:
            return None
        shown = [of_outcome(outcome) for outcome in evidence.outcomes]
        rows = [summarise(shown, answer, self._artifact.plans) for answer in read]
        width = len(features.vector)
        weights = self._arrays("belief")
        beliefs = _sigmoid(np.stack(rows) @ weights[width:] + features.vector @ weights[:width])
        place = int(beliefs.argmax())
        return list(read.values())[place], float(beliefs[place]), rows[place]

    def _rescues(self, vector: Vector, evidence: Evidence, row: Vector | None, known: Places) -> tuple[Array, Array]:
        """Log-odds, and their standard deviation, that each plan gets it right where what is in hand is wrong."""
        if not evidence.outcomes:
            weights, state, variance = self._arrays("start"), vector, self._arrays("start_variance")
        else:
            row = summarise([of_outcome(outcome) for outcome in evidence.outcomes], "", self._artifact.plans) if row is None else row
            weights, state, variance = self._arrays("rescue"), np.concatenate((vector, row)), self._arrays("rescue_variance")
        spread = np.sqrt(np.maximum((variance @ (state * state)).take(known), 0.0))
        return (weights @ state).take(known), spread

    def _onward(self, vector: Vector, plans: Sequence[Plan]) -> Onward | None:
        known = [self._index.get(plan.id, -1) for plan in plans]
        if -1 in known or not known:
            return None
        after = (self._arrays("rescue")[:, : len(vector)] @ vector)[None] + self._arrays("rescue_after")
        return Onward(ratios=self._arrays("ratios").take(known, axis=0), rescue=_sigmoid(after.take(known, axis=0).take(known, axis=1)))


def _forecast(plan: Plan, row: tuple[float, ...] | None, in_hand: float) -> Forecast:
    if row is None:
        tokens, cost = (plan.budget.tokens or 0) / 2, (plan.budget.cost or 0) / 2
        return Forecast(plan=plan.id, success=(1 + in_hand) / 2, low=in_hand, high=1.0, tokens=tokens, cost=cost, seconds=1.0)
    success, low, high, tokens, cost, seconds = row
    return Forecast(plan=plan.id, success=success, low=low, high=high, tokens=tokens, cost=cost, seconds=seconds)


def _sigmoid(x: Array) -> Array:
    out: Array = 1 / (1 + np.exp(-x.clip(-30, 30)))
    return out
