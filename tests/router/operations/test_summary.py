"""Decisions in numbers, against numbers worked out by hand."""

import pytest

from policies.controls import wilson
from router.operations.line import Line, Step
from router.operations.summary import Summary, mean


def step(action: str, plan: str = "", *, in_hand: float = 0.0, cost: int = 0, seconds: float = 0.0, stop_reason: str = "") -> Step:
    return Step(action, plan, in_hand, "4", "4" if plan else "", stop_reason or ("done" if plan else ""), "", cost, 0, seconds)


def answered(id: str, at: float, plans: list[str], *, belief: float, reward: float | None, difficulty: float = 0.5, cost: int = 10) -> Line:
    steps = [step("buy", plan, cost=cost, seconds=1.0) for plan in plans] + [step("stop", in_hand=belief)]
    rewards = {} if reward is None else {"verifier": (-1, reward)}
    return Line(id=id, at=at, difficulty=difficulty, steps=dict(enumerate(steps)), rewards=rewards)


LINES = [
    answered("d", 40.0, ["quick", "long"], belief=0.95, reward=1.0, difficulty=0.95, cost=30),
    answered("c", 30.0, ["quick"], belief=0.85, reward=0.0, difficulty=0.12),
    answered("b", 20.0, ["quick"], belief=0.81, reward=1.0, difficulty=0.1),
    Line(id="a", at=10.0, difficulty=1.0, steps={0: step("abstain")}),
]


def test_numbers() -> None:
    found = Summary(lines=LINES)
    assert found.rewards == [1.0, 0.0, 1.0]
    assert found.quality == pytest.approx((2 / 3, *wilson(2, 3)))
    assert found.cost == mean([60, 10, 10, 0])
    assert found.seconds(0.5) == 1.0
    assert {plan: (one.decisions, one.cost) for plan, one in found.plans.items()} == {"quick": (3, 50), "long": (1, 30)}
    assert found.plans["quick"].quality == pytest.approx((0.5, *wilson(1, 2)))
    assert found.stages == {0: {"quick": 3, "abstain": 1}, 1: {"long": 1, "stop": 2}, 2: {"stop": 1}}
    assert {state.value: count for state, count in found.states.items()} == {"answered": 3, "abstained": 1}


def test_parts_hold_every_decision_once() -> None:
    found = Summary(lines=LINES)
    assert [(round(part.low, 1), part.decisions, dict(part.last)) for part in found.difficulties] == [
        (0.1, 2, {"quick": 2}),
        (0.9, 2, {"long": 1, "abstain": 1}),
    ]
    assert sum(part.decisions for part in found.periods) == 4
    assert found.periods[0].low == 10.0


def test_beliefs_are_held_against_what_was_right() -> None:
    bins = Summary(lines=LINES).calibration
    assert [(round(one.believed, 2), one.observed.value, one.answers) for one in bins] == [(0.83, 0.5, 2), (0.95, 1.0, 1)]


def test_nothing_is_summed_up_to_nothing() -> None:
    found = Summary(lines=[])
    assert (found.quality, found.cost, found.seconds(0.5), found.plans, found.periods, found.calibration) == (None, None, None, {}, [], [])
    assert mean([0.0, 100.0]).low == 0.0, "nobody is paid for asking"
