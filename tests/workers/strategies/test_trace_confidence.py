"""How sure a model is of what it wrote: abstention, p_true, self_evaluation and reflection_suppression."""

from collections import Counter
from dataclasses import dataclass, replace
from math import exp, log

import numpy as np
import pytest

from router.ports import Spent
from router.types import Call, Candidate, Evidence, Fate, Finish, Sample
from tests.workers.toy import Rig, Toy, a_plan, a_query, solved
from workers.strategies import strategies
from workers.strategies.abstention import best_tau, confidence, risk_coverage, utility
from workers.strategies.reflection_suppression import certainty, entropy, suppression
from workers.strategies.self_evaluation import annealed

QUESTION = "3 1 4 1 5"
PLAIN = solved(QUESTION)


def candidate(answer: str | None, score: float | None = None, **changes: object) -> Candidate:
    return Candidate(**{"text": f"Answer: {answer}", "answer": answer, "finish": Finish.END, "tokens": 1, "logprob": 0.0, "score": score, **changes})


# --- abstention ------------------------------------------------------------------------------------------------------


def test_confidence_by_hand():
    assert confidence([-0.1, -0.2, -0.3], "sum") == pytest.approx(exp(-0.6))
    assert confidence([-0.1, -0.2, -0.3], "mean") == pytest.approx(exp(-0.2))
    assert confidence([-0.1, -0.2, -0.3], "min") == pytest.approx(exp(-0.3))
    assert confidence([], "sum") == 0


async def test_confidence_is_that_of_the_answers_tokens_without_the_end():
    outcome = await Rig().run(a_plan("abstention"))
    assert outcome.text == PLAIN
    assert outcome.candidates[0].score == pytest.approx(exp(-0.6))  # a space and five digits


@pytest.mark.parametrize(("tau", "answer", "reason"), [(0.0, "31415", "done"), (0.54, "31415", "done"), (0.55, None, "unsure")])
async def test_below_tau_there_is_no_answer(tau, answer, reason):
    outcome = await Rig().run(a_plan("abstention", tau=tau))
    assert (outcome.answer, outcome.stop_reason) == (answer, reason)
    assert outcome.candidates[0].answer == "31415"


def test_tau_0_answers_all_that_can_be_read_and_the_surest_wins():
    anyone, careful = strategies.build("abstention", {"tau": 0}), strategies.build("abstention", {"tau": 0.6})
    assert anyone.choose([candidate("1")]) == 0
    assert anyone.choose([candidate(None)]) is None
    assert anyone.choose([candidate("1", 0.9, fate=Fate.DISCARDED)]) is None
    assert careful.choose([candidate("1")]) is None
    assert careful.choose([candidate("1", 0.5), candidate("2", 0.7), candidate("3", 0.6)]) == 1


async def test_thinking_is_cut_at_its_limit_and_the_answer_asked_for():
    outcome = await Rig().run(a_plan("abstention", max_tokens=4))
    assert outcome.text == "3\n1\nAnswer: 31415"


async def test_an_answer_that_cannot_be_read_is_no_confidence():
    outcome = await Rig(Toy(mute=1.0)).run(a_plan("abstention", tau=0))
    assert outcome.answer is None


def test_risk_falls_with_coverage_on_calibrated_data():
    rng = np.random.default_rng(11)
    confidences = rng.uniform(0, 1, 20_000)
    coverage, risk = risk_coverage(confidences, rng.uniform(0, 1, 20_000) < confidences)
    assert np.all(np.diff(coverage) > 0)
    assert coverage[-1] == 1
    places = [np.searchsorted(coverage, share) for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    assert np.all(np.diff(risk[places]) > 0)
    assert risk[places] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=0.02)  # half of the coverage; four standard errors


def test_equal_confidences_are_one_threshold():
    coverage, risk = risk_coverage([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert coverage.tolist() == [0.25, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0.0, 1 / 3, 0.5])
    assert risk_coverage([], [])[0].size == 0


@pytest.mark.parametrize(("penalty", "tau"), [(0, 0.0), (1, 0.5), (20, 20 / 21)])
def test_the_best_threshold_under_calibration(penalty, tau):
    assert best_tau(penalty) == pytest.approx(tau)
    confidences = (np.arange(1000) + 0.5) / 1000
    expected = [np.mean(np.where(confidences >= at, confidences - penalty * (1 - confidences), 0)) for at in np.linspace(0, 1, 101)]
    assert np.argmax(expected) / 100 == pytest.approx(tau, abs=0.011)


def test_utility_by_hand():
    assert utility([0.9, 0.8, 0.2], [True, False, False], 0.5, 1) == pytest.approx(0)
    assert utility([0.9, 0.8, 0.2], [True, False, False], 0.85, 20) == pytest.approx(1 / 3)
    assert utility([0.9, 0.8, 0.2], [True, False, False], 0, 0) == pytest.approx(1 / 3)


# --- p_true ----------------------------------------------------------------------------------------------------------


async def test_each_different_answer_is_put_to_the_model_once():
    rig = Rig(Toy(accuracy=0.7))
    outcome = await rig.run(a_plan("p_true", n=12), a_query("3 1"))
    asked = [call.texts[0] for call in rig.toy.calls if call.skill == "true"]
    assert sorted(asked) == sorted({one.answer for one in outcome.candidates})
    for one in outcome.candidates:
        assert one.score == pytest.approx(exp(-0.1) if one.answer == "31" else 1 - exp(-0.1))  # over the two words
    assert outcome.answer == "31"


@dataclass
class Doubting(Toy):
    """Says something else than true or false."""

    said: str = "perhaps"

    def true(self, call: Call) -> str:
        return self.said


async def test_what_is_neither_word_is_no_verdict():
    rig = Rig(Doubting(accuracy=0.6))
    outcome = await rig.run(a_plan("p_true", n=15), a_query("3 1"))
    assert {one.score for one in outcome.candidates} == {None}
    assert outcome.answer == Counter(one.answer for one in outcome.candidates).most_common(1)[0][0]


async def test_several_verdicts_are_averaged():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("p_true", n=2, asks=3))
    assert Counter((call.skill, call.temperature) for call in rig.toy.calls) == {("solve", 0.8): 2, ("true", 1.0): 3}
    assert outcome.candidates[0].score == pytest.approx(exp(-0.1))


