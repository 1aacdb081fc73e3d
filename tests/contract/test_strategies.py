"""What every strategy must keep to, whatever it does."""

import asyncio
import math
import time
from dataclasses import replace

import pytest

from router.errors import BackendUnavailable, UnknownPlan
from router.types import Budget, Fate, Price
from tests.workers.toy import SKILLED, Oracle, Rig, Toy, a_plan, a_query
from workers.executor import LocalExecutor, Pool
from workers.replay import replayed
from workers.strategies import strategies

NAMES = tuple(strategies.describe())
KNOWN = SKILLED | {"score", "steps", "run", "helper"}
ALL = frozenset(range(1000))
LONG = f"{'1' * 30} {'2' * 30}"  # steps of many tokens


OPTIONS = {
    "plan_and_budget": {"words": False},  # the toy knows no instructions
    "power_sampling": {"cut": "step"},  # a toy that falls silent in the middle of an answer has given another answer
}  # what a strategy must be told to run on the toy; the others run as they are


@pytest.fixture(params=NAMES)
def plan(request):
    plan = a_plan(request.param, **OPTIONS.get(request.param, {}))
    needs = strategies.build(plan.strategy, plan.options).needs
    return replace(plan, helpers={"draft": plan.price}) if "helper" in needs else plan


def assert_charged_exactly(rig, usage):
    price = a_plan("direct").price
    written = usage.kept_tokens + usage.discarded_tokens + usage.cancelled_tokens
    assert usage.tokens == rig.truly_spent
    assert usage.cost == math.ceil(usage.prompt_tokens * price.prompt + written * price.completion + usage.scored_tokens * price.scored - 1e-6)
    assert usage.joules == pytest.approx(usage.tokens * 0.5)


async def test_usage_is_the_sum_of_everything_bought_and_so_are_the_charges(plan):
    rig = Rig(Toy(accuracy=1.0))
    outcome = await rig.run(plan)
    assert outcome.answer == "31415"
    assert_charged_exactly(rig, outcome.usage)
    assert replace(rig.bill.usage, joules=0) == replace(outcome.usage, joules=0)
    assert outcome.usage.calls == rig.called
    assert min(outcome.usage.kept_tokens, outcome.usage.discarded_tokens) >= 0


async def test_the_budget_is_kept_to_the_token(plan):
    for tokens in range(0, 1200, 97):
        rig = Rig(Toy(pace=0.00001))
        outcome = await rig.run(plan, tokens=tokens)
        assert outcome.usage.tokens <= tokens
        assert_charged_exactly(rig, outcome.usage)


async def test_the_cost_ceiling_of_the_plan_is_kept(plan):
    for cost in range(0, 500, 41):
        rig = Rig()
        outcome = await rig.run(replace(plan, budget=Budget(cost=cost)), cost=300)
        assert outcome.usage.cost <= min(cost, 300)
        assert_charged_exactly(rig, outcome.usage)


async def test_a_budget_that_pays_for_nothing_buys_nothing(plan):
    outcome = await Rig().run(plan, tokens=5)
    assert (outcome.answer, outcome.usage.tokens, outcome.stop_reason) == (None, 0, "budget")


async def test_the_deadline_cancels_every_sample_and_charges_it(plan):
    late = []
    for _ in range(3):  # a busy machine may be late once
        rig, deadline = Rig(Toy(pace=0.05, accuracy=1.0), draft=Toy(pace=0.05)), time.monotonic() + 0.4
        outcome = await rig.run(plan, a_query(LONG, deadline=deadline))
        late.append(time.monotonic() - deadline)
        if late[-1] < 0.1:
            break
    assert min(late) < 0.1
    assert outcome.stop_reason == "deadline"
    assert rig.running == 0
    assert outcome.usage.cancelled_tokens > 0
    assert_charged_exactly(rig, outcome.usage)


async def test_a_deadline_already_past_buys_next_to_nothing(plan):
    rig = Rig()
    outcome = await rig.run(plan, a_query(deadline=time.monotonic() - 1))
    assert outcome.stop_reason == "deadline"
    assert_charged_exactly(rig, outcome.usage)


async def test_cancelling_cancels_every_sample_and_charges_it(plan):
    rig = Rig(Toy(pace=0.01, accuracy=1.0), draft=Toy(pace=0.01))
    task = asyncio.create_task(rig.run(plan, a_query(LONG)))
    async with asyncio.timeout(10):
        while not (rig.toy.writing or rig.draft.writing):
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.running == 0
    assert rig.bill.usage.cancelled_tokens > 0
    assert_charged_exactly(rig, rig.bill.usage)


