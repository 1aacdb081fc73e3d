"""Allocating one budget over many queries: by hand, against every choice there is on tiny instances, and on instances of real size."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.batch import allocate
from router.errors import InvalidQuery

PLAN = st.tuples(st.integers(0, 10), st.integers(0, 12))
MENUS = st.integers(1, 3).flatmap(lambda plans: st.lists(st.lists(PLAN, min_size=plans, max_size=plans), min_size=1, max_size=4))
BUDGETS = st.integers(0, 50)


def split(menus):
    table = np.array(menus, float)
    return table[..., 0] / 10, table[..., 1]


def bought(success, cost, chosen):
    rows = np.flatnonzero(chosen >= 0)
    return success[rows, chosen[rows]].sum(), cost[rows, chosen[rows]].sum()


def best(success, cost, budget):
    """The most success of all choices within the budget."""
    every = (np.array(choice) for choice in itertools.product(range(-1, success.shape[1]), repeat=len(success)))
    return max(right for right, price in (bought(success, cost, choice) for choice in every) if price <= budget)


def large(rng, queries, tail):
    """Menus of ten plans whose success rises with cost."""
    return np.sort(rng.random((queries, 10)), axis=1), np.sort(rng.lognormal(5, tail, (queries, 10)), axis=1)


def test_by_hand():
    """The first query gains .5 for 10 and .1 for 40 more, the second .3 for 20; then 25 are left, and the second's other plan never fits."""
    success, cost = np.array([[0.5, 0.6], [0.3, 0.4]]), np.array([[10.0, 50.0], [20.0, 60.0]])
    found = allocate(success, cost, 55)
    assert found.chosen.tolist() == [0, 0]
    assert (found.success, found.cost) == (pytest.approx(0.8), 30)
    assert found.price == pytest.approx(0.1 / 40)
    assert found.bound == pytest.approx(0.8 + 25 * 0.1 / 40)


def test_what_is_left_buys_what_is_under_the_hull():
    """After the first query's plan 8 are left: too little for the second's best, enough for the one under the line to it."""
    success, cost = np.array([[0.9, 0.9], [0.2, 0.9]]), np.array([[2.0, 2.0], [5.0, 10.0]])
    assert allocate(success, cost, 10).chosen.tolist() == [0, 0]


