"""Strategies that draw whole solutions and count them."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from math import exp, inf, log
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ports import Spent
from router.types import Call, Candidate, Evidence, Fate, Finish, Sample
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query
from workers.parts import normal
from workers.parts.vote import certainty
from workers.strategies import strategies
from workers.strategies.adaptive_consistency import AdaptiveConsistency, leadership, relative_entropy
from workers.strategies.best_of_majority import BestOfMajority
from workers.strategies.optscale import estimate, log_posterior, required
from workers.strategies.pets import PATTERNS, PETS, Bucket, allocate, fit, fit_curve, log_gain, majority_curve, pattern, pattern_shares
from workers.strategies.rpc import RPC, improbable, membership
from workers.strategies.rpc import fit as fit_mixture
from workers.strategies.weighted_majority import beginnings


@dataclass
class Scripted(Toy):
    """Call number i says `script[i]`, the last for ever; '7' stands for a solution whose answer is 7, '' for one that cannot be read."""

    script: tuple[str, ...] = ("7",)

    def solution(self, call: Call) -> str:
        said = self.script[min(len(self.calls), len(self.script)) - 1]
        return f"{said}\nAnswer: {said}" if said else "no idea"


@dataclass
class Sure(Scripted):
    """Each solution's tokens have the log-probability of its answer in tenths: 7 is -0.7."""

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        value = -int("0" + sample.text.split("\n")[0].strip("no idea")) / 10
        return replace(sample, logprobs=(value,) * sample.completion_tokens)


@dataclass
class Judge(Oracle):
    """Scores a text by the answer at its end."""

    scores: tuple[tuple[str, float], ...] = ()

    def value(self, query, text):
        return dict(self.scores).get(text.split()[-1], 0.0)


def kept(answer, *, score=None, logprob=-0.5, text=None, **changes):
    text = f"{answer} {score} {logprob}" if text is None else text
    return Candidate(text=text, answer=answer, finish=Finish.END, tokens=9, logprob=logprob, score=score, **changes)


def answer_of(strategy, candidates):
    place = strategy.choose(candidates)
    return None if place is None else candidates[place].answer


some = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 1), st.floats(-3, -0.01)), min_size=1, max_size=12)


# Weighted majority


def test_equal_weights_are_a_majority():
    candidates = [kept(answer, score=0.4, logprob=-0.4, text=str(place)) for place, answer in enumerate("aabbbc")]
    for weight in ("score", "probability", "entropy"):
        assert answer_of(strategies.build("weighted_majority", {"weight": weight}), candidates) == "b"


def test_one_weight_that_dominates_is_best_of_n():
    candidates = [kept("a", score=0.01), kept("a", score=0.02), kept("b", score=0.9)]
    assert answer_of(strategies.build("weighted_majority"), candidates) == answer_of(strategies.build("best_of_n"), candidates) == "b"


@given(some, st.floats(0.05, 1))
def test_weights_keep_their_proportions_and_weights_of_zero_are_no_votes(rows, scale):
    strategy = strategies.build("weighted_majority")
    candidates = [kept(answer, score=score, logprob=logprob) for answer, score, logprob in rows]
    scaled = [replace(one, score=one.score * scale) for one in candidates]
    totals = sorted(sum(score for answer, score, _ in rows if answer == name) for name in "abc")
    if totals[-1] - totals[-2] > 1e-9:
        assert answer_of(strategy, scaled) == answer_of(strategy, candidates)
        assert answer_of(strategy, [*candidates, *[kept("c", score=0.0, logprob=0.0)] * 20]) == answer_of(strategy, candidates)
    assert answer_of(strategy, candidates[::-1]) == answer_of(strategy, candidates)


def test_the_heaviest_member_of_the_class_is_given():
    candidates = [kept("a", score=0.5), kept("a", score=0.8), kept("b", score=0.9)]
    assert strategies.build("weighted_majority").choose(candidates) == 1


async def test_weighting_by_probability_takes_the_likelier_class():
    outcome = await Rig(Sure(script=("9", "9", "1"))).run(a_plan("weighted_majority", n=3, weight="probability"))
    assert 2 * exp(-0.9) < exp(-0.1)
    assert outcome.answer == "1"


async def test_weighting_by_entropy_rates_with_it():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("weighted_majority", n=2, weight="entropy", top=3))
    entropy = -sum(exp(value) * value for value in (-0.1, -2.5, -4.0))  # they are all there is
    assert [one.score for one in outcome.candidates] == pytest.approx([exp(-entropy)] * 2)


