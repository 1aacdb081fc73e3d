"""Searches over beginnings: look-ahead, independent trees, reward balance, best first."""

import math
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from router.types import Fate
from tests.workers.strategies.scripted import Reciter, Table, a_path
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query
from workers.parts.searching import best_first
from workers.strategies import strategies
from workers.strategies.a_star import cost
from workers.strategies.dvts import leaders
from workers.strategies.mindstar import shares
from workers.strategies.rebase import allocation

# --- look-ahead ---------------------------------------------------------------------------------------------------------

TRAP = ("a\nx\nAnswer: 1", "b\ny\nAnswer: 2")  # a looks better, b is
MYOPIC = {"a\n": 0.9, "b\n": 0.6, "a\nx\n": 0.1, "b\ny\n": 0.95, TRAP[0]: 0.05, TRAP[1]: 0.99}


def a_trap():
    return Rig(Reciter(texts=TRAP), Table(scores=MYOPIC))


async def test_where_the_first_step_misleads_the_verifier_looking_ahead_does_not_follow_it():
    myopic = await a_trap().run(a_plan("beam", beams=1, children=8))
    assert myopic.answer == "1"
    for ahead in (1, 2, 3):
        outcome = await a_trap().run(a_plan("lookahead", beams=1, children=8, ahead=ahead))
        assert (outcome.answer, outcome.stop_reason) == ("2", "done")


async def test_what_is_scored_is_the_text_with_the_steps_ahead_and_what_is_kept_is_the_step():
    """The authors of search-and-learn write ahead, and then score the step alone."""
    rig = a_trap()
    await rig.run(a_plan("lookahead", beams=1, children=8, ahead=1))
    assert set(rig.oracle.asked[:2]) == {"a\nx\n", "b\ny\n"}
    assert "a\n" not in rig.oracle.asked
    assert "b\n" not in rig.oracle.asked
    prefixes = [call.prefix for call in rig.toy.calls if call.temperature]
    assert prefixes == [""] * 8 + ["b\n"] * 8 + ["b\ny\n"] * 8  # one step further each time


async def test_the_steps_ahead_are_greedy_and_so_many():
    rig = Rig(Toy(accuracy=1.0))
    await rig.run(a_plan("lookahead", beams=1, children=3, ahead=2))
    ahead = [call.prefix.count("\n") for call in rig.toy.calls if call.temperature == 0]
    assert ahead == [1, 2, 2, 3, 3, 4, 4, 5, 5]  # equal steps once; none after the end
    assert len(rig.oracle.asked) == 6


async def test_looking_nowhere_is_beam_search():
    ahead, beam = Rig(Toy(accuracy=0.5)), Rig(Toy(accuracy=0.5))
    one = await ahead.run(replace(a_plan("lookahead", ahead=0), id="x"))
    two = await beam.run(replace(a_plan("beam"), id="x"))
    assert (one.answer, one.text, one.usage.tokens) == (two.answer, two.text, two.usage.tokens)


async def test_a_step_ahead_that_is_cut_off_is_not_looked_at():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("lookahead", beams=1, children=2, ahead=1, step_tokens=6))  # the answer is longer
    assert all(text.endswith("\n") for text in rig.oracle.asked)
    assert outcome.stop_reason == "dead_end"


# --- independent trees --------------------------------------------------------------------------------------------------


async def test_results_for_fewer_trees_are_a_part_of_those_for_more():
    few, many = Rig(Toy(accuracy=0.5)), Rig(Toy(accuracy=0.5, pace=0.0002))
    two = await few.run(replace(a_plan("dvts", n=8, children=4), id="x"))
    four = await many.run(replace(a_plan("dvts", n=16, children=4), id="x"))
    assert Counter(one.text for one in two.candidates) <= Counter(one.text for one in four.candidates)
    assert Counter((call.prefix, call.seed) for call in few.toy.calls) <= Counter((call.prefix, call.seed) for call in many.toy.calls)


