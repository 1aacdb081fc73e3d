"""Strategies that race, go by confidence, cut thoughts, or put questions together."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from math import exp, inf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.ports import Spent
from router.types import Call, Candidate, Evidence, Fate, Finish, Message, Sample, Style, Task
from tests.workers.strategies.scripted import a_path
from tests.workers.toy import Rig, Toy, a_plan, a_query
from workers.parts.confidence import sliding_means, token_certainty, token_confidences, token_entropy
from workers.strategies import strategies
from workers.strategies.batch_prompting import answers_in, questions_in
from workers.strategies.deepconf import SCALE, DeepConf, bar, confident, consensus, trace_confidence
from workers.strategies.fractured import fractions
from workers.strategies.guided_by_gut import mean_probability, novelty
from workers.strategies.self_certainty import SelfCertainty, borda, self_certainty


def kept(answer, score=None, **changes):
    row = {"text": f"{answer} {score}", "answer": answer, "finish": Finish.END, "tokens": 9, "logprob": -0.5, "score": score, **changes}
    return Candidate(**row)


# short-m@k


@dataclass
class Thinker(Toy):
    """Call number i thinks for `lengths[i]` tokens and answers `answers[i]`; with no answer it ends without one."""

    lengths: tuple[int, ...] = ()
    answers: tuple[str, ...] = ()

    def solution(self, call: Call) -> str:
        if call.prefix:
            place = self.lengths.index(len(call.prefix) - len("\nAnswer:"))
            return f" {self.answers[place]}"
        place = len(self.calls) - 1
        answer = self.answers[place]
        return "x" * self.lengths[place] + (f"\nAnswer: {answer}" if answer else "\nno idea")


def thinker(*pairs):
    return Thinker(lengths=tuple(length for length, _ in pairs), answers=tuple(answer for _, answer in pairs), pace=0.0015, even=True)


async def test_the_m_shortest_thoughts_are_answered():
    rig = Rig(thinker((30, "1"), (12, "2"), (24, "3"), (18, "2")))
    outcome = await rig.run(a_plan("short_m_at_k", m=2, k=4))
    voting = [one for one in outcome.candidates if one.fate is Fate.KEPT]
    assert [one.text for one in voting] == [f"{'x' * 12}\nAnswer: 2", f"{'x' * 18}\nAnswer: 2"]
    assert [one.finish for one in voting] == [Finish.END, Finish.END]
    assert (outcome.answer, outcome.stop_reason) == ("2", "done")
    assert [call.prefix for call in rig.toy.calls[4:]] == [f"{'x' * 12}\nAnswer:", f"{'x' * 18}\nAnswer:"]


async def test_the_others_are_charged_until_the_m_th_has_finished_thinking():
    """Tokens thought: the m shortest, and (k - m) times the longest of these."""
    rig = Rig(thinker((60, "1"), (12, "2"), (70, "3"), (20, "2")))
    outcome = await rig.run(a_plan("short_m_at_k", m=2, k=4))
    marker = len("\nAnswer:")
    assert outcome.usage.kept_tokens == 12 + 20 + 2 * marker + 2 * len(" 2 ")
    assert outcome.usage.cancelled_tokens == pytest.approx(2 * (20 + marker), abs=4)
    assert outcome.usage.discarded_tokens == 0


async def test_all_of_all_is_a_majority():
    rig = Rig(thinker((5, "1"), (12, "2"), (24, "3"), (18, "2")))
    outcome = await rig.run(a_plan("short_m_at_k", m=4, k=4))
    assert (outcome.answer, outcome.usage.cancelled_tokens) == ("2", 0)


async def test_a_tie_goes_to_the_shortest_thought_whatever_its_answer_took():
    rig = Rig(thinker((12, "123456789"), (16, "2"), (60, "3")))
    outcome = await rig.run(a_plan("short_m_at_k", m=2, k=3))
    assert outcome.answer == "123456789"
    assert sorted(one.score for one in outcome.candidates if one.fate is Fate.KEPT) == [1 / (17 + 8), 1 / (13 + 8)]


async def test_a_thought_without_an_answer_is_none_of_the_m():
    rig = Rig(thinker((3, ""), (12, "2"), (24, "3")))
    outcome = await rig.run(a_plan("short_m_at_k", m=1, k=3))
    assert outcome.answer == "2"
    assert [one.fate for one in outcome.candidates if one.answer is None] == [Fate.DISCARDED, Fate.CANCELLED]


async def test_a_truncated_thought_is_none_of_the_m():
    outcome = await Rig(thinker((12, "2"), (24, "3"))).run(a_plan("short_m_at_k", m=1, k=2, max_tokens=10))
    assert (outcome.answer, outcome.stop_reason) == (None, "dead_end")


async def test_what_was_read_without_a_marker_is_taken_as_it_is():
    rig = Rig(Toy(style=Style(answer="</think>"), accuracy=1.0, even=True, pace=0.0005))
    outcome = await rig.run(a_plan("short_m_at_k", m=1, k=2))
    assert (outcome.answer, outcome.usage.kept_tokens) == ("31415", len(outcome.text) + 1)


# First finish search


async def test_the_shortest_is_given_and_the_others_cost_as_much():
    rig = Rig(thinker((40, "1"), (14, "2"), (50, "3")))
    outcome = await rig.run(a_plan("first_finish", n=3))
    length = len(f"{'x' * 14}\nAnswer: 2") + 1
    assert (outcome.answer, outcome.stop_reason, outcome.usage.kept_tokens) == ("2", "first", length)
    assert outcome.usage.cancelled_tokens == pytest.approx(2 * length, abs=4)


@pytest.mark.parametrize(
    ("first", "options"),
    [((2, "1"), {"least_tokens": 20}), ((2, ""), {}), ((200, "1"), {"max_tokens": 60})],
    ids=["degenerate", "unreadable", "truncated"],
)
async def test_a_bad_finisher_does_not_end_the_race(first, options):
    rig = Rig(thinker(first, (40, "2"), (90, "3")))
    outcome = await rig.run(a_plan("first_finish", n=3, **options))
    assert (outcome.answer, outcome.stop_reason) == ("2", "first")


async def test_where_all_are_bad_there_is_no_answer():
    outcome = await Rig(thinker((3, "1"), (4, "2"))).run(a_plan("first_finish", n=2, least_tokens=30))
    assert (outcome.answer, outcome.stop_reason, outcome.usage.kept_tokens) == (None, "dead_end", 0)


def test_the_choice_is_the_shortest_that_is_long_enough():
    strategy = strategies.build("first_finish", {"least_tokens": 5})
    candidates = [kept("a", tokens=7), kept("b", tokens=6), kept("c", tokens=4), kept("d", tokens=5, finish=Finish.LENGTH)]
    assert strategy.choose(candidates) == 1
    assert strategy.choose(candidates[2:]) is None


# Confidence


def test_an_even_distribution_has_no_certainty():
    for size in (2, 20, 500):
        assert token_certainty([-log(size)] * size) == pytest.approx(0.0, abs=1e-12)
        assert token_certainty([-log(size)] * (size // 2), vocabulary=size) == pytest.approx(0.0, abs=1e-9)


def test_certainty_is_the_divergence_from_even():
    p = np.array([0.7, 0.2, 0.06, 0.04])
    exact = float(-np.log(4 * p).mean())
    assert token_certainty(np.log(p).tolist()) == pytest.approx(exact)
    assert token_certainty(np.log(p).tolist(), vocabulary=4) == pytest.approx(exact)
    part = token_certainty(np.log(p[:2]).tolist(), vocabulary=4)
    assert part == pytest.approx(-np.log(4 * np.array([0.7, 0.2, 0.05, 0.05])).mean())
    assert part <= exact
    assert token_certainty(np.log(p[:2]).tolist()) == pytest.approx(-np.log(2 * p[:2]).mean())  # taken for the whole, as it stands


@given(st.lists(st.floats(0.01, 1), min_size=6, max_size=6), st.integers(1, 6))
def test_what_is_left_is_spread_evenly_and_that_is_a_lower_bound(parts, top):
    logs = sorted(np.log(np.array(parts) / sum(parts)).tolist(), reverse=True)
    assert -1e-9 <= token_certainty(logs[:top], vocabulary=6) <= token_certainty(logs) + 1e-9
    assert token_entropy(logs[:top]) <= token_entropy(logs) + 1e-9


def test_what_a_server_calls_impossible_stays_finite():
    assert token_certainty([0.0, -inf, -inf]) == pytest.approx(200 / 3 - log(3))
    assert token_entropy([0.0, -inf]) == 0.0
    assert token_entropy([-log(2)] * 2) == pytest.approx(log(2))
    assert token_confidences(sampled([[0.0, -inf]]), 2).tolist() == [50.0]


def sampled(rows, finish=Finish.END):
    return Sample(text="x", prompt_tokens=1, completion_tokens=len(rows), finish=finish, top_logprobs=tuple(map(tuple, rows)))


def test_every_token_written_counts_and_no_other():
    """The reference is one place off: it leaves out the first."""
    assert self_certainty(sampled([[-log(2)] * 2, [log(0.9), log(0.1)]])) == pytest.approx(-np.log(2 * np.array([0.9, 0.1])).mean() / 2)


def test_the_likeliest_alternatives_count_and_one_more_entry_does_not():
    row = [-0.1 * place for place in range(1, 21)]
    assert token_confidences(sampled([[*row, -9.0]]), 20).tolist() == pytest.approx([1.05])
    assert token_confidences(sampled([row]), 20).tolist() == pytest.approx([1.05])


@given(st.lists(st.floats(0, 40), min_size=1, max_size=60), st.integers(1, 20))
def test_sliding_means(values, window):
    expected = [np.mean(values[start : start + window]) for start in range(len(values) - window + 1)] or [np.mean(values)]
    assert sliding_means(np.array(values), window).tolist() == pytest.approx(expected)
    running, found = 0.0, []  # as a server does it, token by token
    for place, value in enumerate(values):
        running += value - (values[place - window] if place >= window else 0)
        found += [running / window] if place >= window - 1 else []
    if len(values) >= window:
        assert found == pytest.approx(expected, abs=1e-9)


def test_a_sequence_shorter_than_the_window_has_its_mean():
    assert sliding_means(np.array([1.0, 2.0, 6.0]), 2048).tolist() == [3.0]


def test_the_four_measures_of_a_trace():
    values = np.array([*[10.0] * 20, *[2.0] * 4, *[10.0] * 16])
    assert trace_confidence(values, "lowest", 4) == 2.0
    assert trace_confidence(values, "bottom", 4) == pytest.approx(np.sort(sliding_means(values, 4))[:3].mean())
    assert trace_confidence(values, "tail", 4) == 10.0
    assert trace_confidence(values, "mean", 4) == pytest.approx(values.mean())


# Self-certainty


def test_borda_votes_go_by_rank():
    assert borda([0.1, 0.9, 0.5, 0.3], 1.0) == [0.25, 1.0, 0.75, 0.5]
    assert borda([0.1, 0.9], 0.5) == pytest.approx([0.5**0.5, 1.0])
    assert borda([0.5, 0.5, 0.1], 1.0) == pytest.approx([5 / 6, 5 / 6, 1 / 3])
    assert borda([], 1.0) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), min_size=1, max_size=12))
def test_a_power_of_zero_is_a_majority_and_a_large_one_takes_the_most_certain(rows):
    candidates = [kept(answer, score) for answer, score in rows]
    counts = Counter(answer for answer, _ in rows)
    majority = candidates[SelfCertainty(power=0.0).choose(candidates)].answer
    assert counts[majority] == max(counts.values())
    if [score for _, score in rows].count(max(score for _, score in rows)) == 1:
        assert candidates[SelfCertainty(power=1e9).choose(candidates)].answer == max(rows, key=lambda row: row[1])[0]
    backwards = SelfCertainty().choose(candidates[::-1])
    assert candidates[::-1][backwards].text == candidates[SelfCertainty().choose(candidates)].text


def test_borda_weighs_rank_against_number():
    candidates = [kept("a", 0.9), kept("b", 0.2), kept("b", 0.1), kept("c", 0.5)]
    assert candidates[SelfCertainty(power=0.0).choose(candidates)].answer == "b"
    assert candidates[SelfCertainty(power=2.0).choose(candidates)].answer == "a"


async def test_samples_are_rated_with_their_certainty():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("self_certainty", n=3, top=3))
    certainty = (0.1 + 2.5 + 4.0) / 3 - log(3)
    assert [one.score for one in outcome.candidates] == pytest.approx([certainty / (1 + certainty)] * 3)


# Guided by Gut


def test_confidence_is_the_mean_probability_of_tokens():
    path = a_path("a\n", "b\n", logprobs=(log(0.5), log(0.7)))
    assert mean_probability(path.samples[-1:]) == pytest.approx(0.6)
    assert mean_probability(()) == 0.0


def test_novelty_is_the_share_of_new_words():
    assert novelty("5 + 3 = 8", known="What is 5 + 3 ?") == pytest.approx(2 / 5)
    assert novelty("same same", known="same") == 0.0
    assert novelty("", known="x") == 0.0


@dataclass
class Hinting(Toy):
    """Is sure of what is right."""

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        sure = self.right(call, call.prefix + sample.text)
        return replace(sample, logprobs=(-0.05 if sure else -2.0,) * sample.completion_tokens)


async def test_the_surest_step_goes_on():
    digits = "2 7 1 8 2 8 1 8"
    outcome = await Rig(Hinting(accuracy=0.4)).run(a_plan("guided_by_gut", trees=1, children=12), a_query(digits))
    blind = await Rig(Toy(accuracy=0.4)).run(a_plan("guided_by_gut", trees=1, children=12), a_query(digits))
    assert (outcome.answer, outcome.stop_reason) == ("27182818", "done")
    assert blind.answer != "27182818"


async def test_trees_are_independent_and_each_grows_one_path():
    rig = Rig(Toy(accuracy=0.6))
    outcome = await rig.run(a_plan("guided_by_gut", trees=3, children=2))
    by_depth = Counter(call.prefix.count("\n") for call in rig.toy.calls)
    assert set(by_depth.values()) == {6}
    assert all(len({call.prefix for call in rig.toy.calls if call.prefix.count("\n") == depth}) <= 3 for depth in by_depth)
    assert rig.oracle.rounds == 0
    assert 3 <= len(outcome.candidates) <= 6
    assert all(one.score == pytest.approx(exp(-0.1)) for one in outcome.candidates)


@dataclass
class Repeating(Toy):
    """Writes the same line again, or now and then another, equally sure of both."""

    def solution(self, call: Call) -> str:
        step = "1\n" if len(self.calls) % 2 else "2\n"
        return "Answer: 9" if call.prefix.count("\n") == 2 else step


async def test_of_equally_sure_steps_the_new_one_goes_on():
    rig = Rig(Repeating())
    outcome = await rig.run(a_plan("guided_by_gut", trees=1, children=2, novelty=0.5), a_query("1"))
    assert outcome.text.startswith("2\n")


async def test_a_truncated_step_is_never_continued():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("guided_by_gut", step_tokens=1))
    assert (outcome.answer, outcome.stop_reason, outcome.usage.kept_tokens) == (None, "dead_end", 0)


# DeepConf


@dataclass
class Doubting(Toy):
    """Call number i has the confidences `doubts[i]`, the last for ever, one for each token; its answer is `answers[i]`. It can be told to halt."""

    doubts: tuple[tuple[float, ...], ...] = ()
    answers: tuple[str, ...] = ("7",)

    def solution(self, call: Call) -> str:
        place = len(self.calls) - 1
        length = len(self.doubts[min(place, len(self.doubts) - 1)])
        ending = f"\nAnswer: {self.answers[min(place, len(self.answers) - 1)]}"
        return "x" * (length - len(ending) - 1) + ending

    async def sample(self, call: Call, spent: Spent) -> Sample:
        place = len(self.calls)
        sample = await super().sample(call, spent)
        rows = tuple((-value,) * call.top_logprobs for value in self.doubts[min(place, len(self.doubts) - 1)])[: sample.completion_tokens]
        for end in range(1, len(rows) + 1):
            if call.halt is not None and call.halt.met(rows[:end]):
                spent.completion = end
                return replace(sample, text=sample.text[:end], completion_tokens=end, finish=Finish.HALTED, top_logprobs=rows[:end])
        return replace(sample, top_logprobs=rows)


SURE, FAIR, POOR = (9.0,) * 30, (6.0,) * 30, (9.0,) * 12 + (1.0,) * 8 + (9.0,) * 10


async def test_what_falls_below_the_bar_is_given_up_and_does_not_vote():
    rig = Rig(Doubting(doubts=(SURE, FAIR, FAIR, SURE, POOR, POOR, POOR, SURE), answers=("1", "2", "1", "1", "9", "9", "9", "1")))
    outcome = await rig.run(a_plan("deepconf", n=8, warmup=4, window=4, keep=100, consensus=1.1, width=1))
    assert [one.finish for one in outcome.candidates] == [Finish.END] * 4 + [Finish.HALTED] * 3 + [Finish.END]
    assert [one.fate for one in outcome.candidates] == [Fate.KEPT] * 4 + [Fate.DISCARDED] * 3 + [Fate.KEPT]
    assert (outcome.answer, outcome.stop_reason) == ("1", "done")
    assert [one.tokens for one in outcome.candidates[4:7]] == [14] * 3  # (2 * 9 + 2 * 1) / 4 is the first mean below 6
    assert [call.halt for call in rig.toy.calls[:4]] == [None] * 4
    assert rig.toy.calls[4].halt.window == 4
    assert rig.toy.calls[4].halt.below == pytest.approx(6.0)


async def test_an_answer_that_stood_before_it_was_given_up_does_not_vote():
    early = Doubting(doubts=(SURE, (9.0,) * 25 + (1.0,) * 15), answers=("1", "9"))
    early.solution = lambda call: "Answer: 1\n" + "x" * 29 if len(early.calls) == 1 else "Answer: 9\n" + "x" * 29
    outcome = await Rig(early).run(a_plan("deepconf", n=4, warmup=1, window=4, consensus=1.1))
    assert [one.answer for one in outcome.candidates] == ["1", "9", "9", "9"]
    assert outcome.answer == "1"


async def test_the_warm_up_below_the_bar_does_not_vote():
    doubts = (SURE, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR)
    rig = Rig(Doubting(doubts=doubts, answers=("1", *["2"] * 9)))
    outcome = await rig.run(a_plan("deepconf", n=10, warmup=10, window=4, keep=1))
    assert (outcome.answer, outcome.stop_reason) == ("1", "consensus")
    assert [one.fate for one in outcome.candidates].count(Fate.KEPT) == 1


async def test_a_short_trace_below_the_bar_does_not_vote():
    rig = Rig(Doubting(doubts=(SURE, (6.0,) * 14), answers=("1", "2")))
    outcome = await rig.run(a_plan("deepconf", n=6, warmup=1, window=20, consensus=1.1))
    assert [one.finish for one in outcome.candidates] == [Finish.END] * 6
    assert (outcome.answer, [one.fate for one in outcome.candidates].count(Fate.KEPT)) == ("1", 1)


async def test_agreement_ends_it():
    rig = Rig(Doubting(doubts=(SURE,), answers=("1", "2", *["1"] * 60)))
    outcome = await rig.run(a_plan("deepconf", n=60, warmup=4, width=1, consensus=0.9))
    assert (len(rig.toy.calls), outcome.stop_reason) == (10, "consensus")  # 9 of 10


async def test_width_changes_neither_what_is_counted_nor_the_answer():
    outcomes = []
    for width in (1, 5, 40):
        rig = Rig(Toy(accuracy=0.8, pace=0.0002 if width == 5 else 0.0))
        outcomes.append(await rig.run(a_plan("deepconf", warmup=4, width=width, consensus=0.7), a_query("3 1 4")))
    assert len({(one.answer, one.stop_reason) for one in outcomes}) == 1
    assert len({tuple(sorted(one.text for one in outcome.candidates if one.fate is Fate.KEPT)) for outcome in outcomes}) == 1


async def test_offline_weighs_by_confidence():
    less = (5.0,) * 30
    rig = Rig(Doubting(doubts=(SURE, SURE, less, less, less), answers=("1", "1", "2", "2", "2")))
    outcome = await rig.run(a_plan("deepconf", n=5, online=False, keep=100, window=4))
    assert [one.score for one in outcome.candidates] == pytest.approx([9 / SCALE] * 2 + [5 / SCALE] * 3)
    assert outcome.answer == "1"  # 18 to 15


async def test_offline_leaves_out_the_least_confident():
    doubts, answers = (SURE, FAIR, FAIR, FAIR), ("1", "2", "2", "2")
    for keep, answer in ((100, "2"), (25, "1")):
        outcome = await Rig(Doubting(doubts=doubts, answers=answers)).run(a_plan("deepconf", n=4, online=False, keep=keep))
        assert outcome.answer == answer


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 1)), min_size=1, max_size=12))
def test_with_no_bar_it_is_a_plain_weighted_vote(rows):
    candidates = [kept(answer, score) for answer, score in rows]
    plain = strategies.build("weighted_majority").choose(candidates)
    assert DeepConf(online=False, keep=100).choose(candidates) == DeepConf().choose(candidates) == plain
    assert bar([score for _, score in rows], 100) == min(score for _, score in rows)


def test_the_bar_is_a_percentile():
    confidences = [float(value) for value in range(1, 17)]
    assert bar(confidences, 10) == pytest.approx(np.percentile(confidences, 90)) == pytest.approx(14.5)
    candidates = [kept("a", value / 100) for value in confidences]
    assert confident(candidates, 10) == [14, 15]
    assert confident([kept("a"), kept(None)], 10) == [0]


def test_the_share_of_the_heaviest_answer():
    assert consensus([kept("a", 0.3), kept("a", 0.3), kept("b", 0.2), kept(None, 0.9), kept("c", 0.9, fate=Fate.DISCARDED)]) == pytest.approx(0.75)
    assert consensus([]) == 0.0


# Fractured sampling


async def test_every_thought_is_answered_from_every_cut_as_often_as_asked():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("fractured", n=3, cuts=4, m=2))
    thought = "3\n1\n4\n1\n5\nAnswer:"
    assert len(outcome.candidates) == 3 * 4 * 2
    assert Counter(call.prefix for call in rig.toy.calls) == {
        "": 3,
        "3\nAnswer:": 6,
        "3\n1\n4\nAnswer:": 6,  # cut in the middle of the line break: it is put in
        "3\n1\n4\n1\nAnswer:": 6,
        thought: 6,
    }
    assert outcome.usage.kept_tokens == 3 * len(thought) + 3 * 4 * 2 * len(" 31415 ")
    assert outcome.usage.discarded_tokens == 0
    assert outcome.answer == "31415"


async def test_one_cut_and_one_solution_is_self_consistency():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("fractured", n=5, cuts=1, m=1))
    plain = await Rig(Toy(accuracy=1.0)).run(a_plan("self_consistency", n=5, tau=1.0))
    assert [one.text for one in outcome.candidates] == [one.text for one in plain.candidates]


def test_cuts_are_even():
    style = Style()
    assert list(fractions("abcdefgh\nAnswer:", 3, style)) == ["abc\nAnswer:", "abcdef\nAnswer:", "abcdefgh\nAnswer:"]
    assert list(fractions("ab\ncd\n", 2, style)) == ["ab\nAnswer:", "ab\ncd\nAnswer:"]  # one that never opened an answer
    assert list(fractions("Answer:", 2, style)) == ["Answer:", "Answer:"]


async def test_a_truncated_thought_is_cut_like_another():
    outcome = await Rig(Toy(accuracy=1.0)).run(a_plan("fractured", n=1, cuts=2, max_tokens=6))
    assert [one.text for one in outcome.candidates] == ["3\n1\nAnswer: 31415", "3\n1\n4\nAnswer: 31415"]


async def test_a_verifier_may_select_among_all_solutions():
    rig = Rig(Toy(accuracy=0.5))
    outcome = await rig.run(a_plan("fractured", select="best"))
    assert set(rig.oracle.asked) == {one.text for one in outcome.candidates if one.answer is not None}
    assert "score" in strategies.build("fractured", {"select": "best"}).needs
    assert "score" not in strategies.build("fractured").needs


async def test_a_budget_that_ends_between_thoughts_answers_from_the_first():
    outcome = await Rig(Toy(accuracy=1.0, pace=0.00001)).run(a_plan("fractured", max_tokens=40, answer_tokens=16), tokens=160)
    assert outcome.answer == "31415"


# Batch prompting


@dataclass
class Quiz(Toy):
    """Adds up each question's numbers. In a batch it forgets the questions numbered in `misses`, and says of those in `wrong` what that has."""

    misses: frozenset[int] = frozenset()
    wrong: dict[int, str] = field(default_factory=dict)

    def solution(self, call: Call) -> str:
        text = call.messages[-1].content
        _, questions = questions_in(text)
        if not questions:
            return f"Answer: {total(text)}"
        lines = [self.wrong.get(number, f"A[{number}]: {total(question.split('Answer every')[0])}") for number, question in questions.items()]
        return "\n".join(line for number, line in zip(questions, lines, strict=True) if number not in self.misses)