async def test_a_constant_verifier_makes_weighted_majority_self_consistency():
    rig = Rig(Toy(accuracy=0.6), Oracle(constant=0.5))
    outcome = await rig.run(a_plan("weighted_majority", n=20), a_query("3 1"))
    assert outcome.answer == Counter(one.answer for one in outcome.candidates).most_common(1)[0][0]


@pytest.mark.parametrize(("aggregate", "score"), [("last", 0.1), ("min", 0.1), ("prod", 0.9**2 * 0.1**3)])
async def test_one_score_is_made_of_those_of_the_beginnings(aggregate, score):
    toy = Scripted()
    toy.solution = lambda call: "3\n1\n7\n7\nAnswer: 3177"  # right, right, wrong, wrong, wrong
    rig = Rig(toy)
    outcome = await rig.run(a_plan("weighted_majority", n=2, aggregate=aggregate), a_query("3 1 4"))
    assert [one.score for one in outcome.candidates] == pytest.approx([score] * 2)
    assert len(rig.oracle.asked) == (1 if aggregate == "last" else 5)  # equal ones once


def test_beginnings_end_with_steps():
    assert beginnings("a\nb\nAnswer: c", "\n") == ["a\n", "a\nb\n", "a\nb\nAnswer: c"]
    assert beginnings("a\n", "\n") == ["a\n"]
    assert beginnings("a", "\n\n") == ["a"]


@pytest.mark.parametrize("name", ["weighted_majority", "best_of_majority", "rpc", "adaptive_consistency", "esc", "optscale", "self_certainty"])
async def test_one_sample_is_direct(name):
    rig = Rig()
    one = await rig.run(a_plan(name, n=1, temperature=0.0))
    direct = await Rig().run(a_plan("direct", skill="solve"))
    assert (one.text, one.usage.tokens, rig.oracle.rounds) == (direct.text, direct.usage.tokens, 0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("weighted_majority", {"weight": "probability"}),
        ("weighted_majority", {"weight": "score"}),
        ("best_of_majority", {}),
        ("rpc", {}),
        ("adaptive_consistency", {"threshold": 1.0}),
        ("esc", {"window": 9}),
        ("optscale", {"target": 0.99}),
    ],
)
async def test_samples_of_earlier_stages_count(name, options):
    first = await Rig(Toy(accuracy=0.5)).run(a_plan(name, n=6, **options))
    rig = Rig(Toy(accuracy=0.5))
    second = await rig.run(a_plan(name, n=8, **options), evidence=Evidence(outcomes=(first,)))
    assert (len(first.candidates), len(second.candidates)) == (6, 2)


@pytest.mark.parametrize("name", ["weighted_majority", "best_of_majority", "rpc", "adaptive_consistency", "esc", "pets", "optscale"])
async def test_when_nothing_can_be_read_there_is_no_answer(name):
    outcome = await Rig(Toy(mute=1.0)).run(a_plan(name))
    assert (outcome.answer, outcome.usage.kept_tokens) == (None, 0)


@pytest.mark.parametrize("name", ["weighted_majority", "best_of_majority", "rpc", "adaptive_consistency", "esc", "pets", "optscale"])
async def test_a_budget_cut_in_the_middle_answers_from_what_was_kept(name):
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan(name, **({"width": 1} if name == "adaptive_consistency" else {})), tokens=100)
    assert outcome.answer == "31415"


# Best of majority


def test_alpha_of_zero_is_best_of_n():
    candidates = [kept("a", score=0.2), kept("a", score=0.2), kept("b", score=0.9), kept("c", score=0.3)]
    for alpha, answer in ((0.0, "b"), (0.25, "b"), (0.26, "a"), (0.5, "a")):
        assert answer_of(BestOfMajority(alpha=alpha), candidates) == answer


@given(some)
def test_an_alpha_that_only_the_commonest_reach_is_a_majority_and_so_is_one_that_none_reach(rows):
    candidates = [kept(answer, score=score, logprob=logprob) for answer, score, logprob in rows]
    counts = Counter(one.answer for one in candidates)
    best = max(counts.values())
    leaders = {answer for answer, count in counts.items() if count == best}
    assert answer_of(BestOfMajority(alpha=best / len(candidates)), candidates) in leaders
    if best < len(candidates):
        assert answer_of(BestOfMajority(alpha=1.0), candidates) == answer_of(strategies.build("self_consistency"), candidates)


async def test_each_common_answer_is_scored_once():
    rig = Rig(Scripted(script=("1", "1", "1", "2", "2", "3", "4", "")), Judge(scores=(("1", 0.4), ("2", 0.6), ("3", 0.9))))
    outcome = await rig.run(a_plan("best_of_majority", n=8, alpha=0.2))
    assert rig.oracle.asked == ["1\nAnswer: 1", "2\nAnswer: 2"]
    assert outcome.answer == "2"


