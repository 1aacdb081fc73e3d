"""Areas and routing figures: by hand where the case is small, against brute force, and against what others measured."""

import math
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.metrics import aiq, apgr, area, arena, bootstrap, call_curve, cost_at, cpt, hull, path, quality_at

ROUTELLM = Path(__file__).parents[2] / ".." / "shared" / "data" / "routellm.parquet"
COST, QUALITY = np.array([110.0, 10.0, 20.0, 60.0, 30.0]), np.array([1.0, 0.2, 0.1, 0.8, 0.5])
POINTS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 10)), min_size=1, max_size=8)


def split(points):
    return np.array([cost for cost, _ in points], float), np.array([quality for _, quality in points], float) / 10


def test_the_hull_has_the_points_that_no_mixture_beats():
    """(20, .1) is worse than the cheapest; (30, .5) lies above the line from (10, .2) to (60, .8), whose height there is .44."""
    prices, heights = hull(COST, QUALITY)
    assert prices.tolist() == [10, 30, 60, 110]
    assert heights.tolist() == [0.2, 0.5, 0.8, 1.0]


def test_points_on_a_line_are_one_edge():
    assert hull(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.5, 1.0]))[0].tolist() == [0, 2]


@given(POINTS)
def test_the_hull_is_concave_rising_and_above_every_point(points):
    cost, quality = split(points)
    prices, heights = hull(cost, quality)
    assert (np.diff(prices) > 0).all()
    assert (np.diff(heights) > 0).all()
    assert (np.diff(np.diff(heights) / np.diff(prices)) < 0).all()
    assert all(quality_at((prices, heights), price) >= height - 1e-12 for price, height in zip(cost, quality, strict=True))
    assert {*zip(prices, heights, strict=True)} <= {*zip(cost, quality, strict=True)}


def test_a_path_goes_through_every_point_good_or_not():
    prices, heights = path(np.append(COST, 30.0), np.append(QUALITY, 0.3))
    assert prices.tolist() == [10, 20, 30, 60, 110]
    assert heights.tolist() == [0.2, 0.1, 0.4, 0.8, 1.0]
    assert quality_at((prices, heights), 15) == pytest.approx(0.15)
    assert cost_at((prices, heights), 0.25) == pytest.approx(25)  # the first time it gets there
    assert cost_at((prices, heights), 0.15) == 10


@given(POINTS)
def test_the_hull_is_never_below_the_path(points):
    cost, quality = split(points)
    assert area(hull(cost, quality), 2, 25) >= area(path(cost, quality), 2, 25) - 1e-12


@pytest.mark.parametrize(("budget", "expected"), [(5, 0.2), (10, 0.2), (45, 0.65), (110, 1.0), (900, 1.0)])
def test_quality_is_read_off_the_hull(budget, expected):
    assert quality_at(hull(COST, QUALITY), budget) == pytest.approx(expected)


@pytest.mark.parametrize(("wanted", "expected"), [(0.0, 10), (0.2, 10), (0.65, 45), (1.0, 110), (1.01, math.inf)])
def test_cost_is_read_off_the_hull(wanted, expected):
    assert cost_at(hull(COST, QUALITY), wanted) == pytest.approx(expected)


def test_areas_by_hand():
    """From (0, 0) to (1, 1) and on at 1: a triangle of 1/2 and a square of 1 over a width of 2."""
    line = np.array([0.0, 1.0]), np.array([0.0, 1.0])
    assert area(line, 0, 2) == pytest.approx(0.75)
    assert area(line, 0.5, 1) == pytest.approx(0.75)
    assert area(line, 0.5, 0.5) == 0.5


def test_the_area_on_a_log_axis_by_hand():
    """Quality equal to cost: the integral of c d(ln c) from 1 to e is e - 1, over a width of 1; then 1 / e of a constant."""
    line = np.array([1.0, math.e])
    assert area((line, line), 1, math.e, log=True) == pytest.approx(math.e - 1)
    assert area((line, np.array([0.25, 0.25])), 1, 1_000, log=True) == pytest.approx(0.25)


