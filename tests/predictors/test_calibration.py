"""Calibration: served as one table, fitted to known distortions, chosen by what held-out rows say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from predictors.calibration import GRID, IDENTITY, KNOTS, LIMIT, Calibration
from predictors.training.calibrating import KINDS, beta, choose, isotonic, platt, temperature
from predictors.training.scoring import score

DISTORTED = {  # what is said for log-odds z that are true
    "truly": lambda z: z,
    "too sure": lambda z: 2.5 * z,
    "too timid": lambda z: 0.4 * z,
    "too high": lambda z: 1.5 * z + 1,
    "one-sided": lambda z: np.where(z > 0, 3 * z, z),
    "bent": lambda z: np.sign(z) * z**2 + 0.5,
}


def a_sample(said, seed=0, count=6_000):
    """Log-odds as they are said, and outcomes of those that are true."""
    rng = np.random.default_rng(seed)
    z = rng.normal(0.3, 1.3, count)
    return said(z), (rng.random(count) < expit(z)).astype(float)


def error(logits, y):
    return score(expit(logits), y, resamples=2)["ece"].value


@pytest.mark.parametrize("name", DISTORTED)
def test_what_is_said_comes_true_afterwards(name):
    logits, y = a_sample(DISTORTED[name])
    fitted, facts = choose(logits, y)
    fresh, truth = a_sample(DISTORTED[name], seed=1, count=20_000)
    assert error(fitted.apply(fresh), truth) < 0.02
    assert facts["ece"]["after"] < 0.03
    if name != "truly":
        assert error(fresh, truth) > 0.04
        assert facts["kind"] != "none"
        assert facts["log_loss"][facts["kind"]] == min(facts["log_loss"].values()) < facts["log_loss"]["none"]


def test_the_kind_that_made_the_distortion_is_recovered():
    logits, y = a_sample(lambda z: 2 * z, count=40_000)
    assert temperature(logits, y, np.ones(len(y))).apply(np.array([-2.0, 0, 2])) == pytest.approx([-1, 0, 1], abs=0.05)
    logits, y = a_sample(lambda z: 2 * z - 1, count=40_000)
    assert platt(logits, y, np.ones(len(y))).apply(np.array([-3.0, -1, 1])) == pytest.approx([-1, 0, 1], abs=0.05)


def test_platts_line_is_logistic_regression():
    """But for Platt's targets, which hardly move among 6,000 rows; weights count as copies would."""
    logits, y = a_sample(lambda z: 2 * z - 1)
    weight = np.random.default_rng(2).integers(0, 4, len(y)).astype(float)
    model = LogisticRegression(C=1e6).fit(logits[:, None], y, sample_weight=weight)
    assert platt(logits, y, weight).apply(GRID) == pytest.approx(model.coef_[0, 0] * GRID + model.intercept_[0], abs=0.03)


def test_betas_map_is_its_equation():
    """Outcomes of log-odds 1/2 + 2 ln p - .5 ln(1 - p), so a = 2, b = .5 and c = 1/2."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, 60_000)
    truth = 0.5 + 2 * np.log(expit(logits)) - 0.5 * np.log(expit(-logits))
    y = (rng.random(len(logits)) < expit(truth)).astype(float)
    inside = np.abs(logits) < 3
    assert np.abs(expit(beta(logits, y, np.ones(len(y))).apply(logits)) - expit(truth))[inside].max() < 0.015


def test_isotonic_blocks_by_hand():
    """Four values; the middle two are out of order and pooled. One row of the base rate, 40.5 / 81, is added to each bin of twenty."""
    logits, right = np.repeat([-2.0, -1, 1, 2], 20), [2, 14, 6, 18]
    y = np.concatenate([np.arange(20) < count for count in right]).astype(float)
    fitted = isotonic(logits, y, np.ones(80))
    assert fitted.apply(np.array([-9.0, -2, 0, 2, 9])) == pytest.approx(logit(np.array([2.5 / 21, 2.5 / 21, 21 / 42, 18.5 / 21, 18.5 / 21])))
    assert fitted.apply(np.array([-1.0])) == pytest.approx(logit(2.5 / 21) / 2)  # half way to the pooled block, whose centre is 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("right", [0, 1, 30, 59, 60])
def test_every_kind_is_a_rising_finite_table_of_one_shape(kind, right):
    """Also of few rows, of one outcome, and where the outcomes are perfectly apart."""
    fitted = KINDS[kind](np.linspace(-3, 3, 60), (np.arange(60) >= 60 - right).astype(float), np.ones(60))
    assert fitted.x.shape == fitted.y.shape == (KNOTS,)
    assert np.isfinite((fitted.x, fitted.y)).all()
    assert (np.diff(fitted.x) > 0).all()
    assert (np.diff(fitted.y) >= 0).all()
    assert np.abs(fitted.y).max() <= 30 * LIMIT


def test_weights_count_as_copies_do():
    """But for how far a bin of few rows is drawn to the base rate: there weights count as if their mean were 1."""
    logits, y = a_sample(DISTORTED["bent"], count=3_000)
    copies = np.random.default_rng(4).integers(1, 4, len(y))
    for kind, fit in KINDS.items():
        weighted = fit(logits, y, copies.astype(float)).apply(GRID / 6)
        repeated = fit(np.repeat(logits, copies), np.repeat(y, copies), np.ones(copies.sum())).apply(GRID / 6)
        assert expit(weighted) == pytest.approx(expit(repeated), abs=0.02), kind
        assert fit(logits, y, copies / 100).y == pytest.approx(fit(logits, y, copies * 100.0).y, abs=1e-3), kind


def test_rows_of_one_question_are_never_on_both_sides():
    """Twenty copies of 40 questions' rows, whose outcomes are a coin's: knowing them helps only where they are seen on both sides."""
    rng = np.random.default_rng(5)
    logits, y = np.repeat(rng.normal(0, 1, 40), 20), np.repeat((rng.random(40) < 0.5).astype(float), 20)
    apart, blind = (choose(logits, y, group=group)[1]["log_loss"] for group in (np.repeat(np.arange(40), 20), None))
    assert apart["platt"] > np.log(2) - 0.01
    assert blind["isotonic"] < apart["isotonic"] - 0.02


@pytest.mark.parametrize("count", [0, 1, 9])
def test_one_question_cannot_be_held_out(count):
    assert choose(np.ones(count), np.ones(count), group=np.zeros(count))[0] is IDENTITY


def test_soft_outcomes_are_calibrated_too():
    z = np.random.default_rng(6).normal(0, 1, 2_000)
    fitted, _ = choose(3 * z, expit(z))
    assert fitted.apply(np.array([-3.0, 3])) == pytest.approx([-1, 1], abs=0.05)


@given(st.lists(st.floats(-LIMIT, LIMIT), min_size=1, max_size=5))
def test_the_identity_is_none(logits):
    assert IDENTITY.apply(np.array(logits)) == pytest.approx(np.array(logits))


def test_beyond_the_last_knot_it_is_level():
    fitted = Calibration(GRID, 2 * GRID)
    assert fitted.apply(np.array([[-99.0, 99.0]])).tolist() == [[-2 * LIMIT, 2 * LIMIT]]
