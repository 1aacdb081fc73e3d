"""Ending one trace once its answer has settled, or is safe: answer_convergence and conformal_exit."""

from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf

import numpy as np
import pytest

from router.errors import BackendUnavailable, InvalidQuery
from router.ports import Spent
from router.types import Call, Fate, Finish, Sample, Style
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query, solved
from workers.parts.tracing import Trace
from workers.strategies import strategies
from workers.strategies.answer_convergence import jumped, p_value, run_lengths, t_tail
from workers.strategies.conformal_exit import bounds, quantile

LONG = " ".join("31415926535897932384626433832795")


@dataclass
class Trying(Toy):
    """Tries the answers of a script, one after each step, None for one that cannot be read; `again` are steps before which it has second thoughts."""

    script: tuple[str | None, ...] = ()
    again: frozenset[int] = frozenset()
    probes: list[Call] = field(default_factory=list)

    def worked(self, call: Call) -> str:
        steps = sum(line.isdigit() for line in call.prefix.split("\n"))
        if call.prefix.endswith("Answer:") and call.temperature == 0:
            self.probes.append(call)
            said = self.script[min(steps, len(self.script)) - 1] if self.script else "7"
            return "" if said is None else f" {said}\nand more that nobody asked for"
        rows = super().worked(call).split("\n")
        for row, text in enumerate(rows):
            if text.isdigit() and (steps := steps + 1) - 1 in self.again and not (call.prefix.endswith("Wait") and row == 1):
                rows[row] = f"Wait\n{text}"
        return "\n".join(rows)

    @property
    def written(self) -> list[Call]:
        """What was asked for beside the probes."""
        return [call for call in self.calls if call not in self.probes]


async def test_it_stops_exactly_when_the_last_answers_are_equal():
    rig = Rig(Trying(script=("1", "2", "3", "3", "3", "4")))
    outcome = await rig.run(a_plan("answer_convergence", agree=3), a_query(LONG))
    assert (outcome.answer, outcome.stop_reason) == ("3", "converged")
    assert (len(rig.toy.written), len(rig.toy.probes)) == (5, 5)
    assert outcome.text.startswith("3\n1\n4\n1\n5\nAnswer: 3")


async def test_what_cannot_be_read_is_no_answer_and_parts_runs():
    rig = Rig(Trying(script=(None, None, None, "2", "2", None, "2", "2", "2")))
    outcome = await rig.run(a_plan("answer_convergence", agree=3), a_query(LONG))
    assert (outcome.answer, len(rig.toy.probes)) == ("2", 9)


async def test_probes_never_get_into_the_trace_and_a_trace_that_never_settles_is_whole():
    rig = Rig(Trying(script=tuple("12121212")))
    outcome = await rig.run(a_plan("answer_convergence", agree=2))
    assert (outcome.text, outcome.stop_reason) == (solved("3 1 4 1 5"), "done")
    assert all(solved("3 1 4 1 5").startswith(call.prefix) for call in rig.toy.written)
    plain = await Rig().run(a_plan("direct", skill="solve"))
    assert outcome.text == plain.text


async def test_probes_are_charged_and_served_a_purpose():
    rig = Rig(Trying(script=("1", "1")))
    outcome = await rig.run(a_plan("answer_convergence", agree=2))
    assert outcome.usage.tokens == rig.truly_spent
    assert outcome.usage.kept_tokens == sum(spent.completion for spent in rig.toy.spends)
    assert [one.fate for one in outcome.candidates] == [Fate.DISCARDED, Fate.KEPT]


async def test_a_trace_that_cannot_be_read_leaves_the_last_probe_standing():
    outcome = await Rig(Trying(script=tuple("1212"), mute=1.0)).run(a_plan("answer_convergence", agree=2), a_query("3 1 4 1"))
    assert (outcome.answer, outcome.stop_reason) == ("2", "done")


async def test_a_budget_cut_in_the_middle_leaves_the_last_probe_standing():
    whole = Rig(Trying(script=("1", "2", "3", "4", "5")))
    await whole.run(a_plan("answer_convergence"))
    first_two = sum(spent.prompt + spent.completion for spent in whole.toy.spends[:4])
    outcome = await Rig(Trying(script=("1", "2", "3", "4", "5"))).run(a_plan("answer_convergence"), tokens=first_two)
    assert (outcome.answer, outcome.stop_reason) == ("2", "budget")


