"""The shadow price of a pool's queue: it comes with the load, goes with it, and keeps demand at what a pool can do."""

import numpy as np
import pytest

from policies import policies
from router.congestion import TARGET, Congestion
from router.types import Evidence, Forecast, Knobs, Plan, Prediction

PLANS = [Plan(id=name, pool=pool, strategy="direct") for name, pool in (("direct", "small"), ("best", "small"), ("tree", "large"))]
FORECASTS = tuple(
    Forecast(plan=name, success=success, low=0, high=1, tokens=cost, cost=cost, seconds=1.0)
    for name, success, cost in (("direct", 0.5, 100.0), ("best", 0.75, 800.0), ("tree", 0.95, 2_000.0))
)
PREDICTION = Prediction(in_hand=0.0, forecasts=FORECASTS, version="v")


def chosen(congestion: Congestion) -> str:
    policy = policies.build("allocator")
    knobs = Knobs(value=8_000.0, max_stages=1)
    return policy.weigh(congestion.priced(PREDICTION, PLANS), Evidence(), PLANS, knobs).draw(np.random.default_rng(0)).plan


def hold(congestion: Congestion, loads: dict[str, float], start: float, seconds: float) -> float:
    for step in range(int(seconds * 4)):
        congestion.observe(loads, start + step / 4)
    return start + seconds


def test_an_idle_pool_has_no_price() -> None:
    congestion = Congestion()
    hold(congestion, {"small": TARGET, "large": 0.0}, 0.0, 100)
    assert congestion.shares == {}
    assert congestion.priced(PREDICTION, PLANS) is PREDICTION
    assert congestion.reason(PLANS) == ""


def test_plans_degrade_as_pools_fill_and_come_back_after() -> None:
    congestion = Congestion()
    seen = [chosen(congestion)]
    at = hold(congestion, {"large": 2.0, "small": 0.5}, 0.0, 3)
    seen.append(chosen(congestion))
    assert congestion.reason(PLANS).startswith("pool large is busy and counts")
    at = hold(congestion, {"large": 2.0, "small": 3.0}, at, 3)
    seen.append(chosen(congestion))
    at = hold(congestion, {"large": 0.0, "small": 0.0}, at, 12)
    seen.append(chosen(congestion))
    assert seen == ["tree", "best", "direct", "tree"]
    assert congestion.shares == {}


def test_forecasts_are_not_touched() -> None:
    congestion = Congestion()
    hold(congestion, {"large": 4.0}, 0.0, 5)
    priced = congestion.priced(PREDICTION, PLANS)
    assert [one.cost for one in PREDICTION.forecasts] == [100.0, 800.0, 2_000.0]
    assert [one.cost for one in priced.forecasts][:2] == [100.0, 800.0]
    assert priced.forecasts[2].cost > 20_000
    assert [one.success for one in priced.forecasts] == [one.success for one in PREDICTION.forecasts]


@pytest.mark.parametrize("crowd", [0.5, 1.0, 2.0, 5.0])
def test_demand_settles_at_what_the_pool_can_do(crowd: float) -> None:
    """Queries of many values, `crowd` times as many as a pool has slots in each second; a tree holds a slot for about a second."""
    slots, queue, loads = 20, 0, []
    congestion, rng, policy = Congestion(), np.random.default_rng(0), policies.build("allocator")
    for step in range(600):
        for _ in range(rng.poisson(crowd * slots / 4)):
            knobs = Knobs(value=float(rng.lognormal(np.log(12_000.0), 1.0)), max_stages=1)
            decision = policy.weigh(congestion.priced(PREDICTION, PLANS), Evidence(), PLANS, knobs).draw(rng)
            queue += decision.plan == "tree"
        queue -= rng.binomial(min(queue, slots), 1 - np.exp(-0.25))
        congestion.observe({"large": queue / slots}, step / 4)
        loads.append(queue / slots)
    late = np.array(loads[200:])
    assert late.mean() < 1.1
    assert np.quantile(late, 0.95) < 2.5
    if crowd >= 1:  # and what there is, is used
        assert np.minimum(late, 1).mean() > 0.55