async def test_one_tree_is_greedy_search_under_the_verifier():
    rig = Rig(Toy(accuracy=0.5))
    outcome = await rig.run(a_plan("dvts", n=12, children=12))
    assert (outcome.answer, len(rig.toy.calls)) == ("31415", 6 * 12)
    continued = [call.prefix for call in rig.toy.calls]
    assert len(set(continued)) == 6  # one prefix per round


async def test_trees_share_nothing():
    """Equal paths of different trees are both gone on with; scores are the verifier's and the same."""
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("dvts", n=8, children=2))
    assert len(rig.toy.calls) == 6 * 8
    assert len(rig.oracle.asked) == 6
    assert len(outcome.candidates) == 8  # all of the last step of each


def test_each_tree_is_led_by_its_best():
    paths = [replace(a_path("a\n", marks=(mark,)), tree=tree) for tree, mark in ((1, 0.2), (0, 0.5), (1, 0.7), (0, 0.4))]
    assert [(path.tree, path.value) for path in leaders(paths)] == [(0, 0.5), (1, 0.7)]


# --- reward balance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "width", "expected"),
    [([0.9, 0.7, 0.5, 0.1], 16, [11, 4, 1, 0]), ([0.5] * 3, 16, [6, 5, 5]), ([0.9, 0.89], 3, [2, 1]), ([0.1, 0.9], 3, [0, 3]), ([], 4, [])],
)
def test_the_width_is_shared_out(scores, width, expected):
    assert allocation(scores, width, 0.2) == expected


@given(
    scores=some.lists(some.floats(0, 1, width=32), min_size=1, max_size=40),
    width=some.integers(0, 64),
    temperature=some.floats(1e-3, 1e3),
    single=some.booleans(),
)
def test_the_shares_always_add_up_and_follow_the_scores(scores, width, temperature, single):
    given_scores = np.array(scores, np.float32) if single else scores
    shares = allocation(given_scores, width, temperature)
    assert sum(shares) == width
    assert min(shares) >= 0
    ranked = [shares[place] for place in sorted(range(len(scores)), key=lambda place: -scores[place])]
    assert ranked == sorted(ranked, reverse=True)


def test_heat_makes_the_shares_even_and_cold_gives_all_to_the_best():
    scores = [0.1, 0.9, 0.5, 0.3]
    assert allocation(scores, 10, math.inf) == [2, 3, 3, 2]
    assert max(allocation(scores, 11, 1e9)) - min(allocation(scores, 11, 1e9)) <= 1
    assert allocation(scores, 10, 1e-9) == [0, 10, 0, 0]


def overshooting(scores, width, temperature, number=np.float64):
    """The authors' allocation: subtracts floating-point weights, and rounds what they leave up."""
    weights = np.exp(np.array(scores, number) / number(temperature))
    left, weight, shares = width, weights.sum(), []
    for one in weights:
        shares.append(math.ceil(left * one / weight))
        left, weight = left - shares[-1], weight - one
    return shares


@pytest.mark.parametrize("number", [np.float32, np.float64])
def test_the_authors_allocation_gives_away_more_than_there_is(number):
    dice = random.Random(4)
    cases = [(sorted((dice.random() for _ in range(dice.randint(2, 8))), reverse=True), dice.randint(2, 32)) for _ in range(300)]
    assert sum(overshooting([0.5] * 3, 16, 0.2)) == 17
    assert any(sum(overshooting(scores, width, 0.2, number)) != width for scores, width in cases)
    assert all(sum(allocation(scores, width, 0.2)) == width for scores, width in cases)


async def test_what_is_finished_takes_its_width_with_it():
    """Half of the texts end after one step."""
    rig = Rig(Reciter(texts=("Answer: 1", "a\nAnswer: 2")), Oracle(constant=0.5))
    outcome = await rig.run(a_plan("rebase", width=16))
    per_depth = Counter(call.prefix.count("\n") for call in rig.toy.calls)
    ended = sum(one.answer == "1" for one in outcome.candidates)
    assert 0 < ended < 16
    assert per_depth == {0: 16, 1: 16 - ended}
    assert len(outcome.candidates) == 16


