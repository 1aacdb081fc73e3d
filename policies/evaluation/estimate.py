"""What a policy would have earned on a log, and how much more than another, with how sure that is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from policies.evaluation.intervals import Interval
from policies.evaluation.logs import Log, Trajectories, Trials, invalid
from policies.evaluation.support import Overlap, Support, doubts, overlap, require
from policies.evaluation.terms import Terms, units
from router.errors import NoSupport

L = TypeVar("L", Trials, Trajectories)

_INTERVAL, _SUPPORT = Interval(), Support()
_SHARED = ("action", "propensity", "reward", "mask", "weight", "group")  # what two policies on one log have in common


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its interval from `low` to `high` and its standard `error`, in units of reward per row of the log.

    `overlaps` tell how the log fits the policy, or each of two; `effective` is the smallest effective sample size among them. `figures` is what the
    estimator found out.
    """

    value: float
    low: float
    high: float
    error: float
    effective: float
    method: str
    interval: Interval
    overlaps: tuple[Overlap, ...]
    warnings: tuple[str, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)


def estimate(log: L, estimator: Callable[[L], Terms], interval: Interval = _INTERVAL, support: Support = _SUPPORT) -> Estimate:
    """The value of the log's target policy by an estimator such as `dr`, or `wdr` for trajectories.

    Raises `NoSupport` where the log falls short of `support`, and what the estimator and the interval raise.
    """
    return _estimate((log,), estimator(log), interval, support)


def difference(ours: L, theirs: L, estimator: Callable[[L], Terms], interval: Interval = _INTERVAL, support: Support = _SUPPORT) -> Estimate:
    """How much more our target policy is worth than theirs, both on one log: paired, so that what moves both does not widen the interval.

    Raises as `estimate` does, and `InvalidQuery` where the two do not share a log.
    """
    for name in _SHARED:
        left, right = (np.asarray(getattr(log, name, None)) for log in (ours, theirs))  # what is None becomes an array that equals itself only
        if not np.array_equal(left, right):
            raise invalid(name, "must be the same for two policies judged on one log")
    return _estimate((ours, theirs), _minus(estimator(ours), estimator(theirs)), interval, support)


def _minus(left: Terms, right: Terms) -> Terms:
    return Terms(
        method=left.method,
        numerator=np.hstack((left.numerator, -right.numerator)),
        denominator=np.hstack((left.denominator, right.denominator)),
        span=left.span and right.span and (left.span[0] - right.span[1], left.span[1] - right.span[0]),
        figures=left.figures | {f"their_{name}": figure for name, figure in right.figures.items()},
        warnings=(*left.warnings, *right.warnings),
    )


def _estimate(logs: tuple[Log, ...], terms: Terms, interval: Interval, support: Support) -> Estimate:
    overlaps = tuple(overlap(log) for log in logs)
    for found in overlaps:
        require(found, support)
    parts = units(logs[0], terms)
    if not parts.denominator.sum(0).all():
        raise NoSupport("no logged decision is one that this policy would take: log with more exploration, or judge a policy nearer to the log's")
    low, high = interval.of(parts)
    return Estimate(
        value=parts.value,
        low=low,
        high=high,
        error=parts.error,
        effective=min(found.effective for found in overlaps),
        method=terms.method,
        interval=interval,
        overlaps=overlaps,
        warnings=tuple(dict.fromkeys((*terms.warnings, *(doubt for found in overlaps for doubt in doubts(found))))),
        figures=terms.figures,
    )
