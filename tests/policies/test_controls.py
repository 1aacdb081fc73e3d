"""The controls on tables small enough to be worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controls import Point, Table, best_constant, by_length, constant, grouped, interval, mixture, oracle, shuffled, wilson


def a_table(right, cost, routed_right=None, routed_cost=None, bought=None):
    right, cost = np.array(right, float), np.array(cost, float)
    count, plans = right.shape
    return Table(
        plans=tuple("abcdef"[:plans]),
        right=right,
        cost=np.broadcast_to(cost, right.shape),
        routed_right=np.zeros(count) if routed_right is None else np.array(routed_right, float),
        routed_cost=np.zeros(count) if routed_cost is None else np.array(routed_cost, float),
        bought=((0,),) * count if bought is None else tuple(bought),
    )


THREE = a_table([[0, 1, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1]], [10, 20, 110], routed_cost=[60, 60, 60, 60])


def test_constants_are_columns():
    assert constant(THREE, "a") == Point(accuracy=0.25, cost=10.0)
    assert constant(THREE, "c") == Point(accuracy=1.0, cost=110.0)
    assert best_constant(THREE) == "c"
    assert best_constant(a_table([[1, 1, 0]], [5, 3, 1])) == "b"  # of equals the cheapest


@pytest.mark.parametrize(
    ("cost", "accuracy"),
    [(5, 0.25), (10, 0.25), (60, 0.625), (85, 0.8125), (110, 1.0), (500, 1.0)],
    ids=["below all", "the cheapest", "half way", "three quarters", "the dearest", "beyond"],
)
def test_the_static_mixture_is_the_straight_line_between_two_plans(cost, accuracy):
    assert mixture(THREE, cost) == Point(accuracy=pytest.approx(accuracy), cost=cost)


def test_the_mixture_costs_what_the_router_did():
    assert mixture(THREE) == mixture(THREE, 60.0)


def test_a_dearer_plan_that_is_worse_is_never_in_the_mixture():
    table = a_table([[1, 0], [1, 0], [0, 0], [1, 1]], [10, 100])
    assert [mixture(table, cost).accuracy for cost in (10, 50, 100, 200)] == [0.75] * 4


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(1, 1_000)), min_size=1, max_size=5),
    st.floats(1, 2_000),
    st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
)
def test_no_mixture_that_can_be_paid_is_better(points, cost, shares):
    """Against random mixtures: whatever costs no more is no more accurate."""
    table = a_table([[accuracy for accuracy, _ in points]], [price for _, price in points])
    weights = np.array(shares[: len(points)]) / sum(shares[: len(points)])
    if weights @ table.cost[0] <= cost:
        assert weights @ table.right[0] <= mixture(table, cost).accuracy + 1e-9


def test_a_router_that_knows_the_group_buys_the_right_plan_for_each():
    """Plan a is right on sums and b on stories, at the same price: knowing the group is knowing everything."""
    names = ["sum", "story"] * 50
    right = [[name == "sum", name == "story"] for name in names]
    table = a_table(right, [10, 10], routed_cost=[10] * 100)
    assert mixture(table).accuracy == 0.5
    assert grouped(table, names) == Point(accuracy=1.0, cost=10.0)


@pytest.mark.parametrize(("cost", "expected"), [(10, 0.5), (30, 0.5 + 0.5 * 20 / 45), (55, 1.0), (80, 1.0), (5, 0.5)])
def test_a_router_that_knows_the_group_spends_what_the_router_spent(cost, expected):
    """Both plans are right on easy questions, only the dear one on hard ones: cheap everywhere costs 10, each where it is needed 55."""
    names = ["easy", "hard"] * 50
    table = a_table([[name == "easy", 1] for name in names], [10, 100], routed_cost=[cost] * 100)
    found = grouped(table, names)
    assert found.accuracy == pytest.approx(expected)
    assert found.cost <= max(cost, 10)


def test_a_group_that_says_nothing_is_worth_nothing():
    rng = np.random.default_rng(3)
    right = np.column_stack((rng.random(1_000) < 0.6, rng.random(1_000) < 0.8))
    table = a_table(right, [10, 100], routed_cost=[55] * 1_000)
    assert grouped(table, rng.choice(list("pqr"), 1_000).tolist()).accuracy == pytest.approx(mixture(table).accuracy, abs=0.03)


def test_the_groups_plan_is_chosen_on_other_questions():
    """Every question its own group: nothing is known of it, so nothing can be gained from its outcome."""
    rng = np.random.default_rng(4)
    table = a_table(rng.random((120, 2)) < 0.5, [10, 10], routed_cost=[10] * 120)
    assert grouped(table, [str(index) for index in range(120)]).accuracy < 0.65


def test_a_router_that_knows_the_length_uses_it():
    lengths = list(range(100))
    right = [[length < 60, length >= 60] for length in lengths]
    table = a_table(right, [10, 10], routed_cost=[10] * 100)
    assert by_length(table, lengths).accuracy == 1.0


def test_the_oracle_buys_the_cheapest_plan_that_was_right():
    table = a_table([[0, 1, 1], [1, 1, 1], [0, 0, 0], [0, 0, 1]], [[10, 20, 90], [10, 20, 90], [30, 20, 90], [10, 20, 90]])
    assert oracle(table) == Point(accuracy=0.75, cost=(20 + 10 + 20 + 90) / 4)


@given(st.integers(0, 2**32))
def test_the_oracle_is_never_worse_than_any_constant(seed):
    rng = np.random.default_rng(seed)
    table = a_table(rng.random((20, 3)) < 0.5, rng.integers(1, 100, (20, 3)))
    assert all(oracle(table).accuracy >= constant(table, plan).accuracy for plan in table.plans)


def test_purchases_that_are_all_alike_may_be_shuffled():
    table = replace(THREE, bought=((0, 2),) * 4)
    found = shuffled(table, np.random.default_rng(0), times=5)
    assert (found.accuracy, found.cost) == (pytest.approx(1.0), pytest.approx(120.0))


def test_shuffling_keeps_the_spending_and_loses_what_was_known():
    """Half the questions need b; a router that knows which is always right, its shuffled purchases half of the time."""
    names = ["sum", "story"] * 100
    right = [[name == "sum", name == "story"] for name in names]
    table = a_table(right, [10, 30], bought=[(int(name == "story"),) for name in names])
    found = shuffled(table, np.random.default_rng(1))
    assert found.cost == pytest.approx(20.0)
    assert found.accuracy == pytest.approx(0.5, abs=0.02)


def test_a_question_for_which_nothing_was_bought_is_wrong_and_free():
    table = a_table([[1], [1]], [10], bought=[(), (0,)])
    found = shuffled(table, np.random.default_rng(0), times=3)
    assert (found.accuracy, found.cost) == (0.5, 5.0)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (3, 10), (10, 10), (200, 240)])
def test_wilsons_interval_solves_its_equation(right, count):
    """Its ends are the shares from which what was seen lies 1.96 standard deviations away."""
    low, high = wilson(right, count)
    seen = right / count
    for end in (low, high):
        assert (seen - end) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / count, abs=1e-12)
    assert -1e-12 <= low <= seen <= high <= 1 + 1e-12


def test_wilsons_interval_known_value():
    assert wilson(81, 263) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))  # Newcombe 1998, table I


def test_the_bootstrap_interval_is_the_normal_one_for_a_mean():
    rng = np.random.default_rng(5)
    right = (rng.random(200) < 0.7).astype(float)
    table = a_table(right[:, None], [1], routed_right=right)
    low, high = interval(table, lambda one: float(one.routed_right.mean()), np.random.default_rng(6))
    half = 1.96 * math.sqrt(right.mean() * (1 - right.mean()) / 200)
    assert (low, high) == (pytest.approx(right.mean() - half, abs=0.01), pytest.approx(right.mean() + half, abs=0.01))


def test_a_paired_difference_of_equals_has_no_width():
    right = (np.random.default_rng(5).random(100) < 0.5).astype(float)
    table = a_table(right[:, None], [1], routed_right=right)
    assert interval(table, lambda one: float((one.routed_right - one.right[:, 0]).mean()), np.random.default_rng(6)) == (0.0, 0.0)


def test_rows_are_resampled_as_a_whole():
    picked = THREE.at(np.array([3, 3, 0]))
    assert picked.right.tolist() == [[0, 0, 1], [0, 0, 1], [0, 1, 1]]
    assert len(picked.bought) == len(picked.routed_cost) == 3
