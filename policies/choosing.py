"""From scores to a decision: bounded exploration with its exact propensity, the same for every policy."""

from collections.abc import Mapping

import numpy as np

from router.types import Action, Decision, Evidence, Knobs, Prediction

STOP, ABSTAIN = Action.STOP.value, Action.ABSTAIN.value


def ending(prediction: Prediction, evidence: Evidence, knobs: Knobs) -> tuple[str, float]:
    """The way to end here, and what it is worth in micro-dollars.

    Stopping is worth the belief in the answer; without an answer, or with one under the tenant's bar, abstaining is all there is, worth what the bar
    says.
    """
    if evidence.answered and prediction.in_hand >= knobs.abstain_below:
        return STOP, knobs.value * prediction.in_hand
    return ABSTAIN, knobs.value * knobs.abstain_below


def choose(scores: Mapping[str, float], preferred: str, knobs: Knobs, rng: np.random.Generator, *, policy: str, reason: str) -> Decision:
    """`preferred` with probability 1 - e + e/n, any other of the n open choices with e/n, where e is the tenant's exploration share.

    Abstaining is never explored: it would withhold an answer for the sake of learning.
    """
    options = [name for name in scores if name != ABSTAIN or name == preferred]
    share = knobs.exploration if len(options) > 1 else 0.0
    explored = share > 0 and float(rng.random()) < share
    chosen = options[int(rng.integers(len(options)))] if explored else preferred
    propensity = share / len(options) + (1 - share if chosen == preferred else 0.0)
    action = Action(chosen) if chosen in (STOP, ABSTAIN) else Action.BUY
    return Decision(
        action=action,
        plan="" if action is not Action.BUY else chosen,
        propensity=propensity,
        scores=dict(scores),
        explored=explored,
        policy=policy,
        reason=reason if chosen == preferred else f"explored instead of {preferred}",
    )
