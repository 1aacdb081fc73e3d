"""Which rewards say something of the answer that was given."""

from dataclasses import replace

import pytest

from router.record import by_stage, rated, rewarded
from router.types import Record, Reward

BOUGHT = Record(id="d/0", kind="stage", decision_id="d", tenant="t", at=1.0, action="buy", plan="a", outcome_answer="6")
AGAIN = replace(BOUGHT, id="d/1", at=2.0, stage=1, plan="b", outcome_answer="7", in_hand=0.4)
END = replace(BOUGHT, id="d/2", at=3.0, stage=2, plan="", action="stop", answer="7", outcome_answer="", in_hand=0.8, stop_reason="stopped")
GIVEN = Reward(decision_id="d", value=1.0, source="user", at=10.0)


def belief(reward: Reward, *earlier: Reward, end: Record = END) -> float | None:
    rows = [BOUGHT, AGAIN, end, *(rewarded(one, "t") for one in (*earlier, reward))]
    return rated(by_stage(rows), reward)


@pytest.mark.parametrize(("stage", "expected"), [(None, 0.8), (1, 0.8), (0, None)])
def test_a_reward_rates_the_answer_given_or_that_of_a_stage(stage: int | None, expected: float | None) -> None:
    assert belief(replace(GIVEN, stage=stage)) == expected


def test_only_the_first_that_rates_it_counts() -> None:
    assert belief(replace(GIVEN, at=11.0), GIVEN) is None
    assert belief(replace(GIVEN, at=11.0, source="judge"), GIVEN) is None
    assert belief(replace(GIVEN, at=11.0), replace(GIVEN, stage=1)) is None
    assert belief(replace(GIVEN, at=11.0), replace(GIVEN, stage=0)) == 0.8


def test_what_was_withheld_or_never_ended_has_no_belief() -> None:
    assert belief(GIVEN, end=replace(END, stop_reason="abstained")) is None
    assert belief(GIVEN, end=replace(END, answer="")) is None
    assert belief(GIVEN, end=replace(END, action="buy", plan="c")) is None
