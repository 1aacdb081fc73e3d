"""Several routers on one Redis: what one decided any of them takes outcomes for, and explains."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import service
from router.decisions import journals, read_log, records
from router.settings import Settings, WorkerSettings
from tests.integration.conftest import POOLS
from tests.integration.test_faults import final_of, refusal, request, until

Pair = tuple[RouterServiceStub, RouterServiceStub]


@pytest.fixture
def shared(settings: Settings, worker: str, redis_url: str) -> Settings:
    return settings.model_copy(update={"worker": WorkerSettings(address=worker, pools=POOLS.pools), "redis_url": redis_url})


@pytest.fixture(params=["one host", "two hosts"])
async def pair(shared: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two routers; on two hosts they do not see one another's files."""
    elsewhere = {"data": shared.data.with_name("other")} if request.param == "two hosts" else {}
    second = shared.model_copy(update={"journal": shared.journal.model_copy(update={"name": "journal-2"}), **elsewhere})
    async with AsyncExitStack() as stack:
        stubs = []
        for one in (shared, second):
            running = await stack.enter_async_context(service(one))
            stubs.append(RouterServiceStub(await stack.enter_async_context(grpc.aio.insecure_channel(running.address))))
        yield stubs[0], stubs[1]


async def test_any_router_takes_an_outcome_and_explains_the_decision(pair: Pair, shared: Settings) -> None:
    one, other = pair
    decision = (await final_of(one.AnswerQuery(request(plans=["quick"]), timeout=60))).decision_id
    report = {"decision_id": decision, "reward": 1.0, "source": pb.REWARD_SOURCE_USER}
    await other.ReportOutcome(pb.ReportOutcomeRequest(**report), timeout=10)
    for tenant in ("poor", "default"):
        forged = {
            **report,
            "tenant": tenant,
            "decision_id": decision if tenant == "poor" else f"{decision[:-1]}{'0' if decision[-1] != '0' else '1'}",
        }
        assert await refusal(_as_stream(other.ReportOutcome(pb.ReportOutcomeRequest(**forged), timeout=10))) == ("NOT_FOUND", "UNKNOWN_DECISION")

    async def explained() -> bool:
        found = await other.ExplainDecision(pb.ExplainDecisionRequest(decision_id=decision), timeout=10)
        return [stage.plan for stage in found.stages] == ["quick", ""] and len(found.rewards) == 1

    await until(explained, 10)
    rows = records(read_log(*journals(shared.data), *journals(shared.data.with_name("other"))))
    assert sorted(row.kind for row in rows if row.decision_id == decision) == ["reward", "stage", "stage"]


async def _as_stream(call):
    yield await call
