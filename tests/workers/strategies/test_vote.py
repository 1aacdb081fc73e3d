"""Votes."""

from itertools import permutations, product
from math import prod

import pytest

from router.types import Candidate, Finish
from workers.parts.vote import certainty, choose, leads


def candidate(answer, score=None, logprob=-1.0, text=None):
    return Candidate(text=text or f"{answer}", answer=answer, finish=Finish.END, tokens=1, logprob=logprob, score=score)


KNOWN = [(1, 0, 0.75), (2, 0, 0.875), (3, 0, 0.9375), (4, 0, 0.96875), (5, 1, 0.9375), (6, 1, 0.964844), (7, 2, 0.945312), (8, 2, 0.967285)]


@pytest.mark.parametrize(("first", "second", "expected"), [*KNOWN, (9, 3, 0.953857)])
def test_certainty_known_answers(first, second, expected):
    assert certainty(first, second) == pytest.approx(expected, abs=1e-6)


def test_certainty_of_a_tie_is_a_half():
    assert all(certainty(n, n) == 0.5 for n in range(200))


def test_fewest_votes_that_stop():
    least = [next(first for first in range(50) if certainty(first, second) >= 0.95) for second in range(6)]
    assert least == [4, 6, 8, 9, 11, 12]


def test_order_does_not_matter():
    candidates = [candidate("a", 0.3), candidate("b", 0.4), candidate("a", 0.2), candidate(None, 0.99), candidate("b", 0.1, text="other")]
    for rule in ("majority", "weighted", "best"):
        chosen = {order[choose(order, rule)] for order in permutations(candidates)}
        assert len(chosen) == 1


def test_what_cannot_be_read_is_no_vote():
    candidates = [candidate("a"), *[candidate(None)] * 5]
    assert choose(candidates, "majority") == 0
    assert leads(candidates) == (1, 0)
    assert choose([candidate(None, 0.9)], "best") is None
    assert choose([], "majority") is None


def test_equal_weights_are_a_majority_and_one_dominant_weight_wins():
    answers = ["a", "b", "b", "c", "a", "b"]
    assert answers[choose([candidate(one, 0.5) for one in answers], "weighted")] == "b"
    heavy = [candidate(one, 1.0 if one == "c" else 0.01) for one in answers]
    assert answers[choose(heavy, "weighted")] == "c" == answers[choose(heavy, "best")]
    inert = [*heavy, *[candidate("a", 0.0)] * 50]
    assert inert[choose(inert, "weighted")].answer == "c"


def test_weighting_does_not_depend_on_scale_nor_best_on_a_monotone_change():
    scores = [0.9, 0.3, 0.35, 0.3, 0.1]
    plain = [candidate(answer, score) for answer, score in zip("abbcc", scores, strict=True)]
    scaled = [candidate(answer, score / 3) for answer, score in zip("abbcc", scores, strict=True)]
    squared = [candidate(answer, score**2) for answer, score in zip("abbcc", scores, strict=True)]
    assert choose(plain, "weighted") == choose(scaled, "weighted")
    assert choose(plain, "best") == choose(squared, "best")


def test_without_scores_every_rule_is_a_majority():
    candidates = [candidate("a"), candidate("b"), candidate("b")]
    assert {candidates[choose(candidates, rule)].answer for rule in ("majority", "weighted", "best")} == {"b"}


TWO, FOUR = (0.6, 0.4), (0.4, 0.2, 0.2, 0.2)


@pytest.mark.parametrize(("chances", "n", "expected"), [(TWO, 1, 0.6), (TWO, 2, 0.6), (TWO, 3, 0.648), (TWO, 5, 0.6826), (FOUR, 4, 0.4864)])
def test_majority_is_right_as_often_as_it_must_be(chances, n, expected):
    """Exact enumeration; a tie is broken by log-probability, which here is averaged over all orders of the answers' log-probabilities."""
    right = 0.0
    orders = list(permutations(range(len(chances))))
    for order in orders:
        for drawn in product(range(len(chances)), repeat=n):
            candidates = [candidate(str(one), logprob=-order[one]) for one in drawn]
            right += prod(chances[one] for one in drawn) * (drawn[choose(candidates, "majority")] == 0) / len(orders)
    assert right == pytest.approx(expected, abs=1e-4)
