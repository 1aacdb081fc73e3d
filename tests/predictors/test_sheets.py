"""Decisions as matrices: each head learns from the rows that concern it, and what a policy chose to see is corrected for."""

import numpy as np
import pytest

from predictors.evidence import Shown, names, summarise
from predictors.training.log import Logged, Purchase, Rating
from predictors.training.newton import sigmoid
from predictors.training.noise import SOURCES, Noise
from predictors.training.offpolicy import pseudo_outcomes, recalibrate
from predictors.training.selection import PLAIN, fit_head, recalibrated
from predictors.training.sheets import FOLDS, Log, Sheet, belief_sheet, chance_of, rescue_sheet, start_sheet, states

PLANS = ("cheap", "dear")
CERTAIN = Noise(np.full(len(SOURCES), 1 - 1e-12), np.full(len(SOURCES), 1 - 1e-12), 0.5)


def shown(plan, answer):
    return Shown(plan=plan, answer=answer, answers=(answer,), scores=(0.5,), logprobs=(-0.1,))


def a_decision(*bought, given="", right=None, name="d", features=(1.0, 0.5), propensity=0.5, weight=1.0, stop_reason="done"):
    """`bought` are pairs of plan and answer; `right` is the verifier's word on the answer given, or on that of each stage."""
    purchases = tuple(Purchase(stage, shown(*pair), propensity, stop_reason, 10, 10, 0.1) for stage, pair in enumerate(bought))
    values = {} if right is None else {-1: right} if isinstance(right, float) else right
    ratings = tuple(Rating(stage, value, "verifier", 1.0) for stage, value in values.items())
    return Logged(name, 0.0, np.array(features, np.float32), weight, purchases, given, ratings)


def a_log(*decisions):
    return Log.of(decisions, CERTAIN)


def believing(column, sign=1.0):
    """A belief that reads one column of the evidence."""
    return lambda x: sign * x[:, 2 + names(PLANS).index(column)].astype(float)


# First cheap (7, wrong), then dear (8, right) with 7 in hand, then cheap again (9, wrong) with 8 in hand.
THREE = a_decision(("cheap", "7"), ("dear", "8"), ("cheap", "9"), given="8", right=1.0)


def test_the_first_purchase_is_the_start_heads():
    first = start_sheet(a_log(THREE), PLANS)
    assert first.sheet.y == pytest.approx(np.array([[0.0, np.nan]]), nan_ok=True)
    assert first.sheet.x.tolist() == [[1.0, 0.5]]
    assert (first.bought.tolist(), first.chance.tolist()) == ([0], [0.5])


def test_belief_learns_from_every_answer_in_hand_at_every_stage():
    log = a_log(THREE)
    sheet = belief_sheet(log, states(log, PLANS))
    assert sheet.y[:, 0] == pytest.approx([0, 0, 1, 0, 1, 0], abs=1e-9)  # 7; 7, 8; 7, 8, 9
    assert sheet.x[2] == pytest.approx(np.concatenate(([1.0, 0.5], summarise([shown("cheap", "7"), shown("dear", "8")], "8", PLANS))))


def test_rescue_learns_from_later_purchases_where_the_answer_believed_most_was_wrong():
    log = a_log(THREE)
    found = states(log, PLANS)
    trusting, doubting = (rescue_sheet(log, found, PLANS, believing("dear.vote", sign)) for sign in (1.0, -1.0))
    # what was in hand before the third purchase was right: there was nothing to rescue
    assert trusting.y == pytest.approx(np.array([[np.nan, 1.0]]), nan_ok=True, abs=1e-9)
    assert trusting.x[0, 2:] == pytest.approx(summarise([shown("cheap", "7")], "7", PLANS))
    # 8 was right, but would not have been chosen; nor was the 9 that came after it
    assert doubting.y == pytest.approx(np.array([[np.nan, 0.0], [0.0, np.nan]]), nan_ok=True)


