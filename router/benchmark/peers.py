"""Other projects' routers beside ours, each where it is installed: paretobandit, and the complexity router of litellm."""

import os
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module, util
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

Array = NDArray[np.float64]
PEERS: Mapping[str, str] = {
    "paretobandit": "pareto_bandit.policy",
    "litellm": "litellm.router_strategy.complexity_router.complexity_router",
}
_COMPONENTS = 25  # of the vector, and a constant: as paretobandit has it
_TIERS = {"SIMPLE": "a", "MEDIUM": "b", "COMPLEX": "c", "REASONING": "d"}  # litellm wants a model for each; only its score is used


def installed() -> tuple[str, ...]:
    """Those that can be imported."""
    return tuple(name for name, module in PEERS.items() if util.find_spec(module.partition(".")[0]))


def pareto_bandit(x: Array, quality: Array, there: Array) -> Array:
    """Expected rewards (rows of `there`, arms) by its disjoint LinUCB, told the outcome of every arm on every question of `x` (n, d).

    That is more than it would learn while it serves, when only the arm it chose is known.
    """
    reduced = PCA(min(_COMPONENTS, *x.shape), whiten=True, random_state=0).fit(x)
    rows, others = (np.column_stack((reduced.transform(one), np.ones(len(one)))) for one in (x, there))
    arms = [str(arm) for arm in range(quality.shape[1])]
    policy: Any = import_module(PEERS["paretobandit"]).DisjointLinUCBPolicy(arms, dim=rows.shape[1], forgetting_factor=1.0, seed=0)
    for row, outcomes in zip(rows, quality, strict=True):
        for arm, outcome in zip(arms, outcomes, strict=True):
            policy.update(arm, row, float(outcome))
    return np.array([[policy.get_expected_reward(arm, row) for arm in arms] for row in others])


@lru_cache(maxsize=2)
def complexity(texts: tuple[str, ...]) -> Array:
    """The score that litellm gives each text (n,): rules over keywords, length and questions, learned from nothing."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it would fetch one
    router: Any = import_module(PEERS["litellm"]).ComplexityRouter("auto", None, {"tiers": _TIERS}, "a")
    return np.array([router.classify(text)[1] for text in texts])
