"""The service on Redis as it is run in production: a cluster of three nodes, and a server behind TLS."""

import asyncio
import gc
import re
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
import redis
from rheostat.v1 import answer_pb2, tenant_pb2, tenant_service_pb2
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub

from router.app import Service, service
from router.settings import Choice, Settings, WorkerSettings
from router.store import cluster_url
from router.terms import TenantSettings
from tests.integration.conftest import POOLS
from tests.integration.test_faults import final_of, refusal, request, until
from tests.integration.test_tls import HERE, Authority
from tests.router.redises import Node, behind_tls, cluster, needs_redis_7

pytestmark = needs_redis_7
TERMS = {"exploration": 0.2, "cache": True}


class Router(NamedTuple):
    service: Service
    stub: RouterServiceStub
    tenants: TenantServiceStub


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    (tmp_path / "cluster").mkdir()
    with cluster(tmp_path / "cluster") as started:
        yield started


@pytest.fixture
def clustered(settings: Settings, worker: str, nodes: list[Node]) -> Settings:
    tenants = {"default": TenantSettings(**TERMS), "poor": TenantSettings(per_day=600, **TERMS), "paced": TenantSettings(cap=10**9, **TERMS)}
    return settings.model_copy(
        update={
            "redis_url": f"redis://127.0.0.1:{nodes[0].port}?cluster=true",
            "worker": WorkerSettings(address=worker, pools=POOLS.pools),
            "policies": {"fixed": Choice(name="fixed"), "thompson": Choice(name="thompson")},
            "tenants": tenants,
        }
    )


@pytest.fixture
async def pair(clustered: Settings, tmp_path: Path) -> AsyncIterator[tuple[Router, Router]]:
    """Two routers on two hosts, and one cluster."""
    async with AsyncExitStack() as stack:
        routers = []
        for name in ("one", "other"):
            running = await stack.enter_async_context(service(clustered.model_copy(update={"data": tmp_path / name})))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(running.address))
            routers.append(Router(running, RouterServiceStub(channel), TenantServiceStub(channel)))
        yield routers[0], routers[1]


async def test_everything_that_is_shared_is_shared_on_a_cluster(pair: tuple[Router, Router], nodes: list[Node]) -> None:
    one, other = pair
    first = await final_of(one.stub.AnswerQuery(request(plans=["quick"], id="mine"), timeout=60))
    again = await final_of(other.stub.AnswerQuery(request(plans=["quick"], id="mine"), timeout=60))
    alike = await final_of(other.stub.AnswerQuery(request(plans=["quick"]), timeout=60))
    assert again.decision_id == first.decision_id
    assert [found.receipt.cache_hit for found in (first, again, alike)] == [0, answer_pb2.CACHE_HIT_REPEATED, answer_pb2.CACHE_HIT_EXACT]

    await other.stub.ReportOutcome(pb.ReportOutcomeRequest(decision_id=first.decision_id, reward=1.0, source=pb.REWARD_SOURCE_USER), timeout=10)

    async def explained() -> bool:
        found = await other.stub.ExplainDecision(pb.ExplainDecisionRequest(decision_id=first.decision_id), timeout=10)
        return len(found.stages) == 2 and len(found.rewards) == 1

    async def learned() -> bool:
        return all(router.service.pipeline.learned for router in pair)

    await until(explained, 10)
    await until(learned, 10)

    tenant = tenant_pb2.Tenant(name="acme", value_microdollars=20_000)
    await one.tenants.CreateTenant(tenant_service_pb2.CreateTenantRequest(tenant=tenant), timeout=10)

    async def known() -> bool:
        found = await other.tenants.ListTenants(tenant_service_pb2.ListTenantsRequest(), timeout=10)
        return "acme" in {one.name for one in found.tenants}

    await until(known, 5)
    await final_of(one.stub.AnswerQuery(request(tenant="paced", policy="thompson"), timeout=60))

    await _spend(pair)
    for router in pair:
        assert await refusal(router.stub.AnswerQuery(request("Is it 7?", plans=["quick"], tenant="poor"), timeout=60)) == (
            "RESOURCE_EXHAUSTED",
            "BUDGET_EXHAUSTED",
        )

    keys = set()
    for node in nodes:
        with redis.Redis(port=node.port) as client:
            keys |= {key.decode() for key in client.keys("*")}
    tags = {re.sub(r"^[^{]*\{([^}]*)\}.*$", r"\1", key) for key in keys if "{" in key}
    assert {"budget", "cache", "decisions", "tenants", "paced"} <= tags
    assert {key for key in keys if "{" not in key} <= {"rheostat:v1:secret", "rheostat:v1:reviewing"}


async def _spend(pair: tuple[Router, Router]) -> None:
    """By both in turn, until no more is given."""
    for number in range(100):
        try:
            await final_of(pair[number % 2].stub.AnswerQuery(request(f"What is {number} + 1?", plans=["quick"], tenant="poor"), timeout=60))
        except grpc.aio.AioRpcError:
            return
    raise AssertionError("the budget has no end")


async def degraded(settings: Settings, nodes: list[Node]) -> list[str]:
    """What an answer says when two of three nodes have been lost."""
    async with service(settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))
        for node in nodes[1:]:
            node.process.kill()
        for number in range(3):
            final = await final_of(stub.AnswerQuery(request(f"What is {number} + 2?", plans=["quick"]), timeout=60))
            assert final.answer.answer
    return list(final.degraded)


def test_nodes_that_are_lost_leave_answers_going_on(clustered: Settings, nodes: list[Node]) -> None:
    assert asyncio.run(degraded(clustered, nodes)) == ["STORE_UNAVAILABLE"]
    with warnings.catch_warnings(action="ignore"):  # redis-py forgets the connections to nodes that it looked up anew
        gc.collect()


async def test_redis_behind_tls(settings: Settings, worker: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("redis", *HERE)
    with behind_tls(tmp_path, certificate, key, authority.file) as port:
        files = f"ssl_ca_certs={authority.file}&ssl_certfile={certificate}&ssl_keyfile={key}"
        secured = settings.model_copy(
            update={
                "redis_url": f"rediss://localhost:{port}?{files}",
                "worker": WorkerSettings(address=worker, pools=POOLS.pools),
                "tenants": {"default": TenantSettings(**TERMS)},
            }
        )
        async with service(secured) as running, grpc.aio.insecure_channel(running.address) as channel:
            stub = RouterServiceStub(channel)
            hits = [(await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))).receipt.cache_hit for _ in range(2)]
    assert hits == [0, answer_pb2.CACHE_HIT_EXACT]


def test_a_cluster_is_told_by_its_url() -> None:
    assert cluster_url("redis://a:1?cluster=true") == ("redis://a:1", True)
    assert cluster_url("rediss://u:p@a:1/0?ssl_ca_certs=/ca.pem&cluster=true") == ("rediss://u:p@a:1/0?ssl_ca_certs=/ca.pem", True)
    assert cluster_url("unix:///run/r.sock") == ("unix:///run/r.sock", False)
