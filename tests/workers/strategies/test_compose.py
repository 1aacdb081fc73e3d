"""Verifying, refining and composing: what each does of its own, and the arithmetic behind it."""

import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from router.ports import Spent
from router.types import Call, Fate, Finish, Sample
from tests.workers.toy import Box, Oracle, Rig, Toy, a_plan, a_query, solved
from workers.parts import layers as archon
from workers.parts.judging import chance, verdict
from workers.parts.layers import calls, design, ranking, searched
from workers.parts.programs import source
from workers.parts.tournament import Ratings
from workers.sandbox import ProcessSandbox
from workers.strategies import strategies
from workers.strategies.magicore import confidence, is_hard
from workers.strategies.plangen import bound
from workers.strategies.rlot_navigator import ACTIONS, ITEMS, allowed, values

RIGHT, DIGITS = "31415", "3 1 4 1 5"


@dataclass
class Scripted(Toy):
    """A toy that answers calls of a skill from a list, the last entry over and over."""

    script: dict[str, list[str]] = field(default_factory=dict)
    logprob: float = -0.1

    def solution(self, call: Call) -> str:
        lines = self.script.get(call.skill)
        return (lines.pop(0) if len(lines) > 1 else lines[0]) if lines else super().solution(call)

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        return replace(sample, logprobs=(self.logprob,) * sample.completion_tokens)

    def asked(self, skill: str) -> list[Call]:
        return [call for call in self.calls if call.skill == skill]


def answer(text: str) -> str:
    return f"Answer: {text}"


# --- genrm -------------------------------------------------------------------------------------------------------------


async def test_without_checks_generative_verification_is_a_majority():
    checked = await Rig(Toy(accuracy=0.6)).run(a_plan("genrm", n=9, verifications=0), a_query("3 1"))
    voted = Counter(one.answer for one in checked.candidates)
    assert checked.answer == voted.most_common(1)[0][0]


async def test_a_reliable_check_finds_the_one_right_solution():
    toy = Scripted(script={"solve": [answer("1"), answer("1"), answer(RIGHT), answer("1")]})
    toy.right = lambda call, text: text == answer(RIGHT)
    outcome = await Rig(toy).run(a_plan("genrm", n=4, verifications=2, select="best"))
    assert outcome.answer == RIGHT
    assert len(toy.asked("verify")) == 2 * 2  # of each different text


async def test_a_check_that_cannot_be_read_is_left_out_of_the_mean():
    toy = Scripted(script={"solve": [answer("1")], "verify": ["no idea", "Verdict: Yes", "Verdict: Yes", "Verdict: No"]})
    outcome = await Rig(toy).run(a_plan("genrm", n=1, verifications=4, reading="binary"))
    assert outcome.candidates[0].score == pytest.approx(2 / 3)


async def test_a_constant_verifier_leaves_the_majority():
    toy = Scripted(accuracy=0.6, script={"verify": ["Verdict: Yes"]})
    outcome = await Rig(toy).run(a_plan("genrm", n=15, verifications=1, reading="binary"), a_query("3 1"))
    assert outcome.answer == Counter(one.answer for one in outcome.candidates).most_common(1)[0][0]


async def test_the_cost_is_s_times_one_plus_v():
    toy = Scripted(script={"solve": [answer(str(number)) for number in range(6)]})
    await Rig(toy).run(a_plan("genrm", n=6, verifications=3))
    assert len(toy.calls) == 6 * (1 + 3)


@pytest.mark.parametrize(("said", "expected"), [(True, math.exp(-0.2)), (False, 1 - math.exp(-0.2))])
def test_p_yes_comes_from_the_word_before_the_end(said, expected):
    sample = Sample(text="", prompt_tokens=1, completion_tokens=3, finish=Finish.END, logprobs=(-3.0, -0.2, -0.01))
    assert chance(sample, said=said) == pytest.approx(expected)
    assert chance(replace(sample, logprobs=()), said=said) == float(said)


# --- tournament --------------------------------------------------------------------------------------------------------


