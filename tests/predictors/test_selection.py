"""Heads from sheets, against scikit-learn and against what is known of the weights."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from predictors.training.newton import line, minimise, sigmoid
from predictors.training.selection import CANDIDATES, PLAIN, Candidate, fit_head, logits, recalibrated
from predictors.training.sheets import FOLDS, Sheet

TIGHT = {"tol": 1e-10, "max_iter": 2_000}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As `retrain` does: on busy cores these small problems take many times longer with two."""
    with threadpool_limits(limits=1):
        yield


def a_sheet(count, seed=0):
    """Column 0 is the constant, as in real features; the last is a column that never moves."""
    rng = np.random.default_rng(seed)
    x = np.column_stack((np.ones(count), rng.normal(size=(count, 3)) * (1, 10, 0.1), np.zeros(count))).astype(np.float32)
    y = (rng.random(count) < sigmoid(0.5 + x[:, 1] - 0.2 * x[:, 2])).astype(np.float32)[:, None]
    return Sheet(x, y, np.ones_like(y), rng.integers(1_000, size=count))


def test_a_head_is_what_scikit_learn_makes_of_the_same_rows():
    sheet = a_sheet(400)
    scaled = sheet.x / np.where(sheet.x.std(0) > 0, sheet.x.std(0), 1)
    theirs = LogisticRegression(C=0.1, **TIGHT).fit(scaled[:, 1:], sheet.y[:, 0]).decision_function(scaled[:, 1:])
    weights = PLAIN.fit(sheet, 0)["weights"]
    assert sheet.x @ weights[0] == pytest.approx(theirs, abs=1e-3)


def test_columns_of_the_vector_have_a_ridge_of_their_own():
    """Held back a hundredfold is the same as a tenth of the size."""
    sheet = replace(a_sheet(400), vector=(2, 4))
    scaled = (sheet.x / np.where(sheet.x.std(0) > 0, sheet.x.std(0), 1)) * np.array([1, 1, 0.1, 0.1, 1])
    theirs = LogisticRegression(C=2.0, **TIGHT).fit(scaled[:, 1:], sheet.y[:, 0]).decision_function(scaled[:, 1:])
    weights = Candidate("logistic", {"strength": 2.0, "probe": 0.01}).fit(sheet, 0)["weights"]
    assert sheet.x @ weights[0] == pytest.approx(theirs, abs=1e-3)


def test_among_one_family_the_best_is_chosen_and_not_the_first():
    """A vector that says nothing: of the ridges the one that holds it back."""
    rng = np.random.default_rng(3)
    sheet = a_sheet(600, 3)
    noisy = replace(sheet, x=np.hstack((sheet.x, rng.normal(size=(600, 80)).astype(np.float32))), vector=(5, 85))
    few = [Candidate("logistic", {"strength": 1.0, "probe": probe}) for probe in (1.0, 0.1, 1e-3)]
    assert fit_head(noisy, seed=0, among=few).facts["chosen"] == str(few[-1])


def test_held_out_log_odds_are_calibrated_ones_of_models_that_did_not_see_the_fold():
    sheet = a_sheet(400)
    head, fold = fit_head(sheet, seed=0, among=(PLAIN,)), sheet.group % FOLDS
    raw = np.zeros(400)
    for out in range(FOLDS):
        rest = Sheet(*(getattr(sheet, name)[fold != out] for name in ("x", "y", "weight", "group")))
        raw[fold == out] = sheet.x[fold == out] @ PLAIN.fit(rest, 0)["weights"][0]
    mapped = np.interp(raw, head.arrays["calibration_x"][0], head.arrays["calibration_y"][0])
    assert head.held_out[:, 0] == pytest.approx(mapped, abs=1e-5)
    assert logits(head, sheet.x)[:, 0] == pytest.approx(
        np.interp(sheet.x @ head.arrays["weights"][0], head.arrays["calibration_x"][0], head.arrays["calibration_y"][0]), abs=1e-5
    )


