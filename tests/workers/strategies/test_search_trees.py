"""Tree search: MCTS over steps, AB-MCTS over whole solutions."""

import copy
import json
import math
from collections import Counter
from dataclasses import asdict, astuple

import numpy as np
import pytest

from router.types import Candidate, Evidence, Fate, Finish, Outcome, Usage
from tests.workers.strategies.scripted import Reciter, Table, a_path
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query
from workers.strategies import strategies
from workers.strategies.ab_mcts import Attempts, Beta, Gaussian, feedback, grid, predicted, settled, spreads
from workers.strategies.mcts import Node, Tree, priors, puct, uct

# --- MCTS ---------------------------------------------------------------------------------------------------------------


def scripted_children(tree: Tree, leaf: int, seed: int = 5) -> list[Node]:
    """The same for the same leaf, always."""
    rng = np.random.default_rng([seed, leaf])
    weights = rng.random(3)
    return [Node(parent=leaf, prior=float(weight), value=float(rng.random()), closed=leaf > 20) for weight in weights / weights.sum()]


def simulate(tree: Tree, simulations: int) -> Tree:
    if not tree.nodes[0].children:
        tree.expand(0, scripted_children(tree, 0))
    for _ in range(simulations):
        leaf = tree.select(puct)
        if not tree.nodes[leaf].closed:
            tree.expand(leaf, scripted_children(tree, leaf))
        tree.back_up(leaf)
    return tree


def test_visits_and_totals_add_up():
    tree = simulate(Tree(), 40)
    assert tree.nodes[0].visits == 40
    for node in tree.nodes:
        below = sum(tree.nodes[child].visits for child in node.children)
        assert node.visits - below in (0, 1) or node.closed  # a leaf's first visit is its own; a closed one may have many
        assert node.total == pytest.approx(node.visits * node.mean) or not node.visits
        if node.visits and node.parent >= 0 and not node.closed:
            assert node.total == pytest.approx(node.value + sum(tree.nodes[child].total for child in node.children))


def test_a_search_written_down_goes_on_as_if_it_had_not_been():
    whole, half = simulate(Tree(), 30), simulate(Tree(), 13)
    resumed = Tree(nodes=[Node(**one) for one in json.loads(json.dumps(asdict(half)))["nodes"]])
    assert resumed == half
    assert simulate(resumed, 17) == whole


def test_of_equals_the_one_that_was_not_visited_comes_first():
    for bonus in (puct, uct):
        tree = Tree()
        tree.expand(0, [Node(parent=0, prior=0.25, value=0.5, closed=True) for _ in range(4)])
        for _ in range(4):
            tree.back_up(tree.select(bonus))
        assert [node.visits for node in tree.nodes] == [4, 1, 1, 1, 1]


def test_without_a_bonus_it_is_greedy():
    tree = Tree()
    tree.expand(0, [Node(parent=0, value=value, closed=True) for value in (0.4, 0.6, 0.5)])
    for _ in range(5):
        tree.back_up(tree.select(lambda parent, child: 0.0))
    assert [node.visits for node in tree.nodes[1:]] == [0, 5, 0]


def test_the_bonuses_are_those_of_alphazero_and_uct():
    parent, child = Node(visits=9), Node(prior=0.3, visits=2)
    assert puct(parent, child) == pytest.approx(0.3 * (math.log((9 + 19652 + 1) / 19652) + 1.25) * 3 / 3)
    assert uct(parent, child) == pytest.approx(math.sqrt(math.log(9) / 2))
    assert uct(parent, Node()) == uct(parent, Node(visits=1)) == pytest.approx(math.sqrt(math.log(9)))
    assert uct(Node(), Node()) == 0


def test_a_leaf_that_nothing_can_follow_is_closed_and_worth_nothing():
    tree = Tree()
    tree.expand(0, [Node(parent=0, value=0.9), Node(parent=0, value=0.1)])
    tree.expand(1, [])
    tree.back_up(1)
    assert (tree.nodes[1].closed, tree.nodes[1].mean, tree.nodes[0].mean) == (True, 0.0, 0.0)
    assert tree.select(lambda parent, child: 0.0) == 2


def test_priors_are_shares_of_the_probability_per_token():
    one, two = a_path("a\n", logprobs=(-1.0, -1.0)), a_path("b\n", logprobs=(-2.0,))
    assert priors([one, two]) == pytest.approx([math.exp(-1) / (math.exp(-1) + math.exp(-2)), math.exp(-2) / (math.exp(-1) + math.exp(-2))])
    assert priors([a_path("a\n"), a_path("b\n")]) == [0.5, 0.5]


