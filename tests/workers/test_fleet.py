"""Several workers behind real sockets: who is given what, what happens to those that fail or straggle, and who pays."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from router.errors import BackendUnavailable, Overloaded
from router.turnstile import Turnstile
from router.types import Budget, Evidence
from tests.workers.test_remote import worker
from tests.workers.toy import Bill, Oracle, Rig, Toy, a_plan, a_query
from workers.executor import LocalExecutor, Pool
from workers.fleet import open_fleet
from workers.member import FIRST_EJECTION, WARM_UP, Member

PLAN = a_plan("self_consistency", n=4, batch=4, tau=1.0)
ONCE = a_plan("direct")


async def paid() -> bool:
    return True


async def unpaid() -> bool:
    return False


@asynccontextmanager
async def fleet_of(tmp_path, *rigs, hear=lambda loads: None):
    async with AsyncExitStack() as stack:
        addresses = [f"unix:{tmp_path}/w{number}.sock" for number in range(len(rigs))]
        stops = [await stack.enter_async_context(worker(rig, address)) for rig, address in zip(rigs, addresses, strict=True)]
        yield await stack.enter_async_context(open_fleet(addresses, hear)), stops


async def run(fleet, plan=PLAN, bill=None, **given):
    query = a_query(**given.pop("query", {}))
    return await fleet.execute(query, plan, Evidence(), Budget(), bill or Bill(), **given)


async def known(fleet, plan=PLAN):
    """Run a plan until it is known how long it takes."""
    for _ in range(20):
        await run(fleet, plan)


async def test_work_is_spread_over_all(tmp_path):
    rigs = [Rig(Toy(accuracy=1.0, pace=0.01)) for _ in range(3)]
    async with fleet_of(tmp_path, *rigs) as (fleet, _):
        await asyncio.gather(*(run(fleet) for _ in range(9)))
    assert [len(rig.toy.calls) for rig in rigs] == [12, 12, 12]


async def test_where_one_fails_another_is_asked_and_the_failing_one_is_left_out(tmp_path):
    broken, sound = Rig(Toy(accuracy=1.0, fails=frozenset(range(999)))), Rig(Toy(accuracy=1.0))
    async with fleet_of(tmp_path, broken, sound) as (fleet, _):
        outcomes = [await run(fleet) for _ in range(12)]
        assert {outcome.answer for outcome in outcomes} == {"31415"}
        assert fleet.members[0].ejected
        assert not fleet.members[1].ejected
        tried = len(broken.toy.calls)
        await run(fleet)
        assert len(broken.toy.calls) == tried
        broken.toy.fails = frozenset()
        await asyncio.sleep(FIRST_EJECTION + 0.1)
        await asyncio.gather(*(run(fleet) for _ in range(20)))
        assert 0 < len(broken.toy.calls) - tried < len(sound.toy.calls) / 2  # it is warmed up slowly


async def test_what_a_failed_attempt_spent_is_paid_and_told(tmp_path):
    late, sound, bill = Rig(Toy(accuracy=1.0, pace=0.002, fails=frozenset(range(999)))), Rig(Toy(accuracy=1.0)), Bill()
    async with fleet_of(tmp_path, late, sound) as (fleet, _):
        fleet.members[1].under_way = 5  # so the failing one is first
        outcome = await run(fleet, bill=bill)
    assert fleet.retried == 1
    assert late.truly_spent > 0
    assert outcome.usage.tokens == bill.usage.tokens == late.truly_spent + sound.truly_spent
    assert outcome.usage.cost == bill.usage.cost


async def test_a_straggler_is_raced_and_what_it_wrote_is_paid(tmp_path):
    rigs = [Rig(Toy(accuracy=1.0, pace=0.004, even=True)) for _ in range(2)]
    async with fleet_of(tmp_path, *rigs) as (fleet, _):
        await known(fleet)
        slow = rigs[0]
        slow.toy.pace, fleet.members[1].under_way = 1.0, 1  # so the slow one is first
        before, bill, started = sum(rig.truly_spent for rig in rigs), Bill(), time.monotonic()
        outcome = await run(fleet, bill=bill, spare=paid)
        assert time.monotonic() - started < 5.0  # the slow one alone would take thrice that
        assert (fleet.hedged, outcome.answer) == (1, "31415")
        assert slow.running == 0
        assert bill.usage.tokens == outcome.usage.tokens == sum(rig.truly_spent for rig in rigs) - before
        assert bill.usage.cancelled_tokens + bill.usage.prompt_tokens >= outcome.usage.cancelled_tokens


async def test_what_is_not_paid_for_twice_is_not_run_twice(tmp_path):
    rigs = [Rig(Toy(accuracy=1.0, pace=0.004, even=True)) for _ in range(2)]
    async with fleet_of(tmp_path, *rigs) as (fleet, _):
        await known(fleet)
        rigs[0].toy.pace, fleet.members[1].under_way = 0.1, 1
        calls = len(rigs[1].toy.calls)
        for spare in (None, unpaid):
            assert (await run(fleet, ONCE, spare=spare)).answer is not None
        assert (fleet.hedged, len(rigs[1].toy.calls)) == (0, calls)


async def test_cancelling_a_race_stops_all_runners(tmp_path):
    rigs, bill = [Rig(Toy(accuracy=1.0, pace=0.004, even=True)) for _ in range(2)], Bill()
    async with fleet_of(tmp_path, *rigs) as (fleet, _):
        await known(fleet)
        before = sum(rig.truly_spent for rig in rigs)
        for rig in rigs:
            rig.toy.pace = 1.0
        task = asyncio.create_task(run(fleet, bill=bill, spare=paid))
        async with asyncio.timeout(5):
            while not all(rig.running for rig in rigs):
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [rig.running for rig in rigs] == [0, 0]
        assert bill.usage.tokens == sum(rig.truly_spent for rig in rigs) - before
        assert [member.under_way for member in fleet.members] == [0, 0]


async def test_a_worker_that_goes_in_the_middle_is_made_up_for_by_another(tmp_path):
    rigs, bill = [Rig(Toy(accuracy=1.0, pace=0.02)) for _ in range(2)], Bill()
    async with fleet_of(tmp_path, *rigs) as (fleet, stops):
        fleet.members[1].under_way = 1
        task = asyncio.create_task(run(fleet, bill=bill))
        async with asyncio.timeout(5):
            while not rigs[0].running:
                await asyncio.sleep(0.01)
        stops[0].set()
        assert (await task).answer == "31415"
    assert fleet.retried == 1


async def test_nobody_there_is_said(tmp_path):
    with pytest.raises(BackendUnavailable, match=r"no worker at .*w1, .*w2 within 0\.1 seconds"):
        async with open_fleet([f"unix:{tmp_path}/w1", f"unix:{tmp_path}/w2"], print, patience=0.1):
            pass


async def test_a_pool_draws_so_many_samples_at_once_and_says_how_many_wait(tmp_path):
    toy, heard = Toy(accuracy=1.0, pace=0.02), []
    limited = Pool(backend=toy, verifier=Oracle(), turnstile=Turnstile(2, queue=6))
    address = f"unix:{tmp_path}/w.sock"
    async with worker(Rig(Toy(accuracy=1.0)), address, LocalExecutor(pools={"toy": limited})), open_fleet([address], heard.append) as fleet:
        task = asyncio.create_task(run(fleet, a_plan("self_consistency", n=8, batch=8, tau=1.0)))
        async with asyncio.timeout(5):
            while {"toy": 4.0} not in heard:
                await asyncio.sleep(0.01)
        with pytest.raises(Overloaded) as refused:
            await run(fleet, ONCE)
        assert refused.value.retry_after
        await task
        async with asyncio.timeout(5):
            while heard[-1] != {"toy": 0.0}:
                await asyncio.sleep(0.01)
    assert toy.most == 2


async def test_a_flood_of_samples_does_not_hold_up_another_tenant(tmp_path):
    toy = Toy(accuracy=1.0, pace=0.004, even=True)
    limited = Pool(backend=toy, turnstile=Turnstile(8, queue=1_000))
    address = f"unix:{tmp_path}/w.sock"
    async with worker(Rig(Toy(accuracy=1.0)), address, LocalExecutor(pools={"toy": limited})), open_fleet([address], lambda _: None) as fleet:
        wide = a_plan("self_consistency", n=32, batch=32, tau=1.0)
        flood = [asyncio.create_task(run(fleet, wide, query={"tenant": "flood", "seed": seed})) for seed in range(20)]
        await asyncio.sleep(0.1)
        took = []
        for seed in range(20):
            started = time.monotonic()
            await run(fleet, ONCE, query={"tenant": "other", "seed": seed})
            took.append(time.monotonic() - started)
        assert not all(task.done() for task in flood)
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        alone = []
        for seed in range(20):
            started = time.monotonic()
            await run(fleet, ONCE, query={"tenant": "other", "seed": seed})
            alone.append(time.monotonic() - started)
    assert sorted(took)[10] < 3 * sorted(alone)[10]  # 640 samples were before it


def test_a_member_is_ejected_for_longer_each_time_and_forgiven():
    now = [100.0]
    member = Member("a", None, clock=lambda: now[0])
    assert [member.failed() for _ in range(3)] == [False, False, True]
    assert member.ejected
    now[0] += FIRST_EJECTION
    assert not member.ejected
    assert member.burden > 5  # cold
    assert member.failed()
    now[0] += FIRST_EJECTION
    assert member.ejected
    now[0] += FIRST_EJECTION + WARM_UP
    assert member.burden == 1
    member.succeeded()
    assert (member.failures, member.ejections) == (0, 2)
    now[0] += 60
    member.succeeded()
    assert member.ejections == 0
