"""Success curves: numbers of others, enumeration, simulation, and what theory says about their shape."""

import math
import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc
from scipy.stats import betabinom

from predictors.curves import MOST, Growth, believe, reach, saturation

N = np.arange(1, MOST + 1)
CERTAIN = 1e9  # a concentration at which p is as good as known
MEANS, FIRM = st.floats(0.01, 0.99), st.floats(0.05, 500)


def test_the_majority_of_two_answers_is_petss():
    """Two answers of .6 and .4, ties even: PETS's exact enumeration; from three on that is 1 - I_.4(n // 2 + 1, ...) of the binomial law."""
    found = believe(0.6, CERTAIN).majority_at(N, 1)
    assert found[[0, 1, 2, 4]] == pytest.approx([0.6, 0.6, 0.648, 0.6826], abs=5e-5)
    assert found[N % 2 == 1] == pytest.approx([betainc(n // 2 + 1, n // 2 + 1, 0.6) for n in N if n % 2], abs=1e-7)


def test_the_majority_of_four_answers_is_petss():
    """.4, .2, .2, .2 by exact multinomial enumeration."""
    found = believe(0.4, CERTAIN).majority_at(np.array([1, 4, 16]), 3)
    assert found == pytest.approx([0.4, 0.4864, 0.7076], abs=5e-5)


@pytest.mark.parametrize(("alternatives", "count"), [(1, 6), (2, 5), (3, 5), (4, 4)])
def test_the_majority_is_that_of_enumeration(alternatives, count):
    """Every sequence of answers, 0 being the right one; E[p^r (1 - p)^s] of a Beta by betabinom."""
    mean, firm, expected = 0.3, 4.0, 0.0
    for votes in product(range(alternatives + 1), repeat=count):
        tally = [votes.count(answer) for answer in range(alternatives + 1)]
        if tally[0] == max(tally):
            chance = betabinom.pmf(tally[0], count, mean * firm, (1 - mean) * firm) / math.comb(count, tally[0])
            expected += chance / alternatives ** (count - tally[0]) / tally.count(max(tally))
    assert believe(mean, firm).majority_at(np.array([count]), alternatives) == pytest.approx(expected)


def test_a_majority_against_ever_new_answers_needs_two_alike():
    """Wrong answers are never alike: the right one wins with two votes, or by luck among n with one."""
    p, n = 0.3, N[1:]
    alone = n * p * (1 - p) ** (n - 1)
    expected = 1 - (1 - p) ** n - alone + alone / n
    assert believe(p, CERTAIN).majority_at(n, 10**9)[:10] == pytest.approx(expected[:10], abs=5e-3)


def test_pass_at_n_by_hand():
    """A Beta(1, 1): E[1 - (1 - p)^n] = n / (n + 1); a known p: 1 - (1 - p)^n."""
    assert believe(0.5, 2).pass_at(N) == pytest.approx(N / (N + 1))
    assert believe(0.2, CERTAIN).pass_at(N) == pytest.approx(1 - 0.8**N)


@given(MEANS, FIRM)
def test_one_sample_is_one_sample_however_it_is_chosen(mean, firm):
    belief, one = believe(mean, firm), np.array([1])
    for found in (belief.pass_at(one), belief.majority_at(one, 3), belief.best_of_at(one, 0.8)):
        assert found == pytest.approx([mean])
    assert belief.mean == pytest.approx(mean)


@given(MEANS, FIRM)
def test_a_verifier_that_knows_nothing_is_a_draw_and_one_that_knows_all_finds_what_there_is(mean, firm):
    belief = believe(mean, firm)
    assert belief.best_of_at(N, 0.5) == pytest.approx(np.full(MOST, mean))
    assert belief.best_of_at(N, 1.0) == pytest.approx(belief.pass_at(N), abs=1e-5)


def test_a_verifiers_auc_is_what_it_says():
    """One right and one wrong sample: best of two is right with probability AUC. So it is 2 p (1 - p) AUC + p^2."""
    for auc in (0.3, 0.6, 0.9, 0.99):
        assert believe(0.4, CERTAIN).best_of_at(np.array([2]), auc) == pytest.approx(2 * 0.4 * 0.6 * auc + 0.16)


def test_best_of_n_is_that_of_simulation():
    rng = np.random.default_rng(0)
    p = rng.beta(1.2, 2.8, 40_000)
    right = rng.random((40_000, 8)) < p[:, None]
    scores = rng.normal(size=right.shape) + right * math.sqrt(2) * 0.8416  # z(.8)
    found = right[np.arange(40_000), scores.argmax(1)].mean()
    assert believe(0.3, 4).best_of_at(np.array([8]), 0.8) == pytest.approx(found, abs=0.007)


@given(MEANS, FIRM, st.floats(0.5, 1), st.integers(1, 20))
def test_curves_rise_where_theory_says_so_and_none_passes_pass_at_n(mean, firm, auc, alternatives):
    belief = believe(mean, firm)
    ceiling, best = belief.pass_at(N), belief.best_of_at(N, auc)
    assert (np.diff(ceiling) >= -1e-9).all()
    assert (np.diff(ceiling, 2) <= 1e-9).all()  # each sample adds less than the one before
    assert (np.diff(best) >= -1e-9).all()
    for curve in (best, belief.majority_at(N, alternatives)):
        assert (curve >= -1e-12).all()
        assert (curve <= ceiling + 1e-5).all()


@given(st.floats(0.51, 0.99), st.integers(1, 10))
def test_the_majority_of_a_likely_answer_only_gets_better(p, alternatives):
    """Condorcet's jury theorem; an even number of votes over two answers adds nothing."""
    assert (np.diff(believe(p, CERTAIN).majority_at(N, alternatives)) >= -1e-7).all()


def test_the_majority_of_an_unlikely_answer_gets_worse():
    assert (np.diff(believe(0.4, CERTAIN).majority_at(N[::2], 1)) < 0).all()


@given(MEANS, MEANS, FIRM)
def test_who_is_likelier_right_once_is_so_at_every_n(mean, other, firm):
    low, high = (believe(one, firm).pass_at(N) for one in sorted((mean, other)))
    assert (low <= high + 1e-12).all()


def test_a_first_answer_is_right_as_often_as_one_sample_is():
    assert believe(0.3, 4, [1], 3).weight == pytest.approx([0.3, 0.7])


def test_belief_after_votes_is_that_of_simulation():
    """Of 200,000 queries those whose four samples gave one answer twice and two others once, and those with one answer three times."""
    rng = np.random.default_rng(1)
    p = rng.beta(0.4 * 3, 0.6 * 3, 200_000)
    votes = np.where(rng.random((200_000, 4)) < p[:, None], 0, rng.integers(1, 6, (200_000, 4)))
    tally = (votes[:, :, None] == np.arange(6)).sum(1)
    for counts in ([2, 1, 1], [3, 1]):
        seen = (-np.sort(-tally, 1)[:, : len(counts)] == counts).all(1)
        belief = believe(0.4, 3, counts, 5)
        for place, times in enumerate(sorted(set(counts), reverse=True)):
            right = (tally[seen, 0] == times).mean()
            assert belief.weight[[index for index, count in enumerate(counts) if count == times]].sum() == pytest.approx(right, abs=0.015), place
        assert belief.weight[-1] == pytest.approx((tally[seen, 0] == 0).mean(), abs=0.015)
        assert belief.mean == pytest.approx(p[seen].mean(), abs=0.01)


def test_two_answers_are_all_there_is_where_there_is_one_alternative():
    assert believe(0.5, 2, [2, 1], 1).weight[-1] == 0.0


def test_scores_multiply_the_odds():
    """Both seen once; the first one's score is nine times as likely for a right answer."""
    plain, scored = believe(0.4, 5, [1, 1], 3), believe(0.4, 5, [1, 1], 3, [9.0, 1.0])
    assert plain.weight[0] == plain.weight[1]
    assert scored.weight[0] / scored.weight[1] == pytest.approx(9)
    assert scored.weight[1] / scored.weight[2] == pytest.approx(plain.weight[1] / plain.weight[2])


def test_agreement_makes_sure_and_doubt_makes_unsure():
    means = [believe(0.5, 3, counts, 4).mean for counts in ([4], [3, 1], [2, 2], [1, 1, 1, 1])]
    assert means == sorted(means, reverse=True)


@given(MEANS, st.floats(1e-3, 1e7), st.lists(st.integers(1, 20), max_size=6), st.integers(1, 10**6))
def test_no_belief_is_too_extreme(mean, firm, counts, alternatives):
    belief = believe(mean, firm, counts, alternatives)
    for curve in (belief.pass_at(N), belief.majority_at(N, alternatives), belief.best_of_at(N, 0.7)):
        assert ((curve >= -1e-9) & (curve <= 1 + 1e-6)).all()


def test_ttspms_saturation_point():
    """ln(e / p) / ln(1 - p) rounded up, e = price / value: the gain of the next sample, p (1 - p)^N, is then no more than e."""
    for p in (0.05, 0.2, 0.5):
        for share in (0.001, 0.01, 0.04):
            expected = math.ceil(math.log(share / p) / math.log(1 - p))
            curve = 1 - (1 - p) ** np.arange(1, 200)
            assert saturation(curve, price=5.0, value=5.0 / share) == max(1, expected)


def test_a_majority_looks_further_than_one_sample_ahead():
    curve = believe(0.7, CERTAIN).majority_at(N, 1)
    assert curve[1] == pytest.approx(curve[0])
    assert saturation(curve, price=1.0, value=100.0) > 3
    assert saturation(curve, price=20.0, value=100.0) == 1


@pytest.mark.parametrize(("mean", "deviation", "expected"), [(0.9, 0.05, 5), (0.7, 0.2, 29), (0.7, 0.1, 139), (0.5, 0.2, 178), (0.95, 0.02, 1)])
def test_optscales_numbers(mean, deviation, expected):
    """Of its authors' own grid search, target .9, miss .05."""
    assert reach(mean, deviation, 0.9, 0.05) == expected


def test_optscale_asks_for_more_where_more_is_wanted():
    counts = [reach(mean, 0.15, 0.9, 0.05) for mean in (0.3, 0.5, 0.7, 0.9)]
    assert counts == sorted(counts, reverse=True)
    assert reach(0.5, 0.15, 0.95, 0.05) > reach(0.5, 0.15, 0.9, 0.05) > reach(0.5, 0.15, 0.9, 0.2)
    assert reach(0.5, 0.01, 0.9, 0.05) is None


@pytest.mark.parametrize("rule", ["majority", "best"])
def test_growth_goes_through_what_is_forecast(rule):
    growth = Growth.of(rule, 16, concentration=6.0, alternatives=4.0, auc=0.8)
    for success in (0.05, 0.4, 0.8, 0.97):
        assert growth.at(success, 16) == pytest.approx(success, abs=1e-6)
    belief = believe(0.37, 6.0)
    curve = belief.majority_at(N, 4) if rule == "majority" else belief.best_of_at(N, 0.8)
    assert growth.curve(float(curve[15])) == pytest.approx(curve, abs=2e-3)


GROWTHS = st.builds(
    Growth.of,
    st.sampled_from(["majority", "best"]),
    st.integers(1, 100),
    concentration=FIRM,
    alternatives=st.floats(0, 1e6),
    auc=st.floats(0, 1),
)


@given(GROWTHS, st.floats(0, 1), st.floats(0, 1))
def test_growth_is_a_probability_and_rises_with_the_forecast(growth, one, other):
    low, high = growth.curve(min(one, other)), growth.curve(max(one, other))
    assert (low <= high + 1e-9).all()
    assert ((low >= -1e-9) & (high <= 1 + 1e-6)).all()
    assert growth.at(one, 1_000) == growth.at(one, MOST)


def test_a_whole_curve_is_quick():
    belief = believe(0.3, 4, [2, 1], 3)
    belief.majority_at(N, 3)
    start = time.process_time()
    for _ in range(200):
        believe(0.3, 4, [2, 1], 3).majority_at(N, 3)
    assert (time.process_time() - start) / 200 < 5e-4  # a tenth of a millisecond when nobody else computes