def test_what_no_longer_fits_gives_way_to_its_own_cheaper_plan_first():
    """The second query's step ends the greedy with 2 left; the third leaves 1, for the fourth's cheaper plan rather than for the fifth."""
    success = np.array([[0.8, 0.8], [0.35, 0.35], [0.06, 0.06], [0.11, 0.05], [0.045, 0.045]])
    cost = np.array([[8.0, 8.0], [5.0, 5.0], [1.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
    assert allocate(success, cost, 10).chosen.tolist() == [0, -1, 0, 1, -1]


def test_a_plan_that_never_fits_does_not_loosen_the_bound():
    found = allocate(np.array([[0.2, 1.0]]), np.array([[10.0, 100.0]]), 50)
    assert (found.success, found.bound, found.price) == (0.2, 0.2, 0)


def test_what_costs_nothing_is_had_for_nothing():
    found = allocate(np.array([[0.2, 0.3], [0.0, 0.5]]), np.array([[0.0, 0.0], [0.0, 1.0]]), 0)
    assert (found.chosen[0], found.success, found.cost, found.bound) == (1, 0.3, 0, 0.3)


def test_enough_for_all_has_no_price():
    found = allocate(np.array([[0.2, 0.3, 0.1]]), np.array([[1.0, 2.0, 9.0]]), 100)
    assert (found.chosen.tolist(), found.price, found.bound) == ([1], 0, pytest.approx(0.3))


@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (2, 0)])
def test_nothing_to_buy(shape):
    found = allocate(np.zeros(shape), np.zeros(shape), 5)
    assert found.chosen.tolist() == [-1] * shape[0]
    assert (found.success, found.cost, found.price, found.bound) == (0, 0, 0, 0)


@given(MENUS, BUDGETS)
def test_between_the_bound_less_one_step_and_the_best_there_is(menus, budget):
    success, cost = split(menus)
    found = allocate(success, cost, budget)
    right, price = bought(success, cost, found.chosen)
    assert (found.success, found.cost) == (pytest.approx(right), pytest.approx(price))
    assert price <= budget
    exact = best(success, cost, budget)
    assert right <= exact + 1e-9
    assert exact <= found.bound + 1e-9
    assert found.bound - right <= success.max() + 1e-9


@given(st.lists(st.lists(st.integers(0, 10), min_size=3, max_size=3), min_size=1, max_size=4), st.integers(0, 40))
def test_concave_curves_of_equal_increments_are_solved_exactly(gains, budget):
    success = np.cumsum(np.sort(gains, axis=1)[:, ::-1], axis=1) / 30
    cost = np.tile([3.0, 6.0, 9.0], (len(gains), 1))
    assert allocate(success, cost, budget).success == pytest.approx(best(success, cost, budget), abs=1e-9)


@given(MENUS, BUDGETS, BUDGETS)
def test_more_budget_is_never_worse(menus, one, other):
    success, cost = split(menus)
    less, more = (allocate(success, cost, budget) for budget in sorted((one, other)))
    assert less.success <= more.success + 1e-9
    assert less.bound <= more.bound + 1e-9


@given(MENUS, BUDGETS)
def test_nothing_more_fits(menus, budget):
    success, cost = split(menus)
    found = allocate(success, cost, budget)
    for row, place in itertools.product(range(len(success)), range(success.shape[1])):
        other = found.chosen.copy()
        other[row] = place
        right, price = bought(success, cost, other)
        assert right <= found.success + 1e-9 or price > budget


@given(MENUS, BUDGETS, st.randoms(use_true_random=False))
def test_the_order_of_queries_changes_no_total(menus, budget, random):
    mixed = random.sample(menus, len(menus))
    one, other = (allocate(*split(part), budget) for part in (menus, mixed))
    assert one.bound == pytest.approx(other.bound, abs=1e-9)
    assert one.price == pytest.approx(other.price, abs=1e-9)


@pytest.mark.parametrize("tail", [0.5, 3.0])
def test_the_price_alone_reproduces_the_choice(tail):
    """Each query by itself, maximising success / price - cost, buys the same, but for the few that were bought with what was left."""
    success, cost = large(np.random.default_rng(0), 2_000, tail)
    found = allocate(success, cost, 0.1 * cost[:, -1].sum())
    worth = np.column_stack((np.zeros(2_000), success / found.price - cost))
    assert (worth.argmax(axis=1) - 1 != found.chosen).sum() <= 20
    assert found.bound - found.success < 0.05


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_hundred_thousand_queries_take_about_a_second(share):
    success, cost = large(np.random.default_rng(1), 100_000, 1.5)
    budget = share * cost[:, -1].sum()
    start = time.perf_counter()
    found = allocate(success, cost, budget)
    assert time.perf_counter() - start < 5  # an idle core takes a tenth
    assert 0.999 * budget < found.cost <= budget
    assert found.bound - found.success < 0.01


@pytest.mark.parametrize(
    ("success", "cost", "budget", "field"),
    [
        ([[np.nan]], [[1.0]], 1, "success"),
        ([[1.1]], [[1.0]], 1, "success"),
        ([[-0.1]], [[1.0]], 1, "success"),
        ([0.5], [1.0], 1, "success"),
        ([[0.5]], [[np.nan]], 1, "cost"),
        ([[0.5]], [[np.inf]], 1, "cost"),
        ([[0.5]], [[-1.0]], 1, "cost"),
        ([[0.5]], [[1.0, 2.0]], 1, "cost"),
        ([[0.5]], [[1.0]], -1, "budget"),
        ([[0.5]], [[1.0]], np.nan, "budget"),
        ([[0.5]], [[1.0]], np.inf, "budget"),
    ],
)
def test_what_is_wrong_is_named(success, cost, budget, field):
    with pytest.raises(InvalidQuery) as caught:
        allocate(np.array(success), np.array(cost), budget)
    assert caught.value.metadata == {"field": field}