def test_trees_are_chosen_where_no_line_will_do_and_a_line_where_it_does():
    """The sign of a product of two columns: a line tells nothing of it."""
    rng = np.random.default_rng(0)
    x = np.column_stack((np.ones(1_600), rng.normal(size=(1_600, 2)))).astype(np.float32)
    y = (x[:, 1] * x[:, 2] > 0).astype(np.float32)[:, None]
    few = (PLAIN, *(one for one in CANDIDATES if one.family == "boosting"))
    crossed = fit_head(Sheet(x, y, np.ones_like(y), np.arange(1_600)), seed=0, among=few)
    assert crossed.family == "boosting"
    tried = crossed.facts["tried"]
    assert tried[str(PLAIN)] > 0.68
    assert min(tried.values()) < 0.3
    assert fit_head(a_sheet(1_600), seed=0, among=few).family == "logistic"
    assert "boosting" in str(fit_head(a_sheet(400), seed=0, among=(*few, Candidate("logistic", {"strength": 1.0}))).facts["skipped"])


def test_the_minimum_is_that_of_scikit_learn_for_weighted_rows():
    sheet = a_sheet(300)
    weight = np.random.default_rng(1).random(300)
    x, y = sheet.x[:, :4].astype(float), sheet.y[:, 0].astype(float)
    ours, hessian = minimise(x, y, weight, np.full(4, 2.0))
    theirs = LogisticRegression(C=0.5, fit_intercept=False, **TIGHT).fit(x, y, weight).coef_[0]
    assert ours == pytest.approx(theirs, abs=1e-5)
    p = sigmoid(x @ ours)
    assert hessian == pytest.approx(np.einsum("i,ij,ik->jk", weight * p * (1 - p), x, x) + 2 * np.eye(4))


def test_soft_labels_are_as_good_as_the_hard_ones_they_average():
    x = np.column_stack((np.ones(3), [-1.0, 0.0, 1.0]))
    soft, _ = minimise(x, np.array([0.2, 0.5, 0.9]), np.ones(3), np.full(2, 0.1))
    twice = np.repeat(x, 2, axis=0)
    hard, _ = minimise(twice, np.tile([1.0, 0.0], 3), np.array([0.2, 0.8, 0.5, 0.5, 0.9, 0.1]), np.full(2, 0.1))
    assert soft == pytest.approx(hard)


def test_outcomes_beyond_0_and_1_still_have_a_minimum_which_meets_their_mean():
    """softplus(z) - y z at slope 0 has sigmoid(z) = mean of y: here .6, from -1 and 2.2."""
    w, _ = minimise(np.ones((2, 1)), np.array([-1.0, 2.2]), np.ones(2), np.zeros(1))
    assert sigmoid(w) == pytest.approx([0.6])


def test_a_line_never_turns_the_order_round_and_still_meets_the_mean():
    held_out, y = np.linspace(-1, 3, 200), np.repeat([1.0, 0.0], [150, 50])  # the higher the score, the worse
    slope, shift = line(held_out, y, np.ones(200), 1e-6)
    assert slope > 0
    assert sigmoid(slope * held_out + shift).mean() == pytest.approx(0.75, abs=1e-4)


def test_the_spread_is_that_of_fits_to_fresh_rows():
    heads = [fit_head(a_sheet(400, seed), seed=0, among=(PLAIN,)) for seed in range(12)]
    seen = a_sheet(400, 99).x
    spread = np.std([logits(head, seen)[:, 0] for head in heads], axis=0)
    stated = np.mean([head.arrays["spread"][0] for head in heads])
    assert 0.5 < np.sqrt((spread**2).mean()) / stated < 2.0


def test_an_output_is_fitted_to_the_rows_where_it_was_observed_and_held_out_everywhere():
    one, other = a_sheet(400), a_sheet(400, seed=1)
    gap = np.full((400, 1), np.nan, np.float32)
    both = Sheet(
        np.vstack((one.x, other.x)), np.block([[one.y, gap], [gap, other.y]]), np.ones((800, 2), np.float32), np.concatenate((one.group, other.group))
    )
    head, alone = fit_head(both, seed=0), fit_head(other, seed=0)
    assert head.facts["rows"] == [400, 400]
    assert head.held_out.shape == (800, 2)
    assert np.abs(head.held_out).min() > 0
    assert head.held_out[400:, 1] == pytest.approx(alone.held_out[:, 0], abs=0.05)  # columns are scaled by all rows alike