@given(POINTS, st.booleans())
def test_the_area_is_the_mean_height(points, log):
    cost, quality = split(points)
    grid = np.geomspace(2, 25, 4_001) if log else np.linspace(2, 25, 4_001)
    heights = np.interp(grid, *hull(cost, quality))
    assert area(hull(cost, quality), 2, 25, log=log) == pytest.approx((heights[:-1] + heights[1:]).mean() / 2, abs=1e-5)


def test_aiq_starts_at_the_routers_own_cheapest_and_is_flat_to_the_dearest_of_all():
    assert aiq(np.array([1.0, 3.0]), np.array([0.4, 0.8]), dearest=5) == pytest.approx((2 * 0.6 + 2 * 0.8) / 4)


def test_a_call_curve_by_hand():
    """Sent in order of score: the second question gains 1, the first and third, of one score, 0 and -1 together."""
    score, weak, strong = np.array([1.0, 2.0, 1.0, 0.0]), np.array([1.0, 0, 1, 0]), np.array([1.0, 1, 0, 1])
    share, quality = call_curve(score, weak, strong)
    assert share.tolist() == [0, 0.25, 0.75, 1]
    assert quality.tolist() == [0.5, 0.75, 0.5, 0.75]
    assert apgr(share, quality) == pytest.approx((0.25 * 0.5 + 0.5 * 0.5 + 0.25 * 0.5) / 1)
    assert cpt(share, quality, 0.5) == pytest.approx(0.125)
    assert cpt(share, quality, 1.0) == pytest.approx(0.25)


def test_a_weight_is_so_many_copies():
    rng = np.random.default_rng(0)
    score, weak, strong, copies = rng.integers(0, 6, 40) * 1.0, rng.random(40), rng.random(40), rng.integers(1, 4, 40)
    weighted = call_curve(score, weak, strong, copies.astype(float))
    repeated = call_curve(*(np.repeat(column, copies) for column in (score, weak, strong)))
    for found, expected in zip(weighted, repeated, strict=True):
        assert found == pytest.approx(expected)


def test_knowing_nothing_recovers_half():
    rng = np.random.default_rng(1)
    weak, strong = (rng.random(20_000) < 0.6).astype(float), (rng.random(20_000) < 0.9).astype(float)
    curve = call_curve(rng.random(20_000), weak, strong)
    assert apgr(*curve) == pytest.approx(0.5, abs=0.02)
    assert cpt(*curve, 0.5) == pytest.approx(0.5, abs=0.03)


def test_one_score_for_all_is_a_coin():
    weak, strong = np.array([0.0, 1, 0, 0]), np.array([1.0, 1, 1, 0])
    curve = call_curve(np.zeros(4), weak, strong)
    assert (apgr(*curve), cpt(*curve, 0.5), cpt(*curve, 0.8)) == (pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.8))
    assert apgr(*call_curve(np.zeros(4), weak, strong, thresholds=10)) == pytest.approx(0.5)


def test_arms_that_are_equally_good_leave_no_gap():
    curve = call_curve(np.arange(2.0), np.array([0.0, 1.0]), np.array([1.0, 0.0]))
    assert math.isnan(apgr(*curve))
    assert math.isnan(cpt(*curve, 0.5))


def routellm_curve(score, weak, strong, thresholds):
    """RouteLLM's `benchmarks.py` in so many words: for each threshold at least as high, the last one strictly, mean of what was chosen."""
    edges = np.quantile(score, np.linspace(0, 1, thresholds + 1))
    picked = [score >= edge for edge in edges[:-1]] + [score > edges[-1]]
    return [one.mean() for one in picked][::-1], [np.where(one, strong, weak).mean() for one in picked][::-1]