def test_an_answer_that_could_not_be_read_is_a_state_to_rescue_from_and_no_answer_to_believe():
    log = a_log(a_decision(("cheap", ""), ("dear", "8"), given="8", right=1.0))
    found = states(log, PLANS)
    assert belief_sheet(log, found).y[:, 0] == pytest.approx([1.0])
    assert rescue_sheet(log, found, PLANS, believing("vote")).y == pytest.approx(np.array([[np.nan, 1.0]]), nan_ok=True)


def test_how_sure_it_is_that_the_answer_in_hand_was_wrong_is_what_a_rescue_counts():
    doubtful = Noise(np.full(len(SOURCES), 0.8), np.full(len(SOURCES), 0.8), 0.5)
    log = Log.of([a_decision(("cheap", "7"), ("dear", "8"), given="8", right={0: 0.0, 1: 1.0})], doubtful)
    sheet = rescue_sheet(log, states(log, PLANS), PLANS, believing("dear.vote"))
    assert sheet.y[0, 1] == pytest.approx(0.8)
    assert sheet.weight[0, 1] == pytest.approx(0.8 * 0.36)  # P(7 was wrong), and what a word of such a source is worth


@pytest.mark.parametrize("stop_reason", ["", "failed", "cancelled"])
def test_what_gave_no_outcome_is_not_held_against_its_plan(stop_reason):
    log = a_log(a_decision(("cheap", ""), right=1.0, stop_reason=stop_reason), THREE)
    assert start_sheet(log, PLANS).sheet.seen(0).tolist() == [False, True]
    assert set(states(log, PLANS).decision) == {1}


def test_a_plan_that_is_not_ours_teaches_belief_only():
    log = a_log(a_decision(("new", "7"), ("dear", "8"), given="8", right=0.0))
    first, found = start_sheet(log, PLANS), states(log, PLANS)
    assert first.bought.tolist() == [-1]
    assert len(belief_sheet(log, found).y) == 2 - 1  # 8 was wrong, of 7 nothing is known


def test_decisions_that_nobody_rewarded_are_rows_without_an_outcome():
    log = a_log(a_decision(("cheap", "7"), given="7"), THREE)
    first = start_sheet(log, PLANS)
    assert np.isnan(first.sheet.y[0]).all()
    assert first.bought.tolist() == [-1, 0]
    assert set(states(log, PLANS).decision) == {1}


def test_nothing_rewarded_is_an_empty_sheet():
    log = a_log(a_decision(("cheap", "7")))
    found = states(log, PLANS)
    assert belief_sheet(log, found).x.shape == (0, 2 + len(names(PLANS)))
    assert rescue_sheet(log, found, PLANS, believing("vote")).y.shape == (0, 2)


def test_the_same_query_has_the_same_group_whatever_was_decided():
    log = a_log(THREE, a_decision(("dear", "8"), name="other"), a_decision(("dear", "8"), features=(1.0, 0.25)))
    assert log.group[0] == log.group[1] != log.group[2]
    assert np.all(log.group >= 0)


def test_a_sheet_that_is_too_long_keeps_whole_groups_of_every_fold():
    group = np.random.default_rng(0).integers(1 << 62, size=500).repeat(2)
    sheet = Sheet(np.arange(2_000, dtype=np.float32).reshape(1_000, 2), np.ones((1_000, 1), np.float32), np.ones((1_000, 1), np.float32), group)
    few = sheet.most(100)
    assert len(few.x) == 100
    assert np.all(np.unique(few.group, return_counts=True)[1] == 2)
    assert set(few.group % FOLDS) == set(range(FOLDS))
    assert few.x[:, 0].tolist() == sorted(few.x[:, 0])
    assert sheet.most(1_000) is sheet


def test_how_often_decisions_like_it_were_rewarded_weighs_each():
    """Ten of 20 that bought once, and 2 of 20 that bought twice; each cell is drawn to the share of all, .3, as by ten decisions."""
    once = [a_decision(("cheap", "7"), given="7", right=1.0 if index < 10 else None) for index in range(20)]
    twice = [a_decision(("cheap", "7"), ("dear", "7"), given="7", right=1.0 if index < 2 else None) for index in range(20)]
    log = a_log(*once, *twice)
    chance = chance_of(np.array([bool(told) for told in log.told]), log)
    assert chance == pytest.approx(np.repeat([(10 + 3) / 30, (2 + 3) / 30], 20))
    assert start_sheet(log, PLANS).chance == pytest.approx(chance / 2)


