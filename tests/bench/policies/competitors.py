"""Who buys: the service's own policies by the service's own parts, and the controls. The peers are in `peers.py`."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from policies import policies
from policies.bandit import Bandit
from policies.learner import FLEET, Learner
from policies.neural_linear import NeuralLinear
from router.ports import Policy
from router.types import Evidence, Knobs, Prediction, Record
from tests.bench.policies.problems import Places, Problem

_EARLY = 250  # outcomes until which posteriors come more often
_PUBLISHED = (25, 100)  # outcomes between two posteriors, then and later; the service makes one a second
_EPSILON, _DOUBT = 0.05, 5.0
_NOTHING = Evidence()


class Competitor(Protocol):
    """Is asked question by question, and told what came of what it bought before the next one."""

    def choose(self, ask: int) -> int:
        """The plan to buy for this question of the problem."""

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        """What the plan gave."""


Maker = Callable[[Problem, int], Competitor]
"""A competitor that knows nothing of the problem but what everybody may, with this seed."""


class Ours:
    """A registered policy: real predictions are weighed and drawn from, real rows folded by the learner, its posteriors given to the policy."""

    def __init__(self, problem: Problem, seed: int, policy: Policy, *, warm: bool = False, shuffled: bool = False) -> None:
        self.problem, self.policy, self.warm, self.learner = problem, policy, warm, Learner(deep=isinstance(policy, NeuralLinear))
        self.rng = np.random.default_rng(seed)
        self.plans, self.knobs = problem.catalogue, Knobs(value=problem.worth, max_stages=1)
        self.prior, self.told = problem.prior(), 0
        self.seen_as = self.rng.permutation(len(problem.context)) if shuffled else np.arange(len(problem.context))

    def predicted(self, ask: int) -> Prediction:
        ask = int(self.seen_as[ask])
        if self.warm:
            return self.problem.warm(ask)
        return Prediction(in_hand=0.0, forecasts=self.prior.forecasts, version=self.prior.version, context=self.problem.context[ask])

    def choose(self, ask: int) -> int:
        self.prediction = self.predicted(ask)
        self.decision = self.policy.weigh(self.prediction, _NOTHING, self.plans, self.knobs).draw(self.rng)
        return self.problem.plans.index(self.decision.plan)

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        if not isinstance(self.policy, Bandit):
            return
        forecasts, known = self.prediction.forecasts, {"decision_id": str(self.told), "tenant": "default", "at": float(self.told)}
        self.learner.fold(
            Record(
                id=f"{self.told}/0", kind="stage", action="buy", plan=self.decision.plan, propensity=self.decision.propensity,
                offered=self.problem.plans, success=tuple(one.success for one in forecasts), costs=tuple(one.cost for one in forecasts),
                predictor=self.prediction.version, context=tuple(self.prediction.context.tolist()), stop_reason="done", cost=round(cost), **known,
            )
        )  # fmt: skip
        self.learner.fold(Record(id=f"{self.told}/0/unit_test", kind="reward", reward=quality, reward_source="unit_test", **known))
        self.told += 1
        if self.told % _PUBLISHED[self.told > _EARLY] == 0:
            self.policy = self.policy.after(self.learner.posteriors()[FLEET])


class Given:
    """Buys what was worked out beforehand."""

    def __init__(self, choices: Places) -> None:
        self.choices = choices

    def choose(self, ask: int) -> int:
        return int(self.choices[ask])

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        """Nothing."""


class Random(Given):
    """Any plan."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(np.random.default_rng(seed).integers(len(problem.plans), size=len(problem.context)))


class ByCategory:
    """Knows each question's category, and takes the plan that has done best in it so far, but one time in twenty any other."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self.problem, self.rng = problem, np.random.default_rng(seed)
        self.total = np.zeros((problem.category.max() + 1, len(problem.plans)))
        self.count = np.zeros_like(self.total)

    def choose(self, ask: int) -> int:
        if self.rng.random() < _EPSILON:
            return int(self.rng.integers(len(self.problem.plans)))
        overall = (self.total.sum(axis=0) + 1) / (self.count.sum(axis=0) + 1)
        here = self.problem.category[ask]
        return int(((self.total[here] + _DOUBT * overall) / (self.count[here] + _DOUBT)).argmax())

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        here = self.problem.category[ask]
        self.total[here, plan] += quality - cost / self.problem.worth
        self.count[here, plan] += 1


def learning() -> tuple[str, ...]:
    """Every registered policy that learns online."""
    return tuple(name for name in policies.describe() if isinstance(policies.build(name), Bandit))


def ours() -> Mapping[str, Maker]:
    """By name; warm, with a predictor fitted to other questions."""
    found: dict[str, Maker] = {}
    for name in (*learning(), "allocator"):
        found[name] = lambda problem, seed, name=name: Ours(problem, seed, policies.build(name))
    for name in ("thompson", "linucb", "allocator"):
        found[f"{name}, warm"] = lambda problem, seed, name=name: Ours(problem, seed, policies.build(name), warm=True)
    return found | {"thompson, shuffled": lambda problem, seed: Ours(problem, seed, policies.build("thompson"), shuffled=True)}


def controls(problem: Problem) -> Mapping[str, Maker]:
    """By name; those that have seen every outcome are among them."""
    found: dict[str, Maker] = {"random": Random}
    if problem.category.max():
        found["category, greedy"] = ByCategory
    return found | {name: lambda problem, seed, name=name: Given(problem.choices[name]) for name in problem.choices}
