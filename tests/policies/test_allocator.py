"""The allocator against expectations worked out by other means, and against the best static mixture in a simulated world."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.allocator import Allocator
from policies.controls import Table, mixture
from policies.menu import looked_ahead
from predictors.learned import Learned
from router.types import Action, Evidence, Forecast, Knobs, Onward, Prediction
from tests.predictors.world import PLANS, an_outcome, chance, episodes, features_of, fit, practice

RNG = np.random.default_rng(0)
SEVEN = Evidence(outcomes=(an_outcome("cheap", "7"),))

# A two-plan world with evidence of three kinds: how likely each is (in ninths) when the plan's answer is wrong and when it is right.
LIKELY = {"cheap": ((6, 2, 1), (1, 2, 6)), "dear": ((4, 3, 2), (2, 3, 4))}
SUCCESS = {"cheap": 0.55, "dear": 0.8}
COST = {"cheap": 40.0, "dear": 300.0}
RESCUE = {("cheap", "dear"): 0.7, ("dear", "cheap"): 0.25}


def the_world(in_hand=0.0, success=SUCCESS, cost=COST):
    ratios = np.zeros((2, 2, 9))
    for place, plan in enumerate(LIKELY):
        wrong, right = LIKELY[plan]
        moves = [math.log(r / w) for w, r in zip(wrong, right, strict=True)]
        for truth, likely in enumerate(LIKELY[plan]):
            ratios[place, truth] = sorted(move for move, ninths in zip(moves, likely, strict=True) for _ in range(ninths))
    rescue = np.array([[0.0, RESCUE["cheap", "dear"]], [RESCUE["dear", "cheap"], 0.0]])
    forecasts = tuple(Forecast(plan=plan, success=success[plan], low=0, high=1, tokens=0, cost=cost[plan], seconds=0) for plan in LIKELY)
    return Prediction(in_hand=in_hand, forecasts=forecasts, version="v", onward=Onward(ratios=ratios, rescue=rescue))


def brute_force(plan, worth):
    """Expected worth minus cost of buying `plan`, seeing its evidence, and then doing the better of stopping and buying the other; by Bayes' rule."""
    other = "dear" if plan == "cheap" else "cheap"
    total = -COST[plan]
    for kind in range(3):
        joint_wrong, joint_right = (prior * LIKELY[plan][truth][kind] / 9 for truth, prior in ((0, 1 - SUCCESS[plan]), (1, SUCCESS[plan])))
        stop = worth * joint_right
        go_on = worth * (joint_right + joint_wrong * RESCUE[plan, other]) - (joint_wrong + joint_right) * COST[other]
        total += max(stop, go_on)
    return total


@pytest.mark.parametrize("worth", [0.0, 50.0, 300.0, 1_000.0, 5_000.0, 1e6])
def test_the_value_of_buying_is_the_brute_force_expectation(worth):
    decision = Allocator().weigh(the_world(), Evidence(), PLANS, Knobs(value=worth, max_stages=2)).draw(RNG)
    for plan in LIKELY:
        assert decision.scores[plan] == pytest.approx(brute_force(plan, worth))
    assert decision.plan == max(LIKELY, key=lambda plan: brute_force(plan, worth))


def test_looking_ahead_buys_the_cheap_plan_first_where_looking_no_further_would_not():
    """At this worth the dear plan is the better single purchase; but the cheap one tells when it is needed."""
    knobs = Knobs(value=2_000.0, max_stages=2)
    assert Allocator().weigh(the_world(), Evidence(), PLANS, knobs).draw(RNG).plan == "cheap"
    assert Allocator(look_ahead=False).weigh(the_world(), Evidence(), PLANS, knobs).draw(RNG).plan == "dear"


@pytest.mark.parametrize("changes", [{"max_stages": 1}, {"look_ahead": False}, {"onward": None}], ids=["last stage", "off", "unknown"])
def test_without_a_next_decision_there_is_nothing_to_look_ahead_to(changes):
    allocator = Allocator(look_ahead=changes.get("look_ahead", True))
    prediction = replace(the_world(), onward=None) if "onward" in changes else the_world()
    decision = allocator.weigh(prediction, Evidence(), PLANS, Knobs(value=2_000.0, max_stages=changes.get("max_stages", 3))).draw(RNG)
    assert {plan: decision.scores[plan] for plan in LIKELY} == pytest.approx({plan: 2_000 * SUCCESS[plan] - COST[plan] for plan in LIKELY})


def test_stages_already_used_count():
    forecasts_only = {plan: 2_000 * SUCCESS[plan] - COST[plan] for plan in LIKELY}
    for stages, looks in ((1, True), (2, False)):
        evidence = Evidence(outcomes=(an_outcome("other", "7"),) * stages)
        decision = Allocator().weigh(the_world(), evidence, PLANS, Knobs(value=2_000.0, max_stages=3)).draw(RNG)
        assert (decision.scores["cheap"] > forecasts_only["cheap"] + 1) == looks


@given(
    success=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    cost=st.lists(st.floats(0, 1e5), min_size=3, max_size=3),
    numbers=st.lists(st.floats(-30, 30), min_size=24, max_size=24),
    rescue=st.lists(st.floats(0, 1), min_size=9, max_size=9),
    worth=st.floats(0, 1e6),
)
def test_looking_ahead_never_costs_and_promises_no_more_than_there_is_to_win(success, cost, numbers, rescue, worth):
    onward = Onward(ratios=np.sort(np.array(numbers).reshape(3, 2, 4), axis=-1), rescue=np.array(rescue).reshape(3, 3))
    value = looked_ahead(onward, np.array(success), np.array(cost), worth)
    assert np.isfinite(value).all()
    assert np.all((value >= 0) & (value <= worth))


