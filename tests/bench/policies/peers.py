"""Other libraries' bandits beside ours, each where it is installed. All see the same context and a constant, and learn quality less cost.

How much each explores is the best of GRID by mean reward over 2,000 rounds of TUNED_ON (`--tune` prints it): there the peers have an advantage.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module, util
from typing import Any

import numpy as np

from tests.bench.policies.competitors import Maker
from tests.bench.policies.problems import Problem

LIBRARIES = {"paretobandit": "pareto_bandit", "mabwiser": "mabwiser", "vowpalwabbit": "vowpalwabbit", "river": "river"}
_AT_ONCE = 5
_PRIOR = 1163.9  # outcomes that a warm start counts as: paretobandit's `prior_n_effective`
TUNED_ON = ("mmlu_pro", "reasoning_gym_easy")


def with_constant(context: np.ndarray) -> np.ndarray:
    """What a peer sees of each question, (n, c + 1)."""
    return np.column_stack((context, np.ones(len(context)))).astype(float)


class Pareto:
    """paretobandit's own policy: it learns quality, and is told what the plans cost on average, as it wants it."""

    def __init__(self, problem: Problem, seed: int, alpha: float = 0.01, gamma: float = 1.0, warm: bool = False) -> None:
        self.rows, self.names = with_constant(problem.context), [str(place) for place in range(len(problem.plans))]
        module: Any = import_module("pareto_bandit.policy")
        self.policy = module.DisjointLinUCBPolicy(self.names, dim=self.rows.shape[1], alpha=alpha, forgetting_factor=gamma, seed=seed)
        self.penalties = dict(zip(self.names, (problem.price / problem.worth).tolist(), strict=True))
        for row, outcomes in zip(with_constant(problem.known), problem.known_quality.tolist(), strict=True) if warm else ():
            for name, outcome in zip(self.names, outcomes, strict=True):
                self.policy.update(name, row, outcome, weight=_PRIOR / len(problem.known), advance_time=False)

    def choose(self, ask: int) -> int:
        name, _ = self.policy.select_arm(self.rows[ask], cost_penalties=self.penalties)
        self.policy.mark_selected(name)
        return int(name)

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        self.policy.update(self.names[plan], self.rows[ask], quality, advance_time=False)


class Mab:
    """mabwiser's LinUCB or LinTS. It is told five outcomes at a time, for every telling copies all of its random generators; ours wait longer."""

    def __init__(self, problem: Problem, seed: int, kind: str, alpha: float) -> None:
        self.rows, self.worth, self.plans = with_constant(problem.context), problem.worth, list(range(len(problem.plans)))
        module: Any = import_module("mabwiser.mab")
        self.mab = module.MAB(self.plans, getattr(module.LearningPolicy, kind)(alpha=alpha), seed=seed)
        self.rng, self.waiting, self.started = np.random.default_rng(seed), [], False

    def choose(self, ask: int) -> int:
        return int(self.mab.predict(self.rows[ask : ask + 1])) if self.started else int(self.rng.choice(self.plans))

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        self.waiting.append((plan, quality - cost / self.worth, ask))
        if len(self.waiting) == _AT_ONCE:
            plans, rewards, asked = (np.array(one) for one in zip(*self.waiting, strict=True))
            (self.mab.partial_fit if self.started else self.mab.fit)(plans, rewards, self.rows[asked])
            self.waiting, self.started = [], True