def correlation(one, other):
    """Pearson's; 0 where one of them is the same everywhere, as a head that knows nothing is on some processors."""
    return np.cov(one, other)[0, 1] / (one.std() * other.std() + 1e-9)


def test_rows_of_one_query_are_held_out_together():
    """Every row twice, in one group, and columns that name it: a head that saw the other copy would know the answer."""
    rng = np.random.default_rng(0)
    x = np.column_stack((np.ones(200), np.eye(200))).astype(np.float32)
    y = rng.integers(2, size=(200, 1)).astype(np.float32)
    twice = Sheet(np.vstack((x, x)), np.vstack((y, y)), np.ones((400, 1), np.float32), np.tile(np.arange(200), 2))
    held_out = fit_head(twice, seed=0).held_out[:, 0]
    assert abs(correlation(held_out, twice.y[:, 0])) < 0.2
    apart = replace(twice, group=np.concatenate((np.arange(200), np.arange(200) + 1)))
    assert correlation(fit_head(apart, seed=0).held_out[:, 0], apart.y[:, 0]) > 0.6


def test_a_weight_counts_as_that_many_rows():
    sheet = a_sheet(100)
    twice = Sheet(*(np.vstack((getattr(sheet, name),) * 2) for name in ("x", "y", "weight")), np.tile(sheet.group, 2))
    heavy = replace(sheet, weight=np.full_like(sheet.weight, 5.0))
    assert logits(fit_head(heavy, seed=0), sheet.x) == pytest.approx(
        logits(fit_head(sheet, seed=0), sheet.x), abs=1e-4
    )  # of all rows: changes nothing
    some = replace(sheet, weight=np.where(sheet.y > 0, 2, 1).astype(np.float32))
    more = Sheet(*(np.vstack((getattr(sheet, name), getattr(sheet, name)[sheet.y[:, 0] > 0])) for name in ("x", "y", "weight")),
                 np.concatenate((sheet.group, sheet.group[sheet.y[:, 0] > 0])))  # fmt: skip
    assert fit_head(some, seed=0).held_out.mean() == pytest.approx(fit_head(more, seed=0).held_out[:100].mean(), abs=0.1)
    assert fit_head(twice, seed=0).facts["rows"] == [200]


def test_few_rows_give_the_base_rate_and_say_so():
    sheet = a_sheet(20)
    head = fit_head(sheet, seed=0)
    assert sigmoid(logits(head, sheet.x)[:, 0]) == pytest.approx(np.full(20, (sheet.y.sum() + 1) / 22))
    assert head.facts["base_rate_only"] == [True]
    nothing = fit_head(Sheet(np.zeros((0, 5), np.float32), np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32), np.zeros(0, int)), seed=0)
    assert sigmoid(nothing.arrays["calibration_y"][:, 0]).tolist() == [0.5, 0.5]
    assert nothing.held_out.shape == (0, 2)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_rows_that_are_all_alike_give_a_finite_head(outcome):
    sheet = replace(a_sheet(100), y=np.full((100, 1), outcome, np.float32))
    head = fit_head(sheet, seed=0)
    assert head.facts["base_rate_only"] == [True]
    assert sigmoid(logits(head, sheet.x)[:, 0]) == pytest.approx(np.full(100, (100 * outcome + 1) / 102))
    assert np.isfinite(head.arrays["spread"]).all()


def test_recalibrating_moves_what_is_served_and_what_was_held_out_alike():
    sheet = a_sheet(200)
    head = fit_head(sheet, seed=0)
    moved = recalibrated(head, np.array([2.0]), np.array([-1.0]))
    assert moved.held_out == pytest.approx(2 * head.held_out - 1)
    assert logits(moved, sheet.x) == pytest.approx(2 * logits(head, sheet.x) - 1, abs=1e-5)
    assert moved.arrays["spread"] == pytest.approx(2 * head.arrays["spread"])
    assert moved.arrays["weights"] is head.arrays["weights"]
