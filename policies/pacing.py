"""What a right answer is worth to a tenant who names a floor or a cap instead of a price.

The least cost at a quality floor and the most quality under a spending cap are both reached by buying what maximises value x success - cost for each
query alone, at one value: the Lagrange multiplier of the floor, or one over that of the cap. The value is learned while it is used, by mirror
descent on the dual with an entropic mirror map, which is a (sub)gradient step on its logarithm (Balseiro & Gur 2019, Learning in repeated auctions
with budgets; Balseiro, Lu & Mirrokni 2020, Dual mirror descent for online allocation problems, arXiv 2002.10421, algorithm 1):

    floor   log value += step x (floor - quality)
    cap     log value += step x (allowance - cost) / scale

after each request. `scale` is the mean cost, so that a step means the same to every tenant. Steps fall as one over the root of the purchases so far,
as in their theorem 1, down to a constant that keeps track of a drifting load. `allowance` is what the cap lets be spent since the last request. It
follows the load of the windows before, so that a night does not spend as much as a day (Balseiro, Kumar, Mirrokni, Sivan & Wang 2023, Robust budget
pacing with a single sample, arXiv 2302.02006). What earlier requests spent too much or lack in quality is made up for by those to come: an integral
term, without which a drift would leave a lasting error. That the cap holds depends on none of this: the ledger holds it.

Quality is what the predictor believes, and it may be wrong in one direction: what outcomes say of it is added (`correction`).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.errors import InvalidQuery, Unreachable
from router.types import Objective

Array = NDArray[np.float64]

_START = 5_000.0  # micro-dollars: the value, where nothing is known
_FIRST, _FLOOR_STEP, _CAP_STEP = 0.5, 0.05, 0.03  # the step at the first purchase, and the least for either objective
_JUMP = 0.5  # no single event moves the logarithm further: costs have heavy tails, and loads pause
_SPREAD = math.log(1e4)  # nor does it leave the mean cost further behind, where nothing more is to be had or saved
_MEMORY = 100  # purchases over which the mean cost is formed
_PHASES = 24  # of a window, for its load: the hours of a day
_HORIZON = 0.1  # of a window's load; what was spent too much or too little is made up for over no less, even if the window ends before
_RECENT = 1_000  # requests over which quality that was short of the floor is made up for
_DOUBT = 20.0  # rated answers that the predictor's own word is worth
_SHORT = 15.0  # right answers' worth of it, and no more: a floor that was out of reach for a while is not paid for ever after


def _check(name: str, amount: float, most: float = math.inf) -> None:
    if not (0 <= amount <= most and math.isfinite(amount)):
        raise InvalidQuery(f"{name} must be finite and not negative{'' if most == math.inf else f', and at most {most}'}, not {amount}", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where the learning of one tenant's value stands. Times are seconds on one clock of all routers, money is micro-dollars."""

    start: float  # when the window began; the first may begin any time
    at: float  # of the latest event
    dual: float = math.log(_START)  # natural logarithm of the value
    scale: float = 0.0  # mean cost of the requests that cost something, 0 before the first
    spent: float = 0.0  # in this window
    held: float = 0.0  # that requests in flight are expected to cost
    quality: float = 0.0  # sum over all requests that were answered, or abstained
    deficit: float = 0.0  # quality by which all requests together fell short of the floor, within limits
    count: int = 0  # of these
    bought: int = 0  # of requests that cost something
    rated: float = 0.0  # answers of which an outcome was reported, those of earlier windows for half as much with each
    error: float = 0.0  # sum over them of the reward less the belief
    profile: tuple[float, ...] = (1 / _PHASES,) * _PHASES  # share of a window's requests that end in each phase of it, learned from those before
    arrivals: tuple[int, ...] = (0,) * _PHASES  # in each phase of this window

    @property
    def mean(self) -> float:
        """Mean quality of the requests that were answered, or abstained; NaN before the first."""
        return self.quality / self.count if self.count else math.nan

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Pace":
        """What `to_dict` gave."""
        return cls(**{**saved, "profile": tuple(saved["profile"]), "arrivals": tuple(saved["arrivals"])})