def met(count, judge, *, least=2, window=2, budget=None, seed=0):
    """A whole tournament among contestants of strength 0 to 9 under a judge."""
    rng, ratings, left = np.random.default_rng(seed), Ratings(count), 3 * count if budget is None else budget
    while left > 0:
        pairs = ratings.coverage(min(least, count - 1), left, rng) or ratings.swiss(window, left)
        if not pairs:
            break
        for one, other in pairs:
            ratings.tell(one, other, judge(one, other))
        left -= len(pairs)
    return ratings


@pytest.mark.parametrize("count", [2, 3, 5, 8, 16])
def test_a_perfect_judge_finds_the_best(count):
    strength = [3, 7, 1, 9, 2, 8, 0, 5, 4, 6, 1, 2, 3, 4, 5, 6][:count]
    best = max(range(count), key=strength.__getitem__)
    for seed in range(5):
        ratings = met(
            count, lambda one, other: (strength[one], strength[other]), budget=math.ceil(count * max(1, math.log2(count))) + count, seed=seed
        )
        assert max(range(count), key=ratings.rate) == best


@pytest.mark.parametrize("count", [2, 3, 4, 7, 8])
def test_everybody_meets_enough_others_first(count):
    ratings, rng = Ratings(count), np.random.default_rng(1)
    while pairs := ratings.coverage(min(2, count - 1), 99, rng):
        for pair in pairs:
            ratings.tell(*pair, (5, 5))
    assert all(ratings.degree(one) >= min(2, count - 1) for one in range(count))
    assert len(ratings.met) <= count * 2


def test_few_comparisons_are_spread_and_never_exceeded():
    ratings = met(8, lambda one, other: (one, other), budget=3)
    assert len(ratings.met) == 3
    assert sum(ratings.degree(one) > 0 for one in range(8)) == 6


def test_a_tie_weighs_nothing_and_the_order_shown_does_not_matter():
    one, two = Ratings(3), Ratings(3)
    one.tell(0, 1, (9, 3))
    two.tell(1, 0, (3, 9))
    assert [one.rate(place) for place in range(3)] == [two.rate(place) for place in range(3)] == [1.0, 0.0, 0.5]
    one.tell(0, 2, (4, 4))
    assert (one.rate(0), one.rate(2)) == (1.0, 0.5)


def test_margins_weigh():
    ratings = Ratings(3)
    ratings.tell(0, 1, (9, 0))
    ratings.tell(0, 2, (4, 5))
    assert ratings.rate(0) == pytest.approx(9 / 10)


async def test_equal_answers_are_one_contestant():
    toy = Scripted(script={"solve": [answer("1"), "2\n" + answer("1"), answer(RIGHT)]})
    outcome = await Rig(toy).run(a_plan("tournament", n=4))
    assert len(toy.asked("judge")) == 1
    assert outcome.stop_reason == "done"
    alone = Scripted(script={"solve": [answer("1")]})
    assert (await Rig(alone).run(a_plan("tournament", n=4))).stop_reason == "unopposed"
    assert not alone.asked("judge")


async def test_a_judge_who_talks_nonsense_leaves_the_majority():
    toy = Scripted(script={"solve": [answer("1"), answer("2"), answer("2"), answer("3")], "judge": ["they are both nice"]})
    outcome = await Rig(toy).run(a_plan("tournament", n=4))
    assert outcome.answer in {"1", "2", "3"}
    assert {one.score for one in outcome.candidates} == {0.5}


# --- programs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("print(1)", "print(1)"),
        ("So:\n```python\nprint(2)\n```\ndone", "print(2)\n"),
        ("```\na\n```\n```py\nb\n```", "b\n"),
        ("```python\ncut", "cut"),
    ],
)
def test_a_program_is_what_stands_in_the_last_fence(text, program):
    assert source(text) == program


async def test_only_solutions_that_a_program_agrees_with_count():
    toy = Scripted(script={"solve": [answer("1"), answer("1"), answer("1"), answer(RIGHT)]})
    outcome = await Rig(toy).run(a_plan("cot_pot", n=4, programs=2))
    assert (outcome.answer, outcome.stop_reason) == (RIGHT, "agreement")


