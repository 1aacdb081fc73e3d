"""Retraining from the log, against a world whose truth is known: what it finds, that it can be gone on with, and what it leaves alone."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from policies.metrics import area, path
from predictors.artifact import load
from predictors.evidence import summarise
from predictors.learned import KIND, Learned, head_of
from predictors.training import retrain as retraining
from predictors.training.retrain import retrain
from router.errors import InvalidQuery, Overloaded
from router.types import Candidate, Evidence, Finish, Outcome, Usage
from tests.predictors.world import DEAR, PLANS, VERSION, chance, features_of, fit, of_record, practice, written

IDS = tuple(plan.id for plan in PLANS)


@pytest.fixture(scope="module")
def log():
    return practice(1_200, seed=1)


@pytest.fixture(scope="module")
def fitted(log, tmp_path_factory):
    directory = tmp_path_factory.mktemp("fitted")
    return fit(log, IDS, directory), directory


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_every_head_is_informative_and_calibrated_on_rows_it_did_not_see(fitted):
    facts = fitted[0].facts
    assert facts["decisions"] == 1_200
    assert facts["belief"]["auc"] > 0.93
    assert facts["belief"]["ece"] < 0.03
    assert facts["start"]["cheap"]["auc"] > 0.75
    assert facts["start"]["dear"]["auc"] > 0.7
    assert max(facts["start"][plan]["ece"] for plan in IDS) < 0.07


def test_served_beliefs_are_the_heads_that_were_fitted(fitted, log):
    report, directory = fitted
    artifact, served = load(directory, kind=KIND), Learned(str(directory))
    assert served.version == report.version
    for row in [row for row in log if row.kind == "stage" and row.stage == 0][:50]:
        features = replace(features_of(0.0), vector=np.array(row.features, np.float32))
        evidence_row = summarise([of_record(row)], row.outcome_answer, IDS)
        start = sigmoid(head_of(artifact, "start").logits(features.vector[None])[0])
        belief = sigmoid(head_of(artifact, "belief").logits(np.concatenate((features.vector, evidence_row))[None])[0, 0])
        forecasts = served.predict(features, _evidence(), PLANS).forecasts
        assert [one.success for one in forecasts] == pytest.approx(start, abs=1e-6)
        assert served.best(features, _evidence(row)).confidence == pytest.approx(belief, abs=1e-6)


def _evidence(*records):
    return Evidence(
        outcomes=tuple(
            Outcome(
                plan=row.plan,
                answer=row.outcome_answer,
                text="",
                candidates=tuple(
                    Candidate(text="", answer=answer or None, finish=Finish.END, tokens=tokens, logprob=logprob, score=score)
                    for answer, score, logprob, tokens in zip(
                        row.outcome_answers, row.outcome_scores, row.outcome_logprobs, row.outcome_tokens, strict=True
                    )
                ),
                usage=Usage(),
                stop_reason="done",
            )
            for row in records
        )
    )


def test_the_truth_is_found(fitted):
    served = Learned(str(fitted[1]))
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
        served = Learned(str(tmp_path))
        for difficulty in (0.1, 0.3, 0.5, 0.7, 0.9):
            for one in served.predict(features_of(difficulty), _evidence(), PLANS).forecasts:
                held.append(one.low <= chance(one.plan, difficulty) <= one.high)
    assert 0.75 < np.mean(held) <= 1.0


def test_a_cheap_scored_plan_tells_right_from_wrong(fitted):
    """`Onward.ratios`: a plan's evidence moves belief up where its answer is right and down where it is wrong; quantiles rise."""
    onward = Learned(str(fitted[1])).predict(features_of(0.5), _evidence(), PLANS).onward
    assert onward.ratios.shape == (2, 2, 9)
    assert np.all(np.diff(onward.ratios, axis=-1) >= 0)
    assert np.all(onward.ratios[:, 1].mean(-1) > onward.ratios[:, 0].mean(-1) + 1)
    assert onward.rescue.shape == (2, 2)
    assert onward.rescue[0, 1] > onward.rescue[1, 0]  # the dear plan rescues more than the cheap one


