"""The door of a whole service: each role against each call, credentials of every wrong kind, TLS, tenants apart, and secrets that stay secret."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pb2, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rheostat.v1 import access_service_pb2, evaluation_pb2, router_service_pb2, tenant_pb2, tenant_service_pb2
from rheostat.v1.access_service_pb2_grpc import AccessServiceStub
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub

from router.access.roles import CALLS, Role
from router.app import Service, service
from router.errors import RouterError
from router.settings import Settings
from router.status import error_of
from tests.integration.door import Secured, asked, bearing, outcome, planned, reason, served, token

LOWEST = {
    "PlanQuery": Role.CALLER,
    "PlanBatch": Role.CALLER,
    "AnswerQuery": Role.CALLER,
    "ReportOutcome": Role.CALLER,
    "ExplainDecision": Role.CALLER,
    "EvaluatePolicy": Role.OPERATOR,
    "PreviewKnob": Role.OPERATOR,
    "ListDecisions": Role.OPERATOR,
    "SummarizeDecisions": Role.OPERATOR,
    "GetStanding": Role.OPERATOR,
    "GetFleet": Role.OPERATOR,
    "BeginPromotion": Role.ADMIN,
    "StopPromotion": Role.ADMIN,
    "GetTenant": Role.OPERATOR,
    "ListTenants": Role.ADMIN,
    "CreateTenant": Role.ADMIN,
    "UpdateTenant": Role.ADMIN,
    "DeleteTenant": Role.ADMIN,
    "ListTenantChanges": Role.ADMIN,
    "CreateApiKey": Role.ADMIN,
    "ListApiKeys": Role.ADMIN,
    "RotateApiKey": Role.ADMIN,
    "RevokeApiKey": Role.ADMIN,
}
"""Who may call what: as it is meant, beside the table in the code."""
RANK = [Role.CALLER, Role.OPERATOR, Role.ADMIN]


def called(channel: grpc.aio.Channel, path: str, method: Any, metadata: grpc.aio.Metadata | None) -> Any:
    """A call with an empty request, which most refuse once it is let in."""
    request = message_factory.GetMessageClass(method.input_type)()
    streams = descriptor_pb2.MethodDescriptorProto()
    method.CopyToProto(streams)
    make = channel.unary_stream if streams.server_streaming else channel.unary_unary
    reading = message_factory.GetMessageClass(method.output_type).FromString
    return make(f"/{path}", type(request).SerializeToString, reading)(request, metadata=metadata, timeout=20)


async def test_each_role_against_each_call(secured: Secured) -> None:
    methods = await served(secured.channel, bearing(secured.keys["admin"]))
    assert {path.rpartition("/")[2] for path in methods} == set(LOWEST), (
        "a call is new or gone: say here, and in router/access/roles.py, who may make it"
    )
    for path, method in methods.items():
        assert await reason(called(secured.channel, path, method, None)) == "MISSING_CREDENTIALS", path
        assert await reason(called(secured.channel, path, method, bearing(token(roles=[])))) == "ROLE_LACKING", path
        for role in Role:
            found = await reason(called(secured.channel, path, method, bearing(secured.keys[role])))
            allowed = RANK.index(role) >= RANK.index(LOWEST[path.rpartition("/")[2]])
            assert (found != "ROLE_LACKING") is allowed, (path, role, found)
            assert found not in ("INTERNAL", "UNKNOWN", "MISSING_CREDENTIALS", "INVALID_CREDENTIALS"), (path, role, found)


def test_no_call_is_allowed_that_there_is_not() -> None:
    assert {path.rpartition("/")[2] for path in CALLS} == set(LOWEST) | {"ServerReflectionInfo"}


async def test_health_is_open_and_reflection_is_not(secured: Secured) -> None:
    health = health_pb2_grpc.HealthStub(secured.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served(secured.channel, grpc.aio.Metadata())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served(secured.channel, bearing(secured.keys["operator"]))
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_credentials_of_every_wrong_kind_are_refused_alike(secured: Secured) -> None:
    stub, good = RouterServiceStub(secured.channel), secured.keys["caller"]
    now, other = time.time(), ec.generate_private_key(ec.SECP256R1())
    assert await reason(stub.PlanQuery(asked(), metadata=bearing(good))) == "OK"
    assert await reason(stub.PlanQuery(asked(), metadata=bearing(token()))) == "OK"
    wrong = [
        f"Bearer {good[:-1]}",
        f"Bearer {good}0",
        f"Basic {good}",
        good,
        "Bearer",
        "Bearer ",
        "",
        f"Bearer {token(other)}",
        f"Bearer {token(aud='other')}",
        f"Bearer {token(iss='other')}",
        f"Bearer {token(nbf=now + 600)}",
        f"Bearer {token(exp=None)}",
        f"Bearer {token()[:-4]}",
    ]
    for value in wrong:
        found = await outcome(stub.PlanQuery(asked(), metadata=grpc.aio.Metadata(("authorization", value))))
        assert isinstance(found, RouterError), value
        assert (found.reason, found.message, found.metadata) == ("INVALID_CREDENTIALS", "these credentials are not accepted", {}), value
    two = grpc.aio.Metadata(("authorization", f"Bearer {good}"), ("authorization", f"Bearer {secured.keys['admin']}"))
    assert await reason(stub.PlanQuery(asked(), metadata=two)) == "INVALID_CREDENTIALS"
    assert await reason(stub.PlanQuery(asked(), metadata=bearing(token(exp=now - 120)))) == "EXPIRED_CREDENTIALS"
    assert await reason(stub.PlanQuery(asked())) == "MISSING_CREDENTIALS"


async def test_no_tenant_names_anothers_decision_budget_or_terms(secured: Secured) -> None:
    router, tenants, keys = RouterServiceStub(secured.channel), TenantServiceStub(secured.channel), secured.keys
    planned = await router.PlanQuery(asked(), metadata=bearing(keys["caller"]))
    explain = router_service_pb2.ExplainDecisionRequest(decision_id=planned.decision_id)
    theirs = router_service_pb2.ExplainDecisionRequest(decision_id=planned.decision_id, tenant="default")
    rated = {"decision_id": planned.decision_id, "reward": 1.0, "source": router_service_pb2.REWARD_SOURCE_USER}
    poor = bearing(keys["poor"])
    assert await reason(router.ExplainDecision(explain, metadata=bearing(keys["caller"]))) == "OK"
    assert await reason(router.ExplainDecision(explain, metadata=poor)) == "UNKNOWN_DECISION"
    assert await reason(router.ExplainDecision(theirs, metadata=poor)) == "FOREIGN_TENANT"
    assert await reason(router.ReportOutcome(router_service_pb2.ReportOutcomeRequest(**rated), metadata=poor)) == "UNKNOWN_DECISION"
    assert await reason(router.ReportOutcome(router_service_pb2.ReportOutcomeRequest(**rated, tenant="default"), metadata=poor)) == "FOREIGN_TENANT"
    for name in ("default", "none-such"):  # what there is is not told either
        assert await reason(router.PlanQuery(asked(name), metadata=poor)) == "FOREIGN_TENANT"
        assert await reason(router.AnswerQuery(router_service_pb2.AnswerQueryRequest(query=asked(name).query), metadata=poor)) == "FOREIGN_TENANT"
    batch = router_service_pb2.PlanBatchRequest(queries=[asked("default").query] * 2, budget_microdollars=5)
    assert await reason(router.PlanBatch(batch, metadata=poor)) == "FOREIGN_TENANT"
    assert await reason(router.PlanQuery(asked(), metadata=bearing(token(tenant=None)))) == "FOREIGN_TENANT"
    operator = bearing(keys["operator"])
    assert (await tenants.GetTenant(tenant_service_pb2.GetTenantRequest(), metadata=operator)).tenant.name == "default"
    assert await reason(tenants.GetTenant(tenant_service_pb2.GetTenantRequest(name="poor"), metadata=operator)) == "FOREIGN_TENANT"
    admin = bearing(keys["admin"])
    assert await reason(router.ExplainDecision(theirs, metadata=admin)) == "OK"
    assert (await tenants.GetTenant(tenant_service_pb2.GetTenantRequest(name="poor"), metadata=admin)).tenant.per_day_microdollars == 600


async def until(found: Callable[[], Any], wanted: Any, seconds: float = 1.0) -> None:
    """Wait until the call comes to this."""
    async with asyncio.timeout(seconds):
        while await found() != wanted:
            await asyncio.sleep(0.02)


async def test_a_change_is_in_force_on_every_replica_within_a_second(secured: Secured, secured_settings: Settings, tmp_path: Path) -> None:
    other_settings = secured_settings.model_copy(update={"data": tmp_path / "other"})
    async with service(other_settings) as other, grpc.aio.insecure_channel(other.address) as channel:
        here, there = TenantServiceStub(secured.channel), RouterServiceStub(channel)
        admin = bearing(secured.keys["admin"])

        async def worth() -> float | str:
            try:
                return (await there.PlanQuery(asked("acme"), metadata=admin)).value_microdollars
            except grpc.aio.AioRpcError as failure:
                found = error_of(failure)
                return found.reason if found else failure.code().name

        assert await worth() == "UNKNOWN_TENANT"
        made = await here.CreateTenant(
            tenant_service_pb2.CreateTenantRequest(tenant=tenant_pb2.Tenant(name="acme", value_microdollars=77)), metadata=admin
        )
        await until(worth, 77.0)
        evaluate = evaluation_pb2.EvaluatePolicyRequest(tenant="acme")
        assert await reason(there.EvaluatePolicy(evaluate, metadata=admin)) == "NO_SUPPORT"  # the evaluation's process knows it too
        change = tenant_service_pb2.UpdateTenantRequest(tenant=tenant_pb2.Tenant(name="acme", etag=made.tenant.etag, cap_microdollars=5_000))
        change.update_mask.paths.extend(["value_microdollars", "cap_microdollars"])
        await here.UpdateTenant(change, metadata=admin)
        async with asyncio.timeout(1.0):
            while "acme" not in other.pacers:
                await asyncio.sleep(0.02)
        assert await worth() == pytest.approx(secured.running.pacers["acme"].value(time.time()), rel=0.2)  # learned from the cap
        assert await reason(here.UpdateTenant(change, metadata=admin)) == "ETAG_MISMATCH"
        await here.DeleteTenant(tenant_service_pb2.DeleteTenantRequest(name="acme"), metadata=admin)
        await until(worth, "UNKNOWN_TENANT")
        assert "acme" not in other.pacers
        trail = await here.ListTenantChanges(tenant_service_pb2.ListTenantChangesRequest(tenant="acme"), metadata=admin)
        assert [one.action for one in trail.changes] == ["deleted", "updated", "created"]
        assert {one.actor for one in trail.changes} == {f"key:{secured.keys['admin'].split('_')[1]}"}

        access = AccessServiceStub(secured.channel)
        caller = secured.keys["caller"]

        async def let_in() -> str:
            return await reason(there.PlanQuery(asked(), metadata=bearing(caller)))

        assert await let_in() == "OK"
        await access.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(id=caller.split("_")[1]), metadata=admin)
        await until(let_in, "INVALID_CREDENTIALS")


async def test_a_tenant_that_is_wrong_is_refused_with_its_fields(secured: Secured) -> None:
    stub, admin = TenantServiceStub(secured.channel), bearing(secured.keys["admin"])
    tenant = tenant_pb2.Tenant(name="acme", floor=2.0, plans=["none-such"], concurrency=-1)
    found = await outcome(stub.CreateTenant(tenant_service_pb2.CreateTenantRequest(tenant=tenant), metadata=admin))
    assert isinstance(found, RouterError)
    assert found.reason == "INVALID_TERMS"
    assert "tenant.floor: " in found.message
    assert "tenant.concurrency: " in found.message
    for name in ("", "a b", "{x}", "-a", "x" * 65):
        refused = await reason(stub.CreateTenant(tenant_service_pb2.CreateTenantRequest(tenant=tenant_pb2.Tenant(name=name)), metadata=admin))
        assert refused in ("INVALID_TERMS", "INVALID_QUERY"), name
    for page_token in ("x", "eA==", "!"):
        request = tenant_service_pb2.ListTenantChangesRequest(page_token=page_token)
        assert await reason(stub.ListTenantChanges(request, metadata=admin)) == "INVALID_TERMS"
    first = await stub.ListTenants(tenant_service_pb2.ListTenantsRequest(page_size=1), metadata=admin)
    second = await stub.ListTenants(tenant_service_pb2.ListTenantsRequest(page_size=1, page_token=first.next_page_token), metadata=admin)
    assert [one.name for one in (*first.tenants, *second.tenants)] == ["default", "poor"]
    assert second.next_page_token == ""


async def test_what_is_open_stays_as_it_was(running: Service) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        assert await planned(RouterServiceStub(channel), "poor") == "OK"
        assert len(await served(channel, grpc.aio.Metadata())) == len(LOWEST)
        stub = TenantServiceStub(channel)
        request = tenant_service_pb2.UpdateTenantRequest(tenant=tenant_pb2.Tenant(name="poor", per_day_microdollars=700))
        changed = (await stub.UpdateTenant(request)).tenant
        assert (changed.per_day_microdollars, changed.source) == (700, tenant_pb2.TENANT_SOURCE_STORED)
        await stub.DeleteTenant(tenant_service_pb2.DeleteTenantRequest(name="poor", etag=changed.etag))
        assert (await stub.GetTenant(tenant_service_pb2.GetTenantRequest(name="poor"))).tenant.per_day_microdollars == 600


async def test_a_tenant_that_goes_while_it_is_answered_has_its_answer_and_pays(running: Service) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        tenants, router = TenantServiceStub(channel), RouterServiceStub(channel)
        await tenants.CreateTenant(tenant_service_pb2.CreateTenantRequest(tenant=tenant_pb2.Tenant(name="acme", cap_microdollars=10_000_000)))
        query = asked("acme").query
        query.knobs.plans[:] = ["long"]
        events = aiter(router.AnswerQuery(router_service_pb2.AnswerQueryRequest(query=query), timeout=60))
        assert (await anext(events)).stage.decision.plan == "long"
        await tenants.DeleteTenant(tenant_service_pb2.DeleteTenantRequest(name="acme"))
        assert await reason(router.PlanQuery(asked("acme"))) == "UNKNOWN_TENANT"
        *_, last = [event async for event in events]
        assert last.final.receipt.usage.cost_microdollars > 0
