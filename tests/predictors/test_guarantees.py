"""Guarantees: kept on fresh questions as often as promised, broken where what they ask for is missing, and MAPIE's own."""

import math
import warnings

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController
from scipy.stats import beta

from predictors.guarantee import ALPHAS, NEVER, threshold
from predictors.training.guarantees import accept_threshold, risk_control, thresholds

RUNS = 500
CUBES = 0.225  # P(wrong | score s) = .9 (1 - s)^3 of scores spread evenly: .225 (1 - t)^3 of those above t are wrong, .225 (1 - t)^4 of all


def a_sample(seed, count=500, hard=0.0, ease=0.3):
    """Scores, outcomes and kinds; questions of the hard kind are wrong as often as `CUBES` says, easy ones `ease` times as often."""
    rng = np.random.default_rng(seed)
    scores, kind = rng.random(count), rng.random(count) < hard
    chance = 4 * CUBES * (1 - scores) ** 3 * np.where(kind, 1.0, ease)
    return scores, (rng.random(count) < chance).astype(float), kind


def share_wrong(t, hard=0.0, ease=0.3):
    """Of what is accepted at `t`, in truth."""
    return 0.0 if t is None else CUBES * (1 - t) ** 3 * (hard + (1 - hard) * ease)


def test_the_promise_is_kept_as_often_as_it_says_and_not_much_oftener():
    """Broken in at most 10 % of runs. The truly best threshold accepts 61 %: .225 (1 - t)^3 = .05; eight tenths of that are reached on average."""
    found = [accept_threshold(*a_sample(seed, hard=1.0)[:2], alpha=0.05) for seed in range(RUNS)]
    broken = np.mean([share_wrong(t, hard=1.0) > 0.05 for t in found])
    assert 0.02 < broken < 0.1 + 2 * math.sqrt(0.1 * 0.9 / RUNS)
    assert np.mean([0.0 if t is None else 1 - t for t in found]) > 0.8 * (0.05 / CUBES) ** (1 / 3)


def test_at_the_edge_the_promise_is_broken_exactly_as_often_as_allowed():
    """One score for all and as many wrong as are allowed: accepting anything is a broken promise, and one binomial test decides."""
    rng = np.random.default_rng(0)
    broken = [accept_threshold(np.zeros(400), (rng.random(400) < 0.1) * 1.0, 0.1, starts=1) is not None for _ in range(4_000)]
    assert np.mean(broken) == pytest.approx(0.0746, abs=0.0125)  # P(Binomial(400, .1) <= 31), the largest below .1; 3 standard errors


def test_other_kinds_of_questions_break_it_and_weights_mend_it():
    """Calibrated on one hard question in five, served four in five: .44 of the hard kind's rate becomes .86."""
    bare, weighted = [], []
    for seed in range(RUNS):
        scores, wrong, kind = a_sample(seed, 1_000, hard=0.2)
        bare.append(accept_threshold(scores, wrong, 0.05))
        weighted.append(accept_threshold(scores, wrong, 0.05, weight=np.where(kind, 0.8 / 0.2, 0.2 / 0.8)))
    broken, mended = ([share_wrong(t, hard=0.8) > 0.05 for t in one] for one in (bare, weighted))
    assert np.mean([share_wrong(t, hard=0.2) > 0.05 for t in bare]) < 0.13  # where it was calibrated it is kept
    assert np.mean(broken) > 0.9
    assert np.mean(mended) < 0.1 + 2 * math.sqrt(0.1 * 0.9 / RUNS)
    assert np.mean([t is not None for t in weighted]) > 0.8


@pytest.mark.parametrize("seed", range(8))
def test_one_start_is_mapies_fixed_sequence(seed):
    """Precision is 1 - the share of wrong ones. Each score accepts a power of two: of others MAPIE may count, by rounding, one wrong too many."""
    rng = np.random.default_rng(seed)
    levels = np.arange(6, 0, -1) / 8
    scores = np.repeat(levels, [64, 64, 128, 256, 512, 1024])
    wrong = (rng.random(2_048) < 0.3 * (1 - scores) ** 2).astype(float)
    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack((1 - x, x)),
        risk="precision",
        target_level=0.95,
        confidence_level=0.9,
        list_predict_params=levels,
        fwer_method="fixed_sequence",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it cannot know, and where it finds nothing
        controller.calibrate(scores, 1 - wrong)
    valid = controller.valid_predict_params
    assert accept_threshold(scores, wrong, 0.05, starts=1) == (float(np.min(valid)) if len(valid) else None)


def test_a_second_start_outlives_bad_luck_with_the_first():
    """The surest of 1,000 answers is wrong and no other: the 45 that one start begins with may not hold a wrong one."""
    scores, wrong = np.arange(1_000) / 1_000, np.zeros(1_000)
    wrong[-1] = 1
    assert accept_threshold(scores, wrong, 0.05, starts=1) is None
    assert accept_threshold(scores, wrong, 0.05) == 0.0


