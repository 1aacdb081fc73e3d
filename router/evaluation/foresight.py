"""What a candidate would do at every step of a board: its predictor's forecasts from what was logged, and its policy's chances on them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from policies.evaluation.logs import Array
from router.evaluation.board import STOP, Board
from router.evaluation.episodes import Step
from router.ports import Policy, Predictor
from router.types import Knobs, Plan, Prediction

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is to be judged: a policy with knobs, on the forecasts of a predictor.

    If it is `paced`, a right answer is worth in each decision what it was worth when it was made, as the tenant's floor or cap had it.
    """

    policy: Policy
    predictor: Predictor
    knobs: Knobs
    paced: bool = False

    @property
    def bound(self) -> Knobs:
        """The knobs with the bar that keeps their risk, as the service has them."""
        bar = 0.0 if self.knobs.risk >= 1 else self.predictor.bar(self.knobs.risk)
        return replace(self.knobs, abstain_below=max(self.knobs.abstain_below, bar))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Foreseen:
    """What a predictor says at every step of a board: its predictions, and success, micro-dollars and seconds of every choice (n, T, k)."""

    predictions: Sequence[Sequence[tuple[Prediction, tuple[Plan, ...]]]]
    success: Array
    cost: Array
    seconds: Array

    @classmethod
    def by(cls, predictor: Predictor, board: Board, catalogue: Mapping[str, Plan], progress: Progress) -> Self:
        """Predicted again, from the features and the evidence that were logged."""
        success, cost, seconds = (np.zeros(board.logging.shape) for _ in range(3))
        stop, found = board.names.index(STOP), []
        for row, episode in enumerate(board.episodes):
            progress(row, len(board.episodes))
            steps = []
            for step, one in enumerate(episode.steps):
                plans = _offered(one, catalogue)
                prediction = predictor.predict(one.features, one.evidence, plans)
                at = board.places([plan.id for plan in plans])
                success[row, step, at] = [forecast.success for forecast in prediction.forecasts]
                cost[row, step, at] = [forecast.cost for forecast in prediction.forecasts]
                seconds[row, step, at] = [forecast.seconds for forecast in prediction.forecasts]
                success[row, step, stop] = prediction.in_hand
                steps.append((prediction, plans))
            found.append(steps)
        progress(len(board.episodes), len(board.episodes))
        return cls(predictions=found, success=success, cost=cost, seconds=seconds)

    def design(self) -> Array:
        """What tells choices apart, (n, T, k, d), for fitting what they lead to."""
        kinds = np.zeros((*self.success.shape, 3))
        kinds[..., :-2, 0], kinds[..., -2, 1], kinds[..., -1, 2] = 1.0, 1.0, 1.0
        scale = max(float(self.cost.mean()), 1e-9)
        in_hand = np.broadcast_to(self.success[..., -2:-1], self.success.shape)
        numbers = np.stack((self.success, self.cost / scale, in_hand), axis=-1)
        return np.concatenate((kinds, numbers), axis=-1)


def _offered(step: Step, catalogue: Mapping[str, Plan]) -> tuple[Plan, ...]:
    """The plans that were on offer, those bought before too, as the pipeline offers them; none where the end was forced."""
    names = {name for name in step.open if name in catalogue}
    return tuple(plan for name, plan in catalogue.items() if name in names or (names and name in step.evidence.bought))


def chances(candidate: Candidate, board: Board, foreseen: Foreseen) -> Array:
    """With what chance the candidate makes each choice at every step, (n, T, k)."""
    knobs = candidate.bound
    target = np.zeros(board.logging.shape)
    target[~board.mask, -1] = 1.0
    place = {name: index for index, name in enumerate(board.names)}
    for row, episode in enumerate(board.episodes):
        for index, (step, seen) in enumerate(zip(episode.steps, foreseen.predictions[row], strict=True)):
            prediction, plans = _narrowed(*seen, set(knobs.plans or place) if index < knobs.max_stages else set())
            terms = replace(knobs, value=step.value) if candidate.paced else knobs
            for name, chance in candidate.policy.weigh(prediction, step.evidence, plans, terms).chances.items():
                target[row, index, place[name]] = chance
    return target


def _narrowed(prediction: Prediction, plans: tuple[Plan, ...], allowed: set[str]) -> tuple[Prediction, tuple[Plan, ...]]:
    """Of the plans that are allowed only."""
    kept, onward = [place for place, plan in enumerate(plans) if plan.id in allowed], prediction.onward
    if len(kept) == len(plans):
        return prediction, plans
    if onward is not None:
        onward = replace(onward, ratios=onward.ratios[kept], rescue=onward.rescue[np.ix_(kept, kept)]) if kept else None
    forecasts = tuple(prediction.forecasts[place] for place in kept)
    return replace(prediction, forecasts=forecasts, onward=onward), tuple(plans[place] for place in kept)
