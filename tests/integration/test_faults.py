"""Bad input and faults, against a whole service over a socket.

Each gives a status with a reason, or the documented degraded behaviour; nothing acknowledged is lost.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rheostat.v1 import answer_pb2, query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import Service, service
from router.decisions import read_log, records
from router.settings import Settings, WorkerSettings
from router.types import Record
from tests.integration.conftest import PLANS, POOLS

LEGS = "How many legs are there in total if you have 23 cats, 13 scorpions, 2 birds, 12 lobsters, 10 grasshoppers, 23 dogs, 5 spiders?"
STORY = "Tom has 5 apples. Then Tom buys 3 more apples. Then Tom gives 2 apples to Mia. How many apples does Tom have now?"


def request(text: str = STORY, **given: Any) -> router_service_pb2.AnswerQueryRequest:
    knobs = query_pb2.Knobs(plans=given.pop("plans", []), policy=given.pop("policy", "fixed"))
    return router_service_pb2.AnswerQueryRequest(
        query=query_pb2.Query(messages=[query_pb2.Message(role="ROLE_USER", content=text)], task="TASK_MATH", knobs=knobs, **given)
    )


async def final_of(call: AsyncIterable[router_service_pb2.AnswerQueryResponse]) -> answer_pb2.FinalAnswer:
    final = answer_pb2.FinalAnswer()
    async for event in call:
        final = event.final
    return final


async def refusal(call: Any) -> tuple[str, str]:
    """Status code and reason of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        async for _ in call:
            pass
    status = rpc_status.from_call(failed.value)
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    assert any(detail.Is(info.DESCRIPTOR) and detail.Unpack(info) for detail in status.details)
    return failed.value.code().name, info.reason


def children(name: str) -> list[int]:
    """Processes of ours whose command line holds `name`, oldest first: numbers of processes begin anew some day."""
    found = subprocess.run(
        ["ps", "-ww", "--sort=start_time", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True
    ).stdout
    return [int(line.split()[0]) for line in found.splitlines() if name in line]


async def until(truth: Any, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await truth():
            await asyncio.sleep(0.01)


async def test_a_question_is_answered_and_explained(stub: RouterServiceStub) -> None:
    final = await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))
    assert final.answer.answer
    assert final.receipt.usage.cost_microdollars > 0
    explained = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=final.decision_id), timeout=10)
    assert [stage.plan for stage in explained.stages] == ["quick", ""]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"text": ""}, ("INVALID_ARGUMENT", "INVALID_QUERY")),
        ({"text": "word " * 200_000}, ("INVALID_ARGUMENT", "INVALID_QUERY")),
        ({"plans": ["none-such"]}, ("NOT_FOUND", "UNKNOWN_PLAN")),
        ({"policy": "none-such"}, ("NOT_FOUND", "UNKNOWN_POLICY")),
        ({"tenant": "none-such"}, ("NOT_FOUND", "UNKNOWN_TENANT")),
        ({"budget": query_pb2.Budget(cost_microdollars=-5)}, ("INVALID_ARGUMENT", "INVALID_QUERY")),
        ({"budget": query_pb2.Budget(tokens=0)}, ("INVALID_ARGUMENT", "INVALID_QUERY")),
        ({"budget": query_pb2.Budget(cost_microdollars=1)}, ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED")),
    ],
)
async def test_bad_input_has_a_reason_and_hurts_nobody(stub: RouterServiceStub, given: dict[str, Any], expected: tuple[str, str]) -> None:
    assert await refusal(stub.AnswerQuery(request(**given), timeout=60)) == expected
    assert (await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))).answer.answer


async def test_a_tenant_that_cannot_pay_is_refused(stub: RouterServiceStub) -> None:
    for _ in range(100):
        try:
            await final_of(stub.AnswerQuery(request(plans=["quick"], tenant="poor"), timeout=60))
        except grpc.aio.AioRpcError:
            break
    assert await refusal(stub.AnswerQuery(request(plans=["quick"], tenant="poor"), timeout=60)) == ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED")


async def test_a_deadline_too_short_is_kept(stub: RouterServiceStub) -> None:
    await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await final_of(stub.AnswerQuery(request(LEGS, plans=["long"]), timeout=0.3))
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 1.5


async def leave_after(seconds: float, stub: RouterServiceStub, running: Service) -> tuple[float, Record]:
    """Cancel a call at work; seconds until its samples have stopped and their row is written, and that row."""
    call = stub.AnswerQuery(request(LEGS, plans=["long"]), timeout=60)
    stage = (await call.read()).stage
    await asyncio.sleep(seconds)
    left = time.monotonic()
    call.cancel()

    async def logged() -> bool:
        return any([row.stop_reason == "cancelled" async for row in running.journal.read(stage.decision_id)])

    await until(logged, 5)
    took = time.monotonic() - left
    (row,) = [row async for row in running.journal.read(stage.decision_id)]
    return took, row