def test_a_share_is_exact():
    candidates = [kept(answer, score=score, text=str(place)) for place, (answer, score) in enumerate([("a", 0.1)] * 7 + [("b", 0.9)] * 3)]
    assert answer_of(BestOfMajority(alpha=0.3), candidates) == "b"


def test_more_samples_harm_best_of_n_but_not_best_of_majority():
    """A rare wrong answer that the verifier overrates: the more samples, the likelier it is among them."""
    rng, errors = Random(1), {}
    for n in (4, 64):
        for name in ("best_of_n", "best_of_majority"):
            strategy = strategies.build(name)
            drawn = [rng.choices("abx", (0.6, 0.37, 0.03), k=n) for _ in range(400)]
            scored = {"a": 0.7, "b": 0.3, "x": 0.99}
            wrong = sum(answer_of(strategy, [kept(one, score=scored[one]) for one in answers]) != "a" for answers in drawn)
            errors[name, n] = wrong / 400
    deviation = 3 * (0.25 / 400) ** 0.5
    assert errors["best_of_n", 64] == pytest.approx(1 - 0.97**64, abs=deviation)
    assert errors["best_of_n", 64] > errors["best_of_n", 4] + 0.5
    assert errors["best_of_majority", 64] < 0.01


# RPC


def test_equal_probabilities_are_never_pruned():
    assert not improbable(np.full(9, 0.3)).any()
    assert not improbable(np.array([0.1 + 0.2, 0.3, 0.3])).any()
    assert not improbable(np.array([])).any()


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40))
def test_what_reaches_the_mean_is_never_pruned(values):
    probabilities = np.array(values)
    assert not (improbable(probabilities) & (probabilities >= probabilities.mean())).any()


def test_a_mixture_of_two_weibulls_is_found():
    rng = np.random.default_rng(5)
    values = np.concatenate([0.85 * rng.weibull(12, 700), 0.3 * rng.weibull(3, 300)])
    mixture = fit_mixture(values)
    assert mixture.share == pytest.approx(0.7, abs=3 * (0.7 * 0.3 / 1000) ** 0.5)
    assert mixture.shapes == pytest.approx((12, 3), rel=0.2)
    assert mixture.scales == pytest.approx((0.85, 0.3), rel=0.1)
    assert membership(np.array([0.2, 0.8]), mixture).round() == pytest.approx([0, 1])


def test_shares_of_a_mixture_stay_within_their_bounds():
    values = np.concatenate([np.full(99, 0.8) + np.linspace(0, 0.02, 99), [0.1]])
    assert 0.2 <= fit_mixture(values).share <= 0.8


@pytest.mark.parametrize(
    ("values", "likelihood", "pruned"),
    [
        ([0.91, 0.88, 0.93, 0.85, 0.9, 0.52, 0.47, 0.61, 0.55, 0.4], 10.286338, 5),
        ([0.95, 0.9, 0.86, 0.8, 0.77, 0.7, 0.66, 0.6, 0.5, 0.3, 0.2, 0.1], 1.860042, 3),
        ([0.97, 0.95, 0.9, 0.93, 0.96, 0.88, 0.91, 0.7, 0.6, 0.65, 0.5, 0.72, 0.81, 0.55, 0.62, 0.94], 13.654185, 7),
    ],
)
def test_the_fit_is_the_authors(values, likelihood, pruned):
    """Log-likelihood and prunings found by L-BFGS-B from the authors' starting point and inside their bounds."""
    data = np.sort(np.array(values))
    assert improbable(np.array(values)).sum() == pruned
    mixture = fit_mixture(data)
    parts = [
        share * (shape / scale) * (data / scale) ** (shape - 1) * np.exp(-((data / scale) ** shape))
        for share, shape, scale in zip((mixture.share, 1 - mixture.share), mixture.shapes, mixture.scales, strict=True)
    ]
    assert float(np.log(sum(parts)).sum()) == pytest.approx(likelihood, abs=1e-5)


def test_an_improbable_text_has_no_weight():
    good = [kept("a", logprob=log(p), text=f"a{p}") for p in (0.9, 0.88, 0.91)]
    bad = [kept("b", logprob=log(p), text=f"b{p}") for p in (0.2, 0.22, 0.25, 0.21, 0.24, 0.23, 0.19, 0.26, 0.18, 0.2001, 0.2002, 0.2003, 0.2004)]
    assert answer_of(RPC(prune=False), [*good, *bad]) == "b"
    assert answer_of(RPC(), [*good, *bad]) == answer_of(RPC(), [*bad[::-1], *good]) == "a"


