"""Costs: quantiles when some purchases were cut short, and the arrays that serve."""

import numpy as np
import pytest

from predictors.evidence import Shown
from predictors.training.costs import cost_arrays, quantiles
from predictors.training.log import Logged, Purchase
from predictors.training.sheets import Log
from tests.predictors.test_sheets import CERTAIN


def test_quantiles_are_those_of_kaplan_and_meier():
    """Weeks in remission under 6-mercaptopurine (Freireich et al. 1963): the survival curve's published steps are .857 at 6, .807 at 7, .753 at 10,
    .690 at 13, .627 at 16, .538 at 22 and .448 at 23, so half of it is reached at 23 and a third was never reached."""
    value = np.array([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35], float)
    cut = np.isin(np.arange(21), [3, 5, 7, 8, 11, 12, 13, 16, 17, 18, 19, 20])
    points = (0.14, 0.15, 0.25, 0.35, 0.45, 0.5, 0.9)
    assert quantiles(value, cut, np.ones(21), points).tolist() == [6, 7, 13, 16, 22, 23, 35]


def test_without_cuts_they_are_the_plain_quantiles_and_a_weight_counts_as_that_many():
    value = np.arange(1.0, 11.0)
    whole = np.zeros(10, bool)
    assert quantiles(value, whole, np.ones(10)).tolist() == [5.0, 9.0]
    weight = np.arange(10) % 3 + 1
    assert (
        quantiles(value, whole, weight.astype(float)).tolist()
        == quantiles(np.repeat(value, weight), np.zeros(weight.sum(), bool), np.ones(weight.sum())).tolist()
    )


def a_log(count, seed, ceiling):
    """Purchases of one plan whose tokens are log-normal around 100 exp(x); what a random ceiling cuts says so."""
    rng = np.random.default_rng(seed)
    decisions = []
    for index in range(count):
        x = rng.random()
        needed, most = 100 * np.exp(x + 0.5 * rng.normal()), ceiling * 100 * np.exp(x + rng.random())
        spent, reason = (needed, "done") if needed <= most else (most, "budget")
        shown = Shown(plan="p", answer="7", answers=("7",), scores=(0.5,), logprobs=(0.0,))
        bought = Purchase(0, shown, 1.0, reason, round(spent), round(spent), spent / 50)
        decisions.append(Logged(str(index), 0.0, np.array([1.0, x], np.float32), 1.0, (bought,), "7", ()))
    return Log.of(decisions, CERTAIN)


def test_what_was_cut_short_does_not_make_a_plan_look_cheap():
    """Half of the purchases are cut. The quantiles of tokens needed, over 100 exp(x), are exp(0) and exp(.5 z(.9)) = 1.898."""
    cut = cost_arrays(a_log(3_000, 0, ceiling=0.6), ["p"])
    expected = np.exp(cut["cost"][0] @ [1.0, 0.5]) / (100 * np.exp(0.5))
    assert cut["tokens_quantiles"][0, 0] * expected == pytest.approx(1.0, rel=0.06)
    whole = cost_arrays(a_log(3_000, 0, ceiling=1e9), ["p"])
    expected = np.exp(whole["cost"][0] @ [1.0, 0.5]) / (100 * np.exp(0.5))
    assert whole["tokens_quantiles"][0] * expected == pytest.approx([1.0, 1.898], rel=0.05)
    assert whole["seconds_quantiles"] == pytest.approx(whole["tokens_quantiles"], rel=0.02)
    assert (whole["tokens_per_cost"][0], whole["seconds_per_cost"][0]) == (pytest.approx(1.0), pytest.approx(0.02, rel=0.01))


def test_the_expected_cost_meets_the_mean_and_follows_the_features():
    log = a_log(2_000, 1, ceiling=1e9)
    arrays = cost_arrays(log, ["p", "never"])
    spent = np.array([one.purchases[0].cost for one in log.decisions])
    assert np.exp(log.features @ arrays["cost"][0]).mean() == pytest.approx(spent.mean(), rel=1e-6)
    assert arrays["cost"][0, 1] == pytest.approx(1.0, abs=0.1)
    assert arrays["cost"][1].tolist() == [0, 0]
    assert arrays["tokens_quantiles"][1].tolist() == [1, 1]


@pytest.mark.parametrize("reason", ["failed", "cancelled"])
def test_what_gave_nothing_bounds_the_spread_but_not_the_expectation(reason):
    log = a_log(50, 2, ceiling=1e9)
    lost = Purchase(0, log.decisions[0].purchases[0].shown, 1.0, reason, 1, 1, 0.01)
    more = Log.of([*log.decisions, Logged("lost", 0.0, log.features[0], 1.0, (lost,), "", ())], CERTAIN)
    assert cost_arrays(more, ["p"])["cost"] == pytest.approx(cost_arrays(log, ["p"])["cost"])
    assert np.all(cost_arrays(more, ["p"])["tokens_quantiles"] >= cost_arrays(log, ["p"])["tokens_quantiles"])
