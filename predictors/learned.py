"""What was learned from the log, at work: P(right) of the answer in hand and of every plan that could be bought."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictors import predictors
from predictors.artifact import Artifact, load
from predictors.curves import RULES, Growth, saturation
from predictors.evidence import of_outcome, summarise
from predictors.guarantee import threshold
from predictors.heads import Calibrated, beside
from predictors.offer import Offer, alike, samples
from router.errors import BadArtifact
from router.types import Answer, Curve, Evidence, Features, Forecast, Onward, Outcome, Plan, Prediction, Vector

BUNDLED = Path(__file__).parent / "bundled"
KIND = "learned-2"  # the number changes with the columns of evidence
HEADS = ("start", "belief", "rescue")
USUAL = 95  # percentile of the training queries' distances beyond which a query is unlike them
SAMPLING = ("samples", "concentration", "alternatives", "auc")  # arrays with a number for each plan, 0 where it is not known
CONTEXT = 16  # directions in which training queries differ most, whitened, that tell queries apart for what learns online
_FAR = 3.0  # standard deviations along one of them that count
_MOST_OFFERS = 256  # different sequences of plans that are kept ready
_SIDES = np.array([[0.0], [-1.645], [1.645]])  # standard deviations: the middle and the ends of a 90 % interval

Array = NDArray[np.float64]


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
    _offers: dict[tuple[int, ...], Offer] = field(init=False, repr=False)
    _after: Callable[[Array], Array] = field(init=False, repr=False)  # features to the log-odds of `Onward.rescue`, (plans, plans)
    _middle: Vector = field(init=False, repr=False)  # of the training queries, along the axes of novelty
    _distances: tuple[float, ...] = field(init=False, repr=False)  # quantiles of the training queries'

    def __post_init__(self) -> None:
        artifact = load(Path(self.path), kind=KIND)
        object.__setattr__(self, "_artifact", artifact)
        object.__setattr__(self, "_growth", {})
        object.__setattr__(self, "_offers", {})
        object.__setattr__(self, "_index", {plan: index for index, plan in enumerate(artifact.plans)})
        for name in HEADS:
            object.__setattr__(self, f"_{name}", head_of(artifact, name))
        tokens, seconds = artifact.arrays["tokens_per_cost"], artifact.arrays["seconds_per_cost"]
        high = tokens * artifact.arrays["tokens_quantiles"][:, 1], seconds * artifact.arrays["seconds_quantiles"][:, 1]
        object.__setattr__(self, "_per_cost", np.stack((tokens, np.ones(len(tokens)), seconds, *high)))
        object.__setattr__(self, "_after", self._rescue.beside(artifact.arrays["wrong"]))
        object.__setattr__(self, "_middle", (artifact.arrays["novelty_mean"] @ artifact.arrays["novelty_axes"]).astype(np.float32))
        object.__setattr__(self, "_distances", tuple(artifact.arrays["novelty_quantiles"].tolist()))

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
        offer, vector = self._offer(plans), features.vector.astype(np.float64)
        found = self._believed(features, evidence)
        in_hand = found[1] if found else 0.0
        along: Vector = (features.vector @ self._arrays("novelty_axes") - self._middle).astype(np.float32, copy=False)
        novelty, widening = self._novelty(along)
        logits, spread = self._rescues(vector, evidence, found[2] if found else None)
        columns = np.empty((8, len(offer.known)))
        columns[:3] = in_hand + (1 - in_hand) * _sigmoid((logits + _SIDES * (spread * widening)).take(offer.known, axis=1))
        columns[3:] = self._spent(vector).take(offer.known, axis=1)
        rows = list(map(Forecast, offer.ids, *columns.tolist()))
        if not offer.whole:
            rows = self._filled(offer.plans, {row.plan: row for row in rows}, in_hand)
        return Prediction(
            in_hand=in_hand,
            forecasts=tuple(offer.rising(rows)),
            version=self.version,
            onward=self._onward(vector, offer),
            novelty=novelty,
            context=np.minimum(np.maximum(along[-CONTEXT:], -_FAR), _FAR),
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

    def _offer(self, plans: Sequence[Plan]) -> Offer:
        key = tuple(map(id, plans))  # an offer keeps its plans, so that no other plan can come to have one of these
        if key not in self._offers:
            if len(self._offers) >= _MOST_OFFERS:
                self._offers.clear()
            self._offers[key] = Offer.of(plans, self._index)
        return self._offers[key]

    def _filled(self, plans: Sequence[Plan], rows: Mapping[str, Forecast], in_hand: float) -> list[Forecast]:
        """Rows for plans we do not know too, where one is known that is the same but for the number of samples, or else the widest."""
        return [rows.get(plan.id) or self._resized(plan, plans, rows, in_hand) or _unknown(plan, in_hand) for plan in plans]

    def _resized(self, plan: Plan, plans: Sequence[Plan], rows: Mapping[str, Forecast], in_hand: float) -> Forecast | None:
        """Success along the curve of the plan most like it, the rest in proportion."""
        kin = [one for one in plans if one.id in rows and alike(one, plan) and self._grown(one)]
        if not kin or not samples(plan):
            return None
        near = min(kin, key=lambda one: abs(math.log(samples(one) / samples(plan))))
        growth, times, (_, *row) = self._grown(near), samples(plan) / samples(near), rows[near.id]
        assert growth is not None
        chances = [in_hand + (1 - in_hand) * growth.at((one - in_hand) / max(1e-9, 1 - in_hand), samples(plan)) for one in row[:3]]
        return Forecast(plan.id, *chances, *(one * times for one in row[3:]))

    def _arrays(self, name: str) -> Array:
        return self._artifact.arrays[name]

    def _believed(self, features: Features, evidence: Evidence) -> tuple[Outcome, float, Vector] | None:
        """The stage whose answer is believed most, that belief, and what speaks for it."""
        read = {outcome.answer: outcome for outcome in evidence.outcomes if outcome.answer is not None}
        if not read:
            return None
        shown = [of_outcome(outcome) for outcome in evidence.outcomes]
        rows = np.stack([summarise(shown, answer, self._artifact.plans) for answer in read])
        beliefs = _sigmoid(self._belief.logits(beside(features.vector, rows))[:, 0])
        place = int(beliefs.argmax())
        return list(read.values())[place], float(beliefs[place]), rows[place]

    def _rescues(self, vector: Array, evidence: Evidence, row: Vector | None) -> tuple[Array, Array]:
        """Log-odds, and their standard deviation, that each plan of ours gets it right where what is in hand is wrong."""
        if not evidence.outcomes:
            return self._start.logits(vector[None])[0], self._start.spread
        row = summarise([of_outcome(outcome) for outcome in evidence.outcomes], "", self._artifact.plans) if row is None else row
        return self._rescue.logits(beside(vector, row[None]))[0], self._rescue.spread

    def _spent(self, vector: Array) -> Array:
        """Tokens, micro-dollars, seconds, and the tokens and seconds that nine purchases in ten stay under: (5, plans)."""
        return np.asarray(np.exp(np.minimum(self._arrays("cost") @ vector, 20)) * self._per_cost)

    def _novelty(self, along: Vector) -> tuple[float, float]:
        """The share of training queries nearer to their middle than this one, and by how much intervals are wider for it."""
        distance = math.sqrt(along @ along)
        return bisect_left(self._distances, distance) / len(self._distances), max(1.0, distance / max(self._distances[USUAL], 1e-9))

    def _onward(self, vector: Array, offer: Offer) -> Onward | None:
        if not offer.whole or not offer.ids:
            return None
        after = self._after(vector).take(offer.known, axis=0).take(offer.known, axis=1)
        return Onward(ratios=self._arrays("ratios").take(offer.known, axis=0), rescue=_sigmoid(after))


def _unknown(plan: Plan, in_hand: float) -> Forecast:
    tokens, cost = (plan.budget.tokens or 0) / 2, (plan.budget.cost or 0) / 2
    return Forecast(plan=plan.id, success=(1 + in_hand) / 2, low=in_hand, high=1.0, tokens=tokens, cost=cost, seconds=1.0, tokens_high=2 * tokens)


def _sigmoid(x: Array) -> Array:
    out: Array = np.tanh(x * 0.5)  # which cannot overflow
    out += 1
    out *= 0.5
    return out