async def test_at_its_limit_the_trace_is_made_to_answer():
    rig = Rig(Toy())
    outcome = await rig.run(a_plan("answer_convergence", max_tokens=6, agree=9))
    assert (outcome.answer, outcome.stop_reason) == ("31415", "length")
    assert sum(spent.completion for call, spent in zip(rig.toy.calls, rig.toy.spends, strict=True) if "Answer" not in call.prefix) == 6


async def test_pieces_of_so_many_tokens():
    rig = Rig(Trying(script=("7",)))
    outcome = await rig.run(a_plan("answer_convergence", at="tokens", chunk=4, agree=2), a_query(LONG))
    assert [(call.max_tokens, call.stop) for call in rig.toy.written] == [(4, ()), (4, ())]
    assert outcome.text.startswith("3\n1\n4\n1\nAnswer: 7")


async def test_an_answer_that_is_being_written_is_not_probed():
    rig = Rig(Trying(script=("7",)))
    outcome = await rig.run(a_plan("answer_convergence", at="tokens", chunk=18, agree=9))
    assert (len(rig.toy.written), len(rig.toy.probes)) == (2, 0)  # the first piece ends in the answer
    assert outcome.text == solved("3 1 4 1 5")


async def test_probing_at_second_thoughts_alone_and_from_before_them():
    rig = Rig(Trying(script=tuple("12345678"), again=frozenset({2, 4})))
    outcome = await rig.run(a_plan("answer_convergence", at="markers", agree=9))
    assert [call.prefix for call in rig.toy.probes] == ["3\n1\nAnswer:", "3\n1\nWait\n4\n1\nAnswer:"]
    assert outcome.text == "3\n1\nWait\n4\n1\nWait\n5\nAnswer: 31415"


@pytest.mark.parametrize(("confident", "probes"), [(0.9, 1), (0.95, 5)])
async def test_confidence_is_the_geometric_mean_of_the_probe(confident, probes):
    rig = Rig(Trying(script=("7",)))  # each token has exp(-0.1), which is 0.905
    outcome = await rig.run(a_plan("answer_convergence", rule="confidence", confident=confident))
    assert (len(rig.toy.probes), outcome.answer) == (probes, "7" if probes == 1 else "31415")


async def test_es_cot_stops_at_the_jump():
    script = "12234" + "5" * 20
    outcome = await Rig(toy := Trying(script=tuple(script))).run(a_plan("answer_convergence", rule="jump", least_jump=10), a_query(LONG))
    assert (outcome.answer, outcome.stop_reason) == ("5", "converged")
    assert len(toy.probes) == 4 + 1 + 11  # runs 1 2 1 1, then one of 11


async def test_es_cot_has_no_test_with_fewer_than_two_earlier_jumps():
    plan = a_plan("answer_convergence", rule="jump", least_jump=3)
    tested = await Rig(Trying(script=tuple("12" + "3" * 40))).run(plan, a_query(LONG))
    assert tested.stop_reason == "done"
    untested = Rig(Trying(script=tuple("12" + "3" * 40)))
    outcome = await untested.run(a_plan("answer_convergence", rule="jump", least_jump=3, alpha=None), a_query(LONG))
    assert (outcome.stop_reason, len(untested.toy.probes)) == ("converged", 2 + 4)


def test_run_lengths_by_hand():
    assert run_lengths(["1", "1", None, "1", "2", "2", "2", None, None]) == [2, 1, 3]
    assert run_lengths([]) == run_lengths([None]) == []
    assert run_lengths(list("aabccc")) == [len(list(run)) for _, run in groupby("aabccc")]


def test_the_jump_test_by_hand():
    """Jumps -2, 3, -2, then 12: mean -1/3, deviation 5 / sqrt(3), times sqrt(4/3) 10/3; t = 3.7 at two degrees of freedom."""
    lengths = [3, 1, 4, 2, 14]
    assert p_value(12, [-2, 3, -2]) == pytest.approx((1 - 3.7 / (3.7**2 + 2) ** 0.5) / 2)
    assert jumped(lengths, 10, 0.05)
    assert not jumped(lengths, 13, 0.05)
    assert not jumped(lengths, 10, 0.01)
    assert jumped(lengths, 10, None)
    assert not jumped([1], 1, None)
    assert not jumped([], 1, None)
    assert jumped([1, 1, 1, 12], 10, 0.05)  # no spread: any jump is beyond it


