"""What was learned from the log, at work: P(right) of the answer in hand and of every plan that could be bought."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors import predictors
from predictors.artifact import Artifact, load
from predictors.curves import RULES, Growth, saturation
from predictors.evidence import of_outcome, summarise
from predictors.guarantee import threshold
from predictors.heads import Calibrated
from router.errors import BadArtifact
from router.types import Answer, Budget, Curve, Evidence, Features, Forecast, Onward, Outcome, Plan, Prediction, Vector

BUNDLED = Path(__file__).parent / "bundled"
KIND = "learned-2"  # the number changes with the columns of evidence
HEADS = ("start", "belief", "rescue")
USUAL = 95  # percentile of the training queries' distances beyond which a query is unlike them
SAMPLING = ("samples", "concentration", "alternatives", "auc")  # arrays with a number for each plan, 0 where it is not known
_SIDES = np.array([[0.0], [-1.645], [1.645]])  # standard deviations: the middle and the ends of a 90 % interval

Array = NDArray[np.float64]
Places = NDArray[np.int_]


def head_of(artifact: Artifact, name: str) -> Calibrated:
    """One of HEADS; BadArtifact where its arrays do not fit its family."""
    try:
        families: Any = artifact.facts["heads"]
        return Calibrated.of(families[name]["family"], artifact.arrays, f"{name}.")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadArtifact(f"the head {name!r} cannot be made ({error}); run `rheostat retrain` again") from error


@predictors.register("learned")
@dataclass(frozen=True, slots=True)
class Learned:
    """With c the belief in the answer in hand, P(right after p) = c + (1 - c) P(p rescues | in hand is wrong): buying never lowers it.

    Heads: `belief` over (features, evidence); per plan `start` over features, used while nothing is in hand, and `rescue` over (features,
    evidence), fitted where the answer in hand was wrong. A plan the artifact does not know gets the widest interval there is, c to 1; what is known
    of a plan holds at least for the same plan with more to spend. The less a query is like those learned from, the wider are the intervals.
    """

    path: str = str(BUNDLED)
    _artifact: Artifact = field(init=False, repr=False)
    _index: dict[str, int] = field(init=False, repr=False)
    _start: Calibrated = field(init=False, repr=False)
    _belief: Calibrated = field(init=False, repr=False)
    _rescue: Calibrated = field(init=False, repr=False)
    _per_cost: Array = field(init=False, repr=False)  # (5, plans): see `_spent`
    _growth: dict[str, Growth | None] = field(init=False, repr=False)  # of each plan, once it was asked for

    def __post_init__(self) -> None:
        artifact = load(Path(self.path), kind=KIND)
        object.__setattr__(self, "_artifact", artifact)
        object.__setattr__(self, "_growth", {})
        object.__setattr__(self, "_index", {plan: index for index, plan in enumerate(artifact.plans)})
        for name in HEADS:
            object.__setattr__(self, f"_{name}", head_of(artifact, name))
        tokens, seconds = artifact.arrays["tokens_per_cost"], artifact.arrays["seconds_per_cost"]
        high = tokens * artifact.arrays["tokens_quantiles"][:, 1], seconds * artifact.arrays["seconds_quantiles"][:, 1]
        object.__setattr__(self, "_per_cost", np.stack((tokens, np.ones(len(tokens)), seconds, *high)))

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

    def bar(self, risk: float) -> float:
        """By Learn then Test on held-out questions of the log: it holds for questions like those, with a probability of .9."""
        return threshold(self._arrays("accept"), risk)

    def predict(self, features: Features, evidence: Evidence, plans: Sequence[Plan]) -> Prediction:
        """One forecast per plan, in about a tenth of a millisecond."""
        if features.version != self.feature_version:
            raise BadArtifact(f"fitted on features {self.feature_version}, given {features.version}: run `rheostat retrain`")
        found = self._believed(features, evidence)
        in_hand = found[1] if found else 0.0
        novelty, widening = self._novelty(features.vector)
        known = np.array([self._index[plan.id] for plan in plans if plan.id in self._index], int)
        logits, spread = self._rescues(features.vector, evidence, found[2] if found else None)
        chances = in_hand + (1 - in_hand) * _sigmoid((logits + _SIDES * (spread * widening)).take(known, axis=1))
        columns = np.concatenate((chances, self._spent(features.vector, known)))
        rows = dict(zip([plan.id for plan in plans if plan.id in self._index], columns.T.tolist(), strict=True))
        if len(rows) < len(plans):
            rows |= self._resized(plans, rows, in_hand)
        forecasts = [_forecast(plan, rows.get(plan.id), in_hand) for plan in plans]
        return Prediction(
            in_hand=in_hand,
            forecasts=tuple(_rising(forecasts, plans)),
            version=self.version,
            onward=self._onward(features.vector, plans),
            novelty=novelty,
        )

    def curves(self, prediction: Prediction, plans: Sequence[Plan], value: float) -> tuple[Curve, ...]:
        """Of 1 to `predictors.curves.MOST` samples, through the forecast at the number the plan was learned with."""
        found = []
        for plan, forecast in zip(plans, prediction.forecasts, strict=True):
            if growth := self._grown(plan):
                curve = growth.curve(forecast.success)
                found.append(Curve(plan=plan.id, success=tuple(curve.tolist()), saturation=saturation(curve, forecast.cost / growth.samples, value)))
        return tuple(found)

    def _grown(self, plan: Plan) -> Growth | None:
        """How success grows with the samples of a plan we know."""
        place = self._index.get(plan.id)
        if place is None or plan.strategy not in RULES:
            return None
        if plan.id not in self._growth:
            samples, firm, alternatives, auc = (float(self._arrays(name)[place]) for name in SAMPLING)
            made = Growth.of(RULES[plan.strategy], int(samples), concentration=firm, alternatives=alternatives, auc=auc) if samples else None
            self._growth[plan.id] = made
        return self._growth[plan.id]

    def _resized(self, plans: Sequence[Plan], rows: Mapping[str, list[float]], in_hand: float) -> dict[str, list[float]]:
        """Rows for plans we do not know that are, but for the number of samples, one that we do: success along its curve, the rest in proportion."""
        found = {}
        for plan in plans:
            alike = [one for one in plans if one.id in rows and _alike(one, plan) and self._grown(one)]
            if plan.id in rows or not alike or not _samples(plan):
                continue
            near = min(alike, key=lambda one: abs(math.log(_samples(one) / _samples(plan))))
            growth, times = self._grown(near), _samples(plan) / _samples(near)
            assert growth is not None
            chances = [in_hand + (1 - in_hand) * growth.at((one - in_hand) / max(1e-9, 1 - in_hand), _samples(plan)) for one in rows[near.id][:3]]
            found[plan.id] = [*chances, *(one * times for one in rows[near.id][3:])]
        return found

    def _arrays(self, name: str) -> Array:
        return self._artifact.arrays[name]

    def _believed(self, features: Features, evidence: Evidence) -> tuple[Outcome, float, Vector] | None:
        """The stage whose answer is believed most, that belief, and what speaks for it."""
        read = {outcome.answer: outcome for outcome in evidence.outcomes if outcome.answer is not None}
        if not read:
            return None
        shown = [of_outcome(outcome) for outcome in evidence.outcomes]
        rows = np.stack([summarise(shown, answer, self._artifact.plans) for answer in read])
        beliefs = _sigmoid(self._belief.logits(_beside(features.vector, rows))[:, 0])
        place = int(beliefs.argmax())
        return list(read.values())[place], float(beliefs[place]), rows[place]

    def _rescues(self, vector: Vector, evidence: Evidence, row: Vector | None) -> tuple[Array, Array]:
        """Log-odds, and their standard deviation, that each plan of ours gets it right where what is in hand is wrong."""
        if not evidence.outcomes:
            return self._start.logits(vector[None])[0], self._start.spread
        row = summarise([of_outcome(outcome) for outcome in evidence.outcomes], "", self._artifact.plans) if row is None else row
        return self._rescue.logits(_beside(vector, row[None]))[0], self._rescue.spread

    def _spent(self, vector: Vector, known: Places) -> Array:
        """Tokens, micro-dollars, seconds, and the tokens and seconds that nine purchases in ten stay under: (5, plans)."""
        spent: Array = np.exp(np.minimum(np.maximum(self._arrays("cost") @ vector, -20), 20)) * self._per_cost
        return spent.take(known, axis=1)

    def _novelty(self, vector: Vector) -> tuple[float, float]:
        """The share of training queries nearer to their middle than this one, and by how much intervals are wider for it."""
        along = (vector - self._arrays("novelty_mean")).astype(np.float32) @ self._arrays("novelty_axes")
        distance, quantiles = float(np.sqrt(along @ along)), self._arrays("novelty_quantiles")
        return float(quantiles.searchsorted(distance)) / len(quantiles), max(1.0, distance / max(float(quantiles[USUAL]), 1e-9))

    def _onward(self, vector: Vector, plans: Sequence[Plan]) -> Onward | None:
        known = [self._index.get(plan.id, -1) for plan in plans]
        if -1 in known or not known:
            return None
        after = self._rescue.logits(_beside(vector, self._arrays("wrong").take(known, axis=0)))
        return Onward(ratios=self._arrays("ratios").take(known, axis=0), rescue=_sigmoid(after.take(known, axis=1)))


def _beside(vector: Vector, rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Features, the same for each row, beside rows of evidence (n, e)."""
    out = np.empty((len(rows), len(vector) + rows.shape[1]), rows.dtype)
    out[:, : len(vector)], out[:, len(vector) :] = vector, rows
    return out


