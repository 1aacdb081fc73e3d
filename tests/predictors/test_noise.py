"""Sources of rewards: planted rates are found again, few ratings change little, and what is said of an answer is weighed."""

import numpy as np
import pytest

from predictors.evidence import Shown
from predictors.training.log import Logged, Purchase, Rating
from predictors.training.noise import SOURCES, USUAL, Noise, estimate, gather, verdicts

PLANTED = {"unit_test": (0.97, 0.995), "verifier": (0.90, 0.99), "user": (0.75, 0.65), "judge": (0.95, 0.60)}
EVEN = Noise(np.array([USUAL[name] for name in SOURCES]), np.array([USUAL[name] for name in SOURCES]), 0.5)


def said(count, share, rates, seed=0, heard=0.7):
    """Ratings (count, sources) of answers of which `share` are right, each source rating each with chance `heard`; and which are right."""
    rng = np.random.default_rng(seed)
    right = rng.random(count) < share
    yes = np.array([[1 - rates[name][1], rates[name][0]] for name in SOURCES])
    ratings = (rng.random((count, len(SOURCES))) < yes[:, right.astype(int)].T).astype(float)
    ratings[rng.random(ratings.shape) > heard] = np.nan
    return ratings[~np.isnan(ratings).all(axis=1)], right[~np.isnan(ratings).all(axis=1)]


def test_planted_rates_are_found_again():
    ratings, right = said(20_000, 0.35, PLANTED)
    noise = estimate(ratings)
    assert noise.sensitivity == pytest.approx([PLANTED[name][0] for name in SOURCES], abs=0.02)
    assert noise.specificity == pytest.approx([PLANTED[name][1] for name in SOURCES], abs=0.02)
    assert noise.right == pytest.approx(0.35, abs=0.01)
    p = noise.believe(ratings)
    bins = np.digitize(p, [0.05, 0.3, 0.7, 0.95])
    for place in range(5):
        assert right[bins == place].mean() == pytest.approx(p[bins == place].mean(), abs=0.04)


def test_few_ratings_leave_the_usual_rates_nearly_as_they_are():
    noise = estimate(said(10, 0.5, PLANTED)[0])
    assert noise.sensitivity == pytest.approx(EVEN.sensitivity, abs=0.12)
    assert noise.sensitivity[SOURCES.index("user")] < USUAL["user"]


def test_answers_that_one_source_rated_tell_nothing_of_it_but_how_many_are_right():
    """A judge with rates of .8 says "right" of .2 + .6 p: of .62 where p is .7."""
    ratings = np.full((1_000, len(SOURCES)), np.nan)
    ratings[:, SOURCES.index("judge")] = np.arange(1_000) < 620
    noise = estimate(ratings)
    assert (noise.sensitivity.tolist(), noise.compared) == (EVEN.sensitivity.tolist(), 0)
    assert noise.right == pytest.approx(0.7, abs=0.002)


def test_no_ratings_are_no_trouble():
    noise = estimate(gather([]))
    assert (noise.right, noise.compared) == (0.5, 0)


def test_what_is_said_is_weighed_by_bayes_rule():
    ratings = np.full((4, len(SOURCES)), np.nan)
    ratings[0, SOURCES.index("judge")] = 1
    ratings[1, SOURCES.index("judge")], ratings[1, SOURCES.index("verifier")] = 1, 0
    ratings[2, SOURCES.index("judge")], ratings[2, SOURCES.index("user")] = 1, 1
    ratings[3, SOURCES.index("judge")] = 0.5
    agreed = 0.8 * 0.85 / (0.8 * 0.85 + 0.2 * 0.15)
    assert EVEN.believe(ratings) == pytest.approx([0.8, 0.8 * 0.02 / (0.8 * 0.02 + 0.2 * 0.98), agreed, 0.5])
    assert EVEN.worth(ratings) == pytest.approx([0.36, 1 - 0.64 * (1 - 0.96**2), 1 - 0.64 * (1 - 0.7**2), 0.36])


def a_decision(*answers, given="", ratings=()):
    bought = tuple(
        Purchase(stage, Shown(plan="p", answer=answer, answers=(answer,), scores=(0.5,), logprobs=(0.0,)), 1.0, "done", 1, 1, 1.0)
        for stage, answer in enumerate(answers)
    )
    return Logged("d", 0.0, np.ones(1, np.float32), 1.0, bought, given, tuple(Rating(*one) for one in ratings))


def likely(decision, noise=EVEN):
    return {answer: round(p, 4) for answer, (p, _) in verdicts(decision, noise).items()}


def test_a_right_answer_makes_the_others_wrong_and_a_wrong_one_tells_nothing_of_them():
    assert likely(a_decision("7", "8", given="8", ratings=[(-1, 1.0, "verifier", 5.0)])) == {"8": 0.98, "7": 0.0, "": 0.0}
    assert likely(a_decision("7", "8", given="8", ratings=[(-1, 0.0, "verifier", 5.0)])) == {"8": 0.02, "": 0.0}
    both = [(-1, 0.0, "verifier", 5.0), (0, 1.0, "verifier", 5.0)]
    assert likely(a_decision("7", "8", given="8", ratings=both)) == {"8": 0.02, "7": 0.98, "": 0.0}


def test_how_sure_it_is_that_the_others_are_wrong_is_how_sure_the_right_one_is():
    told = verdicts(a_decision("7", "8", given="8", ratings=[(-1, 1.0, "judge", 5.0)]), EVEN)
    assert told["8"] == (pytest.approx(0.8), pytest.approx(0.36))
    assert told["7"] == (0.0, pytest.approx(0.8 * 0.36))


def test_the_latest_word_of_a_source_counts_and_a_better_source_counts_more():
    assert likely(a_decision("7", given="7", ratings=[(-1, 0.0, "verifier", 9.0), (0, 1.0, "verifier", 5.0)]))["7"] == 0.02
    assert likely(a_decision("7", given="7", ratings=[(-1, 0.0, "user", 9.0), (0, 1.0, "verifier", 5.0)]))["7"] == pytest.approx(0.8963, abs=1e-4)


def test_an_answer_that_could_not_be_read_is_wrong_and_one_nobody_spoke_of_is_unknown():
    assert likely(a_decision("", ratings=[(-1, 0.0, "verifier", 5.0)])) == {"": 0.0}
    assert verdicts(a_decision("7", given="7"), EVEN) == {}
    assert likely(a_decision("7", given="7", ratings=[(-1, 1.0, "an oracle", 5.0)])) == {"": 0.0}  # a source nobody knows is not believed


@pytest.mark.parametrize("stop_reason", ["", "failed", "cancelled"])
def test_what_gave_no_outcome_was_not_rated(stop_reason):
    decision = a_decision("7")
    lost = Purchase(0, decision.purchases[0].shown, 1.0, stop_reason, 1, 1, 1.0)
    assert likely(Logged("d", 0.0, decision.features, 1.0, (lost,), "", (Rating(0, 1.0, "verifier", 1.0),))) == {"": 0.0}
