"""Floors and caps, against whole services over a socket: kept, used, shared by routers, and nothing held in the end."""

import asyncio
import math
import random
import time
from collections import defaultdict
from contextlib import suppress

import grpc
import numpy as np
import pytest
from rheostat.v1 import answer_pb2, query_pb2
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import service
from router.exam import draw
from router.settings import PlanSettings, Settings, WorkerSettings
from router.status import error_of
from router.terms import TenantSettings
from tests.integration.conftest import POOLS

PRICE = (0.11, 0.45, 0.8)
PLANS = {  # known to the bundled predictor
    "nano-direct": PlanSettings(pool="nano", strategy="direct", cost=60, price=PRICE),
    "small-solve": PlanSettings(pool="small", strategy="direct", options={"skill": "solve"}, cost=150, price=PRICE),
    "small-vote": PlanSettings(pool="small", strategy="self_consistency", options={"n": 16}, cost=600, price=PRICE),
}
WINDOW, CAP = 6.0, 1_000
TENANTS = {
    "capped": TenantSettings(cap=CAP, window=WINDOW, plans=("nano-direct", "small-solve"), cache=False),
    "wide": TenantSettings(cap=1_000_000, cache=False),
    "modest": TenantSettings(floor=0.4, cache=False),
    "default": TenantSettings(floor=0.75, cache=False),
    "dreamer": TenantSettings(floor=0.7, plans=("nano-direct",), cache=False),
    "cached": TenantSettings(floor=0.75),
}


@pytest.fixture
def own(settings: Settings, worker: str) -> Settings:
    return settings.model_copy(update={"plans": PLANS, "tenants": TENANTS, "worker": WorkerSettings(address=worker, pools=POOLS.pools)})


def a_query(text: str, tenant: str = "default", **knobs) -> query_pb2.Query:
    messages = [query_pb2.Message(role="ROLE_USER", content=text)]
    return query_pb2.Query(messages=messages, task="TASK_MATH", tenant=tenant, knobs=query_pb2.Knobs(**knobs))


async def answer(stub: RouterServiceStub, query: query_pb2.Query) -> answer_pb2.FinalAnswer:
    *_, last = [event async for event in stub.AnswerQuery(pb.AnswerQueryRequest(query=query), timeout=60)]
    return last.final


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = error_of(caught.value)
    return caught.value.code().name, error.reason, error.metadata


async def test_two_services_share_a_cap_which_is_never_passed_and_well_used(own: Settings) -> None:
    """Questions come at a steady rate, more than the cap can buy the best for."""
    other = own.model_copy(update={"data": own.data.parent / "other", "redis_url": f"unix://{own.data / 'redis' / 'redis.sock'}"})
    async with service(own) as one, service(other) as two:
        paper, spent, costs, failures, dice = draw("calibration", 5, 600), defaultdict(int), [], [], random.Random(5)
        await asyncio.sleep(WINDOW - time.time() % WINDOW)
        end = time.time() + 2 * WINDOW

        async def ask(address: str) -> None:
            async with grpc.aio.insecure_channel(address) as channel:
                while (began := time.time()) < end:
                    try:
                        final = await answer(RouterServiceStub(channel), a_query(paper.pop().question, "capped"))
                        costs.append(final.receipt.usage.cost_microdollars)
                    except grpc.aio.AioRpcError as failure:
                        failures.append(error_of(failure).reason)
                    await asyncio.sleep(max(0, began + dice.random() - time.time()))

        async def watch() -> None:
            while (now := time.time()) < end:
                used, held = await one.ledger.spent("capped", "cap")
                assert used + held <= CAP
                spent[now // WINDOW] = used
                await asyncio.sleep(0.03)

        async with asyncio.TaskGroup() as group:
            for task in (watch(), *(ask(running.address) for running in (one, two) for _ in range(4))):
                group.create_task(task)
        assert set(failures) <= {"BUDGET_EXHAUSTED"}
        assert await one.ledger.spent("capped") == (sum(costs), 0)
        assert max(spent.values()) >= 0.8 * CAP  # of a window so short a busy machine may miss one
        await asyncio.sleep(1.2)
        now = time.time()
        assert one.pacers["capped"].standing(now) == two.pacers["capped"].standing(now)


@pytest.mark.slow
async def test_floors_are_met_and_the_lower_one_is_the_cheaper(own: Settings) -> None:
    """Rewards, not beliefs: the 95 % interval of their mean reaches the floor. The value begins too high for either."""
    async with service(own) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        asked = {}
        for tenant in ("default", "modest"):
            gate = asyncio.Semaphore(12)

            async def one(problem, tenant=tenant, gate=gate):
                async with gate:
                    final = await answer(stub, a_query(problem.question, tenant))
                    right = final.answer.answer == problem.answer
                    report = pb.ReportOutcomeRequest(
                        decision_id=final.decision_id, tenant=tenant, reward=float(right), source="REWARD_SOURCE_VERIFIER"
                    )
                    for _ in range(2):
                        await stub.ReportOutcome(report, timeout=10)
                    return right, final.receipt.usage.cost_microdollars, bool(final.answer.answer)

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(problem)) for problem in draw("calibration", 7, 150)]
            asked[tenant] = np.array([task.result() for task in tasks], float)
        for tenant, floor in (("default", 0.75), ("modest", 0.4)):
            right = asked[tenant][:, 0]
            assert right.mean() + 1.96 * right.std() / math.sqrt(len(right)) >= floor
            assert running.pacers[tenant]._pace.rated == asked[tenant][:, 2].sum()  # each report counts once
        assert asked["modest"][75:, 1].mean() < asked["default"][75:, 1].mean()
        planned = {tenant: await stub.PlanQuery(pb.PlanQueryRequest(query=a_query("Calculate 3 + 4.", tenant))) for tenant in asked}
        assert planned["modest"].value_microdollars < planned["default"].value_microdollars
        for tenant, plan in planned.items():
            assert plan.value_microdollars == pytest.approx(running.pacers[tenant].value(time.time()))
            (row,) = [row async for row in running.journal.read(plan.decision_id)]
            assert row.value == plan.value_microdollars