def test_the_same_plan_is_no_way_onward():
    onward = Onward(ratios=np.zeros((1, 2, 3)), rescue=np.ones((1, 1)))
    assert looked_ahead(onward, np.array([0.2]), np.array([1.0]), 1_000.0) == pytest.approx([0.0])


def test_only_plans_still_to_be_had_count_onward():
    """Of three plans the middle one was bought: the others are worth what they would be without it."""
    rng = np.random.default_rng(3)
    onward = Onward(ratios=np.sort(rng.normal(size=(3, 2, 4)), axis=-1), rescue=rng.random((3, 3)))
    rest = Onward(ratios=onward.ratios[[0, 2]], rescue=onward.rescue[np.ix_([0, 2], [0, 2])])
    value = looked_ahead(onward, np.array([0.4, 0.9, 0.7]), np.array([10.0, np.inf, 90.0]), 1_000.0)
    assert value[[0, 2]] == pytest.approx(looked_ahead(rest, np.array([0.4, 0.7]), np.array([10.0, 90.0]), 1_000.0))


def test_when_an_answer_is_worth_nothing_the_cheapest_is_bought_or_nothing():
    knobs = Knobs(value=0.0)
    assert Allocator().weigh(the_world(), Evidence(), PLANS, knobs).draw(RNG).plan == "cheap"
    assert Allocator().weigh(the_world(in_hand=0.1), SEVEN, PLANS, knobs).draw(RNG).action is Action.STOP


def test_when_an_answer_is_worth_everything_the_best_plan_is_bought():
    knobs = Knobs(value=1e12, max_stages=1)
    assert Allocator().weigh(the_world(), Evidence(), PLANS, knobs).draw(RNG).plan == "dear"
    assert Allocator().weigh(the_world(in_hand=0.79), SEVEN, PLANS, replace(knobs, max_stages=3)).draw(RNG).plan == "dear"


def test_it_stops_when_nothing_is_worth_its_price():
    knobs = Knobs(value=1_000.0, max_stages=2)
    for in_hand, action in ((0.49, Action.BUY), (0.51, Action.STOP)):  # dear: 1000 * .8 - 300
        assert Allocator().weigh(the_world(in_hand=in_hand), SEVEN, PLANS, knobs).draw(RNG).action is action
    withheld = Allocator().weigh(the_world(in_hand=0.51), SEVEN, PLANS, replace(knobs, abstain_below=0.9)).draw(RNG)
    assert withheld.action is Action.ABSTAIN


def test_no_plan_is_bought_twice_even_when_exploring():
    rng = np.random.default_rng(5)
    for _ in range(100):
        decision = Allocator().weigh(the_world(in_hand=0.5), SEVEN, PLANS, Knobs(exploration=1.0)).draw(rng)
        assert "cheap" not in decision.scores
        assert decision.plan in ("", "dear")


def test_the_reason_says_what_was_compared():
    bought = Allocator().weigh(the_world(), Evidence(), PLANS, Knobs(value=1_000.0, max_stages=1)).draw(RNG)
    assert bought.reason == "worth 510 micro-dollars, the next best choice 500"
    assert "belief 0.95" in Allocator().weigh(the_world(in_hand=0.95), SEVEN, PLANS, Knobs(value=1_000.0)).draw(RNG).reason


# --- the simulated world -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fitted")
    fit(practice(800, seed=1), ("cheap", "dear"), directory)
    return Learned(str(directory))


def a_run(served, worth, count):
    """Expected accuracy and cost of each plan on the questions of a run, and what the allocator made of them."""
    run = list(episodes(count, 7, served, Allocator(), Knobs(value=worth, max_stages=2)))
    return Table(
        plans=("cheap", "dear"),
        right=np.array([[chance(plan.id, one.difficulty) for plan in PLANS] for one in run]),
        cost=np.array([[base * (1 + one.difficulty) for base in (10, 100)] for one in run]),
        routed_right=np.array([float(one.right) for one in run]),
        routed_cost=np.array([float(one.cost) for one in run]),
        bought=tuple(tuple(int(outcome.plan == "dear") for outcome in one.evidence.outcomes) for one in run),
    )


def test_with_informative_scores_it_beats_the_best_static_mixture_of_the_same_cost(served):
    table = a_run(served, 300.0, 1_000)
    assert table.routed_right.mean() > mixture(table).accuracy + 0.06


def test_a_higher_worth_buys_more_accuracy_for_more_money(served):
    runs = [a_run(served, worth, 400) for worth in (50.0, 300.0, 3_000.0)]
    assert [one.routed_cost.mean() for one in runs] == sorted(one.routed_cost.mean() for one in runs)
    assert runs[0].routed_right.mean() < runs[1].routed_right.mean() - 0.05 < runs[2].routed_right.mean()


def test_hard_questions_are_given_more(served):
    run = list(episodes(400, 9, served, Allocator(), Knobs(value=400.0, max_stages=2)))
    easy, hard = ([one.cost / (1 + one.difficulty) for one in run if low <= one.difficulty < low + 0.3] for low in (0.0, 0.7))
    assert np.mean(hard) > 1.5 * np.mean(easy)


def test_features_alone_already_route(served):
    """Before anything is bought: where both plans are about as good the cheap one will do."""
    for difficulty, plan in ((0.0, "cheap"), (0.6, "dear")):
        prediction = served.predict(features_of(difficulty), Evidence(), PLANS)
        assert Allocator().weigh(prediction, Evidence(), PLANS, Knobs(value=500.0, max_stages=1)).draw(RNG).plan == plan