def total(text):
    return sum(int(word) for word in text.replace("+", " ").split() if word.isdigit())


def quiz(*numbers):
    return a_query("\n".join(f"Q[{number}]: {number} + {number}" for number in numbers))


async def test_every_number_is_answered_exactly_once():
    rig = Rig(Quiz())
    outcome = await rig.run(a_plan("batch_prompting", size=3), quiz(*range(1, 9)))
    assert outcome.text.splitlines() == [f"A[{number}]: {2 * number}" for number in range(1, 9)]
    assert outcome.answer == "; ".join(f"{number}: {2 * number}" for number in range(1, 9))
    assert (len(rig.toy.calls), outcome.stop_reason) == (3, "done")
    assert outcome.usage.discarded_tokens == 0


async def test_what_is_missing_or_has_another_number_is_asked_again_alone():
    rig = Rig(Quiz(misses=frozenset({2}), wrong={3: "A[30]: 6", 4: "A[4]: 8\nA[4]: 9", 5: "A[5]: ** **"}))
    outcome = await rig.run(a_plan("batch_prompting", size=6), quiz(*range(1, 7)))
    assert outcome.answer == "1: 2; 2: 4; 3: 6; 4: 8; 5: 10; 6: 12"
    assert [call.messages[-1].content for call in rig.toy.calls[1:]] == ["2 + 2", "3 + 3", "4 + 4", "5 + 5"]


