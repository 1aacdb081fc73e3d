"""Phi-decoding and SpecReason."""

import math
from collections import Counter

import numpy as np
import pytest

from router.types import Fate, Finish, Price
from tests.workers.strategies.scripted import Reciter, a_path, a_sample
from tests.workers.toy import Rig, Toy, a_plan, a_query
from workers.parts.clustering import k_means, tf_idf
from workers.strategies import strategies
from workers.strategies.phi_decoding import clustered, drawn, final, mean_logprob, promise, pruned
from workers.strategies.spec_reason import repeated

# --- texts --------------------------------------------------------------------------------------------------------------


def test_tf_idf_is_that_of_scikit_learn():
    feature = pytest.importorskip("sklearn.feature_extraction.text")
    texts = ["5 + 3 = 8\nAnswer: 8", "5 + 4 = 9\nAnswer: 9", "take 4 away", ""]
    theirs = feature.TfidfVectorizer(token_pattern=r"\w+").fit_transform(texts).toarray()
    assert tf_idf(texts) == pytest.approx(theirs)


def test_clusters_are_those_that_are_there():
    rng = np.random.default_rng(2)
    texts = ["one two three"] * 3 + ["four five six"] * 2 + ["seven eight"]
    labels = clustered(texts, 3, rng)
    assert sorted(Counter(labels).values()) == [1, 2, 3]
    assert len({labels[place] for place in (0, 1, 2)}) == 1
    assert set(clustered(texts, 2, rng)) == {0, 1}


def test_clustering_depends_on_its_generator_alone():
    rows = np.random.default_rng(0).random((30, 4))
    labels = [k_means(rows, 4, np.random.default_rng(seed)).tolist() for seed in (5, 5)]
    assert labels[0] == labels[1]


def test_fewer_different_texts_than_clusters_and_texts_without_words():
    rng = np.random.default_rng(1)
    assert len(set(clustered(["a b", "c d"], 3, rng))) == 2
    assert clustered(["a", "a"], 3, rng) == [0, 0]
    assert clustered([], 3, rng) == []
    assert len(clustered(["", "?", "a"], 3, rng)) == 3


def test_centres_do_not_move_in_the_end():
    rows = np.random.default_rng(3).random((40, 2))
    labels = k_means(rows, 3, np.random.default_rng(4))
    centres = np.array([rows[labels == place].mean(0) for place in range(3)])
    assert (np.square(rows[:, None] - centres).sum(-1).argmin(1) == labels).all()


# --- phi-decoding -------------------------------------------------------------------------------------------------------


def test_what_promises_is_weighed_half_by_gain_half_by_alignment():
    weights = promise([0, 0, 1], [0.1, 0.2, 0.3], 0.1)
    gains, sizes = np.exp([1.0, 2.0, 3.0]), np.exp([2 / 3, 2 / 3, 1 / 3])
    assert weights == pytest.approx(0.5 * gains / gains.sum() + 0.5 * sizes / sizes.sum())
    assert weights.sum() == pytest.approx(1)


def test_large_gains_do_not_overflow():
    """The authors' softmax is not shifted."""
    weights = promise([0, 1], [500.0, 499.0], 0.001)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1)


def test_equal_endings_go_by_gain_alone():
    assert promise([0, 0], [0.0, 0.1], 0.1) == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])


def test_pruning_takes_the_unlikely_but_never_too_many():
    paths = [a_path(f"{place}\n", logprobs=(value,)) for place, value in enumerate((-1.0, -1.1, -0.9, -5.0, -1.0))]
    assert [path.text for path in pruned(paths, 2)] == ["0\n", "1\n", "2\n", "4\n"]
    assert len(pruned(paths, 5)) == 5
    assert [path.text for path in pruned(paths, 4)] == ["0\n", "1\n", "2\n", "4\n"]
    split = [a_path(f"{place}\n", logprobs=(value,)) for place, value in enumerate((-1.0, -9.0, -9.0, -9.0))]
    assert len(pruned(split, 3)) >= 3
    same = [a_path(f"{place}\n", logprobs=(-1.0,)) for place in range(4)]
    assert len(pruned(same, 1)) == 4  # none is less likely


def test_what_is_left_when_pruning_is_right_by_place():
    """In the authors' fallback, places among the kept are used for all."""
    paths = [a_path(f"{place}\n", logprobs=(value,)) for place, value in enumerate((-9.0, -1.0, -1.1, -1.2))]
    kept = pruned(paths, 2)
    assert [path.text for path in kept] == ["1\n", "2\n", "3\n"]
    assert kept[drawn(promise([0, 0, 0], [0.0, 99.0, 0.0], 0.1), 1, np.random.default_rng(0))[0]].text == "2\n"


