"""Our searches beside the implementations of others, on the same inputs, wherever both define the same thing."""

import math
import random
from collections import Counter
from dataclasses import astuple
from types import SimpleNamespace

import numpy as np
import pytest
from its_hub.api import AbstractLanguageModel, AbstractOutcomeRewardModel, AbstractProcessRewardModel
from its_hub.core.algorithms.beam_search import BeamSearch
from its_hub.core.algorithms.bon import BestOfN
from its_hub.core.algorithms.particle_gibbs import ParticleFiltering, ParticleGibbs, TemperatureMethod, _inv_sigmoid, _softmax
from its_hub.core.algorithms.self_consistency import SelfConsistency
from its_hub.core.lms.step_generation import StepGeneration
from treequest.algos.ab_mcts_a.algo import ABMCTSA
from treequest.algos.ab_mcts_a.prob_state import PriorConfig, ProbabilisticDist
from treequest.algos.standard_mcts import StandardMCTS

from router.types import Candidate, Finish
from tests.workers.strategies.scripted import Table
from tests.workers.toy import Rig, Toy, a_plan, a_query
from workers.parts.particles import effective, logit, resampled, softmax
from workers.parts.vote import choose
from workers.strategies.ab_mcts import Attempts, Beta, Gaussian
from workers.strategies.entropic_particle_filter import annealing, by_entropy, by_ess, by_time, normalised_entropy
from workers.strategies.mcts import Node, Tree, uct

NAMES = {"gaussian": ("m", "kappa", "nu", "tau_square"), "beta": ("a", "b")}
PRIORS = {"gaussian": Gaussian(), "beta": Beta()}


# --- treequest: AB-MCTS-A -----------------------------------------------------------------------------------------------


def parameters(distribution, model):
    return pytest.approx([distribution.params[name] for name in NAMES[model]])


@pytest.mark.parametrize("model", ["gaussian", "beta"])
def test_posteriors_are_those_of_treequest(model):
    theirs, ours = ProbabilisticDist(PriorConfig(dist_type=model)), PRIORS[model]
    assert list(astuple(ours)) == parameters(theirs, model)
    for score in np.random.default_rng(4).random(30):
        theirs.tell_observation(float(score))
        ours = ours.told(float(score))
        assert list(astuple(ours)) == parameters(theirs, model)


@pytest.mark.parametrize("model", ["gaussian", "beta"])
def test_every_belief_in_a_tree_is_that_of_treequest(model):
    """Their search, with what it asked for and was told told to ours as well: out of order, in batches."""
    np.random.seed(3)  # theirs draws from the global generator
    dice, search = random.Random(3), ABMCTSA(dist_type=model)
    state, tree, number = search.init_tree(), Attempts(prior=PRIORS[model]), {-1: 0}
    for _ in range(15):
        state, trials = search.ask_batch(state, 3, ["solve"])
        for trial in dice.sample(trials, len(trials)):
            score = dice.random()
            state = search.tell(state, trial.trial_id, ("solution", score))
            number[len(state.tree) - 2] = tree.tell(number[trial.node_to_expand], score)
    assert len(tree.nodes) == len(state.tree) == 46
    for theirs in state.tree.get_nodes():
        ours, belief = tree.nodes[number[theirs.expand_idx]], state.thompson_states.get(theirs)
        assert ours.children == [number[child.expand_idx] for child in theirs.children]
        if belief is None:
            continue
        assert list(astuple(ours.new)) == parameters(belief.gen_vs_cont_probas["shared"]["GEN"], model)
        assert list(astuple(ours.old)) == parameters(belief.gen_vs_cont_probas["shared"]["CONT"], model)
        for place, child in enumerate(ours.children):
            assert list(astuple(tree.nodes[child].own)) == parameters(belief.node_probas["shared"][place], model)


def test_thompson_sampling_chooses_as_often_as_treequest():
    """Where to make the next child, over many draws from the same tree; two samples of 3,000 differ by 4 deviations at most."""
    told = [(0, 0.2), (0, 0.7), (2, 0.8), (2, 0.3), (1, 0.4)]
    search, tree = ABMCTSA(), Attempts(prior=Gaussian())
    state, number = search.init_tree(), {0: -1}
    np.random.seed(1)  # theirs draws from the global generator
    for parent, score in told:
        while True:  # until it wants what we want
            state, (trial,) = search.ask_batch(state, 1, ["solve"])
            if trial.node_to_expand == number[parent]:
                break
        state = search.tell(state, trial.trial_id, ("solution", score))
        number[tree.tell(parent, score)] = len(state.tree) - 2
    rng = np.random.default_rng(1)
    ours = Counter(number[tree.ask(rng)] for _ in range(3000))
    theirs = Counter(search.ask_batch(state, 1, ["solve"])[1][0].node_to_expand for _ in range(3000))
    for node in ours.keys() | theirs.keys():
        share = (ours[node] + theirs[node]) / 6000
        assert abs(ours[node] - theirs[node]) / 3000 <= 4 * math.sqrt(2 * share * (1 - share) / 3000)


