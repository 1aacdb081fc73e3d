"""Rows of the log to posteriors: late, repeated, out of order, poisoned."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.learner import FLEET, Learner
from policies.posterior import correct
from policies.sources import USUAL
from router.types import Forecast, Prediction, Record

DAY = 86_400.0
PLANS = ("a", "b")


def a_purchase(decision: str, plan: str = "a", **columns: Any) -> Record:
    """The first purchase of a decision; both plans are forecast at .5, for 10 micro-dollars, and 12 are paid."""
    known: dict[str, Any] = {"id": f"{decision}/0", "kind": "stage", "decision_id": decision, "tenant": "t", "at": 0.0, "predictor": "v"}
    choice = {"action": "buy", "plan": plan, "offered": PLANS, "success": (0.5, 0.5), "costs": (10.0, 10.0), "context": (0.25, -0.5)}
    return Record(**known | choice | {"outcome_answer": "7", "stop_reason": "done", "cost": 12} | columns)


def an_end(decision: str, answer: str = "7", stage: int = 1, **columns: Any) -> Record:
    return replace(
        a_purchase(decision, action="stop", plan="", **columns), id=f"{decision}/{stage}", stage=stage, answer=answer, stop_reason="stopped"
    )


def a_reward(decision: str, value: float, source: str = "unit_test", stage: int = -1, at: float = 0.0) -> Record:
    known: dict[str, Any] = {"kind": "reward", "decision_id": decision, "tenant": "t", "at": at, "stage": stage}
    return Record(id=f"{decision}/{stage}/{source}", reward=value, reward_source=source, **known)


def a_log(count: int = 40, seed: int = 0, tenant: str = "t", rate: float = 0.9) -> list[Record]:
    """So many decisions; plan a is right at `rate`, plan b half of the time."""
    rng, rows = np.random.default_rng(seed), []
    for index in range(count):
        name, plan = f"{tenant}{index}", PLANS[int(rng.integers(2))]
        right = rng.random() < (rate if plan == "a" else 0.5)
        rows += [a_purchase(name, plan, tenant=tenant), an_end(name, tenant=tenant), a_reward(name, float(right))]
    return rows


def folded(rows: list[Record], **options: Any) -> Learner:
    learner = Learner(**options)
    for one in rows:
        learner.fold(one)
    return learner


def success(learner: Learner, tenant: str = FLEET) -> list[float]:
    """What both plans are believed to be right."""
    forecasts = tuple(Forecast(plan=plan, success=0.5, low=0.4, high=0.6, tokens=1, cost=10.0, seconds=1) for plan in PLANS)
    prediction = Prediction(in_hand=0.0, forecasts=forecasts, version="v", context=np.array([0.25, -0.5], np.float32))
    found: list[float] = correct(learner.posteriors().get(tenant), prediction).success.tolist()
    return found


def test_two_routers_make_the_same_of_one_log_bit_for_bit():
    one, other = folded(a_log()), folded(a_log())
    assert one.posteriors()[FLEET].version == other.posteriors()[FLEET].version
    assert success(one)[0] > success(one)[1]


@given(order=st.permutations(range(30)), again=st.lists(st.integers(0, 29)))
def test_late_repeated_and_out_of_order_rows_count_once(order, again):
    rows = a_log(10)
    wanted, found = folded(rows), folded([rows[place] for place in (*order, *again)])
    assert found.outcomes == wanted.outcomes == 10
    assert success(found) == pytest.approx(success(wanted), abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([a_purchase("d"), a_reward("d", 1.0, stage=0)], 1.0),
        ([a_purchase("d"), a_reward("d", 1.0)], None),  # the answer given is not known yet
        ([a_purchase("d"), an_end("d"), a_reward("d", 0.0)], 0.0),
        ([a_purchase("d"), an_end("d", "8", stage=2), a_reward("d", 1.0)], 0.0),  # another answer was right
        ([a_purchase("d"), an_end("d", "8", stage=2), a_reward("d", 0.0)], None),  # another answer was wrong
        ([a_purchase("d", stop_reason="", outcome_answer="", cost=0), a_reward("d", 1.0)], 1.0),  # only planned: the caller ran it
        ([a_purchase("d"), an_end("d"), a_reward("d", 1.0, stage=1)], None),  # of a later purchase
        ([a_reward("d", 1.0)], None),
    ],
)
def test_what_a_rating_says_of_the_first_purchase(rows, said):
    learner = folded(rows)
    assert learner.outcomes == (said is not None)
    if said is not None:
        believed = success(learner)[0]
        assert believed > 0.5 if said else believed < 0.5


def a_later_purchase(decision: str, plan: str = "b", stage: int = 1, **columns: Any) -> Record:
    return replace(a_purchase(decision, plan, **columns), id=f"{decision}/{stage}", stage=stage)


@pytest.mark.parametrize(
    ("rows", "outcomes", "said"),
    [
        ([a_purchase("d"), a_later_purchase("d"), an_end("d", "8", stage=2), a_reward("d", 0.0)], 1, 0.0),  # of the first nothing is known
        ([a_purchase("d"), a_later_purchase("d"), an_end("d", "8", stage=2), a_reward("d", 1.0)], 2, 1.0),  # the first was wrong
        ([a_purchase("d"), a_later_purchase("d"), an_end("d", "7", stage=2), a_reward("d", 1.0)], 2, 1.0),  # the first was given after all
        ([a_purchase("d"), a_later_purchase("d"), an_end("d", "7", stage=2), a_reward("d", 1.0, stage=0)], 1, None),  # of the first alone
        ([a_purchase("d"), a_later_purchase("d"), a_reward("d", 1.0)], 0, None),  # it may go on
        ([a_purchase("d"), a_later_purchase("d", "a"), a_later_purchase("d", stage=2), an_end("d", "8", stage=3), a_reward("d", 0.0)], 1, 0.0),
        ([a_purchase("d"), a_later_purchase("d", "a"), an_end("d", "8", stage=3), a_reward("d", 0.0), a_later_purchase("d", stage=2)], 1, 0.0),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_what_a_rating_of_the_answer_given_says_of_the_last_purchase(rows, outcomes, said, order):
    learner = folded([*rows[::order], *rows])
    assert learner.outcomes == outcomes
    if said is not None:
        believed = success(learner)[1]
        assert believed > 0.5 if said else believed < 0.5


def test_the_most_trusted_word_stands():
    """A judge says right, then the unit test says wrong: as if the judge had said nothing. The other way round too."""
    wrong = folded([a_purchase("d"), an_end("d"), a_reward("d", 0.0)])
    for sources in ((("judge", 1.0), ("unit_test", 0.0)), (("unit_test", 0.0), ("judge", 1.0))):
        found = folded([a_purchase("d"), an_end("d"), *(a_reward("d", value, source) for source, value in sources)])
        assert found.outcomes == 1
        assert success(found) == pytest.approx(success(wrong), abs=1e-6)


def test_a_less_trusted_word_counts_less():
    believed = [success(folded([a_purchase("d"), an_end("d"), a_reward("d", 1.0, source)]))[0] for source in USUAL]
    assert believed == sorted(believed, reverse=True)
    assert believed[0] > believed[-1] > 0.5


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (a_reward("t0", math.nan), "out of range"),
        (a_reward("t0", math.inf), "out of range"),
        (a_reward("t0", 1.5), "out of range"),
        (a_reward("t0", -0.1), "out of range"),
        (a_reward("t0", 1.0, "rumour"), "unknown source"),
        (a_purchase("new", context=(math.nan, 0.0)), "not finite"),
        (a_purchase("new", costs=(10.0, math.inf)), "not finite"),
        (a_purchase("new", plan="c"), "incomplete"),
        (a_purchase("new", costs=()), "incomplete"),
    ],
)
def test_poison_is_counted_and_nothing_is_learned_from_it(poison, reason):
    clean, poisoned = folded(a_log()), folded([poison, *a_log(), poison])
    assert poisoned.quarantined[reason] == 2
    assert poisoned.posteriors()[FLEET].version == clean.posteriors()[FLEET].version


def test_outcomes_fade():
    learner = folded(a_log(40), half_life=10.0)
    before = learner.posteriors()[FLEET].count
    learner.fold(replace(an_end("later"), at=20 * DAY))
    assert learner.posteriors()[FLEET].count == pytest.approx(before / 4)


def test_a_word_taken_back_leaves_nothing_however_late():
    """Counted on the word of a judge, half faded, then a unit test: as if only the unit test had spoken, then."""
    late = a_reward("d", 0.0, at=10 * DAY)
    found = folded([a_purchase("d", cost=0), an_end("d"), a_reward("d", 1.0, "judge"), late], half_life=10.0)
    wanted = folded([a_purchase("d", cost=0), an_end("d"), late], half_life=10.0)
    assert success(found) == pytest.approx(success(wanted), abs=1e-6)


def test_tenants_have_their_own_experience_and_begin_with_that_of_the_fleet():
    learner = folded([*a_log(300, tenant="t", rate=0.95), *a_log(300, seed=1, tenant="u", rate=0.1)], most=10.0)
    mine, theirs, fleet = (success(learner, tenant)[0] for tenant in ("t", "u", FLEET))
    assert mine > 0.8
    assert theirs < 0.3
    assert theirs < fleet < mine
    assert "new" not in learner.posteriors()


def predicted_by(rows: list[Record], version: str) -> list[Record]:
    return [replace(row, predictor=version, decision_id=f"{version}{row.decision_id}", id=f"{version}{row.id}") for row in rows]


def test_predictors_that_serve_in_turns_keep_what_was_learned_of_each():
    good, bad = (predicted_by(a_log(200, rate=rate), version) for version, rate in (("v", 0.95), ("w", 0.1)))
    mixed = [row for pair in zip(good, bad, strict=True) for row in pair]
    posterior = folded(mixed).posteriors()[FLEET]
    assert posterior.predictor == "w"
    alone = {version: folded(rows).posteriors()[FLEET] for version, rows in (("v", good), ("w", bad))}
    for version, wanted in alone.items():
        assert posterior.of(version).mean.tolist() == wanted.mean.tolist()


def test_the_page_that_has_not_served_for_longest_is_dropped():
    posterior = folded([row for version in "vwxyw" for row in predicted_by(a_log(4), version)]).posteriors()[FLEET]
    assert [posterior.of(version) is not None for version in "vwxy"] == [False, True, True, True]


def test_a_tenant_that_a_new_predictor_has_not_served_yet_begins_with_the_fleet():
    mine, theirs = (a_log(80, tenant=tenant, rate=rate) for tenant, rate in (("t", 0.9), ("u", 0.2)))
    learned = folded([*predicted_by(mine, "v"), *predicted_by(theirs, "v"), *predicted_by(theirs, "w")], most=10.0).posteriors()
    assert learned["t"].predictor == "w"
    assert learned["t"].mean.tolist() == learned[FLEET].mean.tolist()
    assert learned["t"].of("v").mean.tolist() != learned[FLEET].of("v").mean.tolist()


def test_it_remembers_so_many_decisions_and_no_more():
    learner = folded([a_purchase(f"d{index}", cost=0) for index in range(20)] + [an_end(f"d{index}") for index in range(15, 20)], remember=5)
    assert learner.fold(a_reward("d19", 1.0))
    assert not learner.fold(a_reward("d3", 1.0))
    assert learner.outcomes == 1


def test_nothing_learned_is_nothing_published():
    assert Learner().posteriors() == {}


def test_what_the_caller_says_that_a_plan_cost_is_learned_once():
    """PlanQuery's decisions have no cost of their own; the first rating says it, before the decision's row or after it."""
    planned = {"cost": 0, "stop_reason": "", "outcome_answer": ""}
    for order in ((0, 1), (1, 0)):
        rows = []
        for number in range(60):
            pair = a_purchase(str(number), **planned), replace(a_reward(str(number), 1.0), cost=30)
            rows += [pair[place] for place in order]
        again = [replace(a_reward(str(number), 1.0, "user"), cost=99) for number in range(60)]
        posterior = folded(rows + again).posteriors()[FLEET]
        forecasts = (Forecast(plan="a", success=0.5, low=0.4, high=0.6, tokens=1, cost=10.0, seconds=1),)
        found = correct(posterior, Prediction(in_hand=0.0, forecasts=forecasts, version="v", context=np.array([0.25, -0.5], np.float32)))
        assert found.cost[0] == pytest.approx(30.0, rel=0.1)


def test_a_purchase_counts_once_however_many_requests_began_with_it() -> None:
    rows = a_log(20)
    heirs = [
        replace(row, id=f"heir-{row.id}", decision_id=f"heir-{row.decision_id}", inherited=("t0/0",) if row.kind == "stage" else ())
        for row in a_log(20, rate=0.1)
    ]
    learner = folded([*rows, *heirs])
    assert (learner.outcomes, success(learner)) == (folded(rows).outcomes, success(folded(rows)))
