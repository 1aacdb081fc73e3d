"""Particle filtering, particle Gibbs and the entropic filter."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from router.types import Fate
from tests.workers.strategies.scripted import Reciter, Table, a_path
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query
from workers.parts.particles import Particle, bounded_logit, effective, logit, resampled, softmax
from workers.strategies import strategies
from workers.strategies.entropic_particle_filter import annealing, by_entropy, by_ess, by_time, normalised_entropy

SCORES = [0.9, 0.5, 0.1, 0.1]
BOTH = ["particle_filter", "entropic_particle_filter"]
METHODS = ["multinomial", "systematic", "stratified"]


def odds(scores, temperature=1.0):
    return softmax([logit(score) for score in scores], temperature)


# --- weights and resampling ---------------------------------------------------------------------------------------------


def test_weights_are_the_odds():
    assert odds(SCORES) == pytest.approx([0.88043, 0.09783, 0.01087, 0.01087], abs=5e-6)
    assert effective(odds(SCORES)) == pytest.approx(1.2739, abs=5e-5)
    assert odds(SCORES) == pytest.approx(np.array([9, 1, 1 / 9, 1 / 9]) / (10 + 2 / 9))


def test_certainty_is_the_limit():
    assert odds([1.0, 0.9, 1.0, 0.0]).tolist() == [0.5, 0, 0.5, 0]
    assert odds([0.0, 0.3]).tolist() == [0, 1]
    assert odds([0.0, 0.0]).tolist() == [0.5, 0.5]
    assert math.isinf(logit(1.0))
    assert (bounded_logit(1.0), -bounded_logit(0.0)) == pytest.approx((math.log(1e6), math.log(1e6)), rel=1e-5)


def test_heat_flattens_weights():
    assert odds(SCORES, 1e9) == pytest.approx([0.25] * 4)
    assert odds(SCORES, 0.01).tolist() == pytest.approx([1, 0, 0, 0])
    assert softmax([1e5, 1e5 - 1]) == pytest.approx([1 / (1 + math.exp(-1)), 1 / (1 + math.e)])


@pytest.mark.parametrize("method", METHODS)
def test_copies_are_as_expected_on_average(method):
    rng, count, rounds = np.random.default_rng(1), 5, 3000
    weights = np.array([0.5, 0.3, 0.2, 0.0])
    copies = sum(np.bincount(resampled(weights, count, rng, method), minlength=4) for _ in range(rounds))
    deviation = np.sqrt(weights * (1 - weights) * count / rounds)
    assert copies[3] == 0
    assert (np.abs(copies / rounds - weights * count) <= 4 * deviation).all()


@given(
    some.lists(some.floats(0, 1), min_size=1, max_size=20).filter(lambda weights: sum(weights) > 1e-3), some.integers(1, 30), some.integers(0, 999)
)
def test_systematic_copies_are_the_expectation_rounded(weights, count, seed):
    shares = np.array(weights) / sum(weights)
    copies = np.bincount(resampled(shares, count, np.random.default_rng(seed), "systematic"), minlength=len(shares))
    assert copies.sum() == count
    assert (copies >= np.floor(shares * count - 1e-9)).all()
    assert (copies <= np.ceil(shares * count + 1e-9)).all()


@pytest.mark.parametrize("method", METHODS)
def test_equal_weights_give_one_copy_each_on_average_and_chance_is_the_generators_own(method):
    weights = np.full(6, 1 / 6)
    one, two = (resampled(weights, 6, np.random.default_rng(9), method) for _ in range(2))
    assert one == two
    if method != "multinomial":
        assert one == list(range(6))


def test_the_method_asked_for_is_the_method_used():
    """The authors' filter takes the option, and resamples multinomially."""
    weights = np.full(40, 1 / 40)
    assert resampled(weights, 40, np.random.default_rng(0), "systematic") == list(range(40))
    assert resampled(weights, 40, np.random.default_rng(0), "multinomial") != list(range(40))


# --- the filter ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOTH)
async def test_one_particle_is_one_trace_without_a_score(name):
    rig = Rig()
    outcome = await rig.run(a_plan(name, n=1))
    assert [call.prefix.count("\n") for call in rig.toy.calls] == [0, 1, 2, 3, 4, 5]
    assert (rig.oracle.asked, len(outcome.candidates), outcome.stop_reason) == ([], 1, "done")
    assert outcome.usage.discarded_tokens == 0


@pytest.mark.parametrize("name", BOTH)
async def test_with_an_oracle_the_particles_find_the_way(name):
    outcome = await Rig(Toy(accuracy=0.4)).run(a_plan(name, n=24), a_query("2 7 1 8 2 8 1 8"))
    assert (outcome.answer, outcome.stop_reason) == ("27182818", "done")


