"""Fitting from the log, against scikit-learn and against a world whose truth is known."""

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from predictors.training.cases import FOLDS, Sheet, belief_sheet, cases, rescue_sheet, start_sheet
from predictors.training.fit import fit, fit_head, quality
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from predictors.artifact import load
from predictors.evidence import names, of_record, summarise
from predictors.logistic import KIND, Logistic
from router.errors import InvalidQuery
from router.record import rewarded
from router.types import Candidate, Evidence, Finish, Outcome, Record, Reward, Usage
from tests.predictors.world import DEAR, PLANS, RIGHT, VERSION, chance, features_of, practice

IDS = tuple(plan.id for plan in PLANS)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As `fit` does: on busy cores these small problems take many times longer with two."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="module")
def log():
    return practice(1_200, seed=1)


@pytest.fixture(scope="module")
def fitted(log, tmp_path_factory):
    directory = tmp_path_factory.mktemp("fitted")
    return fit(log, IDS, directory), directory


def a_sheet(count, seed=0):
    """Column 0 is the constant, as in real features; the last is a column that never moves."""
    rng = np.random.default_rng(seed)
    x = np.column_stack((np.ones(count), rng.normal(size=(count, 3)) * (1, 10, 0.1), np.zeros(count)))
    y = (rng.random(count) < 1 / (1 + np.exp(-(0.5 + x[:, 1] - 0.2 * x[:, 2])))).astype(float)
    return Sheet(x, y, rng.integers(FOLDS, size=count))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_scikit_learn(sheet):
    """The same recipe, written with scikit-learn alone: P(right) of each row, in sample and held out."""
    scale = np.where(sheet.x.std(0) < 1e-6, 1.0, sheet.x.std(0))
    x, best = sheet.x / scale, None
    for strength in (0.01, 0.03, 0.1, 0.3, 1.0):
        held_out = np.zeros(len(sheet.y))
        for fold in range(FOLDS):
            model = LogisticRegression(C=strength, max_iter=2_000).fit(x[sheet.fold != fold], sheet.y[sheet.fold != fold])
            held_out[sheet.fold == fold] = model.decision_function(x[sheet.fold == fold])
        loss = -np.mean(np.log(np.where(sheet.y > 0, sigmoid(held_out), sigmoid(-held_out))))
        if best is None or loss < best[0]:
            best = (loss, strength, held_out)
    _, strength, held_out = best
    platt = LogisticRegression(C=100.0).fit(held_out[:, None], sheet.y)
    final = LogisticRegression(C=strength, max_iter=2_000).fit(x, sheet.y)
    return platt.predict_proba(final.decision_function(x)[:, None])[:, 1], platt.predict_proba(held_out[:, None])[:, 1]


def test_a_head_is_what_scikit_learn_makes_of_the_same_rows():
    sheet = a_sheet(400)
    head = fit_head(sheet, sheet.x.shape[1])
    in_sample, held_out = by_scikit_learn(sheet)
    assert sigmoid(sheet.x @ head.weights) == pytest.approx(in_sample, abs=1e-6)
    assert sigmoid(head.held_out) == pytest.approx(held_out, abs=1e-6)


def test_the_variance_of_the_weights_is_that_of_fits_to_fresh_rows():
    heads = [fit_head(a_sheet(400, seed), 5) for seed in range(12)]
    spread = np.std([head.weights for head in heads], axis=0)[1:4]
    stated = np.sqrt(np.mean([head.variance for head in heads], axis=0))[1:4]
    assert np.all((spread / stated > 0.5) & (spread / stated < 2.0))


def test_few_rows_give_the_base_rate():
    sheet = a_sheet(20)
    head = fit_head(sheet, 5)
    assert sigmoid(sheet.x @ head.weights) == pytest.approx(np.full(20, (sheet.y.sum() + 1) / 22))
    nothing = fit_head(Sheet(np.zeros((0, 0)), np.zeros(0), np.zeros(0, int)), 5)
    assert (sigmoid(nothing.weights[0]), nothing.held_out.shape) == (0.5, (0,))


def test_rows_that_are_all_right_give_a_finite_head():
    sheet = replace(a_sheet(100), y=np.ones(100))
    head = fit_head(sheet, 5)
    assert sigmoid(head.weights[0]) == pytest.approx(101 / 102)
    assert np.isfinite(head.variance).all()


def test_quality_is_what_it_says():
    y, p = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.6, 0.4, 0.9])
    figures = quality(y, np.log(p / (1 - p)))
    assert figures == {"rows": 4, "base_rate": 0.5, "auc": 0.75, "brier": pytest.approx(0.185), "ece": pytest.approx(0.35)}
    assert quality(np.ones(3), np.zeros(3)) == {"rows": 3, "base_rate": 1.0, "brier": 0.25, "ece": 0.5}
    assert quality(np.zeros(0), np.zeros(0)) == {"rows": 0}


