"""What people are told of a request and of a tenant: the compute tree, and usage that is the ledger's to the micro-dollar."""

import asyncio
import json
from io import StringIO

import grpc
import pytest
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rich.console import Console

from router.app import Service
from router.channel import Service as Client
from router.decisions import log_files
from router.settings import Settings
from router.terms import TenantSettings
from router.trace import trace
from router.usage import By, usage
from tests.integration.test_faults import LEGS, STORY, final_of, request, until


@pytest.fixture
def settings(settings: Settings) -> Settings:
    keeps = TenantSettings(exploration=0.0, cache=False, retention="full", value=1e9)
    return settings.model_copy(update={"tenants": settings.tenants | {"keeps": keeps}})


async def printed(running: Service, decision_id: str, tenant: str, capsys: pytest.CaptureFixture[str] | None = None):
    if capsys:
        capsys.readouterr()
        await trace(decision_id, Client(address=running.address), tenant=tenant, console=None)
        told = capsys.readouterr().out
        return json.loads(told[told.index("{\n") :])
    out = StringIO()
    await trace(decision_id, Client(address=running.address), tenant=tenant, console=Console(file=out, width=200))
    return out.getvalue()


async def test_the_tree_has_every_token_of_the_receipt(stub: RouterServiceStub, running: Service, capsys: pytest.CaptureFixture[str]) -> None:
    final = await final_of(stub.AnswerQuery(request(STORY, plans=["quick", "long"], policy="allocator", tenant="keeps"), timeout=60))
    usage = final.receipt.usage
    found = await printed(running, final.decision_id, "keeps", capsys)
    stages = found["stages"]
    for name in ("prompt_tokens", "kept_tokens", "discarded_tokens", "cancelled_tokens", "samples", "cost_microdollars"):
        assert sum(int(stage["usage"][name]) for stage in stages) == getattr(usage, name)
    assert [stage["index"] for stage in stages] == list(range(len(stages)))
    assert {choice["name"] for choice in stages[0]["choices"]} == {"quick", "long", "abstain"}
    assert sum(choice["chance"] for choice in stages[0]["choices"]) == pytest.approx(1)
    bought = [stage for stage in stages if stage["plan"]]
    assert bought
    for stage in bought:
        samples = [order for order in stage["orders"] if order["kind"] == "sample"]
        written = sum(int(stage["usage"][f"{fate}_tokens"]) for fate in ("kept", "discarded"))
        assert sum(order["written"] for order in samples) == written
    tree = await printed(running, final.decision_id, "keeps")
    assert final.decision_id in tree
    assert f"{usage.cost_microdollars:,} micro-dollars" in tree.splitlines()[0]
    for stage in bought:
        assert f"{stage['plan']}: gave" in tree
        assert stage["reason"][:40] in tree
    assert "order 0: sample" in tree
    assert "because: " in tree
    assert "offered" in tree


async def test_without_traces_there_are_candidates_and_others_see_nothing(stub: RouterServiceStub, running: Service) -> None:
    final = await final_of(stub.AnswerQuery(request(STORY, plans=["quick"]), timeout=60))
    tree = await printed(running, final.decision_id, "default")
    assert "candidate 0: " in tree
    assert "order" not in tree
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await printed(running, final.decision_id, "keeps")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_usage_is_what_the_ledger_has_also_of_requests_that_were_left(stub: RouterServiceStub, running: Service, settings: Settings) -> None:
    """Answers, a cancelled one, a refused one, and a plan that costs nothing: the sums are the same, by whatever they are told."""
    answers = [stub.AnswerQuery(request(f"{STORY} {number}", plans=["quick"]), timeout=60) for number in range(6)]
    await asyncio.gather(*map(final_of, answers))
    call = stub.AnswerQuery(request(LEGS, plans=["long"]), timeout=60)
    await call.read()
    await asyncio.sleep(0.5)
    call.cancel()
    await stub.AnswerQuery(request(plans=["none-such"]), timeout=10).code()

    async def settled() -> bool:
        return (await running.ledger.spent("default"))[1] == 0 and running.journal.fsyncs > 0

    await until(settled, 10)
    spent, _ = await running.ledger.spent("default")
    assert spent > 0
    for by in By:
        with log_files(settings.data / "journal") as files:
            rows = usage(files, "default", by).to_pylist()
        assert sum(row["cost_microdollars"] for row in rows) == spent
    assert sum(row["cancelled_tokens"] for row in rows) > 0
