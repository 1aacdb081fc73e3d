"""Sources of rewards: what their words are worth, learned where a check has spoken too, and those that poison."""

from dataclasses import replace

import numpy as np
import pytest

from policies.learner import FLEET
from policies.sources import USUAL, comparison, ear
from policies.tally import Tally, told
from router.types import Record
from tests.policies.test_learner import a_log, a_purchase, a_reward, an_end, folded, success

NOTHING = np.zeros((2, 2))


def compared(count, judge, rate=0.7, seed=0):
    """What so many answers, right at `rate`, tell of a source that says `judge(right, rng)`."""
    rng, counts = np.random.default_rng(seed), NOTHING
    for _ in range(count):
        right = float(rng.random() < rate)
        counts = counts + comparison(right, judge(right, rng))
    return counts


def errs(share):
    return lambda right, rng: right if rng.random() > share else 1 - right


def test_words_are_outcomes_on_average():
    """Of answers that are right .7 of the time, as told by a judge that errs in both directions at rates of its own."""
    rng, truth = np.random.default_rng(0), 0.7
    heard = ear("judge", np.array([[1000.0, 300.0], [1000.0, 100.0]]))
    words = [float(rng.random() < (0.9 if rng.random() < truth else 0.3)) for _ in range(20_000)]
    sums = sum(np.outer(z, z) for z in (told((0.5,), 0.6, word) for word in words))
    tally = Tally(heard.sums(sums), np.zeros((2, 2)))
    assert heard.index == pytest.approx(0.6, abs=0.01)
    assert tally.weight == pytest.approx(0.6**2 * 20_000, rel=0.03)
    assert tally.moment[0] / tally.weight == pytest.approx(0.1, abs=0.02)
    residuals = (np.array(words) - heard.offset) / heard.index - 0.6
    assert tally.square == pytest.approx(heard.index**2 * (residuals**2).sum())


def test_the_rates_are_learned_and_begin_with_the_usual_ones():
    assert [ear(source, NOTHING).index for source in USUAL] == pytest.approx([1.0, 0.96, 0.7, 0.6])
    assert ear("judge", compared(2_000, errs(0.05))).index == pytest.approx(0.9, abs=0.03)
    assert ear("judge", compared(2_000, errs(0.3))).index == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("judge", "count"),
    [(errs(1.0), 40), (lambda right, rng: 1.0, 60), (lambda right, rng: 0.0, 40), (errs(0.7), 200)],
    ids=["inverts", "always says right", "always says wrong", "worse than a coin"],
)
def test_a_source_that_contradicts_the_checks_is_quarantined(judge, count):
    assert all(ear("judge", compared(count, judge, seed=seed)).quarantined for seed in range(20))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.3])
def test_one_that_errs_as_allowed_is_not(share):
    assert not any(ear("user", compared(count, errs(share), seed=seed)).quarantined for seed in range(20) for count in (3, 10, 30, 100, 300))


def judged(count, judge, tenant="t", seed=5, checked=0.3):
    """Decisions on a plan that is right .9 of the time and one that is half of the time, all judged and some of them tested."""
    rng, rows = np.random.default_rng(seed), []
    for index in range(count):
        plan = "ab"[int(rng.integers(2))]
        right, name = float(rng.random() < (0.9 if plan == "a" else 0.5)), f"{tenant}-judged-{index}"
        rows += [a_purchase(name, plan, tenant=tenant), an_end(name, tenant=tenant), a_word(name, judge(right, rng), "judge", tenant)]
        if rng.random() < checked:
            rows.append(a_word(name, right, "unit_test", tenant))
    return rows


def a_word(name: str, value: float, source: str, tenant: str) -> Record:
    return Record(id=f"{name}/-1/{source}", kind="reward", decision_id=name, tenant=tenant, at=0.0, stage=-1, reward=value, reward_source=source)


@pytest.mark.parametrize("judge", [errs(1.0), lambda right, rng: 1.0], ids=["inverts", "always says right"])
def test_what_a_poisoned_judge_said_is_taken_back(judge):
    """As if only the tests had spoken, to the last outcome; it is counted, and one can see who it was."""
    rows = judged(400, judge)
    poisoned, clean = folded(rows), folded([row for row in rows if row.reward_source != "judge"])
    assert poisoned.disbelieved == [("t", "judge")]
    assert poisoned.quarantined["disagrees"] > 100
    assert poisoned.posteriors()[FLEET].count == pytest.approx(clean.posteriors()[FLEET].count)
    assert success(poisoned) == pytest.approx(success(clean), abs=1e-6)


def test_an_honest_judge_helps():
    rows = judged(1_500, errs(0.15))
    both, tests = folded(rows), folded([row for row in rows if row.reward_source != "judge"])
    assert both.disbelieved == []
    assert both.posteriors()[FLEET].count.sum() > 1.5 * tests.posteriors()[FLEET].count.sum()
    assert success(both) == pytest.approx([0.9, 0.5], abs=0.06)


def test_a_judge_is_one_tenants_own():
    learner = folded([*judged(200, errs(1.0), "t"), *judged(200, errs(0.1), "u")])
    assert learner.disbelieved == [("t", "judge")]


def test_a_quarantined_judge_that_mends_is_heard_again():
    before, after = judged(60, errs(1.0), checked=1.0), judged(600, errs(0.05), checked=1.0)
    later = [replace(row, decision_id=f"later-{row.decision_id}", id=f"later-{row.id}") for row in after]
    assert folded(before).disbelieved == [("t", "judge")]
    assert folded([*before, *later]).disbelieved == []


@pytest.mark.parametrize("order", ["judge first", "test first"])
def test_comparisons_do_not_depend_on_who_spoke_first(order):
    words = [a_reward("d", 1.0, "judge"), a_reward("d", 0.0)]
    learner = folded([a_purchase("d"), *(words if order == "judge first" else words[::-1]), an_end("d")])
    assert learner._compared["t", "judge"].tolist() == comparison(0.0, 1.0).tolist()


@pytest.mark.parametrize("most", [50.0, 500.0])
def test_one_tenant_that_floods_moves_others_by_no_more_than_the_bound(most):
    """With n outcomes of its own, another's posterior moves by at most most / (n + most) of what the flood claims."""
    own, flood = a_log(400, tenant="u", rate=0.9), [row for row in a_log(6_000, seed=3, tenant="t", rate=0.0) if row.plan != "b"]
    alone, flooded = folded([*own, *a_log(2, tenant="w")]), folded([*own, *a_log(2, tenant="w"), *flood], most=most)
    moved = success(alone, "u")[0] - success(flooded, "u")[0]
    count = alone.posteriors()["u"].count[1]
    assert 0 < moved < most / (count + most) * (0.9 - 0.0) + 0.01
