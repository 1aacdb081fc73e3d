"""What the rounds say: regret by window with intervals over seeds, paired differences, and whether the aims are met.

Regret is what the full-information reference earned on the same questions, less what the competitor earned, in right answers per question.
"""

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from tests.bench.policies.problems import Array, Problem
from tests.bench.policies.rounds import BLOCK

REFERENCE, CONSTANT, ORACLE = "full information", "best constant", "hindsight oracle"
_EDGES = (0, 250, 500, 1_000, 2_000)
_AIM = 0.5  # of the best peer's regret

Interval = tuple[float, float, float]  # mean, and the ends of its 95 % interval


def interval(values: Array) -> Interval:
    """Of the mean of independent runs (n,), by Student's t."""
    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.inf
    return mean, mean - half, mean + half


def windows(rounds: int) -> dict[str, slice]:
    """By name, the blocks of each window; the last of them is what the aims are about."""
    edges = [edge for edge in _EDGES if edge < rounds] + [rounds]
    return {f"{low:,}-{high:,}": slice(low // BLOCK, high // BLOCK) for low, high in pairwise(edges)}


def judged(problem: Problem, played: Mapping[str, Array], peers: Collection[str], ours: Collection[str]) -> dict[str, Any]:
    """Everything about one problem; `played` has (seeds, blocks, 3) of every competitor."""
    rounds = next(iter(played.values())).shape[1] * BLOCK
    parts = windows(rounds)
    last = list(parts)[-1]
    earned = {name: seen[:, :, 0] for name, seen in played.items()}
    late = {name: (earned[REFERENCE] - seen)[:, parts[last]].mean(axis=1) for name, seen in earned.items()}
    rivals = {warm: min((one for one in peers if is_warm(one) is warm), key=lambda one: late[one].mean(), default="") for warm in (False, True)}
    rows = {}
    for name, seen in played.items():
        regret, rival = earned[REFERENCE] - earned[name], rivals[is_warm(name)]
        rows[name] = {
            "regret": {window: interval(regret[:, part].mean(axis=1)) for window, part in parts.items()} | {"all": interval(regret.mean(axis=1))},
            "reward": interval(earned[name].mean(axis=1)),
            "quality": float(seen[:, :, 1].mean()),
            "cost": float(seen[:, :, 2].mean()),
            "ahead of the best constant": interval(late[CONSTANT] - late[name]),
            "best peer": rival,
            "ahead of the best peer": interval(late[rival] - late[name]) if rival else None,
            "curve": regret.mean(axis=0).tolist(),
        }
    return {
        "questions": len(problem.context),
        "plans": {plan: [float(q), float(c)] for plan, q, c in zip(problem.plans, problem.quality.mean(axis=0), problem.price, strict=True)},
        "worth": problem.worth,
        "reference": problem.reference,
        "seeds": len(late[CONSTANT]),
        "last": last,
        "again": rounds > len(problem.context),
        "rows": rows,
        "aims": [_aim(name, rows, last) for name in ours if name in rows],
    }


def is_warm(name: str) -> bool:
    """Whether a competitor of this name begins with what other questions' outcomes say; such ones are compared with one another."""
    return name.endswith(", warm")


def _aim(name: str, rows: Mapping[str, Any], last: str) -> dict[str, Any]:
    mine, rival = rows[name]["regret"][last][0], rows[name]["best peer"]
    theirs = rows[rival]["regret"][last][0] if rival else None
    return {
        "policy": name,
        "regret": mine,
        "best peer": rival,
        "of the best peer": theirs,
        "half": theirs is not None and mine <= _AIM * theirs,
        "below the best constant": rows[name]["ahead of the best constant"][1] > 0,
    }