class Vw:
    """Vowpal Wabbit's contextual bandit with action-dependent features: the plan, and it with every number of the context."""

    def __init__(self, problem: Problem, seed: int, explore: str) -> None:
        self.worth, self.plans, self.rng = problem.worth, range(len(problem.plans)), np.random.default_rng(seed)
        self.texts = ["shared |u " + " ".join(f"{place}:{value:.4f}" for place, value in enumerate(row)) for row in problem.context.tolist()]
        module: Any = import_module("vowpalwabbit")
        self.workspace = module.Workspace(f"--cb_explore_adf {explore} -q ua --quiet --random_seed {seed + 1}")
        self.chance = 1.0

    def _lines(self, ask: int, bought: int = -1, cost: float = 0.0) -> str:
        told = (f"0:{cost:.5f}:{self.chance:.5f} " if plan == bought else "" for plan in self.plans)
        return "\n".join((self.texts[ask], *(f"{label}|a plan{plan}" for plan, label in zip(self.plans, told, strict=True))))

    def choose(self, ask: int) -> int:
        chances = np.array(self.workspace.predict(self._lines(ask)))
        plan = int(self.rng.choice(len(chances), p=chances / chances.sum()))
        self.chance = float(chances[plan])
        return plan

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        self.workspace.learn(self._lines(ask, plan, cost / self.worth - quality))


class River:
    """river's disjoint LinUCB, a Bayesian linear regression for each plan."""

    def __init__(self, problem: Problem, seed: int, beta: float) -> None:
        self.rows, self.worth, self.plans = with_constant(problem.context), problem.worth, range(len(problem.plans))
        module: Any = import_module("river.bandit")
        self.policy = module.LinUCBDisjoint(alpha=1.0, beta=beta, seed=seed)

    def _row(self, ask: int) -> dict[int, float]:
        return dict(enumerate(self.rows[ask].tolist()))

    def choose(self, ask: int) -> int:
        return int(self.policy.pull(self.plans, self._row(ask)))

    def learn(self, ask: int, plan: int, quality: float, cost: float) -> None:
        self.policy.update(plan, self._row(ask), quality - cost / self.worth)


GRID: Mapping[str, tuple[str, type, Sequence[Mapping[str, Any]]]] = {
    "paretobandit": ("paretobandit", Pareto, [{"alpha": alpha, "gamma": gamma} for alpha in (0.01, 0.1, 0.3, 1.0) for gamma in (1.0, 0.997)]),
    "mabwiser LinUCB": ("mabwiser", Mab, [{"kind": "LinUCB", "alpha": alpha} for alpha in (0.1, 0.3, 1.0)]),
    "mabwiser LinTS": ("mabwiser", Mab, [{"kind": "LinTS", "alpha": alpha} for alpha in (0.1, 0.3, 1.0)]),
    "VW squarecb": ("vowpalwabbit", Vw, [{"explore": f"--squarecb --gamma_scale {scale}"} for scale in (10, 100, 1000)]),
    "VW regcb": ("vowpalwabbit", Vw, [{"explore": f"--regcb --cb_min_cost -1 --cb_max_cost 1 --mellowness {share}"} for share in (0.1, 0.01, 0.001)]),
    "river LinUCB": ("river", River, [{"beta": beta} for beta in (1.0, 4.0, 16.0)]),
}  # by name: the library, the class, and the options that were tried
TUNED: Mapping[str, Mapping[str, Any]] = {
    "paretobandit": {"alpha": 0.1, "gamma": 0.997},
    "mabwiser LinUCB": {"kind": "LinUCB", "alpha": 0.3},
    "mabwiser LinTS": {"kind": "LinTS", "alpha": 0.1},
    "VW squarecb": {"explore": "--squarecb --gamma_scale 100"},
    "VW regcb": {"explore": "--regcb --cb_min_cost -1 --cb_max_cost 1 --mellowness 0.001"},
    "river LinUCB": {"beta": 4.0},
}
_WARM = {"alpha": 0.01, "gamma": 1.0}  # as paretobandit recommends with a prior, but for forgetting: nothing changes here, and it is better so


def installed() -> tuple[str, ...]:
    """The libraries that can be imported."""
    return tuple(name for name, module in LIBRARIES.items() if util.find_spec(module))


def peers() -> Mapping[str, Maker]:
    """By name."""
    there = installed()
    found: dict[str, Maker] = {name: partial(made, **TUNED[name]) for name, (library, made, _) in GRID.items() if library in there}
    if "paretobandit" in there:
        found["paretobandit, warm"] = partial(Pareto, **_WARM, warm=True)
    return found
