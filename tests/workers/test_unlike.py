"""Workers that are not alike: some are older, some serve less than others, some lie, some go. Real sockets."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from rheostat.v1 import worker_service_pb2 as pb

from router.errors import BackendUnavailable, UnknownPlan
from router.types import Usage
from tests.workers.test_fleet import PLAN, fleet_of, run
from tests.workers.test_remote import until, worker
from tests.workers.toy import Bill, Rig, Toy, a_plan
from workers.executor import LocalExecutor, Pool
from workers.fleet import Fleet, open_fleet
from workers.member import EJECT_AFTER
from workers.server import WorkerService
from workers.wire import event_to_pb


class Liar(LocalExecutor):
    """Does as it is asked, then tells something else of what it spent and made."""

    def __init__(self, executor, extra, /, **outcome):
        super().__init__(pools=executor.pools)
        object.__setattr__(self, "extra", extra)
        object.__setattr__(self, "told", outcome)

    async def execute(self, query, plan, evidence, budget, meter):
        outcome = await super().execute(query, plan, evidence, budget, meter)
        meter.charge(self.extra)
        return replace(outcome, **self.told)


@asynccontextmanager
async def one_of_each(tmp_path, odd, sound, models=None):
    """A fleet whose first choice is the odd one."""
    a, b = (f"unix:{tmp_path}/{name}.sock" for name in "ab")
    async with worker(None, a, odd), worker(None, b, sound), open_fleet([a, b], lambda _: None, models or {}) as fleet:
        await until(lambda: len(fleet.members) == 2 and all(one.offers for one in fleet.members), 2)
        fleet.members[1].under_way = 1
        yield fleet


@pytest.mark.parametrize(
    ("usage", "outcome"),
    [
        (Usage(kept_tokens=-(10**6)), {}),
        (Usage(cost=10**9), {}),
        (Usage(cancelled_tokens=10**9), {}),
        (Usage(seconds=float("nan")), {}),
        (Usage(), {"plan": "another"}),
        (Usage(), {"usage": Usage()}),
    ],
    ids=["less than nothing", "a fortune", "tokens without end", "no number", "another plan", "nothing of what was charged"],
)
async def test_what_cannot_be_true_is_not_charged_and_another_is_asked(tmp_path, usage, outcome):
    liar, sound, bill = Rig(Toy(accuracy=1.0)), Rig(Toy(accuracy=1.0)), Bill()
    plan = replace(PLAN, budget=replace(PLAN.budget, cost=50_000, tokens=50_000))
    async with one_of_each(tmp_path, Liar(liar.executor, usage, **outcome), sound.executor) as fleet:
        found = await run(fleet, plan, bill=bill)
        assert (found.answer, fleet.retried) == ("31415", 1)
        assert bill.usage.tokens == liar.truly_spent + sound.truly_spent
        for _ in range(EJECT_AFTER - 1):
            fleet.members[1].under_way = 9
            await run(fleet, plan)
        assert fleet.members[0].ejected


async def test_an_older_worker_is_not_asked_for_what_it_does_not_know(tmp_path):
    old, new = Rig(Toy(accuracy=1.0)), Rig(Toy(accuracy=1.0))
    old_executor = LocalExecutor(pools={name: pool for name, pool in old.executor.pools.items() if name != "draft"})
    plan = replace(a_plan("direct"), pool="draft")
    async with one_of_each(tmp_path, old_executor, new.executor) as fleet:
        assert [one.serves(plan) for one in fleet.members] == [False, True]
        assert fleet.workers() == {"toy": 2, "draft": 1}
        await run(fleet, plan)
    assert fleet.retried == 0
    assert not old.toy.calls


class Boaster(WorkerService):
    """Says that it can do everything."""

    async def Describe(self, request, context):
        return pb.DescribeResponse(pools=[pb.Pool(name="toy"), pb.Pool(name="draft")], strategies=["direct", "guess"])


async def test_a_worker_that_boasts_is_found_out_and_the_plan_is_left_to_others(tmp_path, monkeypatch):
    sound = Rig(Toy(accuracy=1.0))
    plan = replace(a_plan("direct"), pool="draft")
    with monkeypatch.context() as patch:
        patch.setattr("workers.server.WorkerService", Boaster)
        boaster = worker(None, f"unix:{tmp_path}/a.sock", LocalExecutor(pools={"toy": Pool(backend=Toy())}))
        await boaster.__aenter__()
    b = f"unix:{tmp_path}/b.sock"
    async with worker(None, b, sound.executor), open_fleet([f"unix:{tmp_path}/a.sock", b], lambda _: None) as fleet:
        await until(lambda: len(fleet.members) == 2 and all(one.offers for one in fleet.members), 2)
        for _ in range(3):
            fleet.members[1].under_way = 1
            await run(fleet, plan)
        assert fleet.retried == 1
        assert [one.ejected for one in fleet.members] == [False, False]
        with pytest.raises(UnknownPlan, match="guess"):
            await run(fleet, a_plan("guess"))
        assert not fleet.serves(a_plan("guess"))
        with pytest.raises(BackendUnavailable, match="no worker serves this plan"):
            await run(fleet, a_plan("guess"))
    await boaster.__aexit__(None, None, None)


async def test_while_models_are_being_exchanged_the_expected_one_is_preferred_and_any_is_better_than_none(tmp_path):
    old, new = (Rig(Toy(accuracy=1.0)) for _ in range(2))
    named = [LocalExecutor(pools={"toy": Pool(backend=rig.toy, model=model)}) for rig, model in ((old, "v1"), (new, "v2"))]
    async with one_of_each(tmp_path, *named, models={"toy": "v2"}) as fleet:
        await run(fleet, a_plan("direct"))
        assert (len(old.toy.calls), len(new.toy.calls)) == (0, 1)
        fleet.meet([fleet.members[0].address])
        await run(fleet, a_plan("direct"))
        assert len(old.toy.calls) == 1


async def test_who_comes_is_given_work_and_who_goes_ends_what_it_has(tmp_path):
    rigs = [Rig(Toy(accuracy=1.0, pace=0.02)) for _ in range(2)]
    async with fleet_of(tmp_path, *rigs) as (fleet, _):
        await until(lambda: len(fleet.members) == 2, 2)
        first, second = (member.address for member in fleet.members)
        fleet.meet([first])
        task = asyncio.create_task(run(fleet))
        await until(lambda: rigs[0].running, 2)
        fleet.meet([second])
        assert [member.address for member in fleet.members] == [second]
        await run(fleet, a_plan("direct"))
        assert len(rigs[1].toy.calls) == 1
        assert (await task).answer == "31415"
        assert fleet.retried == 0


async def test_a_fleet_of_nobody_says_so(tmp_path):
    fleet = Fleet({"toy": "v1"})
    assert (fleet.serves(PLAN), fleet.workers()) == (False, {"toy": 0})
    with pytest.raises(BackendUnavailable, match="no worker serves this plan"):
        await run(fleet)
    await fleet.close()


async def test_a_worker_of_another_age_whose_words_are_not_known_is_asked_no_more(tmp_path):
    """It tells an outcome with a fate that this router has never heard of."""
    odd, sound = Rig(Toy(accuracy=1.0)), Rig(Toy(accuracy=1.0))

    def strange(event):
        found = event_to_pb(event)
        for candidate in found.outcome.candidates:
            candidate.fate = 99
        return found

    a, b = (f"unix:{tmp_path}/{name}.sock" for name in "ab")
    async with worker(odd, a), worker(sound, b), open_fleet([a, b], lambda _: None) as fleet:
        await until(lambda: len(fleet.members) == 2, 2)
        fleet.members[1].under_way = 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("workers.server.event_to_pb", strange)
            with pytest.raises(BackendUnavailable, match="not known here"):
                await run(fleet, a_plan("direct"))
        assert (await run(fleet, a_plan("direct"))).answer == "31415"
