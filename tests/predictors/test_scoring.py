"""Figures of probabilities: those of scikit-learn, by hand where it has none, and intervals that hold what they promise."""

import time

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from predictors.training.scoring import score


def values(p, y, **options):
    found = score(np.array(p, float), np.array(y, float), resamples=2, **options)
    return {name: figure and figure.value for name, figure in found.items()}


def a_sample(seed, count=2_000, shift=0.0):
    """Probabilities and outcomes; the truth is `shift` above what is said, on all of it."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.1, 0.7, count)
    return p, (rng.random(count) < p + shift).astype(float), rng


@pytest.mark.parametrize("digits", [1, 9], ids=["ties", "no ties"])
@pytest.mark.parametrize("weighted", [False, True])
def test_figures_are_scikit_learns(digits, weighted):
    p, y, rng = a_sample(0)
    p, weight = p.round(digits), rng.random(len(p)) if weighted else None
    found = values(p, y, weight=weight)
    assert found["auc"] == pytest.approx(roc_auc_score(y, p, sample_weight=weight))
    assert found["brier"] == pytest.approx(brier_score_loss(y, p, sample_weight=weight))
    assert found["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=weight))


def test_calibration_error_by_hand():
    """Two values of p, so two bins: |1/2 - .4| on four rows and |1 - .8| on one."""
    p, y = [0.4] * 4 + [0.8], [1, 0, 1, 0, 1]
    assert values(p, y)["ece"] == pytest.approx((4 * 0.1 + 1 * 0.2) / 5)
    assert values(p, y, weight=np.array([1.0, 1, 1, 1, 4]))["ece"] == pytest.approx((4 * 0.1 + 4 * 0.2) / 8)


def test_bins_have_equal_mass():
    """1,000 different values in ten bins of 100: brute force over sorted rows."""
    p, y, _ = a_sample(1, 1_000)
    bins = np.array_split(np.argsort(p), 10)
    assert values(p, y)["ece"] == pytest.approx(sum(abs((y - p)[part].sum()) for part in bins) / 1_000)


def test_rows_of_equal_probability_share_a_bin_whatever_their_order():
    """Sorted outcomes would otherwise fall into bins of their own and look miscalibrated."""
    assert values([0.5] * 100, [0] * 50 + [1] * 50)["ece"] == 0.0


@pytest.mark.parametrize("outcome", [0, 1])
def test_one_outcome_has_no_auc(outcome):
    found = score(np.array([0.2, 0.9]), np.full(2, outcome, float), resamples=5)
    assert found["auc"] is None
    assert found["brier"].value == pytest.approx(((0.2 - outcome) ** 2 + (0.9 - outcome) ** 2) / 2)


def test_a_soft_outcome_is_so_much_right_and_the_rest_wrong():
    """An outcome of 1/4 is one right row and three wrong ones, but for the part of Brier's score that no forecast could save."""
    p, soft = [0.3, 0.6, 0.8], [0.25, 0.5, 1.0]
    found, hard = values(p, soft), values(np.repeat(p, 4), [1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1])
    assert {name: found[name] for name in ("auc", "log_loss", "ece")} == pytest.approx({name: hard[name] for name in ("auc", "log_loss", "ece")})
    assert found["brier"] == pytest.approx((0.05**2 + 0.1**2 + 0.2**2) / 3)


def test_certainty_that_was_wrong_costs_much_but_not_everything():
    assert 20 < values([0.0, 1.0], [1, 0])["log_loss"] < 30


def test_intervals_are_the_normal_ones():
    """Hanley and McNeil's variance for AUC, the standard error of a mean for the losses."""
    p, y, _ = a_sample(2)
    found = score(p, y)
    loss = (p - y) ** 2
    half = 1.96 * loss.std() / np.sqrt(len(p))
    assert (found["brier"].low, found["brier"].high) == pytest.approx((loss.mean() - half, loss.mean() + half), abs=1e-3)
    auc, right = found["auc"].value, y.sum()
    wrong, q1, q2 = len(y) - right, auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (right - 1) * (q1 - auc**2) + (wrong - 1) * (q2 - auc**2)) / (right * wrong)
    assert found["auc"].high - found["auc"].low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.15)


def test_rows_of_one_question_are_one_observation():
    """Nine copies of every row say no more than one does: the cluster interval stays, the plain one would shrink to a third."""
    p, y, _ = a_sample(3, 500)
    once = score(p, y)
    copies = score(np.repeat(p, 9), np.repeat(y, 9), group=np.repeat(np.arange(500), 9))
    blind = score(np.repeat(p, 9), np.repeat(y, 9))
    for name in ("auc", "brier", "log_loss", "ece"):
        width, wide, narrow = (one[name].high - one[name].low for one in (once, copies, blind))
        assert wide == pytest.approx(width, rel=0.15), name
        assert narrow < width / 2, name


def test_the_calibration_errors_interval_holds_the_truth():
    """All that is said is .1 too low. At least 33 of 40, where 95 % are promised: one in a thousand falls short by so much."""
    intervals = [score(*a_sample(seed, 800, 0.1)[:2], resamples=100)["ece"] for seed in range(40)]
    assert sum(one.low <= 0.1 <= one.high for one in intervals) >= 33


def test_a_bins_noise_is_not_taken_for_miscalibration():
    """Where what is said is true, the plug-in figure is noise alone (.04 of it); the interval reaches down to nearly nothing."""
    intervals = [score(*a_sample(seed, 800)[:2], resamples=100)["ece"] for seed in range(20)]
    assert np.mean([one.value for one in intervals]) > 0.03
    assert np.mean([one.low for one in intervals]) < 0.01


def test_the_same_seed_gives_the_same_interval():
    p, y, _ = a_sample(4, 200)
    assert score(p, y, seed=1) == score(p, y, seed=1) != score(p, y, seed=2)


def test_a_thousand_resamples_of_ten_thousand_rows_are_quick():
    p, y, _ = a_sample(5, 10_000)
    start = time.process_time()
    score(p, y, group=np.arange(10_000) // 2)
    assert time.process_time() - start < 3  # a third of a second when nobody else computes
