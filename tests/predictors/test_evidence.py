"""Evidence as numbers: the same live and from the log, and about the answer asked for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.evidence import Shown, names, of_outcome, summarise
from router.record import bought
from router.types import Candidate, Finish, Record
from tests.predictors.world import an_outcome, of_record

PLANS = ("a", "b")


def shown(plan="a", answer="7", answers=("7",), scores=(0.9,), **more):
    return Shown(plan=plan, answer=answer, answers=answers, scores=scores, **{"logprobs": (-0.1,) * len(answers), **more})


def column(stages, answer, name):
    return float(summarise(stages, answer, PLANS)[names(PLANS).index(name)])


def test_nothing_bought_is_all_zeros():
    assert not summarise([], "", PLANS).any()
    assert summarise([], "", PLANS).shape == (len(names(PLANS)),)


def test_votes_for_and_against():
    stages = [
        shown(answers=("7", "7", "8", ""), scores=(0.9, 0.8, 0.95, math.nan), logprobs=(-0.2, -0.1, -0.3, -1.0)),
        shown("b", "8", ("8",), (0.5,)),
    ]
    assert column(stages, "7", "vote") == pytest.approx(2 / 4)
    assert column(stages, "8", "vote") == pytest.approx(2 / 4)
    assert column(stages, "7", "unread") == pytest.approx(1 / 5)
    assert column(stages, "7", "agreeing") == column(stages, "7", "opposing") == 0.5
    assert column(stages, "7", "score") == pytest.approx(math.log(9) / 5)
    assert column(stages, "7", "rival_score") == pytest.approx(math.log(19) / 5 + 1.4)
    assert column(stages, "7", "logprob") == pytest.approx(-0.4)
    assert column(stages, "7", "bare_logprob") == 0.0
    assert column(stages, "7", "a.vote") == pytest.approx(2 / 3)
    assert column(stages, "7", "b.vote") == 0.0
    assert column(stages, "7", "b.bought") == 1.0


def test_lengths_of_an_answer_and_of_its_rivals():
    stages = [shown(answers=("7", "7", "8"), scores=(0.5,) * 3, logprobs=(0.0,) * 3, tokens=(9, 99, 19))]
    assert column(stages, "7", "a.length") == pytest.approx((math.log(10) + math.log(100)) / 10)
    assert column(stages, "8", "longer") == pytest.approx(math.log(20) / 5 - (math.log(10) + math.log(100)) / 10)
    assert column([shown(tokens=(9,))], "7", "longer") == 0.0


def test_a_log_without_lengths_says_nothing_of_them():
    assert column([shown()], "7", "a.length") == column([shown()], "7", "longer") == 0.0


def test_an_unread_candidate_is_never_a_vote():
    unread = [shown(answer="", answers=("", ""), scores=(0.99, 0.99), logprobs=(0.0, 0.0))]
    assert column(unread, "", "answered") == column(unread, "", "vote") == column(unread, "", "score") == 0.0
    assert column(unread, "", "unread") == 1.0


def test_plans_the_predictor_does_not_know_count_as_evidence_all_the_same():
    assert column([shown("new")], "7", "vote") == 1.0
    assert column([shown("new")], "7", "a.bought") == 0.0


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
STAGES = st.lists(
    st.lists(st.tuples(st.sampled_from(["", "7", "8"]), NUMBERS, NUMBERS, st.integers(0, 10**6)), max_size=4).map(
        lambda rows: Shown(
            plan="a",
            answer=rows[0][0] if rows else "",
            answers=tuple(row[0] for row in rows),
            scores=tuple(row[1] for row in rows),
            logprobs=tuple(row[2] for row in rows),
            tokens=tuple(row[3] for row in rows),
        )
    ),
    max_size=3,
)


@given(STAGES, st.sampled_from(["", "7", "9"]))
def test_whatever_a_backend_or_a_verifier_reports_the_summary_is_finite_and_bounded(stages, answer):
    assert np.abs(summarise(stages, answer, PLANS)).max() <= 20


@given(STAGES.filter(lambda stages: len(stages) == 2))
def test_the_order_of_stages_of_one_plan_moves_only_what_belongs_to_the_plan(stages):
    base = slice(0, names(PLANS).index("a.bought"))
    assert np.array_equal(summarise(stages, "7", PLANS)[base], summarise(stages[::-1], "7", PLANS)[base])


def test_the_log_shows_what_the_live_stage_showed():
    outcome = an_outcome("a", "7", 0.8)
    unread = Candidate(text="?", answer=None, finish=Finish.LENGTH, tokens=3, logprob=-2.0)
    outcome = replace(outcome, candidates=(*outcome.candidates, unread))
    record = bought(Record(id="d/0", kind="stage", decision_id="d", tenant="t", at=0.0, plan="a"), outcome)
    live, logged = of_outcome(outcome), of_record(record)
    assert summarise([live], "7", PLANS).tolist() == summarise([logged], "7", PLANS).tolist()
    assert (live.plan, live.answer, live.answers, live.logprobs) == (logged.plan, logged.answer, logged.answers, logged.logprobs)