def test_drawing_is_without_replacement_and_by_weight():
    rng, weights = np.random.default_rng(1), np.array([0.5, 0.3, 0.2, 0.0])
    first = Counter(drawn(weights, 1, rng)[0] for _ in range(3000))
    for place, weight in enumerate(weights):
        assert abs(first[place] / 3000 - weight) <= 4 * math.sqrt(weight * (1 - weight) / 3000)
    assert all(len(set(drawn(weights, 3, rng))) == 3 for _ in range(20))
    assert drawn(weights, 4, rng) == [0, 1, 2, 3]  # what weighs nothing comes last, but it comes


def test_in_the_end_the_larger_cluster_shares_all_by_gain():
    rng = np.random.default_rng(0)
    weights = final(["a b c", "a b d", "x y z"], [0.0, 0.1, 9.0], 0.1, rng)
    assert weights == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e), 0.0])
    assert final(["a", "a"], [0.0, 0.0], 0.1, rng) == pytest.approx([0.5, 0.5])
    assert final([], [], 0.1, rng) == []


def test_of_equal_clusters_the_one_that_gains_is_taken():
    assert final(["a b", "x y"], [0.0, 0.5], 0.1, np.random.default_rng(0)) == [0.0, 1.0]


def test_a_text_without_log_probabilities_says_nothing():
    assert mean_logprob(a_sample("a")) == 0
    assert mean_logprob(a_sample("a", logprobs=(-1.0, -3.0))) == -2


async def test_it_stops_where_endings_agree_but_not_before_its_least_step():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("phi_decoding"))
    assert outcome.answer == "31415"
    steps = [call for call in rig.toy.calls if call.stop]
    assert {call.prefix.count("\n") for call in steps} == {0, 1, 2, 3}
    early = Rig(Toy(accuracy=1.0))
    await early.run(a_plan("phi_decoding", least=1))
    assert len([call for call in early.toy.calls if call.stop]) == 16
    assert len(early.toy.calls) == 32


async def test_endings_are_simulated_at_their_own_temperature_and_are_candidates():
    rig = Rig(Toy(accuracy=0.8))
    outcome = await rig.run(a_plan("phi_decoding", beams=2, rollouts=2, foresight_temperature=0.9))
    endings = [call for call in rig.toy.calls if not call.stop]
    assert {call.temperature for call in endings} == {0.9}
    assert {call.temperature for call in rig.toy.calls if call.stop} == {0.6}
    assert len(outcome.candidates) >= len(endings)
    assert outcome.usage.discarded_tokens < outcome.usage.kept_tokens


async def test_only_the_last_round_counts():
    outcome = await Rig(Toy(accuracy=0.7)).run(a_plan("phi_decoding"), a_query("3 1 4"))
    voting = [one for one in outcome.candidates if one.score]
    assert math.fsum(one.score for one in voting) == pytest.approx(1)
    totals = Counter()
    for one in voting:
        totals[one.answer] += one.score
    assert outcome.answer == totals.most_common(1)[0][0]


