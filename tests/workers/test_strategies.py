"""What each strategy does of its own."""

from collections import Counter
from dataclasses import replace
from math import comb

import pytest

from router.ports import Spent
from router.types import Call, Evidence, Finish, Sample
from tests.workers.strategies.scripted import Reciter, Table
from tests.workers.toy import Oracle, Rig, Toy, a_plan, a_query
from workers.strategies import strategies


async def test_direct_is_one_greedy_call():
    rig = Rig(Toy(accuracy=0.0))
    outcome = await rig.run(a_plan("direct", skill="direct"))
    assert [(call.temperature, call.skill, call.prefix) for call in rig.toy.calls] == [(0.0, "direct", "")]
    assert outcome.text == "Answer: 31415"


async def test_self_consistency_stops_once_it_is_certain():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("self_consistency", n=16, batch=4))
    assert (len(rig.toy.calls), outcome.stop_reason) == (4, "certain")


async def test_self_consistency_never_stops_early_with_tau_1_and_draws_exactly_n():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("self_consistency", n=10, batch=4, tau=1.0))
    assert (len(rig.toy.calls), rig.toy.most, outcome.stop_reason) == (10, 4, "done")


async def test_self_consistency_gives_the_majority():
    rig = Rig(Toy(accuracy=0.6))
    outcome = await rig.run(a_plan("self_consistency", n=30, tau=1.0), a_query("3 1"))
    votes = Counter(one.answer for one in outcome.candidates)
    assert outcome.answer == votes.most_common(1)[0][0] == "31"


async def test_self_consistency_of_one_is_direct():
    one = await Rig().run(a_plan("self_consistency", n=1, temperature=0.0))
    direct = await Rig().run(a_plan("direct", skill="solve"))
    assert (one.text, one.usage.tokens) == (direct.text, direct.usage.tokens)


async def test_buying_again_goes_on_where_the_first_purchase_ended():
    plan = a_plan("self_consistency", n=2, batch=2)
    first = await Rig(Toy(accuracy=1.0)).run(plan)
    assert first.stop_reason == "done"
    again = Rig(Toy(accuracy=1.0))
    second = await again.run(plan, evidence=Evidence(outcomes=(first,)))
    assert (second.stop_reason, len(second.candidates)) == ("certain", 2)


async def test_another_purchase_draws_other_samples():
    plan = a_plan("direct", skill="solve", temperature=1.0)
    first, second = Rig(), Rig()
    outcome = await first.run(plan)
    await second.run(plan, evidence=Evidence(outcomes=(outcome,)))
    assert first.toy.calls[0].seed != second.toy.calls[0].seed


async def test_best_of_n_scores_each_text_once():
    rig = Rig(Toy(accuracy=0.9))
    outcome = await rig.run(a_plan("best_of_n", n=12))
    texts = {one.text for one in outcome.candidates}
    assert len(rig.oracle.asked) == len(set(rig.oracle.asked)) == len(texts) < 12
    assert all(one.score is not None for one in outcome.candidates)


async def test_best_of_one_is_not_scored():
    rig = Rig()
    await rig.run(a_plan("best_of_n", n=1))
    assert rig.oracle.rounds == 0


async def test_best_of_n_stops_when_it_has_enough():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("best_of_n", n=8, batch=2, enough=0.8))
    assert (len(rig.toy.calls), outcome.stop_reason) == (2, "enough")


async def test_best_of_n_with_an_oracle_is_right_whenever_one_sample_is():
    """E[right] = 1 - C(n - c, k) / C(n, k) of c right among n, which for k = n is: at least one."""
    rights = 0
    for seed in range(12):
        outcome = await Rig(Toy(accuracy=0.7)).run(a_plan("best_of_n", n=4), a_query(seed=seed))
        right = sum(one.answer == "31415" for one in outcome.candidates)
        assert float(outcome.answer == "31415") == 1 - comb(4 - right, 4) / comb(4, 4)
        rights += right > 0
    assert 0 < rights < 12


async def test_a_constant_verifier_makes_weighted_best_of_n_a_majority():
    outcome = await Rig(Toy(accuracy=0.6), Oracle(constant=0.5)).run(a_plan("best_of_n", n=20, select="weighted"), a_query("3 1"))
    assert outcome.answer == Counter(one.answer for one in outcome.candidates).most_common(1)[0][0]


async def test_beam_search_with_an_oracle_finds_what_sampling_does_not():
    digits = "2 7 1 8 2 8 1 8"
    tree, best = Rig(Toy(accuracy=0.4)), Rig(Toy(accuracy=0.4))
    found = await tree.run(a_plan("beam", beams=1, children=12), a_query(digits))
    missed = await best.run(a_plan("best_of_n", n=12), a_query(digits))
    assert (found.answer, found.stop_reason) == ("27182818", "done")
    assert missed.answer != "27182818"
    assert len(tree.toy.calls) == 9 * 12  # depth times children
    assert tree.oracle.rounds == 9