async def test_better_paths_get_more_children():
    rig = Rig(Reciter(texts=("a\nAnswer: 1", "b\nAnswer: 2")), Table(scores={"a\n": 0.9, "b\n": 0.5}))
    await rig.run(a_plan("rebase", width=8))
    continued = Counter(call.prefix for call in rig.toy.calls if call.prefix)
    first = Counter(text for prefix, text in rig.toy.written if not prefix)
    shares = allocation([0.9] * first["a\n"] + [0.5] * first["b\n"], 8, 0.2)
    assert continued["a\n"] == sum(shares[: first["a\n"]]) > 4


async def test_of_width_one_it_is_one_trace():
    rig = Rig()
    await rig.run(a_plan("rebase", width=1))
    assert [call.prefix.count("\n") for call in rig.toy.calls] == [0, 1, 2, 3, 4, 5]


# --- best first ---------------------------------------------------------------------------------------------------------

GRAPH = ("a\nc\nAnswer: 1", "a\nd\nAnswer: 2", "b\ne\nAnswer: 3", "b\nf\ng\nAnswer: 4")
FALLING = {
    "a\n": 0.9, "b\n": 0.8, "a\nc\n": 0.3, "a\nd\n": 0.4, "b\ne\n": 0.75, "b\nf\n": 0.7, "b\nf\ng\n": 0.65,
    GRAPH[0]: 0.2, GRAPH[1]: 0.3, GRAPH[2]: 0.7, GRAPH[3]: 0.6,
}  # fmt: skip


def marks(text: str) -> list[float]:
    """The scores of a text's beginnings."""
    lines = text.splitlines(keepends=True)
    return [FALLING["".join(lines[: end + 1])] for end in range(len(lines))]


def expanded(rig, children: int) -> list[str]:
    return [call.prefix for call in rig.toy.calls[::children]]


async def test_a_star_finds_the_cheapest_solution_and_expands_by_rising_cost():
    """Scores that only fall make the heuristic monotone, so what is taken up next is never cheaper."""
    rig = Rig(Reciter(texts=GRAPH), Table(scores=FALLING))
    outcome = await rig.run(a_plan("a_star", children=12))
    assert (outcome.answer, outcome.stop_reason) == ("3", "goal")
    assert outcome.answer == str(1 + min(range(4), key=lambda place: cost(marks(GRAPH[place]), 1.0)))
    taken = [cost(marks(prefix), 1.0) for prefix in expanded(rig, 12) if prefix]
    assert taken == sorted(taken)
    best = next(one for one in outcome.candidates if one.answer == "3")
    assert best.score == pytest.approx(math.exp(-cost(marks(GRAPH[2]), 1.0)))


async def test_a_star_goes_back_where_beam_search_cannot():
    beam = await Rig(Reciter(texts=GRAPH), Table(scores=FALLING)).run(a_plan("beam", beams=1, children=12))
    assert beam.answer in ("1", "2")
    rig = Rig(Reciter(texts=GRAPH), Table(scores=FALLING))
    await rig.run(a_plan("a_star", children=12))
    assert expanded(rig, 12)[:3] == ["", "a\n", "b\n"]


async def test_with_a_constant_heuristic_the_cost_alone_leads():
    rig = Rig(Toy(accuracy=0.5), Oracle(constant=0.5))
    await rig.run(a_plan("a_star", children=2, expansions=15))
    depths = [prefix.count("\n") for prefix in expanded(rig, 2)]
    assert depths == sorted(depths)


async def test_of_equal_solutions_none_is_rated_higher_than_its_cost():
    rig = Rig(Reciter(texts=("Answer: 1", "Answer: 2")), Table(scores={"Answer: 1": 0.9, "Answer: 2": 0.6}))
    outcome = await rig.run(a_plan("a_star", children=6))
    assert [one.score for one in outcome.candidates if one.answer == "2"] == pytest.approx([math.exp(-0.8)] * 3, abs=1e-9)
    assert outcome.answer == "1"