@pytest.mark.parametrize("program", ["while True: pass", "print('nothing')", "raise ValueError", "import os; os.fork()", "", "print(31415"])
async def test_where_no_program_agrees_it_is_a_majority(program):
    toy = Scripted(script={"solve": [answer("1"), answer("1"), answer(RIGHT)], "program": [program]})
    rig = Rig(toy, box=Box(ProcessSandbox(seconds=0.3)))
    outcome = await rig.run(a_plan("cot_pot", n=3, programs=1))
    assert (outcome.answer, outcome.stop_reason) == ("1", "no agreement")
    assert rig.box.programs == [program]


async def test_a_truncated_program_is_not_run():
    rig = Rig(Scripted(script={"solve": [answer("1")]}))
    await rig.run(a_plan("cot_pot", n=1, programs=2, program_tokens=4))
    assert rig.box.programs == []


async def test_programs_may_answer_themselves():
    toy = Scripted(script={"solve": ["no idea"]})
    assert (await Rig(toy).run(a_plan("cot_pot", n=2, programs=2))).answer is None
    assert (await Rig(toy).run(a_plan("cot_pot", n=2, programs=2, answer_by_program=True))).answer == RIGHT


# --- refining ----------------------------------------------------------------------------------------------------------


async def test_refining_ends_when_accepted_or_at_a_fixed_point():
    right = await Rig(Toy(accuracy=1.0)).run(a_plan("sequential_refinement", tau=0.5))
    assert (right.stop_reason, right.usage.samples) == ("accepted", 2)
    stuck = Scripted(script={"solve": [answer("1")], "refine": [answer("1")]})
    outcome = await Rig(stuck).run(a_plan("sequential_refinement", rounds=5))
    assert (outcome.stop_reason, len(stuck.asked("refine"))) == ("fixed point", 1)


async def test_a_later_solution_takes_the_vote_but_an_unreadable_one_does_not():
    toy = Scripted(script={"solve": [answer("1")], "refine": [answer("2"), "no idea", answer("3")]})
    outcome = await Rig(toy).run(a_plan("sequential_refinement", rounds=3, check=False))
    assert outcome.answer == "3"
    assert [one.fate for one in outcome.candidates] == [Fate.DISCARDED, Fate.DISCARDED, Fate.DISCARDED, Fate.KEPT]
    assert [call.texts[0] for call in toy.asked("refine")] == [answer("1"), answer("2"), answer("2")]


async def test_no_rounds_are_one_sample():
    refined = await Rig().run(a_plan("sequential_refinement", rounds=0, temperature=0.0))
    direct = await Rig().run(a_plan("direct", skill="solve"))
    assert (refined.text, refined.usage.tokens) == (direct.text, direct.usage.tokens)


async def test_one_round_of_one_draft_is_one_sample():
    distilled = await Rig().run(a_plan("parallel_distill_refine", widths=[1], temperature=0.0))
    direct = await Rig().run(a_plan("direct", skill="solve"))
    assert (distilled.text, distilled.usage.tokens) == (direct.text, direct.usage.tokens)


@pytest.mark.parametrize(("distil", "samples"), [("summary", 4 + 1 + 2 + 1 + 1), ("vote", 4 + 2 + 1), ("random", 4 + 2 + 1)])
async def test_drafts_are_distilled_between_rounds_and_the_context_stays_bounded(distil, samples):
    toy = Toy(accuracy=0.7)
    outcome = await Rig(toy).run(a_plan("parallel_distill_refine", widths=[4, 2, 1], distil=distil, workspace_tokens=24))
    assert outcome.usage.samples == samples
    for call in toy.calls:
        if call.skill == "refine":
            assert len(call.texts[0]) <= 24 or distil != "summary"
    assert sum(one.fate is Fate.KEPT for one in outcome.candidates) <= 1


async def test_a_round_that_nobody_can_read_leaves_the_votes_as_they_were():
    toy = Scripted(script={"solve": [answer("1")], "refine": ["no idea"], "summarise": ["so"]})
    assert (await Rig(toy).run(a_plan("parallel_distill_refine", widths=[2, 2]))).answer == "1"


async def test_the_best_score_never_falls():
    for seed in range(8):
        outcome = await Rig(Toy(accuracy=0.75)).run(a_plan("iterative_agent_decoding", n=6), a_query(seed=seed))
        scores = [one.score for one in outcome.candidates if one.score is not None]
        best = list(itertools.accumulate(scores, max))
        assert outcome.answer is None or max(scores) == best[-1]
        chosen = next(one for one in outcome.candidates if one.text == outcome.text)
        assert chosen.score == max(scores)