_SUMS = ("dual", "spent", "held", "quality", "deficit", "count", "bought", "rated", "error")


def value(pace: Pace, objective: Objective, at: float) -> float:
    """Micro-dollars that a right answer is worth in a decision at `at`."""
    _check("at", at)
    return math.exp(_accrued(pace, objective, at))


def correction(pace: Pace) -> float:
    """By how much beliefs are to be raised: the mean error that outcomes have shown, shrunk to nothing while they are few."""
    return pace.error / (pace.rated + _DOUBT)


def reserve(pace: Pace, objective: Objective, cost: float, at: float) -> Pace:
    """A request is expected to cost so much, from `at` on. It counts at once, so that requests in flight neither overspend nor delay the learning."""
    _check("cost", cost)
    now = _advance(pace, objective, at)
    return replace(now, dual=_charged(now, objective, cost), held=now.held + cost)


def update(pace: Pace, objective: Objective, *, cost: float, quality: float | None, at: float, held: float = 0.0) -> Pace:
    """A request ended at `at`: its micro-dollars, its quality in [0, 1], and what was reserved for it in all.

    `quality` is None where it ended without an answer or an abstention, by a failure or because nobody waited: no value would have changed that.
    """
    _check("held", held)
    _check("cost", cost)
    _check("quality", quality or 0.0, most=1)
    now = _advance(pace, objective, at)
    if cost:
        now = replace(now, bought=now.bought + 1, scale=now.scale + (cost - now.scale) / min(now.bought + 1, _MEMORY))
    dual, deficit = _charged(now, objective, cost - held), now.deficit
    if objective.floor is not None and quality is not None:
        deficit = min(_SHORT, max(-_SHORT, deficit + objective.floor - quality))
        dual = _moved(now, _step(now, _FLOOR_STEP) * (objective.floor - quality + deficit / _RECENT))
    phase = _phase(now, objective, now.at)
    return replace(
        now,
        dual=dual,
        deficit=deficit,
        spent=now.spent + cost,
        held=max(0.0, now.held - held),
        quality=now.quality + (quality or 0.0),
        count=now.count + (quality is not None),
        arrivals=(*now.arrivals[:phase], now.arrivals[phase] + 1, *now.arrivals[phase + 1 :]),
    )


def rate(pace: Pace, objective: Objective, *, reward: float, belief: float, at: float) -> Pace:
    """An answer that was believed to be right with probability `belief` turned out to be worth `reward`."""
    _check("reward", reward, most=1)
    _check("belief", belief, most=1)
    now = _advance(pace, objective, at)
    return replace(now, rated=now.rated + 1, error=now.error + reward - belief)


def merge(base: Pace, left: Pace, right: Pace, objective: Objective) -> Pace:
    """What two routers made of `base`, each unaware of the other, in one: what both added to it adds up.

    The sums are exact. The value is as if the events had come one after the other as long as `base` is a few requests old: each router let the
    allowance of the same time raise it, which is taken off once.
    """
    at = max(left.at, right.at)
    base, left, right = (_advance(one, objective, at) for one in (base, left, right))
    bought = left.bought - base.bought, right.bought - base.bought
    scale = (bought[0] * left.scale + bought[1] * right.scale) / sum(bought) if any(bought) else base.scale
    sums = {name: getattr(left, name) + getattr(right, name) - getattr(base, name) for name in _SUMS}
    profile = tuple(one + other - old for one, other, old in zip(left.profile, right.profile, base.profile, strict=True))
    arrivals = tuple(one + other - old for one, other, old in zip(left.arrivals, right.arrivals, base.arrivals, strict=True))
    return replace(base, scale=scale, profile=profile, arrivals=arrivals, **sums)