def test_identical_texts_count_once():
    candidates = [kept("a", logprob=-0.5, text="same")] * 5 + [kept("b", logprob=-0.4, text="other")]
    assert answer_of(RPC(), candidates) == "b"
    assert answer_of(strategies.build("self_consistency"), candidates) == "a"


def test_rpc_without_pruning_is_perplexity_consistency():
    candidates = [kept("a", logprob=log(0.3), text="1"), kept("a", logprob=log(0.3), text="2"), kept("b", logprob=log(0.5), text="3")]
    assert answer_of(RPC(prune=False), candidates) == "a"
    equal = [replace(one, logprob=-0.2) for one in candidates]  # a degenerate mixture
    assert answer_of(RPC(), equal) == answer_of(RPC(prune=False), equal) == "a"


@given(some)
def test_rpc_does_not_depend_on_order(rows):
    candidates = [kept(answer, logprob=logprob) for answer, _, logprob in rows]
    one, other = RPC().choose(candidates), RPC().choose(candidates[::-1])
    assert candidates[one].text == candidates[::-1][other].text


# Adaptive-Consistency

TABLE = {
    (1, 0): 0.75,
    (2, 0): 0.875,
    (3, 0): 0.9375,
    (4, 0): 0.96875,
    (5, 1): 0.9375,
    (6, 1): 0.964844,
    (7, 2): 0.945312,
    (8, 2): 0.967285,
    (9, 3): 0.953857,
    (3, 3): 0.5,
}


@pytest.mark.parametrize(("first", "second"), TABLE)
def test_the_beta_criterion_is_the_authors_table(first, second):
    assert certainty(first, second) == pytest.approx(TABLE[first, second], abs=1e-6)
    assert leadership([first, second]) == pytest.approx(TABLE[first, second], abs=1e-6)
    assert AdaptiveConsistency().settled([first, second]) == (TABLE[first, second] >= 0.95)


def test_the_fewest_votes_that_settle_it():
    strategy = AdaptiveConsistency()
    assert [next(first for first in range(99) if strategy.settled([first, second])) for second in range(6)] == [4, 6, 8, 9, 11, 12]


def test_the_dirichlet_criterion_is_exact():
    assert leadership([]) == pytest.approx(0.5)
    assert leadership([4]) == pytest.approx(0.96875, abs=1e-12)
    assert leadership([2, 2, 2]) == pytest.approx(1 / 3, abs=1e-12)
    assert leadership([5] * 5) == pytest.approx(1 / 5, abs=1e-12)
    assert leadership([40, 0]) == pytest.approx(1 - 2**-41, abs=1e-12)
    draws = np.random.default_rng(0).dirichlet([6, 3, 2, 2], 40_000)
    assert leadership([5, 2, 1, 1]) == pytest.approx((draws.argmax(axis=1) == 0).mean(), abs=3 * (0.25 / 40_000) ** 0.5)


def test_more_rivals_make_a_leader_less_certain():
    assert leadership([5, 2]) > leadership([5, 2, 2]) > leadership([5, 2, 2, 2])


def test_unanimous_answers_have_no_entropy():
    """The reference counts one more answer that nobody gave: .65 for five."""
    assert relative_entropy([5]) == 0.0
    assert relative_entropy([5, 1]) == pytest.approx(0.650022, abs=1e-6)
    assert relative_entropy([2, 2, 2]) == pytest.approx(1.0)
    assert AdaptiveConsistency(criterion="entropy").settled([4])
    assert not AdaptiveConsistency(criterion="entropy").settled([3])


def test_the_majority_criterion_is_a_share():
    strategy = AdaptiveConsistency(criterion="majority")
    assert [strategy.settled(counts) for counts in ([1], [3], [4], [4, 1], [7, 2], [])] == [False, False, True, True, False, False]


@pytest.mark.parametrize("criterion", ["beta", "dirichlet", "entropy", "majority"])
async def test_every_criterion_stops_unanimous_samples(criterion):
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("adaptive_consistency", criterion=criterion, width=1))
    assert (len(rig.toy.calls), outcome.stop_reason, outcome.answer) == (4, "settled", "31415")


@pytest.mark.parametrize("criterion", ["beta", "dirichlet", "entropy", "majority"])
async def test_there_is_an_answer_when_no_criterion_was_met(criterion):
    """The reference's loop gives None at its maximum."""
    rig = Rig(Scripted(script=("1", "2") * 5))
    outcome = await rig.run(a_plan("adaptive_consistency", n=10, criterion=criterion))
    assert (len(rig.toy.calls), outcome.stop_reason) == (10, "done")
    assert outcome.answer in ("1", "2")