async def test_without_feedback_attempts_are_independent():
    toy = Toy(accuracy=0.3)
    await Rig(toy).run(a_plan("iterative_agent_decoding", n=5, feedback="none", enough=2.0))
    assert [call.skill for call in toy.calls] == ["solve"] * 5


async def test_with_a_check_as_feedback_there_are_two_calls_a_round():
    toy = Scripted(script={"solve": [answer("1")], "refine": [answer("2")]})
    await Rig(toy).run(a_plan("iterative_agent_decoding", n=4, enough=2.0))
    assert Counter(call.skill for call in toy.calls) == {"solve": 1, "verify": 3, "refine": 3}
    assert "This was no better:" in toy.asked("refine")[-1].texts[1]


async def test_enough_is_enough():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("iterative_agent_decoding", n=6, enough=0.85))
    assert (outcome.stop_reason, outcome.usage.samples) == ("enough", 1)


# --- dser --------------------------------------------------------------------------------------------------------------


class Markov(Toy):
    """Mends with chance `mend`, spoils with chance `spoil`; checks never know."""

    mend = spoil = 0.0

    def solution(self, call: Call) -> str:
        rng = random.Random(call.seed)
        if call.skill == "verify":
            return "Verdict: No"
        right = call.skill == "refine" and call.texts[0] == answer(RIGHT)
        if call.skill == "refine":
            right = rng.random() >= self.spoil if right else rng.random() < self.mend
        return answer(RIGHT) if right else answer(str(rng.randint(0, 9)))


@pytest.mark.parametrize(("mend", "spoil", "low", "high"), [(0.5, 0.1, 0.85, 1.0), (0.1, 0.5, 0.0, 0.4)])
async def test_the_vote_follows_the_stationary_share(mend, spoil, low, high):
    """pi = mend / (mend + spoil): above one half the majority is right, below it is not."""
    rights = 0
    for seed in range(30):
        toy = Markov()
        toy.mend, toy.spoil = mend, spoil
        outcome = await Rig(toy).run(a_plan("dser", chains=5, rounds=14, tail=6), a_query(seed=seed))
        rights += outcome.answer == RIGHT
    assert low <= rights / 30 <= high


async def test_each_chain_has_one_vote():
    outcome = await Rig(Toy(accuracy=0.6)).run(a_plan("dser", chains=3, rounds=4))
    assert sum(one.fate is Fate.KEPT for one in outcome.candidates) == 3


async def test_it_always_refines_and_keeps_only_the_tail():
    toy = Markov()
    toy.mend = 0.3
    outcome = await Rig(toy).run(a_plan("dser", chains=2, rounds=6, tail=2))
    assert len([call for call in toy.calls if call.skill == "refine"]) == 12
    assert len(outcome.candidates) == 14


async def test_checks_that_keep_changing_their_mind_end_a_chain():
    toy = Scripted(script={"solve": [answer("1")], "refine": [answer("1")], "verify": ["Verdict: Yes", "Verdict: No"] * 4 + ["Verdict: No"]})
    await Rig(toy).run(a_plan("dser", chains=1, rounds=8))
    assert len(toy.asked("refine")) == 2


# --- magicore ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("voting", "hard"),
    [
        ([("a", (0.9, 0.9))] * 4, False),  # well rewarded
        ([("a", (0.1, 0.1))] * 4, False),  # poor, but of one mind: entropy 0, confidence 1
        ([(name, (0.1, 0.1)) for name in "abcd"], True),  # poor, and torn
        ([(name, (0.9, 0.9)) for name in "abcd"], False),  # torn, but well rewarded
        ([("a", (0.1, 0.0)), ("b", (0.1, 0.1)), ("c", (0.1, 0.1)), ("d", (0.1, 0.1))], True),
    ],
)
def test_what_is_hard(voting, hard):
    assert is_hard(voting, 1.0, 0.5, 0.5) is hard


def test_confidence_of_a_vote():
    assert confidence([1.0]) == 1.0
    assert confidence([0.5, 0.5]) == pytest.approx(2 * (1 - 1 / (1 + 0.5)))
    assert confidence([0.25] * 4) < 0.5 < confidence([0.5, 0.5])