def test_every_head_is_informative_and_calibrated_on_rows_it_did_not_see(fitted):
    facts, _ = fitted
    assert facts["decisions"] == 1_200
    assert facts["belief"]["auc"] > 0.93
    assert facts["belief"]["ece"] < 0.03
    assert facts["start"]["cheap"]["auc"] > 0.75
    assert facts["start"]["dear"]["auc"] > 0.7
    assert max(facts["start"][plan]["ece"] for plan in IDS) < 0.07


def test_served_beliefs_are_the_heads_that_were_fitted(fitted, log):
    facts, directory = fitted
    arrays, served = load(directory, kind=KIND).arrays, Logistic(str(directory))
    assert served.version == facts["version"]
    for case in cases(log)[:50]:
        features = replace(features_of(0.0), vector=case.features.astype(np.float32))
        evidence_row = summarise([of_record(case.rows[0])], case.rows[0].outcome_answer, IDS)
        start = sigmoid(arrays["start"] @ case.features)
        belief = sigmoid(np.concatenate((case.features, evidence_row)) @ arrays["belief"])
        forecasts = served.predict(features, _evidence(), PLANS).forecasts
        assert [one.success for one in forecasts] == pytest.approx(start, abs=1e-6)
        assert served.best(features, _evidence(case.rows[0])).confidence == pytest.approx(belief, abs=1e-6)


def _evidence(*records):
    return Evidence(
        outcomes=tuple(
            Outcome(
                plan=row.plan,
                answer=row.outcome_answer,
                text="",
                candidates=tuple(
                    Candidate(text="", answer=answer or None, finish=Finish.END, tokens=1, logprob=logprob, score=score)
                    for answer, score, logprob in zip(row.outcome_answers, row.outcome_scores, row.outcome_logprobs, strict=True)
                ),
                usage=Usage(),
                stop_reason="done",
            )
            for row in records
        )
    )


def test_the_truth_is_found(fitted):
    served = Logistic(str(fitted[1]))
    for difficulty in np.linspace(0.05, 0.95, 10):
        for forecast in served.predict(features_of(difficulty), _evidence(), PLANS).forecasts:
            assert forecast.success == pytest.approx(chance(forecast.plan, difficulty), abs=0.1)
            assert forecast.cost == pytest.approx({"cheap": 10, "dear": 100}[forecast.plan] * (1 + difficulty), rel=0.15)
            assert forecast.tokens == pytest.approx(forecast.cost)
            assert forecast.seconds == pytest.approx(forecast.cost / 100)


def test_ninety_percent_intervals_hold_the_truth_about_that_often(tmp_path):
    held = []
    for seed in range(3):
        fit(practice(250, seed=100 + seed), IDS, tmp_path)
        served = Logistic(str(tmp_path))
        for difficulty in (0.1, 0.3, 0.5, 0.7, 0.9):
            for one in served.predict(features_of(difficulty), _evidence(), PLANS).forecasts:
                held.append(one.low <= chance(one.plan, difficulty) <= one.high)
    assert 0.75 < np.mean(held) <= 1.0


def test_a_cheap_scored_plan_tells_right_from_wrong(fitted):
    """`Onward.ratios`: a plan's evidence moves belief up where its answer is right and down where it is wrong; quantiles rise."""
    onward = Logistic(str(fitted[1])).predict(features_of(0.5), _evidence(), PLANS).onward
    assert onward.ratios.shape == (2, 2, 9)
    assert np.all(np.diff(onward.ratios, axis=-1) >= 0)
    assert np.all(onward.ratios[:, 1].mean(-1) > onward.ratios[:, 0].mean(-1) + 1)
    assert onward.rescue.shape == (2, 2)
    assert onward.rescue[0, 1] > onward.rescue[1, 0]  # the dear plan rescues more than the cheap one


def test_order_and_repetition_of_rows_change_nothing(log, fitted, tmp_path):
    shuffled = [*log, *log[::3]]
    random.Random(5).shuffle(shuffled)
    assert fit(shuffled, IDS, tmp_path)["version"] == fitted[0]["version"]