async def test_what_cannot_be_read_settles_nothing():
    rig = Rig(Scripted(script=("", "", "", "", "", "1", "1", "1", "1")))
    outcome = await rig.run(a_plan("adaptive_consistency", width=1))
    assert (len(rig.toy.calls), outcome.answer) == (9, "1")


@pytest.mark.parametrize("criterion", ["beta", "dirichlet", "entropy", "majority"])
async def test_width_changes_neither_what_is_counted_nor_the_answer(criterion):
    for seed in range(4):
        outcomes = []
        for width, pace in ((1, 0.0), (3, 0.0), (8, 0.0002), (40, 0.0)):
            rig = Rig(Toy(accuracy=0.5, pace=pace))
            outcomes.append(await rig.run(a_plan("adaptive_consistency", n=20, criterion=criterion, width=width), a_query("3 1", seed=seed)))
        voting = [sorted(one.text for one in outcome.candidates if one.fate is Fate.KEPT) for outcome in outcomes]
        assert all(each == voting[0] for each in voting)
        assert len({(outcome.answer, outcome.stop_reason) for outcome in outcomes}) == 1


async def test_short_samples_are_not_favoured():
    """Four short wrong ones end before any long one; asked in turn, the long ones count first."""
    script = ("9" * 40,) * 4 + ("1",) * 4
    outcome = await Rig(Scripted(script=script, pace=0.0005, even=True)).run(a_plan("adaptive_consistency", width=8))
    assert (outcome.answer, outcome.stop_reason) == ("9" * 40, "settled")
    assert {one.fate for one in outcome.candidates if one.answer == "1"} == {Fate.DISCARDED}
    assert outcome.usage.discarded_tokens > 0


async def test_a_sample_that_fails_holds_nothing_up():
    rig = Rig(Toy(accuracy=1.0, fails=frozenset({0, 2})))
    outcome = await rig.run(a_plan("adaptive_consistency", width=2))
    assert (outcome.answer, outcome.stop_reason, len(rig.toy.calls)) == ("31415", "settled", 7)


# ESC


async def test_a_unanimous_window_stops_it():
    rig = Rig(Scripted(script=("1", "2", "1", "1", "1", "1", "1", "1", "1", "1")))
    outcome = await rig.run(a_plan("esc", n=40, window=5))
    assert (len(rig.toy.calls), outcome.stop_reason, outcome.answer) == (10, "unanimous", "1")


async def test_a_window_of_one_stops_at_once():
    rig = Rig()
    outcome = await rig.run(a_plan("esc", window=1))
    assert (len(rig.toy.calls), outcome.stop_reason) == (1, "unanimous")


async def test_fewer_samples_than_a_window_are_a_plain_majority():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("esc", n=3, window=5))
    assert (len(rig.toy.calls), outcome.stop_reason) == (3, "done")


async def test_the_last_window_has_what_is_left():
    rig = Rig(Scripted(script=("1", "2") * 6))
    outcome = await rig.run(a_plan("esc", n=11, window=4))
    assert (len(rig.toy.calls), outcome.stop_reason) == (11, "done")


async def test_what_cannot_be_read_is_not_unanimous():
    """The reference counts it as an answer like another."""
    rig = Rig(Scripted(script=("",) * 10 + ("1", "1", "1", "1", "", *["1"] * 5)))
    outcome = await rig.run(a_plan("esc", n=40, window=5))
    assert (len(rig.toy.calls), outcome.stop_reason, outcome.answer) == (20, "unanimous", "1")


async def test_a_sample_that_failed_is_not_unanimous():
    rig = Rig(Toy(accuracy=1.0, fails=frozenset({2})))
    outcome = await rig.run(a_plan("esc", n=40, window=5))
    assert (len(rig.toy.calls), outcome.stop_reason) == (10, "unanimous")


async def test_the_majority_of_all_outvotes_a_window_and_it_is_told():
    script = ("2", "2", "2", "2", "1") * 2 + ("1",) * 5
    outcome = await Rig(Scripted(script=script)).run(a_plan("esc", n=40, window=5))
    assert (outcome.answer, outcome.stop_reason) == ("2", "outvoted")


async def test_the_probability_of_stopping_at_the_first_window():
    stopped = 0
    for seed in range(200):
        rig = Rig(Toy(accuracy=0.5))
        await rig.run(a_plan("esc", n=6, window=2), a_query("3", seed=seed))
        stopped += len(rig.toy.calls) == 2
    right, wrong = 0.5 + 0.05, 0.05  # of ten digits, drawn when not right
    expected = right**2 + 9 * wrong**2
    assert stopped / 200 == pytest.approx(expected, abs=3 * (expected * (1 - expected) / 200) ** 0.5)


# PETS


