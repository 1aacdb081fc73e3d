"""What a policy would have earned on a log's episodes, beside what acted and the controls, with intervals; or a refusal to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from policies.evaluation import Estimate, Interval, Trajectories, difference, estimate, wdr
from policies.evaluation.fitted import fitted
from policies.evaluation.logs import Array
from policies.metrics import hull
from router.errors import NoSupport
from router.evaluation.board import ABSTAIN, STOP, Board, constant, spread
from router.evaluation.foresight import Candidate, Foreseen, chances

OURS, LOGGED = "this policy", "what the log's policies did"
_INTERVAL, _QUICK = Interval(), Interval(kind="normal")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judge:
    """Judges policies on one board; a right answer is worth `value` micro-dollars."""

    board: Board
    foreseen: Foreseen
    value: float
    design: Array

    @classmethod
    def of(cls, board: Board, foreseen: Foreseen, value: float) -> Self:
        """With the design made once."""
        return cls(board=board, foreseen=foreseen, value=value, design=foreseen.design())

    def measured(self, target: Array) -> dict[str, Trajectories]:
        """The log for quality, cost, what is left of the one when the other is paid, and seconds."""
        quality = self._log(target, self.board.quality, self.foreseen.success, self.board.known)
        nothing = np.where(np.isnan(self.board.known), np.nan, 0.0)  # is what ending takes
        cost = self._log(target, self.board.cost, self.foreseen.cost, nothing)
        seconds = self._log(target, self.board.seconds, self.foreseen.seconds, nothing)
        assert quality.model is not None
        assert cost.model is not None
        net = replace(
            quality,
            reward=self.value * quality.reward - cost.reward,
            model=self.value * quality.model - cost.model,
            known=self.value * self.board.known,
        )
        return {"quality": quality, "cost": cost, "net": net, "seconds": seconds}

    def _log(self, target: Array, reward: Array, offset: Array, known: Array) -> Trajectories:
        board = self.board
        log = Trajectories(
            action=board.action,
            propensity=board.propensity,
            reward=reward,
            target=target,
            mask=board.mask,
            known=known,
            logging=board.logging,
            weight=None if (board.weight == 1).all() else board.weight,
        )
        return replace(log, model=fitted(log, self.design, offset))

    def estimates(self, target: Array, interval: Interval = _INTERVAL) -> dict[str, Any]:
        """See `_estimated`; of the policy with these chances."""
        return _estimated(self.measured(target), interval)

    def ahead(self, ours: Array, theirs: Array) -> dict[str, Any]:
        """See `_ahead`; of policies with these chances."""
        return _ahead(self.measured(ours), self.measured(theirs))

    def blind(self, target: Array) -> Array:
        """The same first purchases, as often, but whatever is asked: what looking at the query is worth is the difference."""
        first = np.average(target[:, 0], axis=0, weights=self.board.weight)
        shares = {name: float(share) for name, share in zip(self.board.names, first, strict=True) if name not in (STOP, ABSTAIN)}
        blind = spread(self.board, shares)
        blind[:, 1:] = target[:, 1:]
        return blind

    def constants(self) -> dict[str, dict[str, Any]]:
        """Every plan, bought whatever is asked."""
        return {plan: self.estimates(constant(self.board, plan), _QUICK) for plan in self.board.names[:-2]}

    def controls(self, target: Array, cost: float, known: Mapping[str, Mapping[str, Any]], best: str) -> dict[str, Array]:
        """What a policy is to be measured against: the best constant plan, the static mixture of its cost, and itself without the query."""
        if not known:
            return {"the same purchases, whatever is asked": self.blind(target)}
        shares = _mixture({plan: (one["cost"]["value"], one["quality"]["value"]) for plan, one in known.items()}, cost)
        return {
            always(best): constant(self.board, best),
            f"static mixture of that cost ({_shares(shares)})": spread(self.board, shares),
            "the same purchases, whatever is asked": self.blind(target),
        }


def always(plan: str) -> str:
    """What the best constant plan is called."""
    return f"always {plan}, the best constant plan"


def _mixture(points: Mapping[str, tuple[float, float]], cost: float) -> dict[str, float]:
    """Shares of constant plans, on the hull of these (cost, quality), that cost as much."""
    plans = list(points)
    prices, heights = hull(*(np.array([points[plan][side] for plan in plans]) for side in (0, 1)))
    corner = [
        next(plan for plan in plans if points[plan] == (price, height)) for price, height in zip(prices.tolist(), heights.tolist(), strict=True)
    ]
    place = int(np.searchsorted(prices, cost))
    if place in (0, len(prices)):
        return {corner[min(place, len(prices) - 1)]: 1.0}
    share = float((cost - prices[place - 1]) / (prices[place] - prices[place - 1]))
    return {corner[place - 1]: 1 - share, corner[place]: share}


def _shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{share:.0%} {plan}" for plan, share in shares.items())


def _estimated(logs: Mapping[str, Trajectories], interval: Interval = _INTERVAL) -> dict[str, Any]:
    """Quality, cost, net worth and seconds, each with its interval; or why there is none, with what the model alone says."""
    modelled = {name: _modelled(log) for name, log in logs.items()}
    try:
        found = {name: estimate(log, wdr, interval) for name, log in logs.items()}
    except NoSupport as error:
        return {"refused": error.message, "modelled": modelled}
    return {
        "quality": {name: min(1.0, max(0.0, end)) for name, end in _told(found["quality"]).items()},
        **{name: _told(found[name]) for name in ("cost", "net", "seconds")},
        "effective": found["net"].effective,
        "warnings": list(found["net"].warnings),
        "modelled": modelled,
    }


def _ahead(ours: Mapping[str, Trajectories], theirs: Mapping[str, Trajectories]) -> dict[str, Any]:
    """By how much one is worth more than the other, in micro-dollars per request, paired; or why nobody can say."""
    try:
        return _told(difference(ours["net"], theirs["net"], wdr))
    except NoSupport as error:
        return {"refused": error.message}


def _modelled(log: Trajectories) -> float:
    values = log.values
    assert values is not None
    return float(np.average((log.target[:, 0] * values[:, 0]).sum(1), weights=log.weights))


def _told(found: Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def judged(candidate: Candidate, board: Board, foreseen: Foreseen) -> dict[str, Any]:
    """The candidate, what acted, and the controls."""
    judge = Judge.of(board, foreseen, candidate.knobs.value)
    target = chances(candidate, board, foreseen)
    measured = judge.measured(target)
    ours = _estimated(measured)
    found, spent = {OURS: ours}, ours["cost"]["value"] if "cost" in ours else ours["modelled"]["cost"]
    constants = judge.constants()
    known = {plan: one for plan, one in constants.items() if "refused" not in one}
    best = max(known, key=lambda plan: known[plan]["net"]["value"], default="")
    others = {LOGGED: board.logging, **judge.controls(target, spent, known, best)}
    logs = {name: judge.measured(one) for name, one in others.items()}
    return {
        "estimates": found | {name: _estimated(one) for name, one in logs.items()},
        "ahead_of": {name: _ahead(measured, one) for name, one in logs.items()},
        "best_constant": best,
        "not_judged": [plan for plan in constants if plan not in known],
    }


def curve(candidate: Candidate, board: Board, foreseen: Foreseen, knob: str, values: Sequence[float]) -> dict[str, Any]:
    """Quality and cost along a knob's range, each with its interval, and constant plans beside it."""
    judge, points = Judge.of(board, foreseen, candidate.knobs.value), []
    for value in values:
        turned: dict[str, Any] = {knob: value}
        target = chances(replace(candidate, knobs=replace(candidate.knobs, **turned), paced=candidate.paced and knob != "value"), board, foreseen)
        points.append({"at": value, **judge.estimates(target)})
    return {
        "knob": knob,
        "now": getattr(candidate.knobs, knob),
        "points": points,
        "logged": judge.estimates(board.logging),
        "constants": judge.constants(),
    }