async def test_a_stopped_particle_is_never_extended():
    rig = Rig(Reciter(texts=("Answer: 1", "a\nb\nc\nAnswer: 2")), Oracle(constant=0.5))
    await rig.run(a_plan("particle_filter", n=12))
    assert not [prefix for prefix, _ in rig.toy.written if "Answer" in prefix]
    depths = Counter(prefix.count("\n") for prefix, _ in rig.toy.written)
    assert depths[1] < depths[0] == 12  # the others go on alone, and take part with those that stopped


async def test_the_filter_is_as_wide_as_it_is_told():
    rig = Rig(Toy(accuracy=0.5))
    await rig.run(a_plan("particle_filter", n=7))
    assert rig.toy.most == 7
    assert len(rig.toy.calls) == 6 * 7  # all stop together here


async def test_particles_that_were_resampled_away_have_no_vote():
    rig = Rig(Reciter(texts=("Answer: 1", "a\nAnswer: 2")), Table(scores={"Answer: 1": 0.01, "a\n": 0.99, "a\nAnswer: 2": 0.99}))
    outcome = await rig.run(a_plan("particle_filter", n=8))
    fates = {one.answer: one.fate for one in outcome.candidates}
    assert fates == {"1": Fate.DISCARDED, "2": Fate.KEPT}


async def test_what_was_finished_when_the_budget_ended_it_still_votes():
    whole = await Rig(Reciter(texts=("Answer: 1", "a\nAnswer: 2")), Table(other=0.6)).run(a_plan("particle_filter", n=8))
    outcome = await Rig(Reciter(texts=("Answer: 1", "a\nAnswer: 2")), Table(other=0.6)).run(
        a_plan("particle_filter", n=8), tokens=whole.usage.tokens // 2
    )
    assert (outcome.answer, outcome.stop_reason) == ("1", "budget")


TEXTS = ("a\nc\nAnswer: 1", "a\nd\nAnswer: 2", "b\nc\nAnswer: 3", "b\nd\nAnswer: 4")
TABLE = {"a\n": 0.6, "b\n": 0.4, "a\nc\n": 0.5, "a\nd\n": 0.3, "b\nc\n": 0.75, "b\nd\n": 0.5}


def exact() -> dict[str, float]:
    """What the filter aims at: the model's probability times the odds of every beginning."""
    weights = {}
    for text in TEXTS:
        lines = text.splitlines(keepends=True)
        values = [TABLE.get("".join(lines[: end + 1]), 0.5) for end in range(len(lines))]
        weights[text] = 0.25 * math.prod(value / (1 - value) for value in values)
    return {text: weight / math.fsum(weights.values()) for text, weight in weights.items()}


def distance(outcome) -> float:
    counts = Counter(one.text for one in outcome.candidates if one.fate is Fate.KEPT)
    return 0.5 * sum(abs(counts[text] / counts.total() - probability) for text, probability in exact().items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("particle_filter", {}),
        ("particle_filter", {"resampling": "systematic"}),
        ("particle_filter", {"resampling": "stratified"}),
        ("entropic_particle_filter", {"threshold": 0}),
        ("entropic_particle_filter", {"threshold": 0, "successors": 1}),
        ("entropic_particle_filter", {"threshold": 0, "successors": 3}),
    ],
)
async def test_many_particles_are_a_sample_of_what_the_filter_aims_at(name, options):
    """Looking ahead included: what it adds it takes off again."""
    rig = Rig(Reciter(texts=TEXTS), Table(scores=TABLE))
    outcome = await rig.run(a_plan(name, n=500, select="majority", **options))
    kept = [one for one in outcome.candidates if one.fate is Fate.KEPT]
    assert len(kept) == 500
    assert distance(outcome) < 0.09
    assert outcome.answer == str(1 + max(range(4), key=lambda place: exact()[TEXTS[place]]))


async def test_particle_gibbs_comes_to_what_the_filter_aims_at_with_few_particles():
    """Runs hang together, so the total variation of these is about 0.05."""
    outcome = await Rig(Reciter(texts=TEXTS), Table(scores=TABLE)).run(a_plan("particle_filter", n=4, iterations=500, select="majority"))
    assert distance(outcome) < 0.1


async def test_the_reference_of_particle_gibbs_is_kept_and_the_others_are_one_fewer():
    rig = Rig(Toy(accuracy=0.5))
    outcome = await rig.run(a_plan("particle_filter", n=4, iterations=3, select="majority"))
    first_steps = sum(call.prefix == "" for call in rig.toy.calls)
    assert first_steps == 4 + 3 + 3
    assert sum(one.fate is Fate.KEPT for one in outcome.candidates) == 10  # the reference has had its vote


def test_a_reference_is_compared_as_it_was_at_the_same_step():
    one = Particle(path=a_path("a\n", "b\n", "end", finished=True, marks=(0.2, 0.6, 0.9)))
    assert [one.beginning(step).path.value for step in (1, 2, 3, 7)] == [0.2, 0.6, 0.9, 0.9]
    assert [one.beginning(step).path.text for step in (1, 2, 3)] == ["a\n", "a\nb\n", "a\nb\nend"]
    assert [one.beginning(step).path.finished for step in (1, 2, 3)] == [False, False, True]
    assert one.beginning(2).path.marks == (0.2, 0.6)