async def test_an_easy_question_is_not_refined():
    toy = Toy(accuracy=1.0)
    outcome = await Rig(toy).run(a_plan("magicore", n=4))
    assert outcome.stop_reason == "confident"
    assert {call.skill for call in toy.calls} == {"solve"}


async def test_a_hard_question_is_refined_at_most_so_often_and_keeps_the_best():
    toy = Scripted(script={"solve": [answer(str(number)) for number in range(4)], "refine": [answer("8"), answer("9"), answer(RIGHT), answer("7")]})
    rig = Rig(toy, Oracle())
    outcome = await rig.run(a_plan("magicore", n=4, iterations=1))
    assert len(toy.asked("refine")) == len(toy.asked("verify")) == 4
    assert sum(one.fate is Fate.KEPT for one in outcome.candidates) == 4


# --- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("[4] > [2] > [1] > [3]", [3, 1, 0, 2]),
        ("[2]", [1, 0, 2, 3]),
        ("2 > 2 > 9 > 1", [1, 0, 2, 3]),
        ("none", [0, 1, 2, 3]),
        ("[3-4] > [1]", [2, 3, 0, 1]),
        ("0 > \u0663 > 4", [3, 0, 1, 2]),
    ],
)
def test_a_ranking_is_always_complete(text, order):
    assert ranking(text, 4) == order


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ([[{"generate": {"n": 1}}]], 1),
        ([[{"generate": {"n": 5}}], [{"critique": {}}], [{"rank": {"top": 3}}], [{"fuse": {"n": 2}}], [{"verify": {}}]], 5 + 5 + 5 + 2 + 2),
        ([[{"generate": {"n": 4}}, {"generate": {"n": 2}}], [{"rank": {"by": "rank"}}], [{"tests": {"n": 3}}]], 6 + 1 + (1 + 5 * 3)),
    ],
)
async def test_calls_are_counted_by_formula(written, count):
    assert calls(design(written)) == count


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ([], "at least one layer"),
        ([[]], "no empty one"),
        ([[{"rank": {}}]], "the first layer generates"),
        ([[{"generate": {}}], [{"generate": {}}]], "only the first layer"),
        ([[{"generate": {}}], [{"critique": {}}]], "a critique is for"),
        ([[{"generate": {}}], [{"verify": {}}], [{"fuse": {}}]], "come at the end"),
        ([[{"generate": {"n": 0}}]], "at least 1"),
        ([[{"generate": {"m": 2}}]], "not m"),
        ([[{"sing": {}}]], "no component 'sing'"),
        ([[{"generate": {}}], [{"tests": {"n": 99}}]], "at most 10 tests"),
        ([[{"generate": {}}], [{"rank": {"by": "smell"}}]], "by score or by rank"),
    ],
)
def test_designs_that_break_a_rule_are_refused(written, why):
    with pytest.raises(ValueError, match=f"layers: .*{why}"):
        strategies.build("layers", {"layers": written})


async def test_one_generator_is_direct():
    layered = await Rig().run(a_plan("layers", layers=[[{"generate": {"n": 1, "temperature": 0.0}}]]))
    direct = await Rig().run(a_plan("direct", skill="solve"))
    assert (layered.text, layered.usage.tokens, layered.stop_reason) == (direct.text, direct.usage.tokens, "done")


async def test_verification_that_rejects_everything_keeps_everything():
    toy = Scripted(script={"solve": [answer("1"), answer("2"), answer("2")], "verify": ["Verdict: No"]}, logprob=-0.01)
    outcome = await Rig(toy).run(a_plan("layers", layers=[[{"generate": {"n": 3}}], [{"verify": {}}]]))
    assert sum(one.fate is Fate.KEPT for one in outcome.candidates) == 3


async def test_verification_drops_what_is_wrong():
    toy = Toy(accuracy=0.6)
    toy.right = lambda call, text: text == solved(DIGITS)
    plan = a_plan("layers", layers=[[{"generate": {"n": 12}}], [{"verify": {}}]])
    outcome = await Rig(toy).run(plan)
    kept = {one.text for one in outcome.candidates if one.fate is Fate.KEPT}
    assert kept == {solved(DIGITS)} or solved(DIGITS) not in {one.text for one in outcome.candidates}