async def test_beam_never_continues_more_than_its_beams():
    rig = Rig(Toy(accuracy=0.5), Oracle(constant=0.5))
    await rig.run(a_plan("beam", beams=3, children=2))
    continued = Counter(call.prefix.count("\n") for call in rig.toy.calls)
    assert rig.toy.most <= 6
    assert max(continued.values()) <= 6
    per_depth = {depth: {call.prefix for call in rig.toy.calls if call.prefix.count("\n") == depth} for depth in continued}
    assert all(len(prefixes) <= 3 for prefixes in per_depth.values())


async def test_equal_prefixes_are_judged_and_continued_once():
    rig = Rig(Toy(accuracy=1.0))
    await rig.run(a_plan("beam", beams=4, children=4))
    assert len(rig.oracle.asked) == len(set(rig.oracle.asked)) == 6
    assert len(rig.toy.calls) == 16 + 5 * 4


async def test_a_finished_path_takes_its_beam_with_it():
    rig = Rig(Toy(accuracy=1.0), Oracle(constant=0.5))
    outcome = await rig.run(a_plan("beam", beams=1, children=3))
    assert (outcome.stop_reason, len(outcome.candidates)) == ("done", 3)


class Frank(Toy):
    """A toy whose log-probabilities tell how far it is from right."""

    async def sample(self, call: Call, spent: Spent) -> Sample:
        sample = await super().sample(call, spent)
        digits = "".join(call.messages[-1].content.split())
        written = (call.prefix + sample.text).replace("Answer: ", "").split()
        wrong = sum(one not in (digit, digits) for one, digit in zip(written, [*digits, digits], strict=False))
        return replace(sample, logprobs=(-1.0 - wrong,))


async def test_of_equal_scores_the_likelier_path_is_continued():
    digits = "2 7 1 8 2 8 1 8"
    likely = await Rig(Frank(accuracy=0.4), Oracle(constant=0.5)).run(a_plan("beam", beams=1, children=12), a_query(digits))
    blind = await Rig(Toy(accuracy=0.4), Oracle(constant=0.5)).run(a_plan("beam", beams=1, children=12), a_query(digits))
    assert likely.answer == "27182818"
    assert blind.answer != "27182818"


async def test_a_truncated_step_is_never_finished():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("beam", step_tokens=6))  # "Answer: 31415" is longer
    assert (outcome.answer, outcome.candidates, outcome.stop_reason) == (None, (), "dead_end")
    assert outcome.usage.kept_tokens == 0


async def test_the_last_step_of_a_beam_is_written_to_the_end():
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(a_plan("beam", max_steps=3))
    assert (outcome.answer, outcome.stop_reason) == ("31415", "done")
    assert [call.stop for call in rig.toy.calls if call.prefix.count("\n") == 2] == [()] * 4


async def test_a_last_step_that_is_truncated_finishes_nothing():
    outcome = await Rig().run(a_plan("beam", max_steps=3, last_tokens=3))
    assert (outcome.answer, outcome.stop_reason) == (None, "dead_end")


@pytest.mark.parametrize(("aggregate", "answer"), [("last", "99"), ("min", "22"), ("prod", "22")])
async def test_beam_can_go_by_all_the_scores_of_a_path(aggregate, answer):
    """Two beams, one right and one wrong, both finished: the last score has forgotten the wrong beginning, the minimum and the product have not."""
    toy = Reciter(texts=("2\n2\nAnswer: 22", "9\n9\nAnswer: 99"))
    oracle = Table(scores={"2\n": 0.8, "2\n2\n": 0.8, toy.texts[0]: 0.8, toy.texts[1]: 0.9}, other=0.3)
    outcome = await Rig(toy, oracle).run(a_plan("beam", beams=2, children=6, aggregate=aggregate, select="best"), a_query("2 2"))
    assert outcome.answer == answer
    assert {one.answer for one in outcome.candidates} == {"22", "99"}


async def test_a_truncated_sample_has_no_answer():
    outcome = await Rig().run(a_plan("direct", skill="direct", max_tokens=10))
    assert (outcome.answer, outcome.candidates[0].finish) == (None, Finish.LENGTH)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("self_consistency", {"n": 0}),
        ("self_consistency", {"tau": 2.0}),
        ("self_consistency", {"n": "many"}),
        ("best_of_n", {"select": "worst"}),
        ("beam", {"beams": 0}),
        ("beam", {"select": "majority"}),
        ("beam", {"aggregate": "mean"}),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options):
    with pytest.raises(ValueError, match=name):
        strategies.build(name, options)
