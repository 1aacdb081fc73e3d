"""Learned features: found where errors are no straight lines in the context, harmless where they are, and the same for every router."""

import numpy as np
import pytest

from policies import policies
from policies.learner import FLEET, Learner
from policies.network import Network
from router.types import Evidence, Forecast, Knobs, Plan, Prediction, Record

NAMES = tuple("abcde")
PLANS = tuple(Plan(id=name, pool=name, strategy="direct") for name in NAMES)


def bent(x):
    """Errors of forecasts that depend on two numbers of the context together, so that no line tells them."""
    return 0.45 * np.tanh(2 * x[0]) * np.tanh(2 * x[1]) * np.array([1, -1, 0, 0, 0])


def straight(x):
    return 0.2 * x[0] * np.array([1, -1, 0, 0, 0]) + 0.2 * x[2] * np.array([0, 0, 1, -1, 0])


def regret(name, errors, rounds=2_500, seed=0):
    """Mean over the last 1,000 rounds; all plans are forecast at .5 and cost the same."""
    rng, learner, policy, lost = np.random.default_rng(seed), Learner(deep=True), policies.build(name), []
    forecasts = tuple(Forecast(plan=name, success=0.5, low=0.4, high=0.6, tokens=1.0, cost=10.0, seconds=1.0) for name in NAMES)
    for number in range(rounds):
        x = rng.normal(size=8).clip(-3, 3).astype(np.float32)
        right = np.clip(0.5 + errors(x), 0.02, 0.98)
        choices = policy.weigh(Prediction(in_hand=0.0, forecasts=forecasts, version="v", context=x), Evidence(), PLANS, Knobs(value=1_000.0))
        plan = choices.draw(rng).plan
        place = NAMES.index(plan)
        known = {"decision_id": str(number), "tenant": "t", "at": float(number)}
        bought = {"action": "buy", "plan": plan, "offered": NAMES, "success": (0.5,) * 5, "costs": (10.0,) * 5, "context": tuple(x.tolist())}
        learner.fold(Record(id="p", kind="stage", predictor="v", cost=10, **known, **bought))
        learner.fold(Record(id="r", kind="reward", stage=0, reward=float(rng.random() < right[place]), reward_source="unit_test", **known))
        lost.append(right.max() - right[place])
        if number % 50 == 49:
            policy = policy.after(learner.posteriors()[FLEET])
    return np.mean(lost[-1_000:]), policy


def test_it_finds_what_no_line_tells():
    pairs = [[regret(name, bent, seed=seed)[0] for name in ("thompson", "neural_linear")] for seed in range(3)]
    linear, deep = np.mean(pairs, axis=0)
    assert deep < 0.75 * linear


def test_where_a_line_tells_all_it_is_no_worse():
    pairs = [[regret(name, straight, seed=seed)[0] for name in ("thompson", "neural_linear")] for seed in range(3)]
    linear, deep = np.mean(pairs, axis=0)
    assert deep < linear + 0.01


def test_two_routers_learn_the_same_features_bit_for_bit():
    one, other = (regret("neural_linear", bent, rounds=700)[1] for _ in range(2))
    assert one.posterior.network is not None
    assert one.version == other.version


def test_until_there_are_outcomes_enough_it_is_thompson():
    policy = regret("neural_linear", bent, rounds=400)[1]
    assert policy.posterior.network is None


@pytest.mark.parametrize("seed", [0, 1])
def test_features_explain_outcomes_that_were_not_seen(seed):
    rng = np.random.default_rng(seed)
    x, plan = rng.normal(size=(6_000, 8)), rng.integers(5, size=6_000)
    truth = np.array([bent(one)[place] for one, place in zip(x, plan, strict=True)])
    right = rng.random(6_000) < 0.5 + truth
    fitted, rest = slice(0, 3_000), slice(3_000, 6_000)
    network = Network.fitted(x[fitted], right[fitted] - 0.5, np.ones(3_000), plan[fitted])

    def unexplained(columns):
        """Of the variance of the truth about plan a, by least squares on these columns."""
        a = plan == 0
        theta = np.linalg.lstsq(columns[fitted][a[fitted]], (right - 0.5)[fitted][a[fitted]], rcond=None)[0]
        return ((columns[rest][a[rest]] @ theta - truth[rest][a[rest]]) ** 2).mean() / (truth[rest][a[rest]] ** 2).mean()

    assert unexplained(x) > 0.9
    assert unexplained(network.beside(x)) < 0.5