async def test_fused_drafts_see_the_critiques_and_take_the_places_of_the_others():
    toy = Scripted(script={"solve": [answer("1"), answer("2")], "verify": ["1 wrong\nVerdict: No"], "summarise": [answer(RIGHT)]})
    plan = a_plan("layers", layers=[[{"generate": {"n": 2}}], [{"critique": {}}], [{"fuse": {"n": 1}}]])
    outcome = await Rig(toy).run(plan)
    assert outcome.answer == RIGHT
    assert sorted(toy.asked("summarise")[0].texts) == ["Answer: 1\n1 wrong\nVerdict: No", "Answer: 2\n1 wrong\nVerdict: No"]


async def test_ranking_in_one_call_needs_the_skill_and_keeps_the_top():
    plan = a_plan("layers", layers=[[{"generate": {"n": 3}}], [{"rank": {"by": "rank", "top": 1}}]])
    assert strategies.build("layers", plan.options).needs == {"skill:rank"}
    toy = Scripted(script={"solve": [answer("1"), answer("2"), answer("3")], "rank": ["[2] > [3] > [1]"]})
    toy.capabilities = toy.capabilities | {"skill:rank"}
    outcome = await Rig(toy).run(plan)
    drafts = [one.text for one in outcome.candidates]
    assert outcome.text == toy.asked("rank")[0].texts[1] == drafts[1]


async def test_tests_rank_by_what_passes():
    toy = Scripted(script={"solve": [answer("1"), answer(RIGHT)], "tests": ["it is long\nit is odd"], "passes": ["Failed"]})
    toy.capabilities = toy.capabilities | {"skill:tests", "skill:passes"}
    toy.passes = lambda call: "Passed" if RIGHT in call.texts[0] else "Failed"
    toy.script.pop("passes")
    outcome = await Rig(toy).run(a_plan("layers", layers=[[{"generate": {"n": 2}}], [{"tests": {"n": 2}}]]))
    assert outcome.answer == RIGHT


def test_the_search_finds_a_good_design_within_its_budget():
    """A made-up quality that likes eight drafts, a ranking and one fuser; random search needs far more than 20 trials of over a hundred designs."""

    def quality(layers):
        kinds = [next(iter(one[0])) for one in layers]
        return -abs(math.log2(layers[0][0]["generate"]["n"]) - 3) + ("rank" in kinds) - abs(kinds.count("fuse") - 1) - 0.5 * ("verify" in kinds)

    space = archon._within(40)
    best = max(quality(archon.written(choice)) for choice in space)
    assert len(space) > 60
    found = []
    for seed in range(5):
        layers, value = searched(quality, budget=40, trials=20, rng=np.random.default_rng(seed))
        assert calls(design(layers)) <= 40
        assert quality(layers) == value
        found.append(value)
    assert sum(value == best for value in found) >= 4


def test_a_search_without_room_says_so():
    with pytest.raises(ValueError, match="at most 0 calls"):
        searched(lambda layers: 0.0, budget=0, trials=3, rng=np.random.default_rng(0))


# --- plangen -----------------------------------------------------------------------------------------------------------


async def test_every_arm_is_pulled_once_before_any_again_and_verified_answers_end_it():
    arms = [{"strategy": "direct", "options": {"skill": "solve"}}, {"strategy": "self_consistency", "options": {"n": 2}}]
    toy = Scripted(script={"solve": [answer("1")], "verify": ["Verdict: No"]})
    outcome = await Rig(toy).run(a_plan("plangen", arms=arms, rounds=2))
    assert (outcome.stop_reason, outcome.usage.samples) == ("rounds", 1 + 1 + (1 + 1) + (2 + 1))
    right = await Rig(Toy(accuracy=1.0)).run(a_plan("plangen", arms=arms, enough=0.5))
    assert (right.stop_reason, right.answer) == ("verified", RIGHT)