async def test_the_order_of_questions_changes_nothing():
    numbers = [5, 2, 7, 1, 6]
    one = await Rig(Quiz()).run(a_plan("batch_prompting", size=2), quiz(*numbers))
    other = await Rig(Quiz()).run(a_plan("batch_prompting", size=2), quiz(*sorted(numbers)))
    assert (one.text, one.answer) == (other.text, other.answer)


async def test_what_stands_before_the_questions_is_shared():
    query = a_query("Add up.\n\nQ[1]: 1 + 1\nand 2\nQ[2]: 2 + 2\nQ[3]: 3 + 3")
    rig = Rig(Quiz())
    outcome = await rig.run(a_plan("batch_prompting", size=2), query)
    assert [call.messages[-1].content for call in rig.toy.calls] == [
        "Add up.\nQ[1]: 1 + 1\nand 2\nQ[2]: 2 + 2\nAnswer every question in a line of its own: A[number]: answer",
        "Add up.\n3 + 3",
    ]
    assert outcome.answer == "1: 4; 2: 4; 3: 6"


async def test_prompt_tokens_are_the_shared_part_per_batch_and_each_question():
    shared, size = "Add up. " * 20, 4
    text = shared + "\n" + quiz(*range(1, 9)).text
    together = await Rig(Quiz()).run(a_plan("batch_prompting", size=size), a_query(text))
    alone = await Rig(Quiz()).run(a_plan("batch_prompting", size=1), a_query(text))
    own = sum(len(f"\nQ[{number}]: {number} + {number}") for number in range(1, 9))
    assert together.usage.prompt_tokens == own + 2 * (len(shared.strip()) + len("\nAnswer every question in a line of its own: A[number]: answer"))
    assert alone.usage.prompt_tokens > 2 * together.usage.prompt_tokens