def reachable(objective: Objective, success: Array) -> float:
    """The mean quality if every query had the best that can be bought for it: `success` (n,) holds the most that is for recent queries.

    Raises Unreachable where even the upper end of that mean's 95 % interval is under the floor, and InvalidQuery for what is no probability.
    """
    if not len(success) or not ((success >= 0) & (success <= 1)).all():
        raise InvalidQuery("success must hold probabilities, at least one", field="success")
    most = float(success.mean())
    high = most + 1.96 * float(success.std()) / math.sqrt(len(success))
    if objective.floor is not None and objective.floor > high:
        message = f"a mean quality of {objective.floor} is out of reach: the best that can be bought for every query gives at most {most:.3f}"
        raise Unreachable(message, floor=objective.floor, reachable=most)
    return most


def _advance(pace: Pace, objective: Objective, at: float) -> Pace:
    """Time passes: the cap allows more, and a new window may begin. An event that comes late counts as of the latest."""
    _check("at", at)
    at = max(at, pace.at)
    windows = int(_elapsed(pace, objective, at))
    now = replace(pace, dual=_accrued(pace, objective, at), at=at)
    if windows:
        now = replace(now, start=pace.start + windows * objective.window, spent=0.0, profile=_learned(pace), arrivals=(0,) * _PHASES)
        now = replace(now, rated=now.rated * 0.5**windows, error=now.error * 0.5**windows)
    return now


def _accrued(pace: Pace, objective: Objective, at: float) -> float:
    """The dual at `at`: what the cap allows since the latest event raises it, more if less was spent than was due."""
    if objective.cap is None or not pace.scale or at <= pace.at:
        return pace.dual
    before, due = _due(pace, objective, pace.at), _due(pace, objective, at)
    ahead = (pace.spent + pace.held) / objective.cap - before
    allowance = objective.cap * (due - before) * max(0.0, 1 - ahead / max(1 - before, _HORIZON))
    return _moved(pace, _step(pace, _CAP_STEP) * allowance / pace.scale)


def _charged(pace: Pace, objective: Objective, cost: float) -> float:
    """The dual after so much more, or less, is spent or expected to be."""
    return pace.dual if objective.cap is None or not pace.scale else _moved(pace, -_step(pace, _CAP_STEP) * cost / pace.scale)


def _moved(pace: Pace, change: float) -> float:
    """The dual after a change, within the limits. They bound the move and never make one, though a dear answer may shift the mean cost far."""
    centre = math.log(pace.scale or _START)
    low, high = min(0.0, centre - _SPREAD - pace.dual), max(0.0, centre + _SPREAD - pace.dual)
    return pace.dual + min(high, _JUMP, max(low, -_JUMP, change))


def _step(pace: Pace, least: float) -> float:
    return max(least, _FIRST / math.sqrt(pace.bought + 1))


def _due(pace: Pace, objective: Objective, at: float) -> float:
    """Caps to be spent from the start of the window to `at`: one for every whole window, and within one as its load is expected to be spread."""
    elapsed, place = _elapsed(pace, objective, at), _phase(pace, objective, at)
    return int(elapsed) + sum(pace.profile[:place]) + pace.profile[place] * (elapsed % 1.0 * _PHASES - place)


def _elapsed(pace: Pace, objective: Objective, at: float) -> float:
    """Windows from the start of this one to `at`."""
    return max(0.0, (at - pace.start) / objective.window)


def _phase(pace: Pace, objective: Objective, at: float) -> int:
    return min(int(_elapsed(pace, objective, at) % 1.0 * _PHASES), _PHASES - 1)


def _learned(pace: Pace) -> tuple[float, ...]:
    """The load expected of the next window: half of it is what this window's was, smoothed by one request per phase."""
    total = sum(pace.arrivals) + _PHASES
    return tuple((old + (new + 1) / total) / 2 for old, new in zip(pace.profile, pace.arrivals, strict=True))