async def test_a_parse_failure_is_never_a_vote(plan):
    for seed in range(6):
        rig = Rig(Toy(accuracy=1.0, mute=0.8), Oracle(constant=0.5))
        outcome = await rig.run(plan, a_query(seed=seed))
        readable = [one for one in outcome.candidates if one.answer is not None]
        assert outcome.answer == ("31415" if readable else None)
        assert all(one.answer is not None for one in outcome.candidates if one.fate is Fate.KEPT)


async def test_the_same_seed_gives_the_same_outcome_however_calls_interleave(plan):
    racing = "cancel" in strategies.build(plan.strategy, plan.options).needs  # whose result depends on what ends first: there, that must be the same
    outcomes = [await Rig(Toy(accuracy=0.5, pace=pace, even=racing)).run(plan) for pace in ((0.001, 0.001) if racing else (0.0, 0.0005))]
    assert outcomes[0].answer == outcomes[1].answer
    assert outcomes[0].text == outcomes[1].text
    assert sorted(one.text for one in outcomes[0].candidates) == sorted(one.text for one in outcomes[1].candidates)
    assert outcomes[0].usage.tokens == outcomes[1].usage.tokens


@pytest.mark.parametrize("cut", ["", "budget", "deadline", "failures"])
async def test_a_replay_gives_the_same_answer_without_any_model(plan, cut):
    rig = Rig(Toy(accuracy=0.6, pace=0.001 if cut == "deadline" else 0.0, fails=frozenset({1, 3} if cut == "failures" else ())))
    query = a_query(traced=True, **({"deadline": time.monotonic() + 0.08} if cut == "deadline" else {}))
    outcome = await rig.run(plan, query, **({"tokens": 150} if cut == "budget" else {}))
    again = replayed(outcome.trace)
    assert (again.answer, again.text, again.stop_reason) == (outcome.answer, outcome.text, outcome.stop_reason)
    assert again.candidates == tuple(one for one in outcome.candidates if one.fate is not Fate.CANCELLED)


async def test_what_a_run_may_buy_is_told(plan):
    strategy = strategies.build(plan.strategy, plan.options)
    assert strategy.spends
    assert strategy.needs <= KNOWN


async def test_samples_and_calls_are_kept_to(plan):
    for most in (1, 2, 5):
        rig = Rig()
        outcome = await rig.run(plan, samples=most)
        assert outcome.usage.samples <= most
        outcome = await Rig().run(plan, calls=most)
        assert outcome.usage.calls <= most


async def test_one_failing_sample_is_survived(plan):
    outcome = await Rig(Toy(accuracy=1.0, fails=frozenset({1}))).run(plan)
    assert outcome.answer == "31415"


async def test_when_nothing_can_be_run_the_backend_is_to_blame(plan):
    rig = Rig(toy=Toy(fails=ALL), draft=Toy(fails=ALL))
    with pytest.raises(BackendUnavailable):
        await rig.run(plan)
    assert_charged_exactly(rig, rig.bill.usage)


async def test_choosing_is_blind_to_order(plan):
    outcome = await Rig(Toy(accuracy=0.6)).run(plan)
    strategy = strategies.build(plan.strategy, plan.options)
    for candidates in (outcome.candidates, outcome.candidates[::-1]):
        assert candidates[strategy.choose(candidates)].text == outcome.text


def test_a_plan_is_refused_when_its_pool_cannot_run_it(plan):
    bare = LocalExecutor(pools={"toy": Pool(backend=Toy(capabilities=frozenset()))})
    needs = strategies.build(plan.strategy, plan.options).needs - {"helper"}
    if not needs:
        bare.check([replace(plan, helpers={})])
        return
    with pytest.raises(UnknownPlan, match=f"{plan.strategy} needs {', '.join(sorted(needs))}, which pool toy lacks"):
        bare.check([replace(plan, helpers={"toy": Price()} if plan.helpers else {})])


@pytest.mark.parametrize(
    "changes", [{"pool": "elsewhere"}, {"strategy": "guess"}, {"options": {"bogus": 1}}], ids=["pool", "strategy", "option"]
)  # fmt: skip
async def test_a_plan_that_cannot_be_understood_is_refused(plan, changes):
    with pytest.raises(UnknownPlan, match=plan.id):
        await Rig().run(replace(plan, **changes))


async def test_a_free_plan_has_no_cost_and_a_cost_ceiling_does_not_bind_it(plan):
    outcome = await Rig(Toy(accuracy=1.0)).run(replace(plan, price=Price(), helpers=dict.fromkeys(plan.helpers, Price())), cost=0)
    assert (outcome.answer, outcome.usage.cost) == ("31415", 0)
