"""Pools on Ray, on a real cluster of two nodes: a router does not know the difference."""

import asyncio
import time
from dataclasses import replace

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rheostat.v1 import worker_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rheostat.v1.worker_service_pb2_grpc import WorkerServiceStub

from router.app import service
from router.errors import BackendUnavailable, InvalidQuery, UnknownPlan
from router.settings import ServerSettings, Settings
from router.telemetry import Telemetry, trace_id
from router.types import Budget, Evidence, Outcome, Plan, Query
from tests.integration.test_faults import LEGS, STORY, final_of, request
from tests.ray.cluster import is_up, nodes, replicas
from tests.ray.conftest import NANO, PRICE, TWO, Town
from tests.workers.toy import Bill, Rig, Toy, a_plan, a_query
from workers.discovery.ray import addresses
from workers.fleet import open_fleet
from workers.remote import RemoteExecutor, connected
from workers.server import SERVICE
from workers.wire import event_from_pb, order_to_pb

pytestmark = pytest.mark.timeout(170)
LONG = "1111111111 2222222222"
VOTE = a_plan("self_consistency", n=8, batch=8, tau=1.0)
MANY = replace(a_plan("self_consistency", n=256, batch=64, tau=1.0), pool="nano")


async def until(condition, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def wanted(remote: RemoteExecutor, pool: str) -> int:
    """Samples that are drawn or wait, on all replicas."""
    return (await remote.offers()).pools[pool].wanted


async def run(remote: RemoteExecutor, bill: Bill, plan: Plan = VOTE, query: Query | None = None) -> Outcome:
    return await remote.execute(query or a_query(), plan, Evidence(), Budget(), bill)


async def test_a_plan_run_on_ray_gives_what_it_gives_here(town: Town) -> None:
    bill = Bill()
    here = await Rig(Toy()).run(VOTE)
    async with connected(town.nodes.addresses[0]) as remote:
        before = town.spent
        there = await run(remote, bill)
    assert (there.answer, there.text, there.usage.tokens, there.usage.cost) == (here.answer, here.text, here.usage.tokens, here.usage.cost)
    assert bill.usage == there.usage
    assert town.spent - before == there.usage.tokens


async def test_what_went_wrong_keeps_its_name(town: Town) -> None:
    async with connected(town.nodes.addresses[0]) as remote:
        with pytest.raises(UnknownPlan, match="no plug-in 'guess'") as refused:
            await run(remote, Bill(), a_plan("guess"))
        assert refused.value.metadata == {"plan": "toy-guess"}
        with pytest.raises(InvalidQuery):
            await run(remote, Bill(), query=a_query(messages=()))


async def test_all_replicas_are_described_together_and_are_well(town: Town) -> None:
    async with connected(town.nodes.addresses[1]) as remote, grpc.aio.insecure_channel(town.nodes.addresses[1]) as channel:

        async def both() -> bool:
            return (await remote.offers()).pools["toy"].slots == 8

        await until(both)
        offers, stub = await remote.offers(), health_pb2_grpc.HealthStub(channel)
        assert (offers.pools["nano"].slots, offers.models["nano"]) == (16, "rheostat-nano")
        assert "beam" in offers.strategies
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await stub.Check(health_pb2.HealthCheckRequest(service="nothing"))
    assert len(set(replicas(town.nodes.told()).values())) == 2


async def test_stopping_brings_the_last_charges_back(town: Town) -> None:
    async with connected(town.nodes.addresses[0]) as remote:
        before, bill = town.spent, Bill()
        task = asyncio.create_task(run(remote, bill, query=a_query(LONG)))
        await until(lambda: _busy(remote))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert bill.usage.tokens == town.spent - before > 0
    assert bill.usage.cancelled_tokens > 0


async def test_a_stop_that_comes_to_another_replica_reaches_the_one_that_runs(town: Town) -> None:
    here, there = town.nodes.addresses  # a proxy prefers the replica of its own node
    async with connected(here) as remote, grpc.aio.insecure_channel(here) as one, grpc.aio.insecure_channel(there) as other:
        before, bill = town.spent, Bill()
        order = order_to_pb(a_query(LONG), VOTE, Evidence(), Budget())
        order.execution_id = "one"
        call = WorkerServiceStub(one).Execute(order)
        reading = asyncio.create_task(_charges(call, bill))
        await until(lambda: _busy(remote))
        await asyncio.sleep(0.1)
        await WorkerServiceStub(other).StopExecution(pb.StopExecutionRequest(execution_id="one"))
        assert await asyncio.wait_for(reading, 2) == "no outcome"
    assert bill.usage.tokens == town.spent - before > 0
    assert bill.usage.cancelled_tokens > 0


async def _charges(call, bill: Bill) -> str:
    async for response in call:
        if response.HasField("outcome"):
            return "an outcome"
        bill.charge(event_from_pb(response))
    return "no outcome"


async def _busy(remote: RemoteExecutor) -> bool:
    return await wanted(remote, "toy") > 0


async def test_a_router_that_is_gone_leaves_no_sample_of_a_real_engine_running(town: Town) -> None:
    async with connected(town.nodes.addresses[0]) as remote, grpc.aio.insecure_channel(town.nodes.addresses[0]) as channel:

        async def busy() -> bool:
            return await wanted(remote, "nano") > 8

        async def idle() -> bool:
            return await wanted(remote, "nano") == 0

        call = WorkerServiceStub(channel).Execute(order_to_pb(a_query(LEGS), MANY, Evidence(), Budget()))
        reading = asyncio.create_task(call.read())
        await until(busy)
        call.cancel()
        await until(idle, 2.0)
        await asyncio.wait([reading])
        late = WorkerServiceStub(channel).Execute(order_to_pb(a_query(LEGS), MANY, Evidence(), Budget()), timeout=1.0)
        with pytest.raises(grpc.aio.AioRpcError, match="DEADLINE_EXCEEDED"):
            async for _ in late:
                pass
        await until(idle, 2.0)


async def test_the_deadline_settles_with_what_there_is(town: Town) -> None:
    many, answered = a_plan("self_consistency", n=64, batch=64, tau=1.0), []
    async with connected(town.nodes.addresses[0]) as remote:
        for _ in range(3):
            bill, before = Bill(), town.spent
            outcome = await run(remote, bill, many, a_query(LONG, deadline=time.monotonic() + 1.5))
            assert outcome.stop_reason == "deadline"
            assert outcome.usage.tokens == bill.usage.tokens > 0
            await until(lambda: _settled(remote))
            if outcome.candidates:
                assert town.spent - before == bill.usage.tokens
            answered.append(outcome.answer)
    assert any(answered)  # the replica knew the deadline, and sent what it had in time, unless this machine was very busy


async def _settled(remote: RemoteExecutor) -> bool:
    return await wanted(remote, "toy") == 0


async def test_one_trace_from_the_callers_span_to_every_sample(town: Town) -> None:
    telemetry = Telemetry(spans=SimpleSpanProcessor(InMemorySpanExporter()))
    async with connected(town.nodes.addresses[0]) as remote:
        with telemetry.span("asking"):
            asked = trace_id()
            await run(remote, Bill(), a_plan("self_consistency", n=2))

        async def exported() -> bool:
            return {"invoke_workflow self_consistency", "chat toy"} <= {span.name for _, span in town.collector.of(asked).values()}

        await until(exported)
    telemetry.shutdown()


async def test_a_router_without_the_clusters_token_is_refused(town: Town, monkeypatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with pytest.raises(BackendUnavailable, match="asks for its token: set RAY_AUTH_TOKEN or"):
        await addresses(town.nodes.place)


async def test_a_router_finds_them_and_answers_by_them(town: Town, tmp_path) -> None:
    (address,) = await addresses(town.nodes.place)  # one machine: both proxies have its address, and one port is known
    assert address.endswith(f":{town.nodes.ports[0]}")
    given = {
        "worker": {"address": town.nodes.place, "pools": {"nano": {"backend": NANO}}},
        "plans": {"quick": {"pool": "nano", "strategy": "direct", "tokens": 1_000, "cost": 500, "price": PRICE}},
    }
    settings = Settings(data=tmp_path / "data", server=ServerSettings(address="127.0.0.1:0", drain_delay=0.0), **given)
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        final = await final_of(RouterServiceStub(channel).AnswerQuery(request(STORY), timeout=30))
    assert final.answer.answer
    assert not final.degraded


async def test_replicas_follow_the_load(town: Town) -> None:
    await asyncio.to_thread(town.nodes.change, autoscaling_config={"min_replicas": 1, "max_replicas": 2})
    try:
        await town.nodes.awaited(lambda told: len(replicas(told)) == 1)
        async with connected(town.nodes.addresses[0]) as remote:
            asked = [asyncio.create_task(_again_and_again(remote)) for _ in range(3)]
            await town.nodes.awaited(lambda told: len(replicas(told)) == 2)
            assert not any(task.done() for task in asked)
            for task in asked:
                task.cancel()
            ended = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        await town.nodes.awaited(lambda told: len(replicas(told)) == 1)
    finally:
        await asyncio.to_thread(town.nodes.change, autoscaling_config=TWO)
        await town.nodes.awaited(lambda told: len(replicas(told)) == 2)


async def _again_and_again(remote: RemoteExecutor) -> None:
    while True:
        await run(remote, Bill(), query=a_query(LONG))


async def test_a_replica_that_is_lost_is_replaced_by_another_behind_the_same_proxy(town: Town) -> None:
    bill, plan = Bill(), a_plan("self_consistency", n=4, batch=1, tau=1.0)
    async with open_fleet([town.nodes.addresses[0]], lambda _: None) as fleet:
        asked = asyncio.create_task(fleet.execute(a_query(LONG), plan, Evidence(), Budget(), bill))
        await until(lambda: _told(bill), 20)
        psutil.Process(town.last).kill()
        outcome = await asked
        assert fleet.retried >= 1  # what asks how it is may meet the end of a replica too
    assert len(outcome.candidates) == 4
    assert outcome.usage == bill.usage
    assert outcome.usage.samples > 4
    await town.nodes.awaited(lambda told: len(replicas(told)) == 2 and is_up(told))


async def _told(bill: Bill) -> bool:
    return bill.usage.tokens > 0


async def test_a_node_that_is_lost_loses_no_answer_and_no_token(town: Town) -> None:
    bills = [Bill() for _ in range(16)]
    async with open_fleet(town.nodes.addresses, lambda _: None) as fleet:

        async def answered(bill: Bill) -> Outcome:
            return await fleet.execute(a_query(LONG), a_plan("self_consistency", n=4, batch=1, tau=1.0), Evidence(), Budget(), bill)

        asked = [asyncio.create_task(answered(bill)) for bill in bills]

        async def under_way() -> bool:
            return all(bill.usage.tokens for bill in bills[:4])

        await until(under_way, 20)
        told = sum(bill.usage.tokens for bill in bills)
        town.nodes.kill(town.nodes.other)
        outcomes = await asyncio.gather(*asked)
        assert fleet.retried > 0
    assert all(len(outcome.candidates) == 4 for outcome in outcomes)
    assert [outcome.usage for outcome in outcomes] == [bill.usage for bill in bills]
    assert sum(bill.usage.tokens for bill in bills) > told
    town.nodes.replace_other()
    await town.nodes.awaited(lambda told: len(replicas(told)) == 2 and is_up(told))


@pytest.mark.slow
async def test_traffic_goes_on_without_the_head_and_nothing_is_left_behind(tmp_path) -> None:
    with nodes(head_cpus=0) as lonely:
        pools = {"toy": {"backend": {"name": "toy", "options": {"spent": str(tmp_path / "spent")}}, "slots": 4}}
        await asyncio.to_thread(lonely.deploy, {"worker": {"pools": pools}, "plans": {}}, autoscaling_config=TWO)
        async with open_fleet([lonely.place, lonely.addresses[1]], lambda _: None) as fleet:
            lonely.kill(lonely.head)
            for _ in range(10):
                outcome = await fleet.execute(a_query(), a_plan("direct"), Evidence(), Budget(), Bill())
                assert outcome.answer == "31415"
        with pytest.raises(BackendUnavailable):
            await addresses(lonely.place)
        theirs = lonely.processes()
    assert theirs
    assert not [one for one in theirs if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