def test_order_and_repetition_of_rows_change_nothing(log, fitted, tmp_path):
    shuffled = [*log, *log[::3]]
    random.Random(5).shuffle(shuffled)
    assert fit(shuffled, IDS, tmp_path).version == fitted[0].version


def test_a_log_without_rewards_teaches_nothing(log, tmp_path):
    for rows in ([record for record in log if record.kind == "stage"], [record for record in log if record.kind == "reward"]):
        with pytest.raises(InvalidQuery, match="no rewarded decision"):
            fit(rows, IDS, tmp_path)
    assert not list(tmp_path.iterdir())
    assert not list(tmp_path.parent.glob(".*.work-*"))


def test_a_plan_nobody_bought_and_one_no_longer_offered_do_no_harm(log, tmp_path):
    fit(log[:900], ("cheap", "new"), tmp_path)
    served = Learned(str(tmp_path))
    new, dear = served.predict(features_of(0.5), _evidence(), (replace(DEAR, id="new"), DEAR)).forecasts
    assert (new.plan, new.success) == ("new", 0.5)
    assert (dear.low, dear.high) == (0.0, 1.0)


def test_only_rows_of_the_newest_features_are_learned_from(log, tmp_path):
    old = [replace(record, id=f"old-{record.id}", decision_id=f"old-{record.decision_id}", at=-1.0, feature_version="old") for record in log[:300]]
    data = fit([*log[:600], *old], IDS, tmp_path / "both").facts["data"]
    fit(log[:600], IDS, tmp_path / "new")
    both, new = load(tmp_path / "both", kind=KIND), load(tmp_path / "new", kind=KIND)
    assert {name: array.tolist() for name, array in both.arrays.items()} == {name: array.tolist() for name, array in new.arrays.items()}
    assert data["outdated"] == len({record.decision_id for record in old})
    assert both.feature_version == VERSION


def cut(*_):
    raise KeyboardInterrupt


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_same_log_and_seed_give_the_same_bytes(log, tmp_path):
    for name in ("one", "other"):
        fit(log[:900], IDS, tmp_path / name)
    assert content(tmp_path / "one") == content(tmp_path / "other")


def test_a_run_that_was_cut_off_is_gone_on_with(log, tmp_path, monkeypatch):
    whole = fit(log[:900], IDS, tmp_path / "whole")
    file = written(log[:900], tmp_path / "log")
    with monkeypatch.context() as patched:
        patched.setattr(retraining, "cost_arrays", cut)
        with pytest.raises(KeyboardInterrupt):
            retrain(file, IDS, tmp_path / "again")
    assert len(list(tmp_path.glob(".again.work-*"))) == 1
    monkeypatch.setattr(retraining, "fit_head", cut)  # the heads are there already
    monkeypatch.setitem(retraining.ENGINES, "local", cut)
    assert retrain(file, IDS, tmp_path / "again").version == whole.version
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "log", "whole"]