@pytest.mark.parametrize("bonus", ["puct", "uct"])
@pytest.mark.parametrize("final", ["visits", "vote"])
async def test_it_finds_the_best_solution(bonus, final):
    texts = tuple(f"{a}\n{b}\nAnswer: {a}{b}" for a in range(3) for b in range(3))
    scores = {"0\n": 0.7, "1\n": 0.6, "2\n": 0.5, "1\n2\n": 0.9, "Answer": 0.0, "1\n2\nAnswer: 12": 0.95}
    rig = Rig(Reciter(texts=texts), Table(scores=scores, other=0.2))
    outcome = await rig.run(a_plan("mcts", bonus=bonus, final=final, children=9, simulations=24))
    assert (outcome.answer, outcome.stop_reason) == ("12", "done")


async def test_each_simulation_expands_one_leaf_at_most():
    rig = Rig(Toy(accuracy=0.6))
    await rig.run(a_plan("mcts", simulations=10, children=3))
    assert len(rig.toy.calls) % 3 == 0
    assert len(rig.toy.calls) <= 11 * 3
    prefixes = [call.prefix for call in rig.toy.calls[::3]]
    assert len(set(prefixes)) == len(prefixes)


async def test_equal_steps_are_one_child_and_have_one_vote():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("mcts", children=4, simulations=8))
    assert sum(one.fate is Fate.KEPT for one in outcome.candidates) == 1


async def test_visits_decide_and_are_the_score():
    rig = Rig(Toy(accuracy=0.7))
    outcome = await rig.run(a_plan("mcts", simulations=30), a_query("3 1"))
    voting = [one for one in outcome.candidates if one.fate is Fate.KEPT]
    best = max(voting, key=lambda one: one.score)
    assert outcome.text == best.text
    assert 0 < sum(one.score for one in voting) <= 1


async def test_a_prior_needs_log_probabilities():
    assert "logprobs" in strategies.build("mcts").needs
    assert "logprobs" not in strategies.build("mcts", {"bonus": "uct"}).needs


# --- AB-MCTS: posteriors ------------------------------------------------------------------------------------------------


def test_the_gaussian_posterior_is_the_known_one():
    one, told = Gaussian(), []
    for score in (0.2, 0.8, 0.5):
        one = one.told(score)
        told.append(astuple(one))
    assert told[0] == pytest.approx((0.1, 2, 2, 0.06))
    assert told[1] == pytest.approx((1 / 3, 3, 3, 0.148889), abs=1e-6)
    assert told[2] == pytest.approx((0.375, 4, 4, 0.116875))


def test_the_beta_posterior_is_the_known_one():
    assert astuple(Beta().told(0.2).told(0.8)) == pytest.approx((1.5, 1.5))


def test_draws_are_from_the_posterior():
    """Under NIX the mean has a t distribution around `mean`, of variance spread / weight * freedom / (freedom - 2)."""
    rng = np.random.default_rng(3)
    one = Gaussian(0.4, 5.0, 12.0, 0.2)
    drawn = np.array([one.draw(rng) for _ in range(4000)])
    variance = 0.2 / 5 * 12 / 10
    assert drawn.mean() == pytest.approx(0.4, abs=4 * math.sqrt(variance / 4000))
    assert drawn.var() == pytest.approx(variance, rel=0.15)
    betas = np.array([Beta(3.0, 2.0).draw(rng) for _ in range(4000)])
    assert betas.mean() == pytest.approx(0.6, abs=4 * math.sqrt(0.04 / 4000))


# --- AB-MCTS: the tree --------------------------------------------------------------------------------------------------


def grown(*told: tuple[int, float], prior=None) -> Attempts:
    tree = Attempts(prior=prior or Beta())
    for parent, score in told:
        tree.tell(parent, score)
    return tree


def test_a_score_goes_to_gen_of_its_parent_and_to_cont_and_the_child_of_those_above():
    tree = grown((0, 0.2), (1, 0.8), (2, 1.0), (0, 0.4))
    root, one, two, three, four = tree.nodes
    assert (root.children, one.children, two.children, three.children, four.children) == ([1, 4], [2], [3], [], [])
    assert root.new == Beta().told(0.2).told(0.4)
    assert root.old == Beta().told(0.8).told(1.0)
    assert (one.new, one.old) == (Beta().told(0.8), Beta().told(1.0))
    assert (two.new, two.old) == (Beta().told(1.0), Beta())
    assert one.own == Beta().told(0.2).told(0.8).told(1.0)
    assert two.own == Beta().told(0.8).told(1.0)
    assert (three.own, four.own) == (Beta().told(1.0), Beta().told(0.4))
    assert tree.below(1) == [0.2, 0.8, 1.0]