def enumerated(shares, k):
    """P(majority of k is option 0), by listing every outcome."""
    total = 0.0
    for answers in product(range(len(shares)), repeat=k):
        counts = Counter(answers)
        best = max(counts.values())
        leaders = [one for one, count in counts.items() if count == best]
        total += (0 in leaders) / len(leaders) * np.prod([shares[one] for one in answers])
    return total


def test_the_probability_of_a_right_majority():
    two = majority_curve([0.6, 0.4], 0, 5)
    assert two.round(4).tolist() == [0.6, 0.6, 0.648, 0.648, 0.6826]
    four = majority_curve([0.4, 0.2, 0.2, 0.2], 0, 16)
    assert (round(four[3], 4), round(four[15], 4)) == (0.4864, 0.7076)


@pytest.mark.parametrize("shares", [[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.25] * 4, [1.0], [0.0, 1.0], [0.4, 0.35, 0.15, 0.1]])
def test_the_probability_of_a_right_majority_is_exact(shares):
    assert majority_curve(shares, 0, 6).tolist() == pytest.approx([enumerated(shares, k) for k in range(1, 7)])


def test_probabilities_of_all_options_add_up():
    shares = [0.4, 0.3, 0.2, 0.1]
    assert sum(majority_curve(shares, label, 64) for label in range(4)).tolist() == pytest.approx([1.0] * 64)


def test_a_curve_is_fitted_in_probits():
    counts = np.sqrt(np.arange(1, 40))
    curve = np.array([normal_cdf(0.3 * root - 0.2) for root in counts])
    assert fit_curve(curve) == pytest.approx((0.3, -0.2))
    assert fit_curve(np.ones(40)) == pytest.approx((0.0, 4.7534), abs=1e-3)


def normal_cdf(x):
    return exp(normal.log_tail(-x))


def test_patterns():
    assert [pattern(answers) for answers in ("aaaa", "abaa", "abab", "abca", "abcd")] == list(PATTERNS)
    shares = pattern_shares([0.5, 0.3, 0.2])
    listed = Counter()
    for answers in product(range(3), repeat=4):
        listed[pattern(answers)] += np.prod([[0.5, 0.3, 0.2][one] for one in answers])
    assert shares == pytest.approx({name: listed[name] for name in PATTERNS})


def typical(count=100):
    for number in range(count):
        top = 1 / 3 + 2 / 3 * (number + 0.5) / count
        yield [top, (1 - top) / 2, (1 - top) / 3, (1 - top) / 6], 0


def test_the_buckets_it_comes_with_are_those_of_the_questions_it_names():
    fitted = fit(typical())
    for name, (share, slope, offset) in PETS().buckets.items():
        assert (share, slope, offset) == pytest.approx((fitted[name].share, fitted[name].slope, fitted[name].offset), abs=6e-4)


BUCKETS = {name: Bucket(*row) for name, row in PETS().buckets.items()}


@given(st.floats(4, 70), st.integers(4, 64))
def test_the_mean_is_kept_to(mean, most):
    budgets = allocate(BUCKETS, mean=mean, most=most)
    assert sum(BUCKETS[name].share * count for name, count in budgets.items()) <= max(mean, 4) + 1e-6
    assert all(4 <= count <= most for count in budgets.values())


def test_unanimous_questions_get_the_least():
    budgets = allocate(BUCKETS, mean=16)
    assert min(budgets, key=budgets.get) == "4"
    assert sum(BUCKETS[name].share * count for name, count in budgets.items()) > 15.5  # and the mean is spent


@pytest.mark.parametrize("mean", [1.0, 3.0, 4.0])
def test_a_mean_that_pays_for_the_first_alone_buys_these_alone(mean):
    assert set(allocate(BUCKETS, mean=mean).values()) == {4}


def test_allocation_does_not_depend_on_names_or_order():
    renamed = dict(zip("edcba", reversed(BUCKETS.values()), strict=True))
    one, other = allocate(BUCKETS, mean=12.3), allocate(renamed, mean=12.3)
    assert list(one.values()) == list(other.values())[::-1]


def test_greedy_is_best_at_its_own_cost():
    """Gains fall with every sample here, so no other allocation that costs as much is right more often."""
    buckets = {"a": Bucket(0.5, 0.9, -0.1), "b": Bucket(0.3, 0.4, 0.1), "c": Bucket(0.2, 0.2, 0.3)}
    budgets = allocate(buckets, mean=8)

    def right(counts):
        return sum(one.share * normal_cdf(one.slope * count**0.5 + one.offset) for one, count in zip(buckets.values(), counts, strict=True))

    spent = sum(buckets[name].share * count for name, count in budgets.items())
    rivals = [
        counts
        for counts in product(range(4, 20), repeat=3)
        if sum(b.share * c for b, c in zip(buckets.values(), counts, strict=True)) <= spent + 1e-9
    ]
    assert right(budgets.values()) == pytest.approx(max(map(right, rivals)))


