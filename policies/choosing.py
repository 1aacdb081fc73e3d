"""From scores to a decision: bounded exploration with its exact propensity, the same for every policy."""

from collections.abc import Mapping

from router.types import Action, Choices, Evidence, Knobs, Prediction

STOP, ABSTAIN = Action.STOP.value, Action.ABSTAIN.value


def ending(prediction: Prediction, evidence: Evidence, knobs: Knobs) -> tuple[str, float]:
    """The way to end here, and what it is worth in micro-dollars.

    Stopping is worth the belief in the answer; without an answer, or with one under the tenant's bar, abstaining is all there is, worth what the bar
    says.
    """
    if evidence.answered and prediction.in_hand >= knobs.abstain_below:
        return STOP, knobs.value * prediction.in_hand
    return ABSTAIN, knobs.value * knobs.abstain_below


def explore(scores: Mapping[str, float], preferred: str, knobs: Knobs, *, policy: str, reason: str) -> Choices:
    """`preferred` with probability 1 - e + e/n, any other of the n open choices with e/n, where e is the tenant's exploration share.

    Abstaining is never explored: it would withhold an answer for the sake of learning.
    """
    return mix(scores, {preferred: 1.0}, preferred, knobs, policy=policy, reason=reason)


def mix(scores: Mapping[str, float], own: Mapping[str, float], preferred: str, knobs: Knobs, *, policy: str, reason: str) -> Choices:
    """The chances that are the policy's own, and with the tenant's exploration share any choice that is open, each alike."""
    chances = {name: own.get(name, 0.0) for name in scores if name != ABSTAIN or own.get(name)}
    if knobs.exploration > 0 and len(chances) > 1:
        even = knobs.exploration / len(chances)
        chances = {name: (1 - knobs.exploration) * chance + even for name, chance in chances.items()}
    return Choices(scores=scores, chances=chances, preferred=preferred, policy=policy, reason=reason)
