"""Expressions: equal ones are spelt alike, and nothing that anybody writes takes long."""

import time
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.types import Finish, Task
from workers.answers import canonical, read
from workers.expressions import spelled

ALIKE = [
    (r"\frac{1}{2}", "1/2", "2/4", "0.50", r"\dfrac12", r"\frac{4}{8}"),
    (r"\sqrt{8}", r"2\sqrt{2}", r"\sqrt8"),
    ("2x+3x", "5x", "x+4x"),
    ("x^2-1", "(x-1)(x+1)", "-1+x^2"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    (r"\{1,2\}", r"\{2,1\}"),
    ("x=5", "5", "5.0"),
    ("2^{10}", "1024"),
    ("10^{-2}", "0.01"),
    (r"-\frac{3}{4}", "-0.75"),
]


@pytest.mark.parametrize("same", ALIKE, ids=lambda same: same[0])
def test_equal_expressions_are_one_vote(same):
    assert len({canonical(Task.MATH, one) for one in same}) == 1


def test_different_expressions_are_not():
    assert len({canonical(Task.MATH, same[0]) for same in ALIKE}) == len(ALIKE)


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^9}", "9^9^9", "9**99999", "100!", "(" * 90, "(" * 45 + ")" * 45, r"\frac{" * 15, "2^{2^{2^{2}}}", "7" * 200, "x" * 5_000,
        r"\int_0^\infty e^{-x^2}dx", "1/0", "0^0",
        r"\sum_{n=1}^{10000000} n", "(x+1)^{99}", "a=b=c", "\u2211", r"\begin{matrix}1\end{matrix}", "lambda: 0", "__import__('os')", "{" * 50,
    ],
)  # fmt: skip
def test_what_is_monstrous_takes_no_time(text):
    spelled("1/2")  # what is imported once is not counted
    started = time.monotonic()
    canonical(Task.MATH, text)
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("word", ["Tom", "true", "no idea", "", "the answer"])
def test_words_are_not_expressions(word):
    assert spelled(word) is None


def test_only_in_mathematics():
    assert canonical(Task.FREE, "2/4") == "2/4"


def test_an_expression_is_read_like_any_answer():
    assert read(Task.MATH, r"so \boxed{\frac{1}{2}} it is", Finish.END) == "0.5"
    assert read(Task.MATH, "Answer: 2/4", Finish.LENGTH) is None


@given(st.fractions(max_denominator=500).filter(lambda one: abs(one) < 10**9))
@settings(max_examples=60, deadline=None)
def test_a_fraction_is_spelt_as_itself_in_lowest_terms(number):
    spelling = canonical(Task.MATH, f"{number.numerator * 3}/{number.denominator * 3}")
    assert Fraction(spelling) == number
    assert spelling == canonical(Task.MATH, rf"\frac{{{number.numerator}}}{{{number.denominator}}}")


@given(st.sampled_from([Task.FREE, Task.CHOICE]), st.text(max_size=40))
@example(Task.FREE, ":*:")
@example(Task.FREE, "05:")
@settings(max_examples=150, deadline=None)
def test_a_canonical_answer_is_its_own_spelling(task, text):
    once = canonical(task, text)
    assert once is None or canonical(task, once) == once


@given(st.text(max_size=60), st.sampled_from(list(Task)), st.sampled_from(list(Finish)))
@settings(max_examples=150, deadline=None)
def test_reading_never_fails_and_truncation_never_adds_an_answer(text, task, finish):
    found = read(task, text, finish)
    if not finish.whole and found is not None:
        assert read(task, text, Finish.END) is not None
