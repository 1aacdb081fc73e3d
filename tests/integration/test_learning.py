"""The loop closes: questions are answered, outcomes reported, a predictor is fitted to the log, and the running service takes it up."""

import asyncio

import grpc
import pytest
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from predictors.guarantee import ALPHAS
from predictors.training.retrain import retrain
from router.app import Service
from router.decisions import log_files, read_log, records
from router.exam import draw, sit
from router.settings import Settings


async def test_what_the_log_taught_serves_without_a_restart(running: Service, stub: RouterServiceStub, settings: Settings) -> None:
    before = running.pipeline.predictor.version
    async with grpc.aio.insecure_channel(running.address) as channel:
        attempts = await sit(channel, draw("calibration", 3, 40), query_pb2.Knobs(plans=["quick"], cache=False), report=True, done=lambda _: None)
    rows = records(read_log(settings.data / "journal"))
    assert {row.decision_id for row in rows if row.kind == "reward"} == {attempt.decision_id for attempt in attempts}
    with log_files(settings.data / "journal") as files:
        report = await asyncio.to_thread(retrain, files, tuple(settings.plans), settings.predictor_directory)
    assert report.facts["decisions"] == len(attempts)
    async with asyncio.timeout(10):
        while running.pipeline.predictor.version == before:
            await asyncio.sleep(0.05)
    query = query_pb2.Query(messages=[query_pb2.Message(role="ROLE_USER", content="Calculate 3 + 4.")])
    planned = await stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=query), timeout=10)
    assert planned.prediction.version == report.version
    (quick,) = [forecast for forecast in planned.prediction.forecasts if forecast.plan == "quick"]
    right = sum(attempt.right for attempt in attempts) / len(attempts)
    assert abs(quick.success - right) < 0.5
    assert 0 <= quick.low <= quick.success <= quick.high <= 1
    assert quick.cost_microdollars > 0


async def test_a_risk_is_kept_by_withholding_or_refused_before_anything_is_bought(running: Service, stub: RouterServiceStub) -> None:
    bar = running.pipeline.predictor.bar
    risk = next(alpha for alpha in ALPHAS if bar(alpha) <= 1)
    knobs = query_pb2.Knobs(plans=["quick"], cache=False, risk=risk, max_stages=1)
    async with grpc.aio.insecure_channel(running.address) as channel:
        attempts = await sit(channel, draw("calibration", 3, 10), knobs, report=False, done=lambda _: None)
    for attempt in attempts:
        explained = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=attempt.decision_id), timeout=10)
        assert bool(attempt.gave) == (explained.stages[-1].in_hand >= bar(risk))
    query = query_pb2.Query(messages=[query_pb2.Message(role="ROLE_USER", content="Calculate 3 + 4.")], knobs=query_pb2.Knobs(risk=0, cache=False))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PlanQuery(router_service_pb2.PlanQueryRequest(query=query), timeout=10)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "report more outcomes and retrain" in (refused.value.details() or "")
