"""Logs of decisions as arrays: single decisions (`Trials`) and sequences of them (`Trajectories`), checked when they are made.

Rows are decisions or trajectories, n of them; every decision is among k actions, named by their places. An importance ratio is the chance that the
policy under evaluation gives the logged action over the chance with which it was logged.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.errors import InvalidQuery

Array = NDArray[np.float64]
Places = NDArray[np.int64]
Mask = NDArray[np.bool_]

_TOLERANCE = 1e-6  # of a sum of chances


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """Decisions in one row each, with how much the policy under evaluation would have to do with them (rows,)."""

    action: Places
    propensity: Array
    target: Array
    logging: Array | None
    weight: Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trials:
    """n decisions that do not lead to one another.

    `action` (n,) is what was done, `propensity` (n,) its chance when it was done, `reward` (n,) what came of it. `target` (n, k) are the chances that
    the policy under evaluation gives every action; `logging` (n, k) those of the policy that acted, where they were kept. `model` (n, k) is a
    predicted reward of every action; it must come from other rows than the one it speaks of (cross-fitting: Chernozhukov et al. 2018, definition
    3.1). `weight` (n,) is how many decisions each row stands for: a row of weight 3 counts like three copies of it, which are not three
    independent witnesses. `group` (n,) tells rows that belong together, such as one conversation's. What is known about all decisions beforehand:
    `bounds` of rewards and model, and `least`, the lowest propensity the acting policy ever gives.

    Raises `InvalidQuery` naming the field that is not in order.
    """

    action: Places
    propensity: Array
    reward: Array
    target: Array
    model: Array | None = None
    logging: Array | None = None
    weight: Array | None = None
    group: Places | None = None
    bounds: tuple[float, float] | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        _check(self, np.ones(_shape(self.action, 1), bool))
        _require(self.bounds is None or self.bounds[0] < self.bounds[1], "bounds", "must be a lower and a higher number")
        for name, values in (("reward", self.reward), ("model", self.model)):
            if self.bounds is not None and values is not None:
                low, high = self.bounds
                _require(bool(((values >= low) & (values <= high)).all()), name, f"must lie in the bounds {low:g} to {high:g}")
        _require(self.least is None or 0 < self.least <= self.propensity.min(), "least", "must be above 0 and not above any propensity")

    @property
    def ratios(self) -> Array:
        """Importance ratio of each row, (n,)."""
        return self.of_action(self.target) / self.propensity

    def of_action(self, values: Array) -> Array:
        """The column of the logged action, (n,), of a matrix (n, k)."""
        return _at(values, self.action)

    @property
    def steps(self) -> Steps:
        """The rows as they are."""
        return Steps(self.action, self.propensity, self.target, self.logging, self.weights)

    @property
    def weights(self) -> Array:
        """Weight of each row, (n,)."""
        return _weights(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectories:
    """n sequences of at most T decisions, each leading to the next: fields as of `Trials` with an axis T after the first.

    `mask` (n, T) is true where a step was taken: from the first on without a gap; what stands elsewhere is not read. `reward` (n, T) is counted
    undiscounted. `model` (n, T, k) predicts the sum of rewards from this step on under the policy under evaluation. `weight` and `group` are (n,).
    `known` (n, T, k) is that sum where it is known of an action, taken or not, NaN elsewhere: of answering with what is in hand, say, where that was
    rated. Such an action ends the sequence, and whether it is known must not depend on what came later: then no ratio need be paid for it.

    Raises `InvalidQuery` naming the field that is not in order.
    """

    action: Places
    propensity: Array
    reward: Array
    target: Array
    mask: Mask
    model: Array | None = None
    known: Array | None = None
    logging: Array | None = None
    weight: Array | None = None
    group: Places | None = None

    def __post_init__(self) -> None:
        shape = _shape(self.action, 2)
        _require(self.mask.shape == shape and self.mask.dtype == np.bool_, "mask", f"must be booleans of shape {shape}")
        _require(bool(self.mask[:, 0].all() and (self.mask[:, 1:] <= self.mask[:, :-1]).all()), "mask", "must begin with a step and have no gap")
        _check(self, self.mask)
        _require(self.known is None or self.known.shape == self.target.shape, "known", f"must have shape {self.target.shape}")

    @property
    def ratios(self) -> Array:
        """Importance ratio of each whole trajectory, (n,)."""
        return self.mass[:, -1]

    @property
    def mass(self) -> Array:
        """How much each row counts after each step, (n, T): `running`, but an action that is known counts without being taken. It is 1 on average."""
        if self.known is None:
            return self.running
        there = (~np.isnan(self.known) & self.mask[..., None]).astype(np.float64)
        settled = np.cumsum(self.before * self.expected(there), axis=1)
        ended = np.maximum.accumulate(self.of_action(there) > 0, axis=1)
        return np.asarray(settled + np.where(ended, 0.0, self.running))

    @property
    def values(self) -> Array | None:
        """The model, corrected by what is known, (n, T, k)."""
        return self.model if self.model is None or self.known is None else np.where(np.isnan(self.known), self.model, self.known)

    @property
    def running(self) -> Array:
        """Product of the ratios of all steps up to each, (n, T); after the end it stays."""
        ratios = np.where(self.mask, self.of_action(self.target) / np.where(self.mask, self.propensity, 1.0), 1.0)
        return np.asarray(np.cumprod(ratios, axis=1), np.float64)

    @property
    def before(self) -> Array:
        """`running` before each step, (n, T): 1 at first."""
        return _before(self.running)

    @property
    def mass_before(self) -> Array:
        """`mass` before each step, (n, T)."""
        return _before(self.mass)

    @property
    def rewards(self) -> Array:
        """Rewards, (n, T), 0 after the end."""
        return np.where(self.mask, self.reward, 0.0)

    def of_action(self, values: Array) -> Array:
        """The logged action's entries, (n, T), of an array (n, T, k); 0 after the end."""
        return np.where(self.mask, _at(values, np.where(self.mask, self.action, 0)), 0.0)

    def expected(self, values: Array) -> Array:
        """The mean, (n, T), of an array (n, T, k) under the target's chances; 0 after the end."""
        return np.where(self.mask, (self.target * values).sum(-1), 0.0)

    @property
    def steps(self) -> Steps:
        """Every step taken, weighted by how much more likely the target is to get there than the policy that acted."""
        taken = self.mask
        logging = None if self.logging is None else self.logging[taken]
        weight = (self.weights[:, None] * self.before)[taken]
        return Steps(self.action[taken], self.propensity[taken], self.target[taken], logging, weight)

    @property
    def weights(self) -> Array:
        """Weight of each row, (n,)."""
        return _weights(self)