# --- treequest: MCTS ----------------------------------------------------------------------------------------------------


def test_uct_selects_what_treequest_selects():
    """Theirs visits every new child once and multiplies the bonus by a softmax of the siblings' scores."""
    dice, search = random.Random(8), StandardMCTS(samples_per_action=3)
    state, tree = search.init_tree(), Tree()

    def bonus(parent, child):
        return math.sqrt(2) * child.prior * uct(parent, child)

    for _ in range(25):
        leaf = search._select(state).expand_idx + 1
        assert tree.select(bonus) == leaf
        scores = [dice.random() for _ in range(3)]
        for score in scores:
            state, (trial,) = search.ask_batch(state, 1, ["solve"])
            state = search.tell(state, trial.trial_id, ("step", score))
        exponentials = [math.exp(score) for score in scores]
        tree.expand(leaf, [Node(parent=leaf, value=score, prior=one / sum(exponentials)) for score, one in zip(scores, exponentials, strict=True)])
        for child in tree.nodes[leaf].children:
            tree.back_up(child)
    for place, node in enumerate(tree.nodes):
        assert node.visits == state.visit_counts[place - 1]
        assert node.total == pytest.approx(state.value_sums[place - 1])
        for child in node.children:
            theirs = state.tree.get_node(child - 1)
            assert tree.nodes[child].mean + bonus(node, tree.nodes[child]) == pytest.approx(search._uct_score(state, theirs, theirs.parent))


# --- its-hub: particles -------------------------------------------------------------------------------------------------


def their_filter(**options):
    return ParticleGibbs(SimpleNamespace(max_steps=8), None, does_entropic_annealing=True, **options)


SCORES = [np.random.default_rng(seed).uniform(0.01, 0.99, count) for seed, count in enumerate((2, 3, 4, 8, 16))]


@pytest.mark.parametrize("scores", SCORES, ids=len)
def test_weights_and_effective_sizes_are_those_of_its_hub(scores):
    theirs = _softmax([_inv_sigmoid(score) for score in scores])
    ours = softmax([logit(score) for score in scores])
    assert ours == pytest.approx(theirs)
    assert effective(ours) == pytest.approx(their_filter()._effective_sample_size(theirs))
    if len(scores) > 2:  # of two they do not normalise the entropy
        assert normalised_entropy(ours) == pytest.approx(their_filter()._entropy_n(theirs), abs=1e-5)


@pytest.mark.parametrize("schedule", ["ess", "entropy", "base"])
@pytest.mark.parametrize("scores", SCORES[1:], ids=len)
def test_annealing_is_that_of_its_hub(schedule, scores):
    theirs, weights = their_filter(temperature_method=TemperatureMethod(schedule)), softmax([2 * logit(score) for score in scores])
    for step in range(1, 9):
        ours = annealing(weights, step / 8, schedule=schedule, threshold=0.5, early=0.5)
        assert ours == pytest.approx(theirs._temperature_annealing(weights, step, len(weights)), abs=1e-4)


def test_the_schedules_are_those_of_its_hub():
    theirs = their_filter()
    for progress in (0.0, 0.2, 0.5, 0.8):
        for value in (0.1, 0.2, 0.5, 1.0):
            assert max(1.0, by_ess(value, progress)) == pytest.approx(theirs._temperature_ess(value, progress))
            assert max(1.0, by_entropy(value, progress)) == pytest.approx(theirs._temperature_entropy(value, progress))
        assert max(1.0, by_time(progress)) == pytest.approx(theirs._temperature_base(2, progress))


@pytest.mark.parametrize("scores", SCORES, ids=len)
def test_systematic_resampling_is_that_of_its_hub(scores):
    weights = softmax([logit(score) for score in scores])
    for seed in range(20):
        np.random.seed(seed)  # theirs draws from the global generator
        theirs = their_filter()._resampling_systematic(list(range(len(scores))), weights, 12)
        point = SimpleNamespace(random=np.random.RandomState(seed).uniform)  # the same number
        assert resampled(weights, 12, point, "systematic") == theirs


