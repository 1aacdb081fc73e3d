"""The calculator: every equation between plain numbers is worked out again, and nothing else is judged."""

import random
import re
from itertools import islice

import pytest

from router.ports import Spent
from tests.workers.toy import a_query
from workers.reasoner.workload import Problem, problems
from workers.verifiers import verifiers
from workers.verifiers.calculator import holds


@pytest.mark.parametrize(
    "text",
    [
        "So 3 + 4 = 8.",
        "10 - 3 = 70",
        "ant: 3 * 6 = 19\nAnswer: 18",
        "48 = 2 * 18 + 13",
        "3 + 4 = 8 ; 8 - (2 + 1)",
        "3 + 4 = 7\n7 - 9 = 2\n",
        "1,000 + 5 = 1,006",
        "Then 3 * (2 + 1) = 10, which is it.",
        "1 / 3 = 0.5",
    ],
)
def test_what_is_false_is_refuted(text):
    assert not holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Answer: 7",
        "So 3 + 4 = 7.",
        "-5 + 3 = -2",
        "4 - -3 = 7",
        "1,000 + 5 = 1,005",
        "0.1 + 0.2 = 0.3",
        "1 / 3 = 0.33",
        "2x + 3 = 7",
        "a - 1 = 5",
        "3 + 4 = 7x",
        "5% of 20 = 1",
        "step 1: 3 = 4",
        "5 / 0 = 3",
        "((((1 + 1 = 3",
        "(" * 5_000 + "1 + 1 = 3",
        "9" * 5_000 + " + 1 = 3",
        "Tom > Mia",
    ],
)
def test_what_is_true_or_cannot_be_worked_out_stands(text):
    assert holds(text)


def test_worked_solutions_hold_and_a_digit_changed_anywhere_does_not():
    rng = random.Random(5)
    for problem in islice(problems("train", 5, families=("stories", "chain_sum", "basic_arithmetic", "leg_counting", "gcd")), 400):
        assert holds(_text(problem.steps))
        assert not holds(_text(_miscounted(problem, rng)))


def _text(steps: tuple[str, ...]) -> str:
    return "".join(f"{step}\n" for step in steps)


def _miscounted(problem: Problem, rng: random.Random) -> tuple[str, ...]:
    """The steps with the last number of one equation off by one."""
    place = rng.randrange(len(problem.steps))
    equation, *rest = problem.steps[place].split(" ;")
    last = list(re.finditer(r"\d+", equation))[-1]
    changed = f"{equation[: last.start()]}{int(last[0]) + 1}{equation[last.end() :]}"
    return (*problem.steps[:place], " ;".join([changed, *rest]), *problem.steps[place + 1 :])


async def test_only_what_stands_is_judged_further_and_paid_for():
    texts = ["3 + 4 = 7\nAnswer: 7", "3 + 4 = 8\nAnswer: 7", "Answer: 8"]
    calculator = verifiers.build("calculator", {"then": {"name": "exact", "options": {"answers": {"Calculate 3 + 4.": "7"}}}})
    assert await calculator.score(a_query("Calculate 3 + 4."), texts, Spent()) == [1.0, 0.0, 0.0]
    assert await verifiers.build("calculator").score(a_query("?"), texts, Spent()) == [1.0, 0.0, 1.0]


def test_a_second_judge_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="no plug-in 'none-such'"):
        verifiers.build("calculator", {"then": {"name": "none-such"}})