async def test_a_run_cut_short_answers_from_its_last_whole_round():
    whole = await Rig(Toy(accuracy=0.7)).run(a_plan("phi_decoding"))
    reasons = set()
    for tokens in range(whole.usage.tokens // 3, whole.usage.tokens, 400):
        outcome = await Rig(Toy(accuracy=0.7)).run(a_plan("phi_decoding"), tokens=tokens)
        reasons.add(outcome.stop_reason)
        assert outcome.answer is not None
        assert math.fsum(one.score or 0 for one in outcome.candidates) == pytest.approx(1)
    assert "budget" in reasons


async def test_the_last_step_is_the_whole_rest():
    rig = Rig(Toy(accuracy=0.5))
    await rig.run(a_plan("phi_decoding", max_steps=2, least=9))
    assert {call.prefix.count("\n") for call in rig.toy.calls} == {0, 1}
    assert all(call.stop == () for call in rig.toy.calls if call.prefix)


async def test_the_likelier_ending_wins():
    """Half of the endings are likely, half are not; clusters are equal."""

    class Sure(Reciter):
        async def sample(self, call, spent):
            sample = await super().sample(call, spent)
            value = -0.01 if "right" in call.prefix + sample.text else -3.0
            return type(sample)(
                **{**{name: getattr(sample, name) for name in sample.__dataclass_fields__}, "logprobs": (value,) * len(sample.logprobs)}
            )

    toy = Sure(texts=("right way\nAnswer: 1", "wrong turn\nAnswer: 2"))
    outcome = await Rig(toy).run(a_plan("phi_decoding", beams=2, rollouts=6))
    assert outcome.answer == "1"


# --- SpecReason ---------------------------------------------------------------------------------------------------------


def a_pair(plan_options=None, *, draft=None, own=None):
    rig = Rig(own or Toy(accuracy=1.0), draft=draft or Toy(accuracy=1.0))
    plan = a_plan("spec_reason", **(plan_options or {}))
    return rig, type(plan)(**{**{name: getattr(plan, name) for name in plan.__dataclass_fields__}, "helpers": {"draft": Price(completion=0.1)}})


def of_skill(toy, skill):
    return [call for call in toy.calls if call.skill == skill]


async def test_with_threshold_0_the_small_model_writes_everything():
    rig, plan = a_pair({"threshold": 0}, draft=Toy(accuracy=0.0))
    outcome = await rig.run(plan)
    assert (len(of_skill(rig.draft, "solve")), len(of_skill(rig.toy, "solve")), len(of_skill(rig.toy, "score"))) == (6, 0, 6)
    assert outcome.stop_reason == "done"
    assert outcome.answer != "31415"


async def test_with_threshold_10_the_large_model_writes_everything():
    rig, plan = a_pair({"threshold": 10})
    outcome = await rig.run(plan)
    assert (len(of_skill(rig.draft, "solve")), len(of_skill(rig.toy, "solve"))) == (6, 6)
    assert outcome.answer == "31415"
    assert outcome.usage.kept_tokens == len(outcome.text) + 1 + 6 * 2  # its own text, and marks: a digit and the end
    assert all(call.max_tokens == 2 for call in of_skill(rig.toy, "score"))


async def test_what_is_marked_down_is_written_anew_from_the_same_place():
    rig, plan = a_pair(draft=Toy(accuracy=0.5))
    outcome = await rig.run(plan)
    assert outcome.answer == "31415"
    rewritten = [call.prefix for call in of_skill(rig.toy, "solve")]
    assert 0 < len(rewritten) < 6
    drafted = {call.prefix for call in rig.draft.calls}
    assert set(rewritten) <= drafted
    marked = [call.texts[0] for call in of_skill(rig.toy, "score")]
    assert len(marked) == 6
    assert all(any(text.startswith(prefix) for prefix in drafted) for text in marked)


class Wordy(Toy):
    def score(self, call):
        return "good"


async def test_a_mark_that_is_no_digit_takes_no_draft():
    rig, plan = a_pair({"threshold": 0}, own=Wordy(accuracy=1.0))
    outcome = await rig.run(plan)
    assert len(of_skill(rig.toy, "solve")) == 6
    assert outcome.answer == "31415"


async def test_each_pool_is_charged_its_own_price():
    rig, plan = a_pair({"threshold": 0})
    outcome = await rig.run(plan)
    written = sum(spent.completion for spent in rig.draft.spends)
    assert written == len(outcome.text) + 1
    candidate = outcome.candidates[0]
    assert candidate.cost == pytest.approx(0.1 * written)


async def test_the_first_steps_can_be_its_own():
    rig, plan = a_pair({"own": 2})
    await rig.run(plan)
    assert [call.prefix.count("\n") for call in of_skill(rig.toy, "solve")] == [0, 1]
    assert [call.prefix.count("\n") for call in rig.draft.calls] == [2, 3, 4, 5]


async def test_it_stops_where_it_goes_in_circles():
    loop = Reciter(texts=("same\n" * 40,))
    rig, plan = a_pair({"threshold": 0, "repeats": 3}, draft=loop)
    outcome = await rig.run(plan)
    assert (outcome.stop_reason, outcome.answer, len(loop.calls)) == ("repeats", None, 3)
    assert repeated([a_sample("a"), a_sample("b"), a_sample("b")]) == 2


async def test_without_its_helper_it_writes_everything_itself():
    rig, plan = a_pair(draft=Toy(fails=frozenset(range(99))))
    outcome = await rig.run(plan)
    assert outcome.answer == "31415"
    assert len(of_skill(rig.toy, "score")) == 0


async def test_a_draft_that_is_cut_off_is_not_marked():
    rig, plan = a_pair({"step_tokens": 1})
    outcome = await rig.run(plan)
    assert (outcome.answer, outcome.stop_reason) == (None, "dead_end")
    assert of_skill(rig.toy, "score") == []
    assert not [one for one in outcome.candidates if one.fate is Fate.KEPT or one.finish is Finish.END]


def test_it_needs_a_helper_and_marks():
    assert strategies.build("spec_reason").needs == {"helper", "prefix", "stop", "skill:score"}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("phi_decoding", {"beams": 0}),
        ("phi_decoding", {"scale": 0}),
        ("phi_decoding", {"consensus": 0}),
        ("phi_decoding", {"foresight_temperature": -1}),
        ("spec_reason", {"draft": ""}),
        ("spec_reason", {"threshold": -1}),
        ("spec_reason", {"repeats": 1}),
        ("spec_reason", {"max_steps": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=f"^{name}"):
        strategies.build(name, options)