def _forecast(plan: Plan, row: Sequence[float] | None, in_hand: float) -> Forecast:
    if row is None:
        tokens, cost = (plan.budget.tokens or 0) / 2, (plan.budget.cost or 0) / 2
        return Forecast(plan=plan.id, success=(1 + in_hand) / 2, low=in_hand, high=1.0, tokens=tokens, cost=cost, seconds=1.0, tokens_high=2 * tokens)
    success, low, high, tokens, cost, seconds, tokens_high, seconds_high = row
    return Forecast(
        plan=plan.id,
        success=success,
        low=low,
        high=high,
        tokens=tokens,
        cost=cost,
        seconds=seconds,
        tokens_high=tokens_high,
        seconds_high=seconds_high,
    )


def _rising(forecasts: list[Forecast], plans: Sequence[Plan]) -> list[Forecast]:
    """Forecasts of success that never fall from a plan to the same plan with more to spend."""
    if len({(plan.pool, plan.strategy) for plan in plans}) == len(plans):
        return forecasts
    order = sorted(range(len(plans)), key=lambda place: _size(plans[place]))
    for later, place in enumerate(order):
        less = [forecasts[other] for other in order[:later] if _within(plans[other], plans[place])]
        success, low, high = (max(getattr(one, name) for one in (forecasts[place], *less)) for name in ("success", "low", "high"))
        forecasts[place] = replace(forecasts[place], success=success, low=low, high=high)
    return forecasts


def _alike(one: Plan, other: Plan) -> bool:
    """Whether they are one plan but for what it may spend."""
    return (one.pool, one.strategy, _rest(one), one.helpers) == (other.pool, other.strategy, _rest(other), other.helpers)


def _within(less: Plan, more: Plan) -> bool:
    """Whether they are one plan but for what it may spend, which is more in the second and nowhere less."""
    return _alike(less, more) and _size(less) != _size(more) and all(one <= other for one, other in zip(_size(less), _size(more), strict=True))


def _rest(plan: Plan) -> dict[str, object]:
    return {name: value for name, value in plan.options.items() if name != "n"}


def _size(plan: Plan) -> tuple[float, ...]:
    ceilings = (getattr(plan.budget, name) for name in Budget.__dataclass_fields__)
    return (float(_samples(plan)), *(np.inf if one is None else one for one in ceilings))


def _samples(plan: Plan) -> int:
    """How many samples it draws, 0 where its options do not say."""
    n = plan.options.get("n", 0)
    return n if isinstance(n, int) else 0


def _sigmoid(x: Array) -> Array:
    out: Array = 1 / (1 + np.exp(-np.minimum(np.maximum(x, -30), 30)))
    return out
