"""Reading answers."""

import pytest

from router.types import Finish, Task
from workers.answers import boxed, canonical, read


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        (Task.MATH, "3 + 4 = 7\nAnswer: 7", "7"),
        (Task.MATH, "Answer: 5\nwait\nAnswer: 1,234.50", "1234.5"),
        (Task.MATH, r"so \boxed{\frac{1}{2}} it is", "0.5"),
        (Task.MATH, r"Answer: \boxed{+12.0}", "12"),
        (Task.MATH, "The answer is 41. No: the answer is 42.", "42"),
        (Task.MATH, "#### \u221217", "-17"),
        (Task.FREE, "It is 42.", None),
        (Task.FREE, "Answer:  Tom. ", "tom"),
        (Task.FREE, "**Answer:** Lily", "lily"),
        (Task.FREE, "Answer: ", None),
        (Task.FREE, "Answer:\nnext line", None),
        (Task.CHOICE, "Answer: (B) Paris", "b"),
        (Task.CHOICE, "Answer: C", "c"),
        (Task.CODE, "x\n```python\na = 1\n```\nor\n```\na = 2\n```", "a = 2"),
        (Task.MATH, "", None),
        (Task.MATH, "no number here", None),
    ],
)
def test_the_last_answer_is_read(task, text, expected):
    assert read(task, text, Finish.END) == expected


@pytest.mark.parametrize("same", ["7", "07", "7.0", "7.", "+7", "$7", " 7 ", "7.000"])
def test_equal_numbers_are_spelt_alike(same):
    assert canonical(Task.MATH, same) == "7"


@pytest.mark.parametrize(("text", "expected"), [("-0", "0"), ("\u22125", "-5"), (".5", "0.5"), ("1,000,000", "1000000"), ("9" * 5000, "9" * 5000)])
def test_numbers(text, expected):
    assert canonical(Task.MATH, text) == expected


@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.CANCELLED])
def test_a_truncated_text_has_an_answer_only_if_it_was_whole(finish):
    assert read(Task.MATH, "Answer: 12", finish) is None
    assert read(Task.MATH, "the answer is 12", finish) is None
    assert read(Task.MATH, "Answer: 12\nand", finish) == "12"
    assert read(Task.MATH, r"\boxed{12} and", finish) == "12"
    assert read(Task.MATH, r"\boxed{12", finish) is None


def test_the_box_is_closed_by_its_own_brace():
    assert boxed(r"\boxed{a{b}c} \boxed{") is None
    assert boxed(r"\boxed{a{b}c}") == "a{b}c"