def test_without_children_there_is_nothing_to_go_on_with():
    rng = np.random.default_rng(0)
    assert {grown().ask(rng) for _ in range(50)} == {0}
    assert {grown().ask_mixed(rng) for _ in range(5)} == {0}


def test_nodes_are_as_many_as_were_told_and_trials_may_come_back_in_any_order():
    rng = np.random.default_rng(1)
    tree = Attempts(prior=Gaussian())
    for _ in range(5):
        parents = [tree.ask(rng) for _ in range(4)]
        for parent in parents:
            tree.tell(parent, float(rng.random()))
    assert len(tree.nodes) == 21
    one, other = grown((0, 0.3), (0, 0.9)), grown((0, 0.9), (0, 0.3))
    assert astuple(one.nodes[0].new) == pytest.approx(astuple(other.nodes[0].new))


def test_where_what_is_new_is_good_and_what_is_refined_is_bad_it_solves_anew():
    """The share of GEN at the root grows to 1 with the evidence."""
    shares = []
    for much in (1, 4, 30):
        tree, rng = grown(*[(0, 0.95)] * much, *[(1, 0.05)] * much, prior=Gaussian()), np.random.default_rng(7)
        shares.append(sum(tree.ask(rng) == 0 for _ in range(300)) / 300)
    assert shares == sorted(shares)
    assert shares[-1] > 0.99


def test_under_the_mixed_model_it_solves_anew_where_all_that_is_there_is_bad():
    tree, rng = grown((0, 0.05), (1, 0.02), (1, 0.08), (0, 0.04), (4, 0.09)), np.random.default_rng(7)
    assert sum(tree.ask_mixed(rng) == 0 for _ in range(200)) / 200 > 0.5  # against two children: a third would be chance


@pytest.mark.parametrize(("ask", "least"), [("ask", 0.9), ("ask_mixed", 0.6)])
def test_where_refining_is_what_helps_it_refines(ask, least):
    tree = grown(*[(0, 0.1)] * 8, *[(1, 0.9), (1, 0.8), (1, 0.95), (1, 0.85)], prior=Gaussian())
    rng = np.random.default_rng(7)
    asked = Counter(getattr(tree, ask)(rng) for _ in range(200))
    assert sum(count for node, count in asked.items() if node) / 200 > least
    assert asked.most_common(1)[0][0] in (1, 9, 10, 11, 12)


def test_a_tree_can_be_copied_and_gone_on_with():
    tree = grown((0, 0.4), (1, 0.5), (0, 0.7), prior=Gaussian())
    twin = copy.deepcopy(tree)
    asked = [[one.ask(rng) for _ in range(20)] for one, rng in ((tree, np.random.default_rng(2)), (twin, np.random.default_rng(2)))]
    assert asked[0] == asked[1]
    tree.tell(0, 0.1)
    assert len(twin.nodes) == 4


# --- AB-MCTS: the mixed model -------------------------------------------------------------------------------------------


def reckoned(groups):
    """Posterior means of (s_a, s_y, mu) by drawing from the prior and weighing by the likelihood: slow, but plain."""
    rng = np.random.default_rng(11)
    between, within = np.abs(rng.normal(0, 0.2, 200_000)), np.abs(rng.normal(0, 0.3, 200_000))
    mu = rng.normal(0.5, 0.2, 200_000)
    log_weight = np.zeros(200_000)
    for group in groups:
        alpha = rng.normal(mu, between)
        for score in group:
            log_weight += -np.log(within) - (score - alpha) ** 2 / (2 * within**2)
    weight = np.exp(log_weight - log_weight.max())
    return [float((values * weight).sum() / weight.sum()) for values in (between, within, mu)]


def on_the_grid(groups):
    sizes, means = np.array([len(group) for group in groups], float), np.array([np.mean(group) for group in groups])
    around = sum(float(((np.array(group) - mean) ** 2).sum()) for group, mean in zip(groups, means, strict=True))
    log_weights, centres, _ = spreads(sizes, means, around)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return [float((values * weights).sum()) for values in (*grid(), centres)]


@pytest.mark.parametrize("groups", [[[0.9, 0.7]], [[0.2, 0.4, 0.3], [0.8]], [[0.1, 0.9], [0.5, 0.6, 0.2], [0.7]]])
def test_the_grid_has_the_posterior_of_the_mixed_model(groups):
    assert on_the_grid(groups) == pytest.approx(reckoned(groups), abs=0.015)