@pytest.mark.parametrize(
    ("freedom", "quantile_95"), [(1, 6.313752), (2, 2.919986), (3, 2.353363), (4, 2.131847), (5, 2.015048), (10, 1.812461), (30, 1.697261)]
)
def test_students_tail_against_the_tables(freedom, quantile_95):
    assert t_tail(quantile_95, 1.0, freedom) == pytest.approx(0.05, abs=1e-6)
    assert t_tail(-quantile_95, 1.0, freedom) == pytest.approx(0.95, abs=1e-6)
    assert t_tail(0.0, 1.0, freedom) == pytest.approx(0.5)


def test_students_tail_without_spread_is_certain():
    assert (t_tail(1.0, 0.0, 3), t_tail(-1.0, 0.0, 3), t_tail(0.0, 0.0, 3)) == (pytest.approx(0), pytest.approx(1), pytest.approx(0.5))


def test_confidence_alone_needs_log_probabilities():
    assert strategies.build("answer_convergence", {}).needs == {"prefix", "stop"}
    assert strategies.build("answer_convergence", {"rule": "confidence"}).needs == {"prefix", "stop", "logprobs"}


# --- conformal_exit --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [0.01, 0.03, 0.1, 0.5])
def test_coverage_is_at_least_nominal_for_every_size_of_calibration(delta):
    """Exactly: among n + 1 exchangeable scores, the new one's rank is uniform."""
    for n in range(201):
        bound = quantile(range(n), delta)
        coverage = 1.0 if bound == inf else (bound + 1) / (n + 1)
        assert coverage >= 1 - delta - 1e-12
        assert bound == inf or (bound / (n + 1) < 1 - delta)  # and no smaller score would do


def test_too_small_a_calibration_has_no_quantile():
    """A known reference takes the largest of nine here, which covers 90 % where 97 % were asked for."""
    assert quantile(range(9), 0.03) == inf
    assert quantile(range(33), 0.03) == 32
    assert quantile([], 0.5) == inf


def test_prediction_sets_cover_each_class_on_synthetic_data():
    rng, delta, trials = np.random.default_rng(7), 0.1, 4000
    for n in (9, 50):
        right, wrong = rng.beta(5, 2, (trials, n)), rng.beta(2, 4, (trials, n))
        least, above = zip(*(bounds(list(one), list(two), delta) for one, two in zip(right, wrong, strict=True)), strict=True)
        slack = 4 * (delta * (1 - delta) / trials) ** 0.5
        assert np.mean(rng.beta(5, 2, trials) >= least) >= 1 - delta - slack
        assert np.mean(rng.beta(2, 4, trials) <= above) >= 1 - delta - slack


def test_without_calibration_there_is_no_bound_that_can_be_met():
    assert bounds([], [], 0.1) == (-inf, inf)
    assert bounds([0.9] * 20, [0.1, 0.2], 0.1)[1] == inf


CALIBRATED = {"right": [0.7 + place / 100 for place in range(20)], "wrong": [place / 100 for place in range(20)], "delta": 0.1}


async def test_it_exits_where_only_right_is_left():
    rig = Rig(Toy(), Oracle(constant=0.75))
    outcome = await rig.run(a_plan("conformal_exit", **CALIBRATED))
    assert (outcome.stop_reason, outcome.text) == ("safe", "3\nAnswer: 31415")
    assert rig.oracle.asked == ["3\n"]


@pytest.mark.parametrize("score", [0.1, 0.5, 0.19])  # surely wrong, neither, either
async def test_it_does_not_exit_where_more_or_nothing_is_left(score):
    rig = Rig(Toy(), Oracle(constant=score))
    outcome = await rig.run(a_plan("conformal_exit", **CALIBRATED))
    assert (outcome.stop_reason, outcome.text) == ("done", solved("3 1 4 1 5"))
    assert len(rig.oracle.asked) == 5