async def test_a_client_that_leaves_stops_its_samples_and_pays_for_them(stub: RouterServiceStub, running: Service) -> None:
    started = time.monotonic()
    stayed = (await final_of(stub.AnswerQuery(request(LEGS, plans=["long"]), timeout=60))).receipt.usage.cost_microdollars
    whole = time.monotonic() - started  # a machine that others use too stops as late as it works slowly
    left = [await leave_after(0.7, stub, running) for _ in range(4)]
    assert min(took for took, _ in left) < max(0.2, whole / 10)
    assert all(row.cancelled_tokens > 0 and row.cost > 0 for _, row in left)

    async def settled() -> bool:
        return await running.ledger.spent("default") == (stayed + sum(row.cost for _, row in left), 0)

    await until(settled, 5)


async def test_redis_may_die_in_the_middle(stub: RouterServiceStub, running: Service, settings: Settings) -> None:
    call = aiter(stub.AnswerQuery(request(LEGS, plans=["long"]), timeout=60))
    await anext(call)
    redis = children("redis-server")[-1]  # not the one that other tests share
    os.kill(redis, signal.SIGKILL)
    assert (await final_of(call)).answer.answer
    during = await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))
    assert during.answer.answer

    async def charged() -> bool:
        rows = records(read_log(settings.data / "journal"))
        try:
            return await running.ledger.spent("default") == (sum(row.cost for row in rows), 0)
        except Exception:  # Redis is not back yet
            return False

    await until(charged, 20)


async def test_a_worker_that_dies_is_an_error_with_a_reason_and_comes_back(alone: RouterServiceStub, settings: Settings) -> None:
    call = aiter(alone.AnswerQuery(request(LEGS, plans=["long"]), timeout=60))
    decision = (await anext(call)).stage.decision_id
    await asyncio.sleep(0.5)
    worker = children("router work")[-1]  # not the one that other tests share
    os.kill(worker, signal.SIGKILL)
    assert await refusal(call) == ("UNAVAILABLE", "BACKEND_UNAVAILABLE")
    assert [row.stop_reason for row in records(read_log(settings.data / "journal")) if row.decision_id == decision] == ["failed"]

    async def back() -> bool:
        try:
            return bool((await final_of(alone.AnswerQuery(request(plans=["quick"]), timeout=30))).answer.answer)
        except grpc.aio.AioRpcError:
            return False

    await until(back, 60)


async def test_nothing_is_acknowledged_that_cannot_be_logged(stub: RouterServiceStub, settings: Settings) -> None:
    await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))
    log = settings.data / "journal" / "wal"
    shutil.rmtree(log)
    log.write_text("a file, not a directory")
    assert await refusal(stub.AnswerQuery(request(plans=["quick"]), timeout=60)) == ("UNAVAILABLE", "JOURNAL_UNAVAILABLE")
    log.unlink()
    assert (await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))).answer.answer


async def test_a_damaged_predictor_is_not_taken_up(stub: RouterServiceStub, running: Service, settings: Settings) -> None:
    before = running.pipeline.predictor.version
    folder: Path = settings.predictor_directory
    folder.mkdir(parents=True)
    (folder / "arrays-0.npz").write_bytes(b"damaged")
    manifest = {
        "format": 1,
        "kind": "learned",
        "version": "0",
        "arrays": "arrays-0.npz",
        "digest": "0",
        "plans": [],
        "feature_version": "",
        "facts": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    await asyncio.sleep(2.5)
    assert running.pipeline.predictor.version == before
    planned = await stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=request().query), timeout=10)
    assert planned.prediction.version == before


async def test_what_cannot_be_done_in_the_time_wanted_is_not_bought(settings: Settings, worker: str) -> None:
    """The bundled predictor knows how long a plan of this name takes."""
    own = {"worker": WorkerSettings(address=worker, pools=POOLS.pools), "plans": {"large-tree": PLANS["quick"]}}
    async with service(settings.model_copy(update=own)) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        asked = request(policy="allocator")
        asked.query.knobs.value_microdollars, asked.query.knobs.seconds = 1e6, 0.001
        planned = await stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=asked.query), timeout=10)
        assert (planned.decision.plan, len(planned.prediction.forecasts)) == ("", 0)
        assert await refusal(stub.AnswerQuery(asked, timeout=30)) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        asked.query.knobs.seconds = 25.0
        assert (await final_of(stub.AnswerQuery(asked, timeout=30))).receipt.usage.calls > 0