async def test_a_floor_out_of_reach_is_refused_for_nothing_and_served_once_it_is_not(own: Settings) -> None:
    async with service(own) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        questions = [problem.question for problem in draw("calibration", 9, 400)]
        for question in questions[:99]:
            await stub.PlanQuery(pb.PlanQueryRequest(query=a_query(question, "dreamer")))
        code, reason, told = await refused(answer(stub, a_query(questions[99], "dreamer")))
        assert (code, reason, told["floor"]) == ("FAILED_PRECONDITION", "UNREACHABLE_FLOOR", "0.7")
        assert 0.1 < float(told["reachable"]) < 0.6
        assert await running.ledger.spent("dreamer") == (0, 0)
        assert running.pacers["dreamer"]._pace.count == 0
        await stub.PlanQuery(pb.PlanQueryRequest(query=a_query(questions[100], "dreamer", plans=["small-vote"])))  # it chooses by itself
        easy = "Calculate 3 + 4."
        for _ in range(300):
            with suppress(grpc.aio.AioRpcError):
                await stub.PlanQuery(pb.PlanQueryRequest(query=a_query(easy, "dreamer")))
        assert (await answer(stub, a_query(easy, "dreamer"))).answer.answer == "7"


async def test_a_stated_value_contradicts_an_objective(own: Settings) -> None:
    async with service(own) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        for tenant, objective in (("capped", "cap"), ("modest", "floor")):
            told = await refused(answer(stub, a_query("Calculate 3 + 4.", tenant, value_microdollars=5)))
            expected = {"field": "query.knobs.value_microdollars", "objective": objective}
            assert told == ("INVALID_ARGUMENT", "CONTRADICTORY_KNOBS", expected)
        assert await running.ledger.spent("capped") == (0, 0)


async def test_however_requests_end_nothing_stays_held_and_all_is_counted(own: Settings) -> None:
    """Some are cancelled, some run out of time, and some find that the log cannot be written."""
    dice = random.Random(3)
    async with service(own) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)

        async def one(question: str) -> None:
            call = stub.AnswerQuery(pb.AnswerQueryRequest(query=a_query(question, "wide")), timeout=dice.choice([60, dice.uniform(0.01, 0.4)]))
            with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
                for _ in range(dice.choice([0, 1, 2, 9])):
                    if await call.read() == grpc.aio.EOF:
                        return
            await asyncio.sleep(dice.random() * 0.1)
            call.cancel()

        log = own.data / "journal" / "wal"
        async with asyncio.TaskGroup() as group:
            for number, problem in enumerate(draw("calibration", 11, 80)):
                group.create_task(one(problem.question))
                if number == 40:
                    log.rename(log.with_name("away"))
                    log.write_text("a file, not a directory")
                if number == 50:
                    log.unlink()
                    log.with_name("away").rename(log)
                await asyncio.sleep(0.03)

        async def quiet() -> bool:
            spent, held = await running.ledger.spent("wide")
            pace = running.pacers["wide"]._pace
            return spent > 0 and held == 0 and pace.spent == spent and pace.held == pytest.approx(0)

        async with asyncio.timeout(10):
            while not await quiet():
                await asyncio.sleep(0.05)


async def test_an_answer_from_the_cache_counts_for_the_floor(own: Settings) -> None:
    async with service(own) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        first, second = [await answer(stub, a_query("Calculate 3 + 4.", "cached")) for _ in range(2)]
        assert (first.receipt.cached, second.receipt.cached) == (False, True)
        pace = running.pacers["cached"]._pace
        assert (pace.count, pace.bought, pace.spent) == (2, 1, first.receipt.usage.cost_microdollars)
        assert pace.quality == pytest.approx(first.answer.confidence + second.answer.confidence)