def test_gains_far_out_do_not_vanish():
    gains = [log_gain(Bucket(1.0, slope, 0.0), 63) for slope in (1.0, 3.0, 10.0, 50.0)]
    assert gains == sorted(gains, reverse=True)
    assert all(gain > -inf for gain in gains)
    assert log_gain(Bucket(1.0, 0.3, -0.2), 8) == pytest.approx(log(normal_cdf(0.9 - 0.2) - normal_cdf(0.3 * 8**0.5 - 0.2)))


def test_what_gains_nothing_is_given_nothing():
    level = Bucket(0.5, 0.0, 0.4)
    falling = Bucket(0.5, -0.2, 0.4)
    assert allocate({"a": level, "b": falling}, mean=30) == {"a": 4, "b": 4}


def test_the_normal_distribution_far_out():
    assert normal.log_tail(1.959963984540054) == pytest.approx(log(0.025))
    assert normal.log_tail(24.999999) == pytest.approx(normal.log_tail(25.000001), rel=1e-6)
    assert normal.log_tail(40.0) == pytest.approx(-804.608442, abs=1e-6)
    assert normal.log_between(-1.0, 1.0) == pytest.approx(log(0.6826894921370859))
    assert normal.log_between(30.0, 31.0) == pytest.approx(normal.log_between(-31.0, -30.0))
    assert normal.log_between(1.0, 1.0) == -inf
    assert normal.log_between(-inf, inf) == 0.0


async def test_the_first_four_say_how_many_it_takes():
    mean = PETS(mean=12.0).budgets()
    for script, name in ((("1", "1", "1", "1"), "4"), (("1", "1", "2", "2"), "22"), (("1", "2", "3", "4"), "1111")):
        rig = Rig(Scripted(script=(*script, "1")))
        outcome = await rig.run(a_plan("pets", mean=12.0))
        assert (len(rig.toy.calls), outcome.stop_reason, outcome.answer) == (mean[name], f"pattern {name}", "1")


async def test_unreadable_samples_are_spent_but_no_part_of_a_pattern():
    rig = Rig(Scripted(script=("1", "", "1", "", "1", "1", "2")))
    outcome = await rig.run(a_plan("pets", mean=4.0))
    assert (len(rig.toy.calls), outcome.stop_reason) == (6, "pattern 4")
    rig = Rig(Toy(mute=1.0))
    outcome = await rig.run(a_plan("pets", most=10))
    assert (len(rig.toy.calls), outcome.stop_reason) == (10, "unreadable")


async def test_samples_of_earlier_stages_are_part_of_the_pattern():
    first = await Rig(Scripted(script=("1", "2", "1", "2"))).run(a_plan("self_consistency", n=4, tau=1.0))
    rig = Rig(Scripted())
    outcome = await rig.run(a_plan("pets", mean=12.0), evidence=Evidence(outcomes=(first,)))
    assert (outcome.stop_reason, len(rig.toy.calls)) == ("pattern 22", PETS(mean=12.0).budgets()["22"] - 4)


# OptScale


@pytest.mark.parametrize(
    ("mu", "sigma", "wanted"), [(0.9, 0.05, 5), (0.7, 0.2, 29), (0.7, 0.1, 139), (0.5, 0.2, 178), (0.95, 0.02, 1)]
)  # fmt: skip
def test_the_number_of_samples_it_takes(mu, sigma, wanted):
    assert required(mu, sigma, 0.9, 0.05) == wanted


def test_better_scores_take_fewer_samples_and_higher_aims_more():
    by_mu = [required(mu, 0.15, 0.9, 0.05) for mu in np.linspace(0.1, 1.0, 19)]
    by_target = [required(0.7, 0.15, target, 0.05) for target in np.linspace(0.5, 0.99, 15)]
    by_p = [required(0.7, 0.15, 0.9, p) for p in (0.01, 0.05, 0.2, 0.5, 0.9, 1.0)]
    assert by_mu == sorted(by_mu, reverse=True)
    assert by_target == sorted(by_target)
    assert by_p == sorted(by_p, reverse=True)
    assert by_p[-1] == 1


def test_a_target_far_beyond_the_scores_is_out_of_reach():
    assert required(0.5, 0.01, 0.9, 0.05) > 1e9
    assert required(0.3, 0.005, 0.9, 0.05) == inf


