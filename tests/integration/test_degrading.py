"""Under load plans get cheaper, and dearer again after: real models, a real queue."""

import asyncio
from collections import Counter
from pathlib import Path

import grpc
from rheostat.v1 import query_pb2
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import service
from router.exam import draw
from router.settings import ServerSettings, Settings, WorkerSettings
from router.terms import TenantSettings
from tests.integration.test_faults import final_of

POOLS = {name: pool.model_copy(update={"slots": 8}) for name, pool in WorkerSettings().pools.items()}
QUESTIONS = [problem.question for problem in draw("test", 5, 40)]


def query(text: str, tenant: str = "default") -> query_pb2.Query:
    return query_pb2.Query(tenant=tenant, messages=[query_pb2.Message(content=text)], task="TASK_MATH")


async def planned(stub: RouterServiceStub) -> tuple[Counter, float, str]:
    """What would be bought for every question now: how often each plan, what that is expected to cost, and a reason."""
    plans, cost, reason = Counter[str](), 0.0, ""
    for text in QUESTIONS:
        found = await stub.PlanQuery(pb.PlanQueryRequest(query=query(text)), timeout=30)
        plans[found.decision.plan] += 1
        cost += next((one.cost_microdollars for one in found.prediction.forecasts if one.plan == found.decision.plan), 0.0)
        reason = found.decision.reason if "busy" in found.decision.reason else reason
    return plans, cost / len(QUESTIONS), reason


async def crowd(stub: RouterServiceStub, number: int) -> None:
    """One of those who ask for the dearest plans, again and again."""
    for text in QUESTIONS[number % 8 :]:
        asked = query(text, "crowd")
        await final_of(stub.AnswerQuery(pb.AnswerQueryRequest(query=asked), timeout=100))


async def test_plans_get_cheaper_as_pools_fill_and_come_back_after(tmp_path: Path) -> None:
    knobs = {"exploration": 0.0, "cache": False}
    tenants = {
        "default": TenantSettings(value=20_000, **knobs),
        "crowd": TenantSettings(value=1e9, plans=("large-tree", "large-best", "small-best"), max_stages=3, **knobs),
    }
    settings = Settings(data=tmp_path / "data", server=ServerSettings(address="127.0.0.1:0"), worker=WorkerSettings(pools=POOLS), tenants=tenants)
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        idle = await planned(stub)
        callers = [asyncio.create_task(crowd(stub, number)) for number in range(32)]
        async with asyncio.timeout(60):
            while not (busy := await planned(stub))[2] or busy[1] > idle[1] / 1.5:
                await asyncio.sleep(0.2)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        async with asyncio.timeout(60):
            while await planned(stub) != idle:
                await asyncio.sleep(0.2)
    assert "times as dear" in busy[2]
    assert idle[2] == ""
