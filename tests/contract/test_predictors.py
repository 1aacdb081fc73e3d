"""What every predictor must keep to. A new predictor is added to OPTIONS."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from predictors import predictors
from router.types import Budget, Evidence
from tests.predictors.world import PLANS, an_outcome, features_of, fit, practice

NEW = replace(PLANS[1], id="new", budget=Budget(tokens=900, cost=900))


def fitted(directory):
    fit(practice(200, seed=3), tuple(plan.id for plan in PLANS), directory)
    return {"path": str(directory)}


OPTIONS = {"learned": fitted, "prior": lambda directory: {}}

EVIDENCE = st.lists(
    st.builds(
        an_outcome,
        st.sampled_from(["cheap", "dear", "forgotten"]),
        st.sampled_from([None, "7", "8"]),
        st.none() | st.floats(0, 1),
        logprob=st.floats(-30, 0) | st.just(-math.inf),
    ),
    max_size=4,
).map(lambda outcomes: Evidence(outcomes=tuple(outcomes)))
FEATURES = st.floats(-1e6, 1e6, width=32).map(features_of)
OFFERS = st.permutations([*PLANS, NEW]).flatmap(lambda plans: st.integers(0, 3).map(lambda count: tuple(plans[:count])))


@pytest.fixture(scope="module", params=tuple(predictors.describe()))
def predictor(request, tmp_path_factory):
    return predictors.build(request.param, OPTIONS[request.param](tmp_path_factory.mktemp(request.param)))


def test_the_lower_the_risk_the_higher_the_bar(predictor):
    bars = [predictor.bar(risk) for risk in (0.0, 0.01, 0.05, 0.1, 0.3, 1.0)]
    assert bars == sorted(bars, reverse=True)
    assert (bars[0] > 1, bars[-1]) == (True, 0.0)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(features=FEATURES, evidence=EVIDENCE, plans=OFFERS)
def test_forecasts_are_in_order_within_bounds_and_never_worse_than_the_answer_in_hand(predictor, features, evidence, plans):
    prediction = predictor.predict(features, evidence, plans)
    assert [one.plan for one in prediction.forecasts] == [plan.id for plan in plans]
    assert 0 <= prediction.in_hand <= 1
    assert 0 <= prediction.novelty <= 1
    assert prediction.version == predictor.version
    for one in prediction.forecasts:
        assert prediction.in_hand <= one.success <= 1
        assert 0 <= one.low <= one.success <= one.high <= 1
        assert min(one.tokens, one.cost, one.seconds) >= 0
        assert min(one.tokens_high, one.seconds_high) >= 0
        assert math.isfinite(one.tokens + one.cost + one.seconds + one.tokens_high + one.seconds_high)
    if prediction.onward:
        assert prediction.onward.ratios.shape[:2] == (len(plans), 2)
        assert prediction.onward.rescue.shape == (len(plans), len(plans))
        assert np.all((prediction.onward.rescue >= 0) & (prediction.onward.rescue <= 1))
        assert np.isfinite(prediction.onward.ratios).all()


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(features=FEATURES, evidence=EVIDENCE)
def test_the_best_answer_is_one_of_those_read_and_its_confidence_is_what_is_in_hand(predictor, features, evidence):
    best, in_hand = predictor.best(features, evidence), predictor.predict(features, evidence, PLANS).in_hand
    read = {(outcome.plan, outcome.answer) for outcome in evidence.outcomes if outcome.answer is not None}
    assert (best is None) == (not read)
    assert in_hand == (best.confidence if best else 0.0)
    assert best is None or (best.plan, best.answer) in read


def test_it_is_pure(predictor):
    features, evidence = features_of(0.4), Evidence(outcomes=(an_outcome("cheap", "7", 0.3),))
    assert predictor.predict(features, evidence, PLANS) == predictor.predict(features, evidence, PLANS)
    assert evidence == Evidence(outcomes=(an_outcome("cheap", "7", 0.3),))
    assert predictor.version


def test_nothing_offered_is_nothing_forecast(predictor):
    assert predictor.predict(features_of(0.4), Evidence(), ()).forecasts == ()


def test_looking_for_plug_ins_loads_nothing_heavy():
    """The service does it at its start, in a base install."""
    heavy = ("torch", "transformers", "sklearn", "scipy")
    code = f"import sys; from predictors import predictors; predictors.load(); print(*set({heavy}) & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