def test_the_grid_has_the_prior_where_nothing_is_known():
    between, within = grid()
    half_normal = math.sqrt(2 / math.pi)
    assert (between.mean(), within.mean()) == pytest.approx((0.2 * half_normal, 0.3 * half_normal), rel=0.02)


def test_predictions_are_near_their_groups_and_a_new_group_is_anything():
    rng = np.random.default_rng(5)
    groups = [[0.1, 0.12, 0.09, 0.11, 0.1], [0.9, 0.88, 0.91, 0.9, 0.92]]
    drawn = np.array([[*children, new] for children, new in (predicted(groups, rng) for _ in range(600))])
    assert drawn.mean(0)[:2] == pytest.approx([0.1, 0.9], abs=0.02)
    assert drawn.mean(0)[2] == pytest.approx(0.5, abs=0.06)
    assert drawn.std(0)[2] > 5 * drawn.std(0)[0]


def test_what_all_scores_the_same_is_settled():
    assert settled([0.5, 0.5, 0.5, 0.9])
    assert not settled([0.5, 0.5, 0.5])
    assert not settled([0.5, 0.5, 0.4, 0.9])
    assert settled([0.501, 0.5, 0.499, 0.9])  # to the hundredth


def test_a_settled_child_is_not_gone_on_with():
    tree = grown(*[(0, 0.9)], *[(1, 0.9)] * 4, prior=Gaussian())
    rng = np.random.default_rng(0)
    assert {tree.ask_mixed(rng) for _ in range(40)} == {0}


# --- AB-MCTS: the strategy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gaussian", "beta", "mixed"])
async def test_it_buys_n_solutions_in_batches_and_refines_some(model):
    rig = Rig(Toy(accuracy=0.7))
    outcome = await rig.run(a_plan("ab_mcts", n=14, batch=4, model=model))
    assert (len(rig.toy.calls), rig.toy.most, len(outcome.candidates), outcome.stop_reason) == (14, 4, 14, "done")
    skills = Counter(call.skill for call in rig.toy.calls)
    assert skills["solve"] >= 4
    assert skills["refine"] >= 1
    assert outcome.answer == max(outcome.candidates, key=lambda one: one.score or 0).answer


async def test_a_refinement_is_told_what_it_refines_and_its_score():
    rig = Rig(Toy(accuracy=0.5))
    outcome = await rig.run(a_plan("ab_mcts", n=20, batch=2))
    known = {one.text: one.score for one in outcome.candidates}
    refined = [call for call in rig.toy.calls if call.skill == "refine"]
    assert refined
    assert all(call.texts == (call.texts[0], feedback(known[call.texts[0]])) for call in refined)


def test_feedback_is_a_score_that_ends_as_a_check():
    assert feedback(0.25) == "Score: 0.25\nVerdict: No"
    assert feedback(0.5) == "Score: 0.50\nVerdict: Yes"


async def test_what_cannot_be_read_scores_nothing_and_is_not_judged():
    rig = Rig(Toy(accuracy=1.0, mute=1.0), Oracle(constant=0.9))
    outcome = await rig.run(a_plan("ab_mcts", n=6))
    assert (outcome.answer, rig.oracle.asked) == (None, [])
    assert len(rig.toy.calls) == 6


async def test_solutions_of_earlier_stages_are_in_the_tree():
    earlier = Candidate(text="3\n1\nAnswer: 31", answer="31", finish=Finish.END, tokens=9, logprob=0.0, score=0.9)
    first = Outcome(plan="x", answer="31", text=earlier.text, candidates=(earlier,), usage=Usage(), stop_reason="done", pool="toy")
    rig = Rig(Toy(accuracy=0.3))
    await rig.run(a_plan("ab_mcts", n=12, batch=1, model="mixed"), a_query("3 1"), evidence=Evidence(outcomes=(first,)))
    assert len(rig.toy.calls) == 11
    assert any(call.texts[:1] == (earlier.text,) for call in rig.toy.calls)


async def test_equal_solutions_are_scored_once():
    rig = Rig(Toy(accuracy=0.9))
    await rig.run(a_plan("ab_mcts", n=12))
    assert len(rig.oracle.asked) == len(set(rig.oracle.asked))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mcts", {"bonus": "ucb"}),
        ("mcts", {"explore": -1}),
        ("mcts", {"final": "mean"}),
        ("mcts", {"simulations": 0}),
        ("ab_mcts", {"model": "poisson"}),
        ("ab_mcts", {"batch": 0}),
        ("ab_mcts", {"select": "majority"}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=f"^{name}"):
        strategies.build(name, options)