async def test_without_questions_it_is_direct():
    one = await Rig().run(a_plan("batch_prompting"))
    direct = await Rig().run(a_plan("direct", skill="solve"))
    assert (one.text, one.answer, one.usage.tokens) == (direct.text, direct.answer, direct.usage.tokens)


async def test_a_conversation_goes_with_every_batch():
    query = replace(quiz(1, 2, 3), messages=(Message(role="system", content="Be brief."), *quiz(1, 2, 3).messages))
    rig = Rig(Quiz())
    await rig.run(a_plan("batch_prompting", size=2), query)
    assert {call.messages[0].content for call in rig.toy.calls} == {"Be brief."}


async def test_where_one_question_stays_unanswered_there_is_no_answer():
    toy = Quiz(misses=frozenset({2}))
    answered = toy.solution
    toy.solution = lambda call: "no idea" if call.messages[-1].content == "2 + 2" else answered(call)
    outcome = await Rig(toy).run(a_plan("batch_prompting"), quiz(1, 2, 3))
    assert (outcome.answer, outcome.stop_reason) == (None, "unanswered")
    assert outcome.candidates[0].text == "A[1]: 2\nA[2]:\nA[3]: 6"


async def test_a_truncated_batch_answers_what_was_whole():
    rig = Rig(Quiz(wrong={20: "let me think for a while before I answer\nA[20]: 40"}))
    outcome = await rig.run(a_plan("batch_prompting", size=2, max_tokens=12), quiz(10, 20))
    assert outcome.answer == "10: 20; 20: 40"
    assert [call.messages[-1].content for call in rig.toy.calls[1:]] == ["20 + 20"]
    assert answers_in(Task.MATH, "A[1]: 12\nA[2]: 3", Finish.LENGTH) == {1: "12"}


