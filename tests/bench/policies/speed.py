"""Microseconds of deciding and of learning, with paretobandit's own beside them, and how both grow."""

import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from policies import policies
from policies.learner import FLEET, Learner
from router.types import Evidence, Forecast, Knobs, Plan, Prediction, Record
from tests.bench.policies.competitors import learning
from tests.bench.policies.peers import installed

GROWTH = {"plans": (5, 10, 20, 40), "width": (8, 16, 32, 64), "tenants": (1, 10, 100)}
AIMS = {"decide": 20, "learn": 50}  # microseconds
_USUAL = {"plans": 10, "width": 16, "tenants": 1}


def speed(outcomes: int = 1_000, times: int = 400) -> dict[str, Any]:
    """Medians after so many outcomes at the usual size, and along each way to grow; every decision is timed so many times."""
    found: dict[str, Any] = {"usual": _USUAL, "microseconds": _measured(outcomes, times, **_USUAL)}
    grown = {way: {str(size): _measured(outcomes, times, **{**_USUAL, way: size}) for size in sizes} for way, sizes in GROWTH.items()}
    return found | {"growth": grown}


def timed(one: Callable[[int], object], times: int) -> float:
    """Median microseconds of a call with 0, 1, 2, ..."""
    taken = []
    for place in range(times):
        began = time.perf_counter()
        one(place)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def _measured(outcomes: int, times: int, plans: int, width: int, tenants: int) -> dict[str, float]:
    rng, names = np.random.default_rng(0), tuple(f"plan{place}" for place in range(plans))
    predictions = [_prediction(rng, names, width) for _ in range(times)]
    learner, catalogue = Learner(), [Plan(id=name, pool="p", strategy="direct") for name in names]
    rows = [_rows(number, predictions[number % times], names[number % plans], f"t{number % tenants}", rng) for number in range(outcomes)]
    found = {"learn, per outcome": timed(lambda place: [learner.fold(row) for row in rows[place]], outcomes)}
    posteriors = learner.posteriors()
    found["posteriors of all tenants"] = timed(lambda _: learner.posteriors(), 3)
    for name in (*learning(), "allocator"):
        policy: Any = policies.build(name)
        policy = policy.after(posteriors[FLEET]) if hasattr(policy, "after") else policy
        found[f"decide, {name}"] = timed(
            lambda place, policy=policy: policy.weigh(predictions[place], Evidence(), catalogue, Knobs(value=10_000.0, max_stages=1)).draw(rng), times
        )
    return found | (_paretobandit(predictions, names, width) if "paretobandit" in installed() else {})


def _prediction(rng: np.random.Generator, names: tuple[str, ...], width: int) -> Prediction:
    forecasts = tuple(
        Forecast(plan=name, success=float(p), low=float(p) / 2, high=(1 + float(p)) / 2, tokens=100.0, cost=100.0 * (place + 1), seconds=1.0)
        for place, (name, p) in enumerate(zip(names, rng.uniform(0.2, 0.9, len(names)), strict=True))
    )
    return Prediction(in_hand=0.0, forecasts=forecasts, version="v", context=rng.normal(size=width).astype(np.float32))


def _rows(number: int, prediction: Prediction, plan: str, tenant: str, rng: np.random.Generator) -> tuple[Record, Record]:
    """What the log has of one purchase and its outcome."""
    known = {"decision_id": str(number), "tenant": tenant, "at": float(number)}
    success, costs, names = (tuple(getattr(one, field) for one in prediction.forecasts) for field in ("success", "cost", "plan"))
    bought = Record(
        id=f"{number}/0", kind="stage", action="buy", plan=plan, offered=names, success=success, costs=costs, predictor="v",
        context=tuple(prediction.context.tolist()), stop_reason="done", cost=100, **known,
    )  # fmt: skip
    return bought, Record(id=f"{number}/0/unit_test", kind="reward", reward=float(rng.random() < 0.6), reward_source="unit_test", **known)


def _paretobandit(predictions: list[Prediction], names: tuple[str, ...], width: int) -> dict[str, float]:
    """Its whole route and feedback, on vectors that are ready."""
    router: Any = import_module("pareto_bandit.router").BanditRouter.create(
        model_registry={name: {"input_cost_per_m": 0.1 * place, "output_cost_per_m": 0.2 * place} for place, name in enumerate(names, 1)},
        priors="none",
        feature_service=import_module("pareto_bandit.feature_service").FeatureService.for_precomputed(width + 1),
    )
    rows = [np.append(one.context, 1.0) for one in predictions]
    logs: list[Any] = []
    route = timed(lambda place: logs.append(router.route(rows[place])[1]), len(rows))
    return {
        "paretobandit, route": route,
        "paretobandit, feedback": timed(lambda place: router.process_feedback(logs[place].request_id, reward=0.5), len(rows)),
    }