def test_ten_thresholds_are_routellms():
    rng = np.random.default_rng(2)
    score, weak, strong = rng.random(500), rng.random(500), rng.random(500)
    share, quality = call_curve(score, weak, strong, thresholds=10)
    expected = routellm_curve(score, weak, strong, 10)
    assert share == pytest.approx(expected[0])
    assert quality == pytest.approx(expected[1])


@pytest.mark.skipif(not ROUTELLM.exists(), reason="the table of real outcomes is not here")
@pytest.mark.parametrize("thresholds", [None, 10])
def test_prompt_length_on_gsm8k_recovers_what_it_did_on_the_whole_set(thresholds):
    """The whole set has APGR .601, CPT(50 %) .365 and CPT(80 %) .663; 70 % of it is here."""
    table = pyarrow.parquet.read_table(ROUTELLM, filters=[("benchmark", "=", "gsm8k")]).to_pydict()
    found = {"Mix": {}, "gpt": {}}
    lengths = dict(zip(table["query_id"], table["prompt_chars"], strict=True))
    for question, arm, quality in zip(table["query_id"], table["arm"], table["quality"], strict=True):
        found[arm[:3]][question] = quality
    score, weak, strong = (np.array([one[question] for question in lengths], float) for one in (lengths, found["Mix"], found["gpt"]))
    curve = call_curve(score, weak, strong, thresholds=thresholds)
    figures = apgr(*curve), cpt(*curve, 0.5), cpt(*curve, 0.8)
    assert figures == (pytest.approx(0.601, abs=0.01), pytest.approx(0.365, abs=0.02), pytest.approx(0.663, abs=0.02))


@pytest.mark.parametrize(("accuracy", "cost", "score"), [(0.7718, 0.30, 0.7530), (0.7969, 0.27, 0.7763)])
def test_the_arenas_score_is_the_leaderboards(accuracy, cost, score):
    """Rows of RouterArena's leaderboard in 2026; costs there have two digits."""
    assert arena(accuracy, cost) == pytest.approx(score, abs=5e-4)


@pytest.mark.parametrize(("accuracy", "cost", "score"), [(0.9, 200, 0), (0, 1, 0), (0, 1_000, 0), (1, 0.0044, 1), (1, 0.0001, 1)])
def test_the_arenas_score_has_ends(accuracy, cost, score):
    assert arena(accuracy, cost) == pytest.approx(score)


def test_the_bootstrap_interval_is_the_normal_one_for_a_mean():
    rng = np.random.default_rng(3)
    right = (rng.random(1_000) < 0.7).astype(float)
    figure, low, high = bootstrap(lambda weight: float(weight @ right), 1_000, rng, resamples=2_000)
    half = 1.96 * right.std() / math.sqrt(1_000)
    assert (figure, low, high) == (
        pytest.approx(right.mean()),
        pytest.approx(right.mean() - half, abs=3e-3),
        pytest.approx(right.mean() + half, abs=3e-3),
    )


def test_a_paired_difference_knows_what_two_intervals_do_not():
    """Router a is right where b is, and on one question in twenty more: sure, although each area alone is known to .03 only."""
    rng = np.random.default_rng(4)
    cost = np.broadcast_to(np.array([1.0, 4.0, 9.0]), (1_000, 3))
    b = (rng.random((1_000, 1)) < np.array([0.4, 0.6, 0.7])).astype(float)
    a = np.maximum(b, rng.random((1_000, 1)) < 0.05)

    def areas(quality):
        return lambda weight: area(hull(weight @ cost, weight @ quality), 1, 9)

    alone = bootstrap(areas(a), 1_000, np.random.default_rng(5))
    ahead = bootstrap(lambda weight: areas(a)(weight) - areas(b)(weight), 1_000, np.random.default_rng(5))
    assert ahead[1] > 0
    assert ahead[2] - ahead[1] < (alone[2] - alone[1]) / 2
    assert ahead[0] == pytest.approx(areas(a)(np.full(1_000, 1e-3)) - areas(b)(np.full(1_000, 1e-3)))