def test_a_pseudo_outcome_by_hand():
    """m = .5; bought with chance .25 and right: .5 + (1 - .5) / .25 = 2.5; not seen: .5."""
    worth = pseudo_outcomes(np.zeros((2, 2)), np.array([[1.0, np.nan], [np.nan, np.nan]]), np.array([0, -1]), np.array([0.25, 1.0]))
    assert worth.tolist() == [[2.5, 0.5], [0.5, 0.5]]


def test_a_plan_that_was_never_bought_stays_as_it_was():
    slope, shift = recalibrate(np.full((50, 1), -0.4), np.full((50, 1), sigmoid(np.array(-0.4))), np.ones(50))
    assert (slope, shift) == (pytest.approx(1), pytest.approx(0, abs=1e-9))


def the_corrected_head(log):
    """Naive and corrected P(right) of `cheap` over all queries, and the half-width of the 95 % interval of the latter."""
    first = start_sheet(log, PLANS)
    head = fit_head(first.sheet, seed=0, among=(PLAIN,))
    worth = pseudo_outcomes(head.held_out, first.sheet.y, first.bought, first.chance)
    corrected = recalibrated(head, *recalibrate(head.held_out, worth, log.weight))
    naive, fair = (float(sigmoid(one.held_out[:, 0]).mean()) for one in (head, corrected))
    return naive, fair, 1.96 * worth[:, 0].std() / len(worth) ** 0.5


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_that_buys_a_plan_on_easy_queries_does_not_flatter_it(seed):
    """The policy sees how hard a query is, which the features here do not tell: cheap is right on .5 of all, and on .74 of those it is bought for."""
    rng = np.random.default_rng(seed)
    decisions = []
    for index in range(3_000):
        easy = rng.random() < 0.5
        cheap = rng.random() < (0.9 if easy else 0.1)
        right = rng.random() < (0.8 if easy else 0.2)
        pair, chance = ("cheap" if cheap else "dear", "7"), 0.9 if cheap == easy else 0.1
        decisions.append(a_decision(pair, given="7", right=float(right), name=str(index), features=(1.0, rng.normal()), propensity=chance))
    naive, fair, width = the_corrected_head(a_log(*decisions))
    assert abs(naive - 0.5) > 0.2
    assert abs(fair - 0.5) < width < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_decisions_that_are_rewarded_less_often_count_for_those_that_were_not(seed):
    """Hard queries go on to a second stage, and those get a reward one time in ten, others nine in ten: of all, cheap is right on .5."""
    rng = np.random.default_rng(seed)
    decisions = []
    for index in range(3_000):
        easy = rng.random() < 0.5
        right = rng.random() < (0.8 if easy else 0.2)
        bought = (("cheap", "7"),) if easy else (("cheap", "7"), ("dear", "7"))
        told = float(right) if rng.random() < (0.9 if easy else 0.1) else None
        decisions.append(a_decision(*bought, given="7", right=told, name=str(index), features=(1.0, rng.normal()), propensity=1.0))
    log = a_log(*decisions)
    naive = np.nanmean(start_sheet(log, PLANS).sheet.y[:, 0])
    weighted, fair, width = the_corrected_head(log)
    assert naive > 0.7
    assert weighted == pytest.approx(0.5, abs=0.05)  # weights alone set the head right here
    assert abs(fair - 0.5) < width < 0.06
    sheet = belief_sheet(log, states(log, PLANS))
    assert np.average(sheet.y[:, 0], weights=sheet.weight[:, 0]) == pytest.approx(1.0 * (0.5 * 0.8 + 2 * 0.5 * 0.2) / 1.5, abs=0.06)
