"""The fixed and the threshold policy: what they buy, step by step."""

import numpy as np
import pytest

from policies.fixed import Fixed
from policies.threshold import Threshold
from router.types import Action, Evidence, Forecast, Knobs, Plan, Prediction
from tests.predictors.world import an_outcome

COST = {"middle": 50.0, "cheap": 10.0, "dear": 200.0}
PLANS = tuple(Plan(id=name, pool=name, strategy="direct") for name in COST)


def decide(policy, *bought, in_hand=0.0, plans=PLANS, **knobs):
    evidence = Evidence(outcomes=tuple(an_outcome(plan, "7") for plan in bought))
    forecasts = tuple(Forecast(plan=one.id, success=0.5, low=0, high=1, tokens=0, cost=COST[one.id], seconds=0) for one in plans)
    prediction = Prediction(in_hand=in_hand, forecasts=forecasts, version="v")
    return policy.weigh(prediction, evidence, plans, Knobs(**knobs)).draw(np.random.default_rng(0))


def test_fixed_buys_its_plan_once():
    assert decide(Fixed("dear")).plan == "dear"
    assert decide(Fixed()).plan == "middle"
    assert decide(Fixed("dear"), "dear", in_hand=0.1).action is Action.STOP
    assert decide(Fixed("dear"), "dear", in_hand=0.1, abstain_below=0.2).action is Action.ABSTAIN


def test_fixed_abstains_when_its_plan_is_not_on_offer():
    assert decide(Fixed("dear"), plans=PLANS[:2]).action is Action.ABSTAIN


def test_the_ladder_is_climbed_from_the_cheapest_until_belief_is_enough():
    ladder = Threshold(bar=0.8)
    assert decide(ladder).plan == "cheap"
    assert decide(ladder, "cheap", in_hand=0.79).plan == "middle"
    assert decide(ladder, "cheap", "middle", in_hand=0.5).plan == "dear"
    assert decide(ladder, "dear", in_hand=0.5).action is Action.STOP  # there is nothing dearer
    assert decide(ladder, "cheap", in_hand=0.8).action is Action.STOP


def test_a_tenants_bar_above_the_ladders_is_climbed_to():
    assert decide(Threshold(bar=0.8), "cheap", in_hand=0.85, abstain_below=0.9).plan == "middle"
    assert decide(Threshold(bar=0.8), "dear", in_hand=0.85, abstain_below=0.9).action is Action.ABSTAIN


def test_no_plan_is_bought_twice_even_when_exploring():
    offered = {name for _ in range(5) for name in decide(Threshold(), "middle", in_hand=0.2, exploration=1.0).scores}
    assert offered == {"stop", "dear"}


@pytest.mark.parametrize(("policy", "version"), [(Fixed(), "fixed-first"), (Fixed("dear"), "fixed-dear"), (Threshold(bar=0.7), "threshold-0.7")])
def test_the_version_names_the_parameters(policy, version):
    assert policy.version == version
    assert decide(policy).policy == version