def test_it_does_what_it_promises():
    wanted, rng = required(0.7, 0.2, 0.9, 0.05), np.random.default_rng(2)
    scores = rng.normal(0.7, 0.2, (2_000, 300))
    scores = np.array([row[(row > 0) & (row < 1)][:wanted] for row in scores])
    assert (scores.max(axis=1) < 0.9).mean() <= 0.05 + 3 * (0.05 * 0.95 / 2_000) ** 0.5


def test_estimates_are_the_likeliest():
    rng = np.random.default_rng(7)
    for scores in ([0.3, 0.5, 0.9, 0.4, 0.8], [0.99, 0.97, 1.0], [0.8], rng.uniform(0.6, 1, 16).tolist(), [0.7, 0.7, 0.7]):
        found = log_posterior(scores, *estimate(scores))
        rivals = [log_posterior(scores, mu, sigma) for mu in np.linspace(0, 1, 101) for sigma in np.geomspace(0.01, 1, 60)]
        assert found >= max(rivals) - 1e-6
    many = rng.normal(0.6, 0.15, 4_000)
    assert estimate(many[(many > 0) & (many < 1)].tolist()) == pytest.approx((0.6, 0.15), abs=0.01)


def test_a_prior_draws_the_estimate_towards_it():
    scores = [0.5, 0.6, 0.55]
    likeliest = estimate(scores)
    assert likeliest[0] < estimate(scores, [0.9, 0.2])[0] < 0.9
    assert likeliest[1] < estimate(scores, [0.55, 0.2])[1] < 0.2
    assert estimate([], [0.6, 0.1]) == pytest.approx((0.6, 0.1), abs=1e-3)
    assert estimate(scores, [0.9, 0.2, 0.001, 0.001]) == pytest.approx((0.9, 0.2), abs=0.01)


async def test_good_first_samples_are_enough():
    rig = Rig(Toy(accuracy=1.0), Oracle(constant=0.97))
    outcome = await rig.run(a_plan("optscale", n=16, peek=4))
    assert (len(rig.toy.calls), outcome.stop_reason) == (4, "done")


async def test_as_many_are_drawn_as_the_scores_ask_for():
    toy = Scripted(script=("80", "85", "90", "75", "88", "1"))
    judge = Judge(scores=tuple((str(one), one / 100) for one in range(101)))
    rig = Rig(toy, judge)
    outcome = await rig.run(a_plan("optscale", n=60, peek=5, target=0.92, p=0.2))
    scores = [0.80, 0.85, 0.90, 0.75, 0.88]
    assert len(rig.toy.calls) == required(*estimate(scores), 0.92, 0.2) == 25
    assert (outcome.answer, outcome.stop_reason) == ("90", "done")


async def test_out_of_reach_is_told():
    rig = Rig(Toy(accuracy=0.5), Oracle(constant=0.2))
    outcome = await rig.run(a_plan("optscale", n=9, peek=3))
    assert (len(rig.toy.calls), outcome.stop_reason) == (9, "unreachable")


async def test_a_prior_decides_where_nothing_can_be_read_yet():
    rig = Rig(Toy(mute=1.0))
    await rig.run(a_plan("optscale", n=16, peek=3, prior=[0.95, 0.02]))
    assert len(rig.toy.calls) == 3


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("weighted_majority", {"n": 0}),
        ("weighted_majority", {"weight": "guess"}),
        ("weighted_majority", {"aggregate": "first"}),
        ("best_of_majority", {"alpha": 1.5}),
        ("best_of_majority", {"n": 0}),
        ("rpc", {"n": 0}),
        ("adaptive_consistency", {"criterion": "hunch"}),
        ("adaptive_consistency", {"threshold": 2.0}),
        ("adaptive_consistency", {"width": 0}),
        ("esc", {"window": 0}),
        ("pets", {"mean": 0}),
        ("pets", {"most": 3}),
        ("pets", {"buckets": {"4": [1.0, 0.0, 0.0]}}),
        ("pets", {"buckets": {name: [0.5, 0.1, 0.1] for name in PATTERNS}}),
        ("pets", {"buckets": {name: [0.2, float("nan"), 0.1] for name in PATTERNS}}),
        ("optscale", {"target": 1.0}),
        ("optscale", {"p": 0.0}),
        ("optscale", {"prior": [0.5]}),
        ("optscale", {"prior": [0.5, 0.0]}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=f"^{name}"):
        strategies.build(name, options)


def test_what_is_needed_depends_on_the_weight():
    needs = {
        weight: strategies.build("weighted_majority", {"weight": weight}).needs for weight in ("score", "probability", "entropy")
    }  # fmt: skip
    assert needs == {"score": {"score"}, "probability": {"logprobs"}, "entropy": {"top_logprobs"}}
    assert strategies.build("weighted_majority", {"aggregate": "min"}).needs == {"score", "steps"}