def test_the_cost_of_a_path():
    assert cost([0.9, 0.8], 1.0) == pytest.approx(0.1 + 0.2 + 0.2)
    assert cost([0.9, 0.8], 0.0) == pytest.approx(0.2)


async def test_the_frontier_is_capped_and_expansions_are_counted():
    grown_from, width = [], 5

    async def grow(paths):
        grown_from.append(paths[0].text)
        return [a_path(*(sample.text for sample in paths[0].samples), f"{letter}\n", marks=(0.5,)) for letter in "abc"]

    reason, path = await best_first(grow, lambda path: len(path.samples), children=width, expansions=9, frontier=1)
    assert (reason, len(path.samples)) == ("expansions", 9)
    assert [len(text) // 2 for text in grown_from] == list(range(9))  # one path remembered, so never another

    grown_from.clear()
    await best_first(grow, lambda path: len(path.samples), children=width, expansions=9, frontier=100)
    assert [len(text) // 2 for text in grown_from] == [0, 1, 1, 1, 2, 2, 2, 2, 2]


async def test_a_goal_ends_it_only_when_it_is_its_turn():
    async def grow(paths):
        if not paths[0].text:
            return [a_path("dear", finished=True, marks=(0.1,)), a_path("cheap\n", marks=(0.9,))]
        return [a_path("cheap\n", "end", finished=True, marks=(0.8, 0.9))]

    calls = []

    async def counted(paths):
        calls.append(paths[0].text)
        return await grow(paths)

    reason, path = await best_first(counted, lambda path: 1 - path.value, children=1, expansions=5, frontier=9)
    assert (reason, path.text, calls) == ("goal", "cheap\nend", ["", "cheap\n"])


async def test_nothing_to_go_on_with_is_a_dead_end():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("a_star", step_tokens=1))
    assert (outcome.answer, outcome.stop_reason) == (None, "dead_end")


# --- MindStar -----------------------------------------------------------------------------------------------------------

LINES = ("a\nc\nAnswer: 1", "b\ne\nAnswer: 3", "b\nf\nAnswer: 4")
DROPPING = {"a\n": 0.9, "b\n": 0.7, "a\nc\n": 0.05, "b\ne\n": 0.9, "b\nf\n": 0.1, LINES[0]: 0.01, LINES[1]: 0.95, LINES[2]: 0.1}


async def test_levin_goes_back_when_the_verifier_drops_and_beam_does_not():
    beam = await Rig(Reciter(texts=LINES), Table(scores=DROPPING)).run(a_plan("mindstar", mode="beam", children=12))
    assert beam.answer == "1"
    texts = (*LINES, "a\nd\nAnswer: 2", "a\ng\nAnswer: 5", "a\nh\nAnswer: 6")  # a has many poor ways on, none of them likely
    scores = {**DROPPING, **dict.fromkeys(("a\nd\n", "a\ng\n", "a\nh\n"), 0.05)}
    rig = Rig(Reciter(texts=texts), Table(scores=scores, other=0.02))
    outcome = await rig.run(a_plan("mindstar", children=24))
    assert (outcome.answer, outcome.stop_reason) == ("3", "goal")
    assert expanded(rig, 24)[:3] == ["", "a\n", "b\n"]


@pytest.mark.parametrize("seed", range(6))
async def test_levin_expands_no_more_than_its_bound(seed):
    """Depth over probability of the path that ended it, the root counting as depth 1 (Orseau et al. 2018, theorem 3)."""
    dice = random.Random(seed)
    texts = tuple(f"{a}\n{b}\n{c}\nAnswer: {a}{b}{c}" for a in range(3) for b in range(3) for c in range(3))
    scores = {text[: end + 1]: dice.random() for text in texts for end, letter in enumerate(text) if letter == "\n"}
    rig = Rig(Reciter(texts=texts), Table(scores={**scores, **dict.fromkeys(texts, 0.5)}))
    outcome = await rig.run(a_plan("mindstar", children=6, expansions=100), a_query(seed=seed))
    assert outcome.stop_reason == "goal"
    siblings: dict[str, list[str]] = {}
    for prefix, text in rig.toy.written:
        siblings.setdefault(prefix, []).append(prefix + text)
    bounds = []
    for text in {one.text for one in outcome.candidates}:
        lines, likely = text.splitlines(keepends=True), 1.0
        for end in range(len(lines)):
            here = sorted(set(siblings["".join(lines[:end])]))
            likely *= dict(zip(here, shares([rig.oracle.value(a_query(), one) for one in here]), strict=True))["".join(lines[: end + 1])]
        bounds.append((len(lines) + 1) / likely)
    assert len(expanded(rig, 6)) <= min(bounds)


def test_shares_are_a_policy_even_of_nothing():
    assert sum(shares([0.2, 0.5, 0.1])) == pytest.approx(1)
    assert shares([0.0, 0.0]) == [0.5, 0.5]
    assert shares([0.3]) == [1.0]
    assert shares([0.9, 0.5]) == pytest.approx([0.9, 0.1])  # odds of 9 to 1


async def test_levin_gives_the_best_of_what_is_finished_when_it_must_stop():
    outcome = await Rig(Toy(accuracy=0.9)).run(a_plan("mindstar", expansions=6))
    assert outcome.stop_reason in ("goal", "expansions")
    best = max(outcome.candidates, key=lambda one: one.score or 0, default=None)
    assert outcome.answer == (best.answer if best else None)


# --- all of them --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lookahead", "dvts", "rebase", "a_star", "mindstar"])
async def test_with_an_oracle_they_find_what_sampling_does_not(name):
    digits, wide = "2 7 1 8 2 8 1 8", {"dvts": {"n": 24, "children": 12}, "rebase": {"width": 24}, "lookahead": {"beams": 1, "children": 12}}
    options = wide.get(name, {"children": 12})
    outcome = await Rig(Toy(accuracy=0.4)).run(a_plan(name, **options), a_query(digits))
    assert outcome.answer == "27182818"


@pytest.mark.parametrize("name", ["lookahead", "dvts", "rebase", "a_star", "mindstar", "mcts", "particle_filter", "entropic_particle_filter"])
async def test_a_truncated_step_is_never_finished(name):
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan(name, step_tokens=6, last_tokens=6))  # "Answer: 31415" is longer
    assert outcome.answer is None
    assert not [one for one in outcome.candidates if one.fate is Fate.KEPT]
    assert outcome.stop_reason == "dead_end"


