"""Heads from sheets, against scikit-learn and against what is known of the weights."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from predictors.training.newton import line, minimise, sigmoid
from predictors.training.selection import fit_head, logits, recalibrated
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


def by_scikit_learn(sheet):
    """The same recipe, written with scikit-learn alone: P(right) of each row, in sample and held out."""
    fold, y = sheet.group % FOLDS, sheet.y[:, 0]
    x = sheet.x[:, 1:4] / sheet.x[:, 1:4].std(0, dtype=float)
    best = None
    for strength in (0.01, 0.03, 0.1, 0.3, 1.0):
        held_out = np.zeros(len(y))
        for out in range(FOLDS):
            model = LogisticRegression(C=strength, **TIGHT).fit(x[fold != out], y[fold != out])
            held_out[fold == out] = model.decision_function(x[fold == out])
        loss = -np.mean(np.log(np.where(y > 0, sigmoid(held_out), sigmoid(-held_out))))
        if best is None or loss < best[0]:
            best = (loss, strength, held_out)
    _, strength, held_out = best
    platt = LogisticRegression(C=np.inf, **TIGHT).fit(held_out[:, None], y)
    final = LogisticRegression(C=strength, **TIGHT).fit(x, y)
    return strength, platt.predict_proba(final.decision_function(x)[:, None])[:, 1], platt.predict_proba(held_out[:, None])[:, 1]


def test_a_head_is_what_scikit_learn_makes_of_the_same_rows():
    sheet = a_sheet(400)
    head = fit_head(sheet, seed=0)
    strength, in_sample, held_out = by_scikit_learn(sheet)
    assert head.facts == {"rows": [400], "strength": [strength], "base_rate_only": [False]}
    assert sigmoid(logits(head, sheet.x)[:, 0]) == pytest.approx(in_sample, abs=1e-3)  # ours holds the calibration back a little
    assert sigmoid(head.held_out[:, 0]) == pytest.approx(held_out, abs=1e-3)


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


def test_the_variance_of_the_weights_is_that_of_fits_to_fresh_rows():
    heads = [fit_head(a_sheet(400, seed), seed=0) for seed in range(12)]
    spread = np.std([head.arrays["weights"][0] for head in heads], axis=0)[1:4]
    stated = np.sqrt(np.mean([head.arrays["variance"][0] for head in heads], axis=0))[1:4]
    assert np.all((spread / stated > 0.5) & (spread / stated < 2.0))


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


def test_rows_of_one_query_are_held_out_together():
    """Every row twice, in one group, and columns that name it: a head that saw the other copy would know the answer."""
    rng = np.random.default_rng(0)
    x = np.column_stack((np.ones(200), np.eye(200))).astype(np.float32)
    y = rng.integers(2, size=(200, 1)).astype(np.float32)
    twice = Sheet(np.vstack((x, x)), np.vstack((y, y)), np.ones((400, 1), np.float32), np.tile(np.arange(200), 2))
    held_out = fit_head(twice, seed=0).held_out[:, 0]
    assert abs(np.corrcoef(held_out, twice.y[:, 0])[0, 1]) < 0.2
    apart = replace(twice, group=np.concatenate((np.arange(200), np.arange(200) + 1)))
    assert np.corrcoef(fit_head(apart, seed=0).held_out[:, 0], apart.y[:, 0])[0, 1] > 0.6


def test_a_weight_counts_as_that_many_rows():
    sheet = a_sheet(100)
    twice = Sheet(*(np.vstack((getattr(sheet, name),) * 2) for name in ("x", "y", "weight")), np.tile(sheet.group, 2))
    heavy = replace(sheet, weight=np.full_like(sheet.weight, 5.0))
    assert fit_head(heavy, seed=0).arrays["weights"] == pytest.approx(fit_head(sheet, seed=0).arrays["weights"])  # of all rows: changes nothing
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
    assert sigmoid(nothing.arrays["weights"][:, 0]).tolist() == [0.5, 0.5]
    assert nothing.held_out.shape == (0, 2)


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_rows_that_are_all_alike_give_a_finite_head(outcome):
    sheet = replace(a_sheet(100), y=np.full((100, 1), outcome, np.float32))
    head = fit_head(sheet, seed=0)
    assert head.facts["base_rate_only"] == [True]
    assert sigmoid(head.arrays["weights"][0, 0]) == pytest.approx((100 * outcome + 1) / 102)
    assert np.isfinite(head.arrays["variance"]).all()


def test_recalibrating_moves_what_is_served_and_what_was_held_out_alike():
    sheet = a_sheet(200)
    head = fit_head(sheet, seed=0)
    moved = recalibrated(head, np.array([2.0]), np.array([-1.0]))
    assert moved.held_out == pytest.approx(2 * head.held_out - 1)
    assert logits(moved, sheet.x) == pytest.approx(2 * logits(head, sheet.x) - 1, abs=1e-5)
    assert moved.arrays["variance"] == pytest.approx(4 * head.arrays["variance"])