def test_a_log_without_rewards_teaches_nothing(log, tmp_path):
    for rows in ([], [record for record in log if record.kind == "stage"], [record for record in log if record.kind == "reward"]):
        with pytest.raises(InvalidQuery, match="no rewarded decision"):
            fit(rows, IDS, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_plan_nobody_bought_and_one_no_longer_offered_do_no_harm(log, tmp_path):
    fit(log[:900], ("cheap", "new"), tmp_path)
    served = Logistic(str(tmp_path))
    new, dear = served.predict(features_of(0.5), _evidence(), (replace(DEAR, id="new"), DEAR)).forecasts
    assert (new.plan, new.success) == ("new", 0.5)
    assert (dear.low, dear.high) == (0.0, 1.0)


def test_only_rows_of_the_newest_features_are_learned_from(log, tmp_path):
    old = [replace(record, id=f"old-{record.id}", decision_id=f"old-{record.decision_id}", at=-1.0, feature_version="old") for record in log[:300]]
    assert fit([*log[:600], *old], IDS, tmp_path)["decisions"] == len(cases(log[:600]))
    assert load(tmp_path, kind=KIND).feature_version == VERSION


# --- what the rewards say ----------------------------------------------------------------------------------------------


def a_stage(index=0, *, plan="cheap", answer="", gave="7", **changes):
    row = Record(id=f"d/{index}", kind="stage", decision_id="d", tenant="t", at=1.0, stage=index, features=(1.0,), action="buy", plan=plan)
    gave_one = {"outcome_answers": (gave,), "outcome_scores": (math.nan,), "outcome_logprobs": (-0.1,)} if gave else {}
    return replace(row, answer=answer, outcome_answer=gave, **{"stop_reason": "done"} | gave_one | changes)


def an_ending(index, answer):
    return a_stage(index, plan="", answer=answer, gave="", action="stop", stop_reason="stopped")


def a_reward(value, *, stage=None, at=5.0, source="verifier"):
    return rewarded(Reward(decision_id="d", value=value, source=source, at=at, stage=stage), "t")


def verdicts(*rows):
    (case,) = cases(rows)
    return case.right


def test_a_right_answer_makes_the_others_wrong_and_a_wrong_one_tells_nothing_of_them():
    rows = (a_stage(0, gave="7"), a_stage(1, plan="dear", answer="7", gave="8"), an_ending(2, "8"))
    assert verdicts(*rows, a_reward(1.0)) == {"8": True, "7": False, "": False}
    assert verdicts(*rows, a_reward(0.0)) == {"8": False, "": False}
    assert verdicts(*rows, a_reward(0.0), a_reward(1.0, stage=0)) == {"8": False, "7": True, "": False}


def test_the_latest_reward_counts_wherever_it_stands():
    rows = (a_stage(0), an_ending(1, "7"))
    early, late = a_reward(1.0, at=5.0), a_reward(0.0, at=9.0, source="user")
    assert verdicts(*rows, early, late) == verdicts(late, *rows, early) == {"7": False, "": False}


def test_each_head_learns_from_the_rows_that_concern_it():
    """First cheap (7, wrong), then dear (8, right) with 7 in hand, then cheap again (9, wrong) with 8 in hand."""
    rows = (a_stage(0, gave="7"), a_stage(1, plan="dear", answer="7", gave="8"), a_stage(2, answer="8", gave="9"), an_ending(3, "8"))
    found = cases([*rows, a_reward(1.0)])
    assert start_sheet(found, "cheap").y.tolist() == [0.0]
    assert start_sheet(found, "dear").y.tolist() == []
    trusting = np.zeros(len(found[0].features) + len(names(IDS)))
    trusting[len(found[0].features) + names(IDS).index("dear.vote")] = 1.0  # believes what dear says
    assert rescue_sheet(found, "dear", IDS, trusting).y.tolist() == [1.0]
    assert rescue_sheet(found, "dear", IDS, -trusting).y.tolist() == [0.0]  # right, but it would not have been chosen
    assert rescue_sheet(found, "cheap", IDS, trusting).y.tolist() == []  # what was in hand was right: there was nothing to rescue
    assert belief_sheet(found, IDS).y.tolist() == [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]  # 7; 7, 8; 7, 8, 9
    after = [of_record(rows[0])]
    assert rescue_sheet(found, "dear", IDS, trusting).x[0, 1:] == pytest.approx(summarise(after, "7", IDS))


@pytest.mark.parametrize("stop_reason", ["", "failed", "cancelled"])
def test_what_gave_no_outcome_is_not_held_against_its_plan(stop_reason):
    nothing = a_stage(0, gave="", stop_reason=stop_reason)
    assert cases([nothing, a_reward(1.0)]) == []
    (case,) = cases([a_stage(0), replace(nothing, id="d/1", stage=1, plan="dear"), an_ending(2, "7"), a_reward(1.0)])
    assert [row.stage for row in case.rows] == [0, 2]


def test_an_answer_that_could_not_be_read_is_wrong():
    assert verdicts(a_stage(0, gave=""), an_ending(1, ""), a_reward(0.0)) == {"": False}


def test_the_right_answer_of_the_world_is_the_one_learned(log):
    for case in cases(log)[:100]:
        assert {answer for answer, right in case.right.items() if right} <= {RIGHT}