async def test_without_enough_wrong_exits_it_is_one_plain_sample_and_nothing_is_scored():
    rig = Rig(Toy())
    outcome = await rig.run(a_plan("conformal_exit", right=[0.9] * 50, wrong=[0.1]))
    assert (len(rig.toy.calls), rig.oracle.rounds, outcome.text) == (1, 0, solved("3 1 4 1 5"))


@pytest.mark.parametrize(
    ("score", "needs"), [("verifier", {"score", "steps"}), ("restart", {"skill:restart"}), ("logprob", {"logprobs"})]
)  # fmt: skip
async def test_any_score_will_do(score, needs):
    assert strategies.build("conformal_exit", {"score": score}).needs == {"prefix", "stop"} | needs
    outcome = await Rig(Toy()).run(a_plan("conformal_exit", **CALIBRATED, score=score))  # all three are about 0.9
    assert (outcome.stop_reason, outcome.answer) == ("safe", "31415")


async def test_a_truncated_step_is_not_scored():
    rig = Rig(Toy(), Oracle(constant=0.99))
    outcome = await rig.run(a_plan("conformal_exit", **CALIBRATED, max_tokens=5), a_query("123456789 5"))
    assert (rig.oracle.asked, outcome.stop_reason, outcome.candidates[0].finish) == ([], "length", Finish.END)


# --- what all traces have in common ------------------------------------------------------------------------------------


@dataclass
class Cramped(Toy):
    """Has room for so many tokens, prompt included."""

    context: int = 30

    async def sample(self, call: Call, spent: Spent) -> Sample:
        if (room := self.context - self.count(call)) < 1:
            raise InvalidQuery("no room")
        return await super().sample(replace(call, max_tokens=min(call.max_tokens, room)), spent)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("answer_convergence", {"agree": 9}),
        ("answer_convergence", {"at": "tokens", "chunk": 3, "agree": 9}),
        ("budget_forcing", {"ignores": 3}),
        ("iterative_deepening", {"n": 2, "first": 3}),
        ("reflection_suppression", {}),
        ("conformal_exit", {}),
        ("abstention", {"tau": 0.0}),
        ("mur", {}),
        ("plan_and_budget", {"words": False}),
    ],
)
async def test_a_context_that_is_full_ends_a_trace_and_what_is_truncated_is_never_an_answer(name, options):
    for context in range(20, 80, 3):
        outcome = await Rig(Cramped(accuracy=1.0, context=context)).run(a_plan(name, **options))
        assert outcome.answer in (None, "31415")
    assert outcome.answer == "31415"


async def test_a_query_that_does_not_fit_at_all_is_refused():
    with pytest.raises(InvalidQuery):
        await Rig(Cramped(context=5)).run(a_plan("answer_convergence"))


async def test_a_piece_that_fails_is_asked_for_once_more_and_not_twice():
    for fails in ({0}, {1}, {1, 3, 5}):
        assert (await Rig(Toy(fails=frozenset(fails))).run(a_plan("abstention"))).answer == "31415"
    with pytest.raises(BackendUnavailable):
        await Rig(Toy(fails=frozenset({1, 2}))).run(a_plan("abstention"))


def test_an_answer_that_is_just_being_opened_is_opened_once():
    style = Style()
    for text in ("3\n", "3", "3\nA", "3\nAnsw", "3\nAnswer:"):
        assert Trace(text=text).answer_opened(style).text == "3\nAnswer:"
        assert Trace(text=text).answering(style) == ("A" in text)
    assert Trace().answer_opened(style).text == "Answer:"
    assert Trace(text="3\nAnswer: 5").answer_opened(style).text == "3\nAnswer: 5"
    assert Trace(text="3\nAnswer: 5").unanswered(style).text == "3\n"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("answer_convergence", {"at": "whim"}),
        ("answer_convergence", {"rule": "mood"}),
        ("answer_convergence", {"agree": 0}),
        ("answer_convergence", {"alpha": 1.0}),
        ("answer_convergence", {"confident": 2}),
        ("conformal_exit", {"delta": 0}),
        ("conformal_exit", {"score": "gut"}),
        ("conformal_exit", {"right": [1.5]}),
        ("conformal_exit", {"wrong": ["much"]}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=name):
        strategies.build(name, options)
