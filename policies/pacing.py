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
term, without which a drift would leave a lasting error. That the cap holds depends on none of this: see `ceiling`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.errors import InvalidQuery, Unreachable

Array = NDArray[np.float64]

_FIRST, _FLOOR_STEP, _CAP_STEP = 0.5, 0.05, 0.03  # the step at the first purchase, and the least for either objective
_JUMP = 0.5  # no single event moves the logarithm further: costs have heavy tails, and loads pause
_SPREAD = math.log(1e4)  # nor does it leave the mean cost further behind, where nothing more is to be had or saved
_MEMORY = 100  # purchases over which the mean cost is formed
_PHASES = 24  # of a window, for its load: the hours of a day
_HORIZON = 0.1  # of a window's load; what was spent too much or too little is made up for over no less, even if the window ends before
_RECENT = 1_000  # requests over which quality that was short of the floor is made up for
_SHORT = 50.0  # requests' worth of it, and no more: a floor that was out of reach for a while is not paid for ever after


def _check(name: str, amount: float) -> None:
    if not 0 <= amount < math.inf:
        raise InvalidQuery(f"{name} must be finite and not negative, not {amount}", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a tenant wants, exactly one of three.

    `value`: micro-dollars a right answer is worth. `floor`: the mean quality, in (0, 1], to be had at the least cost. `cap`: micro-dollars that may
    be spent in every `window` seconds, for the most quality. Raises InvalidQuery, which names the field that is wrong.
    """

    value: float | None = None
    floor: float | None = None
    cap: int | None = None
    window: float = 86_400.0

    def __post_init__(self) -> None:
        named = [name for name in ("value", "floor", "cap") if getattr(self, name) is not None]
        if len(named) != 1:
            raise InvalidQuery(
                f"an objective is one of value, floor and cap, not {' and '.join(named) or 'none'}", field=named[1] if named else "value"
            )
        if self.value is not None:
            _check("value", self.value)
        if self.floor is not None and not 0 < self.floor <= 1:
            raise InvalidQuery(f"floor must lie in (0, 1], not {self.floor}", field="floor")
        if self.cap is not None and not 0 < self.cap < math.inf:
            raise InvalidQuery(f"cap must be positive and finite, not {self.cap}", field="cap")
        if not 0 < self.window < math.inf:
            raise InvalidQuery(f"window must be positive and finite, not {self.window}", field="window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What is set aside for a request in flight: the micro-dollars it is expected to cost, and those it cannot exceed."""

    cost: float = 0.0
    most: float = 0.0

    def __post_init__(self) -> None:
        _check("cost", self.cost)
        _check("most", self.most)


NO_HOLD = Hold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where the learning of one tenant's value stands. Times are seconds on one clock of all routers, money is micro-dollars."""

    start: float  # when the window began; the first may begin any time
    at: float  # of the latest event
    dual: float = math.log(5_000)  # natural logarithm of the value
    scale: float = 0.0  # mean cost of the requests that cost something, 0 before the first
    spent: float = 0.0  # in this window
    held: float = 0.0  # that requests in flight are expected to cost
    withheld: float = 0.0  # that they may cost at most
    quality: float = 0.0  # sum over all requests
    deficit: float = 0.0  # quality by which all requests together fell short of the floor, within limits
    count: int = 0  # of all requests
    bought: int = 0  # of those that cost something
    profile: tuple[float, ...] = (1 / _PHASES,) * _PHASES  # share of a window's requests that end in each phase of it, learned from those before
    arrivals: tuple[int, ...] = (0,) * _PHASES  # in each phase of this window

    @property
    def mean(self) -> float:
        """Mean quality of all requests; NaN before the first."""
        return self.quality / self.count if self.count else math.nan

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> "Pace":
        """What `to_dict` gave."""
        return cls(**{**saved, "profile": tuple(saved["profile"]), "arrivals": tuple(saved["arrivals"])})


def value(pace: Pace, objective: Objective, at: float) -> float:
    """Micro-dollars that a right answer is worth in a decision at `at`; 0 where the cap is used up."""
    if objective.value is not None:
        return objective.value
    return math.exp(_advance(pace, objective, at).dual) if ceiling(pace, objective, at) > 0 else 0.0


def ceiling(pace: Pace, objective: Objective, at: float) -> float:
    """Micro-dollars that a request starting at `at` may cost at most: what is neither spent nor withheld of the cap; infinite without one.

    Where every request holds what it may cost at most, and costs no more, no window's spending exceeds the cap.
    """
    if objective.cap is None:
        return math.inf
    now = _advance(pace, objective, at)
    return max(0.0, objective.cap - now.spent - now.withheld)


def reserve(pace: Pace, objective: Objective, hold: Hold, at: float) -> Pace:
    """A request begins at `at`. It counts at once, so that requests in flight neither overspend nor delay the learning."""
    now = _commit(_advance(pace, objective, at), objective, hold.cost)
    return replace(now, held=now.held + hold.cost, withheld=now.withheld + hold.most)


def update(pace: Pace, objective: Objective, *, cost: float, quality: float, at: float, hold: Hold = NO_HOLD) -> Pace:
    """A request ended at `at`: its micro-dollars, its quality in [0, 1], observed or else predicted, and what was held for it."""
    _check("cost", cost)
    if not 0 <= quality <= 1:
        raise InvalidQuery(f"quality must lie in [0, 1], not {quality}", field="quality")
    now = _advance(pace, objective, at)
    if cost:
        now = replace(now, bought=now.bought + 1, scale=now.scale + (cost - now.scale) / min(now.bought + 1, _MEMORY))
    now = _commit(now, objective, cost - hold.cost)
    if objective.floor is not None:
        now = _lift(now, objective.floor - quality)
    phase = _phase(now, objective, now.at)
    return replace(
        now,
        spent=now.spent + cost,
        held=now.held - hold.cost,
        withheld=now.withheld - hold.most,
        quality=now.quality + quality,
        count=now.count + 1,
        arrivals=(*now.arrivals[:phase], now.arrivals[phase] + 1, *now.arrivals[phase + 1 :]),
    )


def reachable(objective: Objective, success: Array) -> float:
    """The mean quality if every query had its best plan, whose predicted P(right) on recent queries `success` (n,) holds.

    Raises Unreachable where even the upper end of that mean's 95 % interval is under the floor, and InvalidQuery for what is no probability.
    """
    if not len(success) or not ((success >= 0) & (success <= 1)).all():
        raise InvalidQuery("success must hold probabilities, at least one", field="success")
    most = float(success.mean())
    high = most + 1.96 * float(success.std()) / math.sqrt(len(success))
    if objective.floor is not None and objective.floor > high:
        message = f"a mean quality of {objective.floor} is out of reach: the best plan for every query gives {most:.3f}"
        raise Unreachable(message, floor=objective.floor, reachable=most)
    return most


def _advance(pace: Pace, objective: Objective, at: float) -> Pace:
    """Time passes: the cap allows more, which raises the value, and a new window may begin."""
    if at <= pace.at:
        return pace
    now, before, due = pace, _due(pace, objective, pace.at), _due(pace, objective, at)
    if objective.cap is not None and pace.scale:
        ahead = (pace.spent + pace.held) / objective.cap - before
        allowance = objective.cap * (due - before) * max(0.0, 1 - ahead / max(1 - before, _HORIZON))
        now = _move(now, _step(now, _CAP_STEP) * allowance / pace.scale)
    if due >= 1:
        start = pace.start + math.floor((at - pace.start) / objective.window) * objective.window
        now = replace(now, start=start, spent=0.0, profile=_learned(pace), arrivals=(0,) * _PHASES)
    return replace(now, at=at)


def _due(pace: Pace, objective: Objective, at: float) -> float:
    """Caps to be spent from the start of the window to `at`: one for every whole window, and within one as its load is expected to be spread."""
    windows, part = divmod((at - pace.start) / objective.window, 1.0)
    place = _phase(pace, objective, at)
    return windows + sum(pace.profile[:place]) + pace.profile[place] * (part * _PHASES - place)


def _phase(pace: Pace, objective: Objective, at: float) -> int:
    return min(int((at - pace.start) / objective.window % 1.0 * _PHASES), _PHASES - 1)


def _learned(pace: Pace) -> tuple[float, ...]:
    """The load expected of the next window: half of it is what this window's was, smoothed by one request per phase."""
    total = sum(pace.arrivals) + _PHASES
    return tuple((old + (new + 1) / total) / 2 for old, new in zip(pace.profile, pace.arrivals, strict=True))


def _commit(pace: Pace, objective: Objective, cost: float) -> Pace:
    """So much more, or less, is spent or will be, which moves the value the other way."""
    return _move(pace, -_step(pace, _CAP_STEP) * cost / pace.scale) if objective.cap is not None and pace.scale else pace


def _lift(pace: Pace, short: float) -> Pace:
    """A request's quality was so far under the floor, over it if negative: that and what those before it lack move the value."""
    deficit = min(_SHORT, max(-_SHORT, pace.deficit + short))
    return replace(_move(pace, _step(pace, _FLOOR_STEP) * (short + deficit / _RECENT)), deficit=deficit)


def _step(pace: Pace, least: float) -> float:
    return max(least, _FIRST / math.sqrt(pace.bought + 1))


def _move(pace: Pace, change: float) -> Pace:
    dual = pace.dual + min(_JUMP, max(-_JUMP, change))
    if pace.scale:
        centre = math.log(pace.scale)
        dual = min(centre + _SPREAD, max(centre - _SPREAD, dual))
    return replace(pace, dual=dual)