Log = Trials | Trajectories


def _before(after: Array) -> Array:
    return np.hstack((np.ones((len(after), 1)), after[:, :-1]))


def invalid(field: str, rule: str) -> InvalidQuery:
    """The error for a field that breaks a rule."""
    return InvalidQuery(f"{field} {rule}", field=field)


def _require(holds: bool, field: str, rule: str) -> None:
    if not holds:
        raise invalid(field, rule)


def _at(values: Array, action: Places) -> Array:
    return np.take_along_axis(values, action[..., None], -1)[..., 0]


def _weights(log: Log) -> Array:
    return np.ones(len(log.action), np.float64) if log.weight is None else log.weight


def _shape(action: Places, axes: int) -> tuple[int, ...]:
    _require(action.ndim == axes and action.size > 0, "action", f"must have {axes} axes and not be empty")
    _require(bool(np.issubdtype(action.dtype, np.integer)), "action", "must be whole numbers")
    return action.shape


def _check(log: Log, taken: Mask) -> None:
    """Shapes, ranges and sums of the fields that both kinds of log have, where a step was taken."""
    shape = log.action.shape
    _require(log.propensity.shape == shape, "propensity", f"must have shape {shape}")
    _require(log.reward.shape == shape, "reward", f"must have shape {shape}")
    _require(log.target.shape[:-1] == shape, "target", f"must have shape {shape} and an axis of actions")
    _require(bool(((log.propensity > 0) & (log.propensity <= 1))[taken].all()), "propensity", "must be above 0 and at most 1")
    _require(bool(np.isfinite(log.reward[taken]).all()), "reward", "must be finite")
    _require(bool(((log.action >= 0) & (log.action < log.target.shape[-1]))[taken].all()), "action", "must be a place on the target's last axis")
    _check_chances("target", log.target, taken)
    if log.logging is not None:
        _require(log.logging.shape == log.target.shape, "logging", f"must have shape {log.target.shape}")
        _check_chances("logging", log.logging, taken)
        off = np.abs(_at(log.logging, np.where(taken, log.action, 0)) - log.propensity)
        _require(bool((off <= _TOLERANCE)[taken].all()), "logging", "must give the logged action its propensity")
    if log.model is not None:
        _require(log.model.shape == log.target.shape, "model", f"must have shape {log.target.shape}")
        _require(bool(np.isfinite(log.model[taken]).all()), "model", "must be finite")
    if log.weight is not None:
        _require(log.weight.shape == shape[:1], "weight", f"must have shape {shape[:1]}")
        _require(bool((np.isfinite(log.weight) & (log.weight > 0)).all()), "weight", "must be finite and above 0")
    if log.group is not None:
        fits = log.group.shape == shape[:1] and bool(np.issubdtype(log.group.dtype, np.integer))
        _require(fits, "group", f"must be whole numbers of shape {shape[:1]}")


def _check_chances(name: str, chances: Array, taken: Mask) -> None:
    rows = chances[taken]
    _require(bool((rows >= 0).all() and (np.abs(rows.sum(-1) - 1) <= _TOLERANCE).all()), name, "must be chances that sum to 1")