def test_the_best_or_the_heaviest_answer():
    candidates = [candidate("1", 0.9), candidate("2", 0.6), candidate("2", 0.6)]
    assert candidates[strategies.build("p_true", {}).choose(candidates)].answer == "1"
    assert candidates[strategies.build("p_true", {"select": "weighted"}).choose(candidates)].answer == "2"


async def test_earlier_samples_count():
    plan = a_plan("p_true", n=4)
    first = await Rig().run(a_plan("direct", skill="solve"))
    rig = Rig(Toy(accuracy=1.0))
    await rig.run(plan, evidence=Evidence(outcomes=(first,)))
    assert Counter(call.skill for call in rig.toy.calls) == {"solve": 3, "true": 1}


# --- self_evaluation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tau", "samples"), [(0, 1), (1.01, 6)])
async def test_tau_decides_between_one_sample_and_all(tau, samples):
    rig = Rig(Toy(accuracy=1.0))
    await rig.run(a_plan("self_evaluation", n=6, tau=tau))
    assert Counter(call.skill for call in rig.toy.calls)["solve"] == samples


async def test_it_goes_on_until_a_sample_is_good_enough():
    rig = Rig(Toy(accuracy=0.7))
    outcome = await rig.run(a_plan("self_evaluation", n=50, coolest=1.0), a_query("3 1"))
    assert (outcome.answer, outcome.stop_reason) == ("31", "satisfied")
    assert [one.answer == "31" for one in outcome.candidates] == [False] * (len(outcome.candidates) - 1) + [True]


def test_temperatures_go_half_way_each_time():
    assert [annealed(place, 0.0, 1.0) for place in range(4)] == [0.0, 0.5, 0.75, 0.875]
    assert annealed(60, 0.2, 0.8) == pytest.approx(0.8)
    assert annealed(0, 0.2, 0.8) == pytest.approx(0.2)


async def test_samples_are_drawn_from_cool_to_hot():
    rig = Rig()
    await rig.run(a_plan("self_evaluation", n=4, tau=2, temperature=0.8))
    assert [call.temperature for call in rig.toy.calls if call.skill == "solve"] == pytest.approx([0.0, 0.4, 0.6, 0.7])


@dataclass
class Graded(Toy):
    """The first token of an evaluation has the log-probability `first`, all others another one."""

    first: float = -0.3

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        return replace(sample, logprobs=(self.first, *(-7.0,) * (spent.completion - 1))) if call.skill == "restart" else sample


async def test_the_score_is_that_of_one_token():
    outcome = await Rig(Graded(accuracy=1.0)).run(a_plan("self_evaluation", n=1))
    assert outcome.candidates[0].score == pytest.approx(exp(-0.3))


async def test_early_pruning_leaves_the_promising():
    rig = Rig(Toy(accuracy=0.7))
    outcome = await rig.run(a_plan("self_evaluation", n=8, batch=8, tau=2, coolest=1.0, marks=[2, 6], survivors=0.5))
    written = Counter(len(call.prefix) for call in rig.toy.calls if call.skill == "solve")
    assert written == {0: 8, 2: 4, 6: 2}
    assert len(outcome.candidates) == 2
    going_on = {call.prefix for call in rig.toy.calls if call.skill == "solve"}
    judged = {call.texts[0] for call in rig.toy.calls if call.skill == "restart" and len(call.texts[0]) == 2}
    assert "3\n" in judged  # the oracle of the toy finds right beginnings
    assert {text for text in going_on if len(text) == 2} == {"3\n"}
    assert outcome.usage.discarded_tokens > 0


async def test_a_round_of_one_prunes_nothing_and_asks_nothing():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("self_evaluation", n=1, marks=[4]))
    assert Counter(call.skill for call in rig.toy.calls) == {"solve": 2, "restart": 1}
    assert outcome.text == PLAIN


