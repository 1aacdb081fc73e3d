"""What every policy must keep to."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from policies import policies
from router.types import Action, Evidence, Forecast, Knobs, Onward, Plan, Prediction
from tests.predictors.world import an_outcome

IDS = ("a", "b", "c", "d")
SHARE = st.floats(0, 1)
MONEY = st.floats(0, 1e6)


@st.composite
def situations(draw):
    """(prediction, evidence, plans, knobs) as a pipeline may hand them over."""
    plans = draw(st.permutations(IDS).flatmap(lambda ids: st.integers(0, 4).map(lambda count: ids[:count])))
    bought = draw(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([None, "7", "8"])), max_size=3))
    evidence = Evidence(outcomes=tuple(an_outcome(plan, answer) for plan, answer in bought))
    in_hand = draw(SHARE) if evidence.answered else 0.0
    forecasts = tuple(a_forecast(plan, draw(st.floats(in_hand, 1)), draw(MONEY)) for plan in plans)
    count = len(plans)
    ratios = np.sort(np.array(draw(st.lists(st.floats(-8, 8), min_size=count * 10, max_size=count * 10))).reshape(count, 2, 5), axis=-1)
    rescue = np.array(draw(st.lists(SHARE, min_size=count * count, max_size=count * count))).reshape(count, count)
    onward = Onward(ratios=ratios, rescue=rescue) if count and draw(st.booleans()) else None
    knobs = Knobs(
        value=draw(MONEY),
        abstain_below=draw(st.just(0.0) | SHARE),
        exploration=draw(st.sampled_from([0.0, 0.02, 0.5, 1.0])),
        max_stages=draw(st.integers(1, 5)),
    )
    return Prediction(in_hand=in_hand, forecasts=forecasts, version="v", onward=onward), evidence, tuple(map(a_plan, plans)), knobs


def a_plan(name):
    return Plan(id=name, pool=name, strategy="direct")


def a_forecast(plan, success, cost):
    return Forecast(plan=plan, success=success, low=0.0, high=1.0, tokens=1.0, cost=cost, seconds=1.0)


@pytest.fixture(scope="module", params=tuple(policies.describe()))
def policy(request):
    return policies.build(request.param)


def decide(policy, situation, seed=0, **changes):
    prediction, evidence, plans, knobs = situation
    return policy.weigh(prediction, evidence, plans, replace(knobs, **changes)).draw(np.random.default_rng(seed))


@settings(max_examples=40)
@given(situation=situations(), seed=st.integers(0, 2**32))
def test_a_decision_is_one_that_was_open(policy, situation, seed):
    prediction, evidence, plans, knobs = situation
    decision = decide(policy, situation, seed)
    assert 0 < decision.propensity <= 1
    assert all(np.isfinite(score) for score in decision.scores.values())
    assert set(decision.scores) <= {plan.id for plan in plans} | {"stop", "abstain"}
    assert (decision.plan or decision.action.value) in decision.scores
    assert (decision.action is Action.BUY) == (decision.plan in {plan.id for plan in plans})
    assert decision.policy == policy.version
    chances = policy.weigh(*situation).chances
    assert set(chances) <= set(decision.scores)
    assert sum(chances.values()) == pytest.approx(1.0)
    assert all(chance >= 0 for chance in chances.values())
    assert decision.reason
    if decision.action is Action.STOP:
        assert evidence.answered
        assert prediction.in_hand >= knobs.abstain_below


@settings(max_examples=40)
@given(situation=situations(), seed=st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_decision(policy, situation, seed):
    assert decide(policy, situation, seed) == decide(policy, situation, seed)


@settings(max_examples=40)
@given(situation=situations(), seed=st.integers(0, 2**32))
def test_with_nothing_offered_it_stops_with_the_answer_in_hand_or_abstains(policy, situation, seed):
    prediction, evidence, _, knobs = situation
    decision = decide(policy, (replace(prediction, forecasts=(), onward=None), evidence, (), knobs), seed)
    good_enough = evidence.answered and prediction.in_hand >= knobs.abstain_below
    assert (decision.action, decision.propensity) == (Action.STOP if good_enough else Action.ABSTAIN, 1.0)


@settings(max_examples=40)
@given(situation=situations())
def test_abstaining_is_never_explored(policy, situation):
    prediction, evidence, plans, knobs = situation
    own, explored = (policy.weigh(prediction, evidence, plans, replace(knobs, exploration=share)).chances for share in (0.0, 1.0))
    assume(own.get("abstain", 0.0) == 0)
    assert explored.get("abstain", 0.0) == 0
    assert list(explored.values()) == pytest.approx([1 / len(explored)] * len(explored))


EMPTY = Evidence()
SEVEN = Evidence(outcomes=(an_outcome("a", "7"),))
UNREAD = Evidence(outcomes=(an_outcome("a", None),))


@pytest.mark.parametrize("exploration", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize(
    ("evidence", "in_hand", "bar"), [(EMPTY, 0.0, 0.0), (SEVEN, 0.7, 0.0), (SEVEN, 0.3, 0.5), (SEVEN, 0.95, 0.0), (UNREAD, 0.0, 0.2)]
)
def test_the_propensity_is_the_chance_of_the_choice(policy, exploration, evidence, in_hand, bar):
    forecasts = tuple(a_forecast(name, max(in_hand, 0.5), cost) for name, cost in (("b", 30.0), ("c", 90.0), ("d", 200.0)))
    situation = Prediction(in_hand=in_hand, forecasts=forecasts, version="v"), evidence, tuple(map(a_plan, "bcd")), None
    knobs, rng, draws = Knobs(value=1_000.0, abstain_below=bar, exploration=exploration), np.random.default_rng(12), 3_000
    choices = policy.weigh(*situation[:3], knobs)
    decisions = [choices.draw(rng) for _ in range(draws)]
    stated = {decision.plan or decision.action.value: decision.propensity for decision in decisions}
    found = Counter(decision.plan or decision.action.value for decision in decisions)
    assert {(decision.plan or decision.action.value, decision.propensity) for decision in decisions} == set(stated.items())
    assert sum(stated.values()) == pytest.approx(1.0)
    assert chisquare([found[name] for name in stated], [stated[name] * draws for name in stated]).pvalue > 1e-3 or len(stated) == 1
    assert all(decision.explored == ((decision.plan or decision.action.value) != choices.preferred) for decision in decisions)
