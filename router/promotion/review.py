"""What the log says next of a promotion, and of routing itself. Pure: evidence in, a new state with its reason out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from policies.evaluation import Trials, sequence
from policies.evaluation.logs import Array
from router.evaluation.judge import LOGGED, OURS, always
from router.evaluation.question import Return
from router.promotion.state import Guard, Promotion
from router.settings import PromotionSettings

CANDIDATE, CONTROL, SERVING = "candidate", "control", ""
_LATELY = 2_000  # latest requests that are looked at by themselves, so that a long good time does not hide that it is over
_SELDOM = 0.001  # chance that one such look is wrong


def guarded(found: Mapping[str, Any], terms: PromotionSettings, at: float) -> Guard:
    """From a judgement of what serves (`router.evaluation.run.answered`)."""
    plan = found["best_constant"]
    ahead = found["ahead_of"].get(always(plan), {})
    if found["decisions"] < terms.least or "value" not in ahead:
        return Guard(control=plan, at=at, why=f"{found['decisions']} rated decisions cannot tell")
    told = f"routing is ahead of always {plan} by {_told(ahead)} micro-dollars a request"
    if ahead["low"] > 0:
        return Guard(verdict="better", control=plan, at=at, why=told)
    if ahead["high"] < 0:
        return Guard(verdict="worse", control=plan, at=at, why=told)
    if ahead["high"] <= terms.margin * found["value"]:
        return Guard(verdict="no better", control=plan, at=at, why=told)
    return Guard(control=plan, at=at, why=told)


def from_shadow(promotion: Promotion, found: Mapping[str, Any], terms: PromotionSettings, at: float) -> Promotion:
    """To the canary unless the log shows that it is worse than what acted; from a judgement of the candidate."""
    if found["decisions"] < terms.least or not found["best_constant"]:
        return promotion
    ahead = found["ahead_of"][LOGGED]
    if ahead.get("high", 0.0) < 0:
        return promotion.to("rejected", f"by the log it is worse than what acts, by {_told(ahead)} micro-dollars a request", at)
    ours = found["estimates"][OURS]
    told = f"ahead of what acts by {_told(ahead)} micro-dollars a request" if "value" in ahead else f"the log cannot tell ({ours.get('refused', '')})"
    return promotion.to("canary", f"by the log it may be better: {told}", at, control=found["best_constant"])


def from_traffic(promotion: Promotion, returns: Sequence[Return], terms: PromotionSettings, at: float) -> Promotion:
    """On from the canary, or back, by what each arm's requests since its stage began were worth: looked at as often as one likes.

    Once it is full, also back by what the latest of them were worth.

    Where the value of a right answer moves, with a floor or a cap, all are held to its mean.
    """
    value = sum(one.value for one in returns) / max(1, len(returns))
    worth = {arm: _worth(returns, arm, value) for arm in (CANDIDATE, SERVING, CONTROL)}
    if min(map(len, worth.values())) < 2 or not value:
        return promotion
    ends = {arm: _ahead(worth[CANDIDATE], worth[arm], value) for arm in (SERVING, CONTROL)}
    told = _compared(ends, promotion.control, len(worth[CANDIDATE]))
    if any(high < 0 for _, high in ends.values()):
        return promotion.to("rolled back", told, at)
    late = {arm: _worth(returns[-_LATELY:], arm, value) for arm in worth}
    if promotion.stage == "full" and min(map(len, late.values())) >= 2:
        lately = {arm: _ahead(late[CANDIDATE], late[arm], value, error=_SELDOM) for arm in ends}
        if any(high < 0 for _, high in lately.values()):
            return promotion.to("rolled back", f"lately {_compared(lately, promotion.control, len(late[CANDIDATE]))}", at)
    if promotion.stage == "canary" and all(low > 0 for low, _ in ends.values()):
        return promotion.to("full", told, at)
    if len(worth[CANDIDATE]) >= terms.most:
        return promotion.to("rejected" if promotion.stage == "canary" else "adopted", told, at)
    return promotion


def _compared(ends: Mapping[str, tuple[float, float]], control: str, count: int) -> str:
    names = {SERVING: "what served", CONTROL: f"always {control}"}
    told = "; ".join(f"ahead of {names[arm]} by [{low:,.0f}, {high:,.0f}]" for arm, (low, high) in ends.items())
    return f"{told} micro-dollars a request, over {count:,} of its own"


def _worth(returns: Sequence[Return], arm: str, value: float) -> Array:
    """Net micro-dollars of each of an arm's requests; none is worth less than minus what a right answer is worth."""
    return np.array([max(-value, value * one.quality - one.cost) for one in returns if one.arm == arm])


def _ahead(ours: Array, theirs: Array, value: float, error: float = 0.05) -> tuple[float, float]:
    """By how much the mean of one is above the other's: between these at all times at once but for the `error`, of which each has half."""
    (low, high), (least, most) = (_ends(one, value, 1 - error / 2) for one in (ours, theirs))
    return low - most, high - least


def _ends(worth: Array, value: float, level: float) -> tuple[float, float]:
    ones = np.ones(len(worth))
    trials = Trials(action=np.zeros(len(worth), np.int64), propensity=ones, reward=worth, target=ones[:, None], bounds=(-value, value))
    found = sequence(trials, level=level)
    return float(found.low[-1]), float(found.high[-1])


def _told(ahead: Mapping[str, float]) -> str:
    return f"{ahead['value']:,.0f} [{ahead['low']:,.0f}, {ahead['high']:,.0f}]"