def test_numbers_that_are_there_twice_are_no_batch():
    assert questions_in("Q[1]: a\nQ[1]: b") == ("Q[1]: a\nQ[1]: b", {})
    assert questions_in("see Q[1]: a") == ("see Q[1]: a", {})
    assert questions_in("Q[2]: a\n  Q[1] : b") == ("", {2: "a", 1: "b"})


def test_answers_are_read_by_number():
    text = "A[1]: 1,000\n**A[2]**: x y.\n> A[3]: \\boxed{7}\nA[4]:\nsay A[5]: 1\nA[6]: 3\nA[6]: 3.0"
    assert answers_in(Task.MATH, text, Finish.END) == {1: "1000", 2: "x y", 3: "7", 6: "3"}


# All of them

NAMES = ["short_m_at_k", "first_finish", "self_certainty", "guided_by_gut", "deepconf", "fractured", "batch_prompting"]


@pytest.mark.parametrize("name", NAMES)
async def test_when_nothing_can_be_read_there_is_no_answer(name):
    outcome = await Rig(Toy(mute=1.0, even=True)).run(a_plan(name))
    assert (outcome.answer, outcome.usage.kept_tokens) == (None, 0)


@pytest.mark.parametrize("name", ["self_certainty", "deepconf", "first_finish", "guided_by_gut"])
async def test_earlier_samples_are_heard_but_not_counted(name):
    first = await Rig(Toy(accuracy=1.0)).run(a_plan("self_consistency", n=4, tau=1.0))
    outcome = await Rig(Toy(mute=1.0, even=True)).run(a_plan(name), evidence=Evidence(outcomes=(first,)))
    assert outcome.answer == "31415"
    assert len(outcome.candidates) >= 1