def test_what_was_begun_with_another_log_is_thrown_away(log, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(retraining, "cost_arrays", cut)
        with pytest.raises(KeyboardInterrupt):
            fit(log[:300], IDS, tmp_path / "new")
    assert fit(log[:900], IDS, tmp_path / "new").version == fit(log[:900], IDS, tmp_path / "other").version
    assert not list(tmp_path.glob(".*"))


def test_two_do_not_write_the_same_target(log, tmp_path):
    with retraining._alone(tmp_path), pytest.raises(Overloaded, match="another retraining"):
        fit(log[:90], IDS, tmp_path)
    assert not list(tmp_path.iterdir())
    fit(log[:90], IDS, tmp_path)


def test_a_refused_log_leaves_what_serves_as_it_was(log, tmp_path):
    fit(log[:300], IDS, tmp_path / "served")
    before = content(tmp_path / "served")
    nowhere = [replace(row, features=(1.0, math.nan, 0.0, 0.0, 0.0) if row.features else ()) for row in log[:300]]
    for rows, message in ((nowhere, "column features"), ([replace(log[0], schema_version=9)], "schema_version 9")):
        with pytest.raises(InvalidQuery, match=message):
            fit(rows, IDS, tmp_path / "served")
    with pytest.raises(InvalidQuery, match="no plans"):
        fit(log[:300], (), tmp_path / "served")
    with pytest.raises(InvalidQuery, match="no rewarded decision"):
        retrain([], IDS, tmp_path / "served")
    assert content(tmp_path / "served") == before
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_ten_rows_one_plan_and_outcomes_that_are_all_alike_give_base_rates(log, tmp_path):
    right = [replace(row, reward=1.0) if row.kind == "reward" else row for row in log]
    assert fit(right, IDS, tmp_path).facts["start"]["cheap"]["base_rate_only"]
    assert Learned(str(tmp_path)).predict(features_of(0.9), _evidence(), PLANS).forecasts[0].success > 0.9
    assert "its base rate" in (tmp_path / "card.md").read_text()
    few = fit(log[:10], ("cheap",), tmp_path)
    assert few.facts["data"]["rows"] == 10
    assert 0 < Learned(str(tmp_path)).predict(features_of(0.5), _evidence(), PLANS[:1]).forecasts[0].success < 1


def test_a_judge_that_errs_does_not_blur_what_is_learned(log, tmp_path):
    """Rewards are turned round one time in five, as often as a judge's usually are. Nothing it says is surer than .8; what is learned is."""
    rng = np.random.default_rng(0)
    rows = practice(1_500, seed=6)
    judged = [
        replace(row, id=f"{row.decision_id}/{row.stage}/judge", reward_source="judge", reward=abs(row.reward - (rng.random() < 0.2)))
        for row in rows
        if row.kind == "reward" and row.stage >= 0
    ]
    report = fit([row for row in rows if row.kind == "stage"] + judged, IDS, tmp_path)
    served = Learned(str(tmp_path))
    for plan, one in report.facts["corrected"].items():
        assert one["corrected"] == pytest.approx(
            np.mean([chance(plan, difficulty) for difficulty in np.linspace(0, 1, 200)]), abs=0.07
        )  # .09 off, where labels are taken as they come
    easy, hard = (served.predict(features_of(difficulty), _evidence(), PLANS).forecasts for difficulty in (0.02, 0.98))
    assert easy[1].success > 0.88  # dear: .97 in truth
    assert hard[0].success < 0.17  # cheap: .05 in truth


def test_the_card_says_what_was_learned_and_what_changes(log, tmp_path):
    fit(log[:1_500], IDS, tmp_path)
    later = [replace(row, at=row.at + 1_000) for row in practice(300, seed=9)]
    report = fit([*log[:1_500], *later], IDS, tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["version"] == report.version
    assert {name: card[name] for name in report.facts} == report.facts
    controls = card["belief"]["controls"]
    assert card["belief"]["auc_interval"][0] > max(one["auc"] for one in controls.values())
    assert controls["shuffled"]["auc"] == pytest.approx(0.5, abs=0.08)
    assert card["change"]["rows_that_the_old_one_had_not_seen"]
    for plan in IDS:
        low, high = card["corrected"][plan]["interval"]
        assert low < np.mean([chance(plan, difficulty) for difficulty in np.linspace(0, 1, 200)]) < high
        assert card["change"]["heads"][f"start/{plan}"]["old"]["rows"] < 300
    by_forecast, shuffled = (path(*np.transpose(card["quality_cost"][name])) for name in ("forecast", "shuffled"))
    low, high = by_forecast[0][[0, -1]]
    assert area(by_forecast, low, high) > area(shuffled, low, high)
    text = (tmp_path / "card.md").read_text()
    assert "| dear, first |" in text
    assert "rows that neither had seen" in text
    for name in ("card-reliability.png", "card-quality-cost.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert load(tmp_path, kind=KIND).version == report.version


def test_a_log_is_learned_from_without_being_held_whole(log, tmp_path):
    """Of 1,200 decisions about 300 are kept; what is found is the same but for chance."""
    report = fit(log, IDS, tmp_path, most=300)
    assert report.facts["data"]["sampled"] == 0.25
    assert 230 < report.facts["decisions"] < 370
    assert report.facts["corrected"]["cheap"]["corrected"] == pytest.approx(0.4, abs=0.08)
