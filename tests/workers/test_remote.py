"""A worker behind a real socket: what comes back, what is charged, and what stops when."""

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rheostat.v1 import worker_service_pb2 as pb
from rheostat.v1.worker_service_pb2_grpc import WorkerServiceStub

from router.errors import BackendUnavailable, InvalidQuery, UnknownPlan
from router.interceptors import Interceptor
from router.telemetry import Telemetry, trace_id
from router.types import Budget, Evidence
from tests.workers.toy import SKILLED, Bill, Oracle, Rig, Toy, a_plan, a_query
from workers.executor import LocalExecutor, Pool
from workers.fleet import open_fleet
from workers.remote import connected
from workers.server import SERVICE, WorkerServer
from workers.wire import order_to_pb

LONG = "1111111111 2222222222"
PLAN = a_plan("best_of_n", n=8)


@asynccontextmanager
async def worker(rig, address, executor=None):
    server = WorkerServer(executor or rig.executor, address, [Interceptor(Telemetry())])
    await server.start()
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve_until(stop, grace=0))
    yield stop
    stop.set()
    await serving


@pytest.fixture
def address(tmp_path):
    return f"unix:{tmp_path}/w.sock"


async def until(condition, seconds=0.2):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


async def run(remote, bill, plan=PLAN, query=None, evidence=None):
    return await remote.execute(query or a_query(), plan, evidence or Evidence(), Budget(), bill)


async def test_a_plan_run_elsewhere_gives_what_it_gives_here(address):
    rig, bill = Rig(), Bill()
    here = await Rig().run(PLAN)
    async with worker(rig, address), connected(address) as remote:
        there = await run(remote, bill)
        again = await run(remote, Bill(), evidence=Evidence(outcomes=(there,)))
    assert (there.answer, there.text, there.usage.tokens, there.usage.cost) == (here.answer, here.text, here.usage.tokens, here.usage.cost)
    assert (bill.usage.tokens, bill.usage.cost, bill.usage.kept_tokens) == (there.usage.tokens, there.usage.cost, there.usage.kept_tokens)
    assert {one.text for one in again.candidates} != {one.text for one in there.candidates}


async def test_charges_arrive_while_the_plan_runs(address):
    rig, bill = Rig(Toy(pace=0.005)), Bill()
    async with worker(rig, address), connected(address) as remote:
        task = asyncio.create_task(run(remote, bill, a_plan("self_consistency", n=8, batch=2, tau=1.0)))
        await until(lambda: bill.usage.calls >= 2, 2)
        assert not task.done()
        await task


async def test_cancelling_stops_every_sample_and_what_they_took_is_charged(address):
    rig, bill = Rig(Toy(pace=0.01)), Bill()
    async with worker(rig, address), connected(address) as remote:
        task = asyncio.create_task(run(remote, bill, query=a_query(LONG)))
        await until(lambda: rig.toy.running == 8)
        await asyncio.sleep(0.05)
        started = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started < 2.5
    assert rig.toy.running == 0
    assert bill.usage.cancelled_tokens > 0
    assert bill.usage.tokens == rig.truly_spent


async def test_cancelling_twice_loses_no_charge(address):
    rig, bill = Rig(Toy(pace=0.01)), Bill()
    async with worker(rig, address), connected(address) as remote:
        task = asyncio.create_task(run(remote, bill, query=a_query(LONG)))
        await until(lambda: rig.toy.running == 8)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert bill.usage.tokens == rig.truly_spent > 0


async def test_a_router_that_is_gone_leaves_no_sample_running(address):
    rig = Rig(Toy(pace=0.01))
    async with worker(rig, address), grpc.aio.insecure_channel(address) as channel:
        call = WorkerServiceStub(channel).Execute(order_to_pb(a_query(LONG), PLAN, Evidence(), Budget()))
        reading = asyncio.create_task(call.read())
        await until(lambda: rig.toy.running == 8)
        call.cancel()
        await until(lambda: rig.toy.running == 0)
        await asyncio.wait([reading])


async def test_the_deadline_settles_with_what_there_is(address):
    rig, bill = Rig(Toy(pace=0.05)), Bill()
    async with worker(rig, address), connected(address) as remote:
        started = time.monotonic()
        outcome = await run(remote, bill, query=a_query(LONG, deadline=started + 1.5))
        assert time.monotonic() - started < 2.5
        past = await run(remote, Bill(), query=a_query(deadline=started))
    assert (outcome.stop_reason, past.stop_reason) == ("deadline", "deadline")
    assert outcome.usage.tokens == bill.usage.tokens == rig.truly_spent


async def test_a_worker_that_dies_is_unavailable_and_found_again(address):
    rig, bill = Rig(Toy(pace=0.01)), Bill()
    async with worker(rig, address) as stop, connected(address) as remote:
        task = asyncio.create_task(run(remote, bill, query=a_query(LONG)))
        await until(lambda: rig.toy.running == 8)
        stop.set()
        with pytest.raises(BackendUnavailable):
            await task
        await until(lambda: rig.toy.running == 0)
        with pytest.raises(BackendUnavailable):
            await run(remote, bill)
        async with worker(Rig(), address):
            async with asyncio.timeout(3):
                while True:
                    try:
                        assert (await run(remote, Bill())).answer == "31415"
                        break
                    except BackendUnavailable:
                        await asyncio.sleep(0.05)


async def test_what_went_wrong_keeps_its_name(address):
    async with worker(Rig(Toy(fails=frozenset(range(99)))), address), connected(address) as remote:
        with pytest.raises(UnknownPlan, match="no plug-in 'guess'") as refused:
            await run(remote, Bill(), a_plan("guess"))
        assert refused.value.metadata == {"plan": "toy-guess"}
        with pytest.raises(UnknownPlan, match="n and batch"):
            await run(remote, Bill(), a_plan("self_consistency", n=0))
        with pytest.raises(BackendUnavailable, match="out of order"):
            await run(remote, Bill())
        with pytest.raises(InvalidQuery):
            await run(remote, Bill(), query=a_query(messages=()))


async def test_nobody_at_the_address_is_told(address):
    with pytest.raises(BackendUnavailable, match=r"no worker at .* within 0\.2 seconds"):
        async with open_fleet([address], print, patience=0.2):
            pass


async def test_a_worker_says_what_it_serves_and_that_it_does(address):
    async with worker(Rig(), address), grpc.aio.insecure_channel(address) as channel:
        described = await WorkerServiceStub(channel).Describe(pb.DescribeRequest())
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert [pool.name for pool in described.pools] == ["toy", "draft"]
    assert list(described.pools[0].capabilities) == sorted({*SKILLED, "score", "steps", "run"})
    assert {"direct", "beam"} <= set(described.strategies)
    assert {"exact", "reward"} <= set(described.verifiers)
    assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_one_trace_from_the_callers_span_to_every_sample(address):
    exporter = InMemorySpanExporter()
    telemetry = Telemetry(spans=SimpleSpanProcessor(exporter))
    executor = LocalExecutor(pools={"toy": Pool(backend=Toy(), verifier=Oracle(), model="toy")}, telemetry=telemetry)
    async with worker(Rig(), address, executor), connected(address) as remote:
        with telemetry.span("asking"):
            asked = trace_id()
            await run(remote, Bill(), a_plan("self_consistency", n=2))
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {asked}
    assert spans["chat toy"].parent.span_id == spans["invoke_workflow self_consistency"].context.span_id
    telemetry.shutdown()