def clopper_pearson(wrong, count, delta):
    return 1.0 if wrong == count else float(beta.ppf(1 - delta, wrong + 1, count - wrong))


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_where_clopper_and_pearsons_bound_last_held(seed):
    """One start, every row its own score and few enough to be tried one by one."""
    rng = np.random.default_rng(seed)
    scores = rng.permutation(90) / 90
    wrong = (rng.random(90) < 0.25 * (1 - scores)).astype(float)
    ranked = wrong[np.argsort(-scores)].cumsum()
    expected = None
    for count in range(math.ceil(math.log(0.1) / math.log(0.9)), 91):
        if clopper_pearson(ranked[count - 1], count, 0.1) > 0.1:
            break
        expected = (90 - count) / 90
    found = accept_threshold(scores, wrong, 0.1, starts=1)
    assert found == (None if expected is None else pytest.approx(expected))


def test_what_is_always_wrong_is_never_accepted():
    assert accept_threshold(np.random.default_rng(0).random(500), np.ones(500), 0.1) is None


def test_what_is_always_wrong_is_accepted_as_rarely_as_wrong_ones_may_be():
    """Of all queries, that is: (k + 1) / 501 <= .1 allows k = 49."""
    scores = np.random.default_rng(0).random(500)
    assert (scores >= risk_control(scores, np.ones(500), 0.1)).sum() == 49


@pytest.mark.parametrize("find", [accept_threshold, risk_control])
def test_what_is_always_right_is_always_accepted(find):
    scores = np.random.default_rng(0).random(500)
    assert find(scores, np.zeros(500), 0.05) == scores.min()


@pytest.mark.parametrize("find", [accept_threshold, risk_control])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_tiny_calibration_set_promises_nothing(find, count):
    assert find(np.ones(count), np.zeros(count), 0.05) is None
    assert find(np.ones(count), np.zeros(count), 0.05, weight=np.ones(count)) is None


@pytest.mark.parametrize("find", [accept_threshold, risk_control])
def test_as_few_as_can_do_will_do(find):
    """45 right answers are the fewest with .95^45 <= .1; 19 the fewest with 1 / (n + 1) <= .05."""
    fewest, options = (45, {"starts": 1}) if find is accept_threshold else (19, {})
    assert find(np.ones(fewest), np.zeros(fewest), 0.05, **options) == 1.0
    assert find(np.ones(fewest - 1), np.zeros(fewest - 1), 0.05, **options) is None


@pytest.mark.parametrize("find", [accept_threshold, risk_control])
def test_equal_scores_are_accepted_together_or_not_at_all(find):
    """A hundred at .9 are right; the next hundred, all at .5, are wrong one time in two, the right ones listed first."""
    scores, wrong = np.repeat([0.9, 0.5], 100), np.concatenate((np.zeros(150), np.ones(50)))
    assert find(scores, wrong, 0.1) == 0.9


def test_risk_control_by_hand():
    """(wrong ones so far + 1) / (9 + 1) <= .2 until the second wrong one."""
    assert risk_control(np.arange(9, 0, -1.0), np.array([0.0, 0, 1, 0, 0, 1, 0, 0, 0]), 0.2) == 5.0


def test_risk_control_holds_on_average_and_is_tight():
    """Expected loss between alpha - 2 / (n + 1), less one row's worth for the step down to a score that was seen, and alpha (theorems 1 and 2)."""
    found = [risk_control(*a_sample(seed, 200, hard=1.0)[:2], alpha=0.05) for seed in range(RUNS)]
    losses = np.array([0.0 if t is None else (1 - t) * share_wrong(t, hard=1.0) for t in found])
    error = losses.std() / math.sqrt(RUNS)
    assert 0.05 - 3 / 201 - 2 * error < losses.mean() < 0.05 + 2 * error


def test_weighted_risk_control_follows_the_questions():
    bare, weighted = [], []
    for seed in range(RUNS):
        scores, wrong, kind = a_sample(seed, 500, hard=0.2)
        for out, weight in ((bare, None), (weighted, np.where(kind, 4.0, 0.25))):
            t = risk_control(scores, wrong, 0.05, weight)
            out.append((1 - t) * share_wrong(t, hard=0.8))
    assert np.mean(bare) > 0.06
    assert 0.035 < np.mean(weighted) < 0.05 + 2 * np.std(weighted) / math.sqrt(RUNS)


def test_the_served_thresholds_are_found_one_by_one():
    scores, wrong, _ = a_sample(1, hard=1.0)
    served = thresholds(scores, wrong)
    assert served.shape == (len(ALPHAS),)
    assert served[0] == NEVER  # 500 answers are too few to promise one in a hundred
    assert served[ALPHAS.index(0.05)] == accept_threshold(scores, wrong, 0.05)


def test_a_promise_between_two_is_served_the_stricter():
    served = np.arange(len(ALPHAS), 0, -1.0)
    for alpha in ALPHAS:
        assert threshold(served, alpha) == served[ALPHAS.index(alpha)]
    assert threshold(served, 0.099) == served[ALPHAS.index(0.075)]
    assert threshold(served, 0.9) == served[-1]
    assert threshold(served, 0.009) == threshold(served, 0.0) == NEVER
    assert threshold(served, 1.0) == 0.0