def test_the_bound_grows_with_what_is_unknown_new_and_recovering():
    weights = strategies.build("plangen")
    base = bound([0.5, 0.5], [0.0, 0.0], 4, weights)
    assert bound([0.5], [0.0], 4, weights) > base
    assert bound([0.5, 0.5], [0.5, 0.5], 4, weights) > base
    assert bound([0.4, 0.6], [0.0, 0.0], 4, weights) > base
    assert bound([0.6, 0.4], [0.0, 0.0], 4, weights) == pytest.approx(base)


@pytest.mark.parametrize("options", [{"rounds": 0}, {"arms": []}, {"arms": [{"strategy": "plangen"}]}, {"arms": [{"strategy": "direct", "n": 1}]}])
def test_arms_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="plangen"):
        strategies.build("plangen", options)


# --- navigator ---------------------------------------------------------------------------------------------------------


def test_the_rules_leave_open_what_makes_sense():
    assert allowed(answered=False, taken=0) == ("reason", "decompose", "debate")
    assert "refine" in allowed(answered=False, taken=1)
    assert allowed(answered=True, taken=3) == ("refine", "terminate")
    assert all("terminate" not in allowed(answered=False, taken=taken) for taken in range(3))


def a_network(rng, hidden=32):
    shapes = {"hidden": (ITEMS, hidden), "hidden_bias": (hidden,), "value": (hidden, 1), "value_bias": (1,)}
    shapes |= {"advantage": (hidden, len(ACTIONS)), "advantage_bias": (len(ACTIONS),)}
    return {name: rng.normal(size=shape).tolist() for name, shape in shapes.items()}


def test_a_dueling_network_is_value_and_centred_advantage():
    network = a_network(np.random.default_rng(0))
    found = values(network, np.full(ITEMS, 2.0))
    hidden = np.maximum(0, np.full(ITEMS, 2.0) @ np.array(network["hidden"]) + network["hidden_bias"])
    assert found.mean() == pytest.approx(float((hidden @ np.array(network["value"]) + network["value_bias"])[0]))


async def test_any_network_ends_within_its_blocks():
    for seed in range(6):
        network = a_network(np.random.default_rng(seed))
        outcome = await Rig(Toy(accuracy=0.7)).run(a_plan("rlot_navigator", network=network, most=6), a_query(seed=seed))
        assert outcome.stop_reason in ("terminated", "blocks")
        assert outcome.answer is not None


@pytest.mark.parametrize("network", [{}, {"hidden": [[1.0]]}, {**a_network(np.random.default_rng(1)), "advantage_bias": [0.0, 0.0]}])
def test_a_network_that_does_not_fit_is_refused(network):
    with pytest.raises(ValueError, match="rlot_navigator"):
        strategies.build("rlot_navigator", {"network": network})


async def test_a_right_solution_is_reasoned_to_its_end_and_terminated():
    toy = Toy(accuracy=1.0)
    outcome = await Rig(toy).run(a_plan("rlot_navigator"))
    assert (outcome.answer, outcome.stop_reason) == (RIGHT, "terminated")
    assert {call.skill for call in toy.calls} == {"solve", "score"}


async def test_a_wrong_one_is_refined():
    toy = Toy(accuracy=0.3)
    await Rig(toy).run(a_plan("rlot_navigator"))
    assert "refine" in {call.skill for call in toy.calls}


# --- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("genrm", {"n": 0}),
        ("genrm", {"reading": "tea leaves"}),
        ("tournament", {"ratio": -1}),
        ("cot_pot", {"programs": 0}),
        ("sequential_refinement", {"rounds": -1}),
        ("parallel_distill_refine", {"widths": []}),
        ("parallel_distill_refine", {"distil": "gin"}),
        ("iterative_agent_decoding", {"feedback": "applause"}),
        ("dser", {"flips": 2.0}),
        ("magicore", {"deviation": 0.0}),
        ("rlot_navigator", {"most": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=name):
        strategies.build(name, options)


async def test_a_verdict_of_a_truncated_check_is_none():
    found = []

    @dataclass(frozen=True)
    class Ask:
        needs = frozenset()
        spends = ""

        async def run(self, query, tools):
            found.append(await verdict(query, tools, "x", max_tokens=3))
            return "done"

        def choose(self, candidates):
            return None

    strategies._factories["ask"] = Ask
    try:
        await Rig().run(a_plan("ask"))
    finally:
        del strategies._factories["ask"]
    assert found == [None]