async def test_chance_is_the_runs_own():
    texts = [
        (await Rig(Reciter(texts=TEXTS), Table(scores=TABLE)).run(a_plan("particle_filter", n=3), a_query(seed=seed))).text
        for seed in (1, 1, *range(9))
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1


# --- entropic annealing -------------------------------------------------------------------------------------------------


def test_the_known_temperatures():
    assert by_ess(0.2, 0.2) == pytest.approx(4.0)
    assert max(1.0, by_ess(0.5, 0.8)) == 1.0
    assert by_entropy(0.5, 0.3) == pytest.approx(1 / 0.65)
    assert by_time(0.5) == pytest.approx(1.5)
    of = {"schedule": "ess", "threshold": 0.5, "early": 0.5}
    assert annealing(odds(SCORES), 1 / 8, **of) == pytest.approx(2.7474, abs=5e-5)
    assert annealing(odds(SCORES), 4 / 8, **of) == 1.0
    assert annealing(odds([0.5, 0.5, 0.4, 0.6]), 1 / 8, **of) == 1.0  # many are effective
    assert annealing(np.array([1.0]), 0.0, **of) == 1.0


@pytest.mark.parametrize("schedule", ["ess", "entropy", "base"])
def test_annealing_is_never_cooling_and_is_over_in_time(schedule):
    for progress in (0.0, 0.2, 0.4, 0.49, 0.5, 0.9):
        heat = annealing(np.array([1.0, 0.0, 0.0]), progress, schedule=schedule, threshold=0.5, early=0.5)
        assert heat >= 1
        assert progress < 0.5 or heat == 1


def test_the_entropy_is_normalised_for_two_as_well():
    """The authors' is 0.693 there."""
    for count in (2, 3, 10):
        assert normalised_entropy(np.full(count, 1 / count)) == pytest.approx(1)
    assert normalised_entropy(np.array([1.0, 0.0])) == 0


def test_annealed_weights_are_softer():
    strategy = strategies.build("entropic_particle_filter", {"horizon": 8})
    logs = [logit(score) for score in SCORES]
    assert strategy.weigh(logs, 1) == pytest.approx(softmax(np.array(logs) / 2.7474), abs=1e-4)
    assert strategy.weigh(logs, 4) == pytest.approx(softmax(logs))


# --- looking ahead ------------------------------------------------------------------------------------------------------

TRAP = ("a\nx\nAnswer: 1", "b\ny\nAnswer: 2")
MYOPIC = {"a\n": 0.9, "b\n": 0.6, "a\nx\n": 0.02, "b\ny\n": 0.95, TRAP[0]: 0.05, TRAP[1]: 0.99}


async def shares_of_the_better(successors):
    found = []
    for seed in range(12):
        rig = Rig(Reciter(texts=TRAP), Table(scores=MYOPIC))
        await rig.run(a_plan("entropic_particle_filter", n=8, threshold=0, successors=successors), a_query(seed=seed))
        second = [prefix for prefix, text in rig.toy.written if prefix.count("\n") == 1]
        drawn = Counter(second)
        found.append(drawn["b\n"] / drawn.total())
    return sum(found) / len(found)


async def test_looking_ahead_keeps_those_alive_that_will_be_good():
    assert await shares_of_the_better(1) > 2 * await shares_of_the_better(0)


async def test_successors_are_bought_for_those_that_grow_and_only_scored():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("entropic_particle_filter", n=4, successors=2))
    per_depth = Counter(call.prefix.count("\n") for call in rig.toy.calls)
    assert per_depth == {0: 4, 1: 4 + 8, 2: 4 + 8, 3: 4 + 8, 4: 4 + 8, 5: 4 + 8}  # none after the end
    assert len({one.text for one in outcome.candidates}) == 1
    assert outcome.usage.discarded_tokens == 0


def test_what_is_looked_ahead_to_is_taken_off_again():
    path = a_path("a\n", marks=(0.7,))
    one = Particle(path=path, ahead=bounded_logit(0.8), behind=0.0)
    then = Particle(path=path, ahead=0.0, behind=one.ahead)
    assert one.log_weight + then.log_weight == pytest.approx(2 * logit(0.7))


# --- options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("particle_filter", {"n": 0}),
        ("particle_filter", {"weight_temperature": 0}),
        ("particle_filter", {"resampling": "residual"}),
        ("particle_filter", {"iterations": 0}),
        ("particle_filter", {"iterations": 2, "n": 1}),
        ("particle_filter", {"iterations": 2, "resampling": "systematic"}),
        ("particle_filter", {"select": "sample"}),
        ("entropic_particle_filter", {"schedule": "cosine"}),
        ("entropic_particle_filter", {"threshold": 2}),
        ("entropic_particle_filter", {"successors": -1}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=f"^{name}"):
        strategies.build(name, options)