@pytest.mark.parametrize("name", ["lookahead", "dvts", "rebase", "a_star", "mindstar", "mcts", "particle_filter", "entropic_particle_filter"])
async def test_the_last_step_is_written_to_the_end(name):
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan(name, max_steps=3))
    assert outcome.answer == "31415"
    assert max(call.prefix.count("\n") for call in rig.toy.calls) == 2


@pytest.mark.parametrize(("name", "options"), [("a_star", {"expansions": 2}), ("mindstar", {"expansions": 2}), ("mcts", {"simulations": 2})])
async def test_what_is_unfinished_in_the_end_is_written_to_the_end_at_once(name, options):
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan(name, **options))
    assert (outcome.answer, len(outcome.candidates)) == ("31415", 1)
    assert rig.toy.calls[-1].stop == ()
    assert rig.toy.calls[-1].prefix
    assert outcome.candidates[0].score is not None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lookahead", {"ahead": -1}),
        ("lookahead", {"select": "majority"}),
        ("dvts", {"n": 10, "children": 4}),
        ("dvts", {"aggregate": "mean"}),
        ("rebase", {"balance": 0}),
        ("rebase", {"width": 0}),
        ("a_star", {"weight": -1}),
        ("a_star", {"frontier": 0}),
        ("mindstar", {"mode": "depth"}),
        ("mindstar", {"children": 0}),
        ("rebase", {"last_tokens": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=f"^{name}"):
        strategies.build(name, options)