async def test_a_deadline_in_the_middle_answers_from_what_was_kept():
    doubting = Doubting(doubts=(SURE, (9.0,) * 3000), answers=("1",), pace=0.0005, even=True)
    outcome = await Rig(doubting).run(a_plan("deepconf", warmup=2, consensus=1.1, max_tokens=5000), a_query(deadline=time.monotonic() + 0.3))
    assert (outcome.answer, outcome.stop_reason) == ("1", "deadline")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("short_m_at_k", {"m": 0}),
        ("short_m_at_k", {"m": 3, "k": 2}),
        ("first_finish", {"n": 0}),
        ("first_finish", {"least_tokens": 0}),
        ("self_certainty", {"power": -1.0}),
        ("self_certainty", {"top": 0}),
        ("guided_by_gut", {"trees": 0}),
        ("guided_by_gut", {"novelty": -0.1}),
        ("guided_by_gut", {"select": "loudest"}),
        ("deepconf", {"keep": 0}),
        ("deepconf", {"measure": "mean"}),
        ("deepconf", {"online": False, "measure": "median"}),
        ("deepconf", {"warmup": 0}),
        ("fractured", {"cuts": 0}),
        ("fractured", {"select": "worst"}),
        ("batch_prompting", {"size": 0}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=f"^{name}"):
        strategies.build(name, options)