def test_its_hub_ignores_the_resampling_that_is_asked_for():
    """Ours does not: see `test_the_method_asked_for_is_the_method_used`."""
    assert ParticleFiltering(SimpleNamespace(max_steps=8), None, resampling_method="systematic").resampling_method.value == "multinomial"


# --- its-hub: votes and choices -----------------------------------------------------------------------------------------


def a_candidate(text, answer, score=None):
    return Candidate(text=text, answer=answer, finish=Finish.END, tokens=3, logprob=0.0, score=score)


class Fixed(AbstractLanguageModel):
    """Answers with these texts, one after another."""

    def __init__(self, texts):
        self.texts = iter(texts)

    async def agenerate(self, messages, stop=None, **more):
        raise NotImplementedError

    async def agenerate_single(self, messages, stop=None, **more):
        return {"role": "assistant", "content": next(self.texts)}


class Known(AbstractOutcomeRewardModel):
    """Scores by text."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, messages, **more):
        raise NotImplementedError

    async def ascore(self, messages, orchestrator=None, **more):
        return [self.scores[turns[-1].content] for turns in messages]


@pytest.mark.parametrize("seed", range(8))
async def test_the_majority_is_that_of_its_hub(seed):
    dice = random.Random(seed)
    answers = [dice.choice("aaabbcd") for _ in range(15)]
    (first, most), (_, second), *_ = Counter(answers).most_common()
    if most == second:
        answers.append(first)  # theirs breaks ties by chance
    theirs = await SelfConsistency().ainfer(Fixed(answers), "question", len(answers))
    candidates = [a_candidate(f"{place} {answer}", answer) for place, answer in enumerate(answers)]
    assert candidates[choose(candidates, "majority")].answer == theirs["content"]


@pytest.mark.parametrize("seed", range(8))
async def test_the_best_is_that_of_its_hub(seed):
    dice = random.Random(seed)
    scores = {f"text {letter}": dice.random() for letter in "abcdef"}
    texts = [dice.choice(list(scores)) for _ in range(12)]
    theirs = await BestOfN(Known(scores)).ainfer(Fixed(texts), "question", len(texts))
    candidates = [a_candidate(text, text[-1], scores[text]) for text in texts]
    assert candidates[choose(candidates, "best")].text == theirs["content"]


# --- its-hub: beam search -----------------------------------------------------------------------------------------------

STEPS, DEPTH = 3, 4


def options(prefix: str) -> list[str]:
    """The steps that can follow: every one of them is tried as often as any other."""
    depth = prefix.count("\n")
    return [f"Answer: {letter}" for letter in "xyz"] if depth == DEPTH - 1 else [f"{letter}{depth}\n" for letter in "abc"]


class Listing(AbstractLanguageModel):
    """The n-th of equal prompts gets the n-th step."""

    async def agenerate(self, messages, stop=None, **more):
        seen, steps = Counter(), []
        for turns in messages:
            prefix = turns[-1].content if turns[-1].role == "assistant" else ""
            steps.append({"role": "assistant", "content": options(prefix)[seen[prefix] % STEPS]})
            seen[prefix] += 1
        return steps


class Lister(Toy):
    """The same for our executor, whose calls of a round come in order."""

    def worked(self, call):
        number = sum(one.prefix == call.prefix for one in self.calls) - 1
        return options(call.prefix)[number % STEPS]


class Judge(AbstractProcessRewardModel):
    """Scores by text."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, prompt_or_messages, steps):
        raise NotImplementedError

    async def ascore(self, prompt_or_messages, steps):
        return [self.scores[text] for text in steps]


def every_text():
    texts, frontier = [], [""]
    for _ in range(DEPTH):
        frontier = [prefix + step for prefix in frontier for step in options(prefix)]
        texts += frontier
    return texts


@pytest.mark.parametrize("beams", [1, 2, 3])
@pytest.mark.parametrize("seed", range(4))
async def test_beam_search_finds_what_its_hub_finds(beams, seed):
    """On a tree whose every step is tried, so that how often the root is tried makes no difference."""
    dice = random.Random(seed)
    scores = {text: dice.random() for text in every_text()}
    generation = StepGeneration(max_steps=DEPTH, step_token="\n", stop_token="Answer", include_stop_str_in_output=True)
    theirs = await BeamSearch(generation, Judge(scores), beam_width=beams).ainfer(Listing(), "question", beams * STEPS)
    ours = await Rig(Lister(), Table(scores=scores)).run(a_plan("beam", beams=beams, children=STEPS, select="best"), a_query("question"))
    assert ours.text == theirs["content"]
