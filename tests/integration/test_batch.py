"""One budget over many queries, by the door of a running service."""

import grpc
import pytest
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub


def batch(budget: float, tenants: tuple[str, ...] = ("default",) * 30) -> router_service_pb2.PlanBatchRequest:
    queries = [
        query_pb2.Query(tenant=tenant, messages=[query_pb2.Message(content=f"Calculate {number} + 4.")]) for number, tenant in enumerate(tenants)
    ]
    return router_service_pb2.PlanBatchRequest(queries=queries, budget_microdollars=budget)


async def test_more_budget_buys_more_right_answers_and_never_more_than_it(stub: RouterServiceStub) -> None:
    found = [await stub.PlanBatch(batch(budget), timeout=20) for budget in (0.0, 2_000.0, 100_000.0, 1e9)]
    for budget, one in zip((0.0, 2_000.0, 100_000.0, 1e9), found, strict=True):
        assert one.cost_microdollars <= budget
        assert one.success <= one.success_bound + 1e-9
        assert one.cost_microdollars == pytest.approx(sum(part.cost_microdollars for part in one.decisions))
        assert one.success == pytest.approx(sum(part.success for part in one.decisions))
    success = [one.success for one in found]
    assert success == sorted(success)
    assert not any(part.plan for part in found[0].decisions)
    assert all(part.plan for part in found[-1].decisions)
    assert found[-1].success_per_microdollar == 0


async def test_every_decision_is_logged_and_takes_an_outcome(stub: RouterServiceStub) -> None:
    found = await stub.PlanBatch(batch(1e9), timeout=20)
    one = found.decisions[7].decision_id
    await stub.ReportOutcome(
        router_service_pb2.ReportOutcomeRequest(decision_id=one, reward=1.0, source=router_service_pb2.REWARD_SOURCE_VERIFIER), timeout=10
    )
    explained = await stub.ExplainDecision(router_service_pb2.ExplainDecisionRequest(decision_id=one), timeout=10)
    (stage,) = explained.stages
    assert (stage.policy, stage.propensity, stage.plan) == ("batch", 1.0, found.decisions[7].plan)
    assert explained.rewards[0].reward == 1.0


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (batch(1.0, ("default", "poor")), "one tenant"),
        (batch(-1.0), "budget"),
        (batch(float("nan")), "budget"),
        (batch(1.0, ()), "queries"),
        (batch(1.0, ("default",) * 1001), "queries"),
    ],
)
async def test_a_batch_against_the_rules_is_refused(stub: RouterServiceStub, request_: router_service_pb2.PlanBatchRequest, word: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.PlanBatch(request_, timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert word in refused.value.details()
