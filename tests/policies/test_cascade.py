"""The cascade with a guarantee."""

import numpy as np
import pytest

from policies.cascade import Cascade
from router.types import Action, Evidence, Forecast, Knobs, Plan, Prediction
from tests.predictors.world import an_outcome

COST = {"cheap": 10.0, "middle": 50.0, "dear": 200.0}
PLANS = tuple(Plan(id=name, pool=name, strategy="direct") for name in COST)


def decided(success, *, bar=0.0, in_hand=0.0, bought=()):
    forecasts = tuple(
        Forecast(plan=name, success=one, low=0, high=1, tokens=0, cost=COST[name], seconds=0) for name, one in zip(COST, success, strict=True)
    )
    evidence = Evidence(outcomes=tuple(an_outcome(name, "7") for name in bought))
    prediction = Prediction(in_hand=in_hand, forecasts=forecasts, version="v")
    return Cascade().weigh(prediction, evidence, PLANS, Knobs(abstain_below=bar)).draw(np.random.default_rng(0))


@pytest.mark.parametrize(("bar", "plan"), [(0.0, "cheap"), (0.7, "middle"), (0.85, "dear"), (0.99, "dear")])
def test_the_first_is_the_cheapest_that_may_be_enough(bar, plan):
    assert decided((0.6, 0.8, 0.9), bar=bar).plan == plan


def test_it_ends_where_the_bar_is_reached_and_goes_on_below():
    assert decided((0.9, 0.9, 0.95), bar=0.8, in_hand=0.81, bought=("cheap",)).action is Action.STOP
    assert decided((0.9, 0.9, 0.95), bar=0.8, in_hand=0.79, bought=("cheap",)).plan == "middle"


def test_with_nothing_left_an_answer_under_the_bar_is_withheld():
    assert decided((0.9, 0.9, 0.95), bar=0.8, in_hand=0.79, bought=tuple(COST)).action is Action.ABSTAIN