async def test_a_sample_that_ends_before_the_mark_is_whole():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("self_evaluation", n=4, batch=4, tau=2, marks=[60]))
    assert [one.answer for one in outcome.candidates] == ["31415"] * 4


async def test_a_truncated_sample_is_not_evaluated():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("self_evaluation", n=2, max_tokens=7))
    assert Counter(call.skill for call in rig.toy.calls) == {"solve": 2}
    assert (outcome.answer, outcome.stop_reason) == (None, "done")


async def test_the_best_by_its_own_score():
    candidates = [candidate("1", 0.2), candidate("1", 0.3), candidate("2", 0.8)]
    assert strategies.build("self_evaluation", {}).choose(candidates) == 2


# --- reflection_suppression ------------------------------------------------------------------------------------------


@dataclass
class Reflecting(Toy):
    """Has a second thought before every step, unless that is suppressed; `tops` are the likeliest alternatives of its every token."""

    tops: tuple[float, ...] = (0.0,)

    def worked(self, call: Call) -> str:
        text = super().worked(call)
        return text if "Wait" in call.suppress or call.prefix.endswith(("Answer:", "Wait\n")) or not text[0].isdigit() else f"Wait\n{text}"

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        return replace(sample, top_logprobs=(self.tops,) * spent.completion) if call.top_logprobs else sample


FLAT = (log(0.25),) * 4


def test_entropy_by_hand():
    assert entropy([0.0]) == 0
    assert entropy([log(0.25)] * 4) == pytest.approx(log(4))
    assert entropy([log(0.5)]) == pytest.approx(log(2))  # all others as one
    assert entropy([log(0.7), log(0.3), -800.0]) == pytest.approx(-0.7 * log(0.7) - 0.3 * log(0.3))


def test_certainty_and_its_chance_by_hand():
    assert certainty([(0.0,), (0.0,)], 1000) == 1
    assert certainty([[log(0.25)] * 4, [0.0]], 16) == pytest.approx(0.75)
    assert certainty([[log(0.25)] * 4], 4) == pytest.approx(0)
    assert certainty([], 16) == 0
    assert (suppression(1.0, 0.9), suppression(0.9, 0.9), suppression(0.2, 0.9)) == (1.0, 0.0, 0.0)
    assert suppression(0.95, 0.9) == pytest.approx(0.5)


async def test_an_unsure_model_writes_what_it_always_does():
    rig = Rig(Reflecting(tops=FLAT))
    outcome = await rig.run(a_plan("reflection_suppression", vocabulary=16))
    assert all(not call.suppress for call in rig.toy.calls)
    assert outcome.text == "".join(f"Wait\n{digit}\n" for digit in "31415") + "Answer: 31415"


async def test_a_sure_model_has_no_second_thoughts_once_it_was_asked():
    rig = Rig(Reflecting())
    outcome = await rig.run(a_plan("reflection_suppression"))
    assert outcome.text == "Wait\n" + PLAIN
    steps = [call for call in rig.toy.calls if not call.prefix.endswith("Answer:")]
    assert [bool(call.suppress) for call in steps] == [False] + [True] * (len(steps) - 1)
    assert {"Wait", "But", "Hmm"} <= set(steps[1].suppress)


async def test_in_between_it_is_a_matter_of_chance():
    tops = (log(0.99), log(0.01))  # 0.056 nats, of log 4 0.0404: C = 0.9596, suppressed with chance 0.596
    chance = suppression(certainty([tops], 4), 0.9)
    suppressed, steps = 0, 0
    for seed in range(40):
        toy = Reflecting(tops=tops)
        await Rig(toy).run(a_plan("reflection_suppression", vocabulary=4), a_query(seed=seed))
        asked = [call for call in toy.calls if not call.prefix.endswith("Answer:")][1:]
        suppressed, steps = suppressed + sum(bool(call.suppress) for call in asked), steps + len(asked)
    assert suppressed / steps == pytest.approx(chance, abs=4 * (chance * (1 - chance) / steps) ** 0.5)


async def test_probes_do_not_get_into_the_trace_and_stand_in_for_it_if_it_is_cut():
    rig = Rig(Reflecting())
    outcome = await rig.run(a_plan("reflection_suppression"), tokens=120)
    assert (outcome.stop_reason, outcome.answer) == ("budget", "31415")
    assert all("Answer:\n" not in call.prefix for call in rig.toy.calls)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("abstention", {"tau": 1.5}),
        ("abstention", {"over": "max"}),
        ("p_true", {"n": 0}),
        ("p_true", {"select": "majority"}),
        ("p_true", {"asks": 0}),
        ("self_evaluation", {"n": 0}),
        ("self_evaluation", {"marks": [8, 4]}),
        ("self_evaluation", {"marks": [300]}),
        ("self_evaluation", {"survivors": 0}),
        ("self_evaluation", {"tau": -0.1}),
        ("reflection_suppression", {"delta": 1.0}),
        ("reflection_suppression", {"vocabulary": 1}),
        ("reflection_suppression", {"top": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=name):
        strategies.build(name, options)
