"""The service administered by the command line, and no secret in any log, trace, error, or in Redis."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import grpc
import pytest
import redis
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from rheostat.v1 import access_service_pb2, router_service_pb2, tenant_service_pb2
from rheostat.v1.access_service_pb2_grpc import AccessServiceStub
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub

from router.access.settings import AccessSettings
from router.errors import RouterError
from router.settings import ServerSettings, Settings
from tests.integration.door import asked, bearing, commanded, outcome, output, rheostat, token

_ENOUGH = 24  # characters of a secret that are not found by chance


class Receiver(trace_service_pb2_grpc.TraceServiceServicer, metrics_service_pb2_grpc.MetricsServiceServicer):  # type: ignore[misc]
    """Stands where a collector does, and keeps what comes."""

    def __init__(self) -> None:
        self.spans: list[bytes] = []
        self.got: list[bytes] = []

    def Export(self, request: Any, context: Any) -> Any:
        self.got.append(request.SerializeToString())
        if isinstance(request, trace_service_pb2.ExportTraceServiceRequest):
            self.spans.append(self.got[-1])
            return trace_service_pb2.ExportTraceServiceResponse()
        return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    server, found = grpc.server(futures.ThreadPoolExecutor(2)), Receiver()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(found, server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(found, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


async def test_commands_administer_and_no_secret_is_ever_told(
    secured_settings: Settings, tmp_path: Path, receiver: tuple[Receiver, str], redis_url: str
) -> None:
    collector, endpoint = receiver
    config = tmp_path / "settings.yaml"
    config.write_text(secured_settings.model_dump_json(exclude={"config"}))
    given = {"RHEOSTAT_CONFIG": str(config)}
    code, out, err = await commanded("keys", "create", "--role", "admin", "--offline", **given)
    assert code == 0, err
    admin = out.strip()
    telling = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", "RHEOSTAT_LOG": "debug"}
    process = await rheostat("serve", **given, **telling)
    assert process.stderr
    said, address = b"", ""
    async with asyncio.timeout(60):
        while b"Ready" not in said:
            said += (line := await process.stderr.readline())
            address = line.decode().split()[-1] if line.strip().startswith(b"gRPC") else address
            assert line, said
    reading = asyncio.create_task(process.stderr.read())
    try:
        secrets = await administered(address, admin, tmp_path)
        secrets |= await told_everywhere(address, admin)
        process.terminate()
        said += await asyncio.wait_for(reading, 30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
    assert b"call_served" in said
    assert f"key:{admin.split('_')[1]}".encode() in said  # who called is told
    assert collector.spans
    with redis.Redis.from_url(redis_url) as client:
        kinds: dict[bytes, Any] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"stream": client.xrange,
            b"zset": lambda key: client.zrange(key, 0, -1),
        }
        stored = repr([(key, kinds[client.type(key)](key)) for key in client.scan_iter()])
    for part in {secret[:_ENOUGH] for secret in secrets}:
        assert part.encode() not in said, "in the log"
        assert not any(part.encode() in one for one in collector.got), "in a span or metric"
        assert part not in stored, "in Redis"


async def administered(address: str, admin: str, folder: Path) -> set[str]:
    """By the command line alone; gives the secrets that it showed."""
    given = {"RHEOSTAT_ADDRESS": address, "RHEOSTAT_KEY": admin}
    code, _, err = await commanded("tenants", "list", RHEOSTAT_ADDRESS=address)
    assert (code, "MISSING_CREDENTIALS" in err) == (4, True)
    code, out, err = await commanded("tenants", "set", "acme", "floor=0.5", "plans=quick", "cache=false", "--json", **given)
    assert code == 0, err
    assert json.loads(out)["floor"] == 0.5
    file = folder / "tenants.yaml"
    file.write_text("acme: {value: 500}\nlab: {plans: [none-such]}")
    code, _, err = await commanded("tenants", "import", str(file), **given)
    assert (code, "none-such" in err) == (5, True)
    code, out, _ = await commanded("tenants", "get", "acme", "--json", **given)
    assert json.loads(out)["floor"] == 0.5  # all or nothing
    file.write_text("acme: {value: 500}\nlab: {plans: [quick], retention: none}")
    code, out, err = await commanded("tenants", "import", str(file), "--json", **given)
    assert code == 0, err
    code, out, err = await commanded("tenants", "set", "acme", "value=", "flor=3", **given)
    assert (code, "flor=3" in err) == (5, True)
    code, out, _ = await commanded("tenants", "list", "--json", **given)
    found = {one["name"]: one for one in json.loads(out)}
    assert (found["acme"]["value"], found["lab"]["retention"], found["default"]["source"]) == (500, "none", "file")
    code, out, err = await commanded("promote", "status", "--tenant", "lab", "--json", RHEOSTAT_CONFIG=str(folder / "settings.yaml"))
    assert (code, json.loads(out or "null")) == (0, {"promotion": None, "guard": ANY}), err
    code, out, _ = await commanded("keys", "create", "--role", "caller", "--tenant", "lab", **given)
    first = out.strip()
    code, out, _ = await commanded("ask", "What is 2 + 2?", "--address", address, "--key", first, "--json")
    assert code == 0
    code, out, _ = await commanded("keys", "rotate", first.split("_")[1], "--overlap", "0", "--json", **given)
    second = json.loads(out)["secret"]
    code, _, err = await commanded("ask", "What is 2 + 2?", "--address", address, "--key", first)
    assert code == 4
    code, out, _ = await commanded("keys", "list", "--json", **given)
    assert {one["tenant"] for one in json.loads(out)} == {"", "lab"}
    code, out, err = await commanded("keys", "list", **given)
    assert (code, "lab" in out, second in out) == (0, True, False), err
    code, out, _ = await commanded("keys", "revoke", first.split("_")[1], **given)
    assert code == 0
    code, out, _ = await commanded("tenants", "delete", "acme", **given)
    assert code == 0
    code, out, _ = await commanded("tenants", "changes", "--json", **given)
    assert [one["action"] for one in json.loads(out)] == [
        *("deleted", "key revoked", "key rotated", "key created", "created", "updated", "created", "key created"),
    ]
    code, out, err = await commanded("tenants", "changes", "lab", **given)
    assert (code, "key rotated" in out, 'retention: null -> "none"' in out) == (0, True, True), err
    for words in (("get", "lab"), ("list",)):
        code, out, err = await commanded("tenants", *words, **given)
        assert (code, "lab" in out, "stored" in out) == (0, True, True), err
    return {key.rpartition("_")[2] for key in (admin, first, second)}


async def told_everywhere(address: str, admin: str) -> set[str]:
    """Secrets where they belong, and everywhere else; no error tells them back."""
    forged = f"rheo_{'a' * 16}_{'5ec2e7' * 10}"
    bearer = token(roles=["admin"], sub="tester")
    errors = []
    async with grpc.aio.insecure_channel(address) as channel:
        router, tenants, access = RouterServiceStub(channel), TenantServiceStub(channel), AccessServiceStub(channel)
        for secret in (admin, forged, bearer):
            for metadata in (bearing(secret), grpc.aio.Metadata(("authorization", secret)), grpc.aio.Metadata(("x-api-key", secret))):
                errors.append(await outcome(router.PlanQuery(asked(), metadata=metadata)))
            for field in (secret, secret[:64]):
                query = asked().query
                query.id = query.tenant = query.knobs.policy = field
                errors.append(await outcome(router.PlanQuery(router_service_pb2.PlanQueryRequest(query=query), metadata=bearing(admin))))
                errors.append(await outcome(router.PlanQuery(asked(field[:64]), metadata=bearing(admin))))
                errors.append(await outcome(tenants.GetTenant(tenant_service_pb2.GetTenantRequest(name=field[:64]), metadata=bearing(admin))))
                errors.append(await outcome(access.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(id=field[:64]), metadata=bearing(admin))))
                request = router_service_pb2.ExplainDecisionRequest(decision_id=field[:64])
                errors.append(await outcome(router.ExplainDecision(request, metadata=bearing(admin))))
    secrets = {admin.rpartition("_")[2], forged.rpartition("_")[2], bearer.split(".")[2]}
    for error in errors:
        told = f"{error} {error.metadata}" if isinstance(error, RouterError) else error
        assert not [secret for secret in secrets if secret[:_ENOUGH] in told]
    return secrets


async def test_serve_will_not_let_everybody_in_from_elsewhere(secured_settings: Settings, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    exposed = secured_settings.model_copy(update={"access": AccessSettings(), "server": ServerSettings(address="0.0.0.0:0")})
    config.write_text(exposed.model_dump_json(exclude={"config"}))
    for count in ("1", "2"):
        code, _, err = await output("serve", RHEOSTAT_CONFIG=str(config), RHEOSTAT_SERVER__PROCESSES=count)
        assert code == 5
        assert "access.open: true" in " ".join(err.split())
        assert "router process" not in err  # it was seen before any was started
