"""The door of a whole service: each role against each call, credentials of every wrong kind, TLS, tenants apart, and secrets that stay secret."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent import futures
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import jwt
import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from rheostat.v1 import access_service_pb2, query_pb2, router_service_pb2, tenant_pb2, tenant_service_pb2
from rheostat.v1.access_service_pb2_grpc import AccessServiceStub
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub

from router.access.keyring import Keyring
from router.access.roles import CALLS, Role
from router.access.settings import AccessSettings, IdentitySettings, JwtSettings, TlsSettings
from router.app import Service, service
from router.errors import RouterError
from router.settings import ServerSettings, Settings
from router.status import error_of
from router.store import attached
from router.terms import TenantSettings

SIGNER = ec.generate_private_key(ec.SECP256R1())
LOWEST = {
    "PlanQuery": Role.CALLER,
    "PlanBatch": Role.CALLER,
    "AnswerQuery": Role.CALLER,
    "ReportOutcome": Role.CALLER,
    "ExplainDecision": Role.CALLER,
    "EvaluatePolicy": Role.OPERATOR,
    "PreviewKnob": Role.OPERATOR,
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


class Secured(NamedTuple):
    """A service that asks for credentials, and those of everybody."""

    running: Service
    channel: grpc.aio.Channel
    keys: dict[str, str]  # by role, of tenant `default`; `poor` is a caller of that one


def bearing(credentials: str) -> grpc.aio.Metadata:
    return grpc.aio.Metadata(("authorization", f"Bearer {credentials}"))


async def outcome(call: Any) -> RouterError | str:
    """The error, or the name of the status where it is none of ours."""
    try:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as failure:
        return error_of(failure) or failure.code().name
    return "OK"


async def reason(call: Any) -> str:
    found = await outcome(call)
    return found if isinstance(found, str) else found.reason


def asked(tenant: str = "") -> router_service_pb2.PlanQueryRequest:
    query = query_pb2.Query(messages=[query_pb2.Message(content="What is 2 + 2?")], tenant=tenant, knobs=query_pb2.Knobs(plans=["quick"]))
    return router_service_pb2.PlanQueryRequest(query=query)


@pytest.fixture
def secured_settings(settings: Settings, worker: str, redis_url: str, tmp_path: Path) -> Settings:
    pem = SIGNER.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "issuer.pem").write_bytes(pem)
    tokens = JwtSettings(issuer="https://issuer.example", audience="rheostat", public_key=tmp_path / "issuer.pem")
    access = AccessSettings(keys=True, jwt=tokens)
    workers = settings.worker.model_copy(update={"address": worker})
    return settings.model_copy(update={"worker": workers, "redis_url": redis_url, "access": access})


async def keys_of(settings: Settings) -> dict[str, str]:
    """As `rheostat keys create --offline` makes them."""
    async with attached(settings.redis_url, settings.data / "redis") as store:
        ring = Keyring(store)
        made = {str(role): (await ring.create("default", [role], actor="offline"))[1] for role in Role}
        return made | {"poor": (await ring.create("poor", [Role.CALLER], actor="offline"))[1]}


@pytest.fixture
async def secured(secured_settings: Settings) -> AsyncIterator[Secured]:
    keys = await keys_of(secured_settings)
    async with service(secured_settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        yield Secured(running, channel, keys)


def token(key: Any = SIGNER, **other: Any) -> str:
    now = time.time()
    claims = {"iss": "https://issuer.example", "aud": "rheostat", "sub": "ada", "exp": now + 60, "tenant": "default", "roles": ["caller"]}
    return jwt.encode({name: value for name, value in (claims | other).items() if value is not None}, key, algorithm="ES256")


async def served(channel: grpc.aio.Channel, metadata: grpc.aio.Metadata) -> dict[str, Any]:
    """Every method of every service that the server tells of by reflection, with an empty request for each."""
    stub, pool = reflection_pb2_grpc.ServerReflectionStub(channel), descriptor_pool.Default()
    asks = [reflection_pb2.ServerReflectionRequest(list_services="")]
    names = [[one.name for one in told.list_services_response.service] async for told in stub.ServerReflectionInfo(iter(asks), metadata=metadata)][0]
    methods = {}
    for name in names:
        if name.startswith("rheostat."):
            for method in pool.FindServiceByName(name).methods:
                methods[f"{name}/{method.name}"] = method
    return methods


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

        async def planned() -> float | str:
            try:
                return (await there.PlanQuery(asked("acme"), metadata=admin)).value_microdollars
            except grpc.aio.AioRpcError as failure:
                found = error_of(failure)
                return found.reason if found else failure.code().name

        assert await planned() == "UNKNOWN_TENANT"
        made = await here.CreateTenant(
            tenant_service_pb2.CreateTenantRequest(tenant=tenant_pb2.Tenant(name="acme", value_microdollars=77)), metadata=admin
        )
        await until(planned, 77.0)
        change = tenant_service_pb2.UpdateTenantRequest(tenant=tenant_pb2.Tenant(name="acme", etag=made.tenant.etag, cap_microdollars=5_000))
        change.update_mask.paths.extend(["value_microdollars", "cap_microdollars"])
        await here.UpdateTenant(change, metadata=admin)
        async with asyncio.timeout(1.0):
            while "acme" not in other.pacers:
                await asyncio.sleep(0.02)
        assert await planned() == secured.running.pacers["acme"].value(time.time())
        assert await reason(here.UpdateTenant(change, metadata=admin)) == "ETAG_MISMATCH"
        await here.DeleteTenant(tenant_service_pb2.DeleteTenantRequest(name="acme"), metadata=admin)
        await until(planned, "UNKNOWN_TENANT")
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


# TLS


class Authority:
    """Signs certificates into files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._certificate, self._key = self._made("authority", None)
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def _made(self, name: str, sans: list[x509.GeneralName] | None) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if sans is None else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(sans is None, None), critical=True)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        return builder.sign(key if sans is None else self._key, hashes.SHA256()), key

    def issue(self, name: str, *sans: x509.GeneralName) -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        certificate, key = self._made(name, list(sans))
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files[1].write_bytes(private)
        return files


HERE = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "tls").mkdir()
    return Authority(tmp_path / "tls")


def with_tls(settings: Settings, authority: Authority, access: AccessSettings, client_ca: Path | None = None) -> Settings:
    certificate, key = authority.issue("server", *HERE)
    tls = TlsSettings(certificate=certificate, key=key, client_ca=client_ca)
    return settings.model_copy(update={"access": access, "server": ServerSettings(address="127.0.0.1:0", drain_delay=0.0, tls=tls)})


@asynccontextmanager
async def securely(address: str, ca: Path, own: tuple[Path, Path] | None = None) -> AsyncIterator[RouterServiceStub]:
    """A client of its own connection."""
    certificate, key = (file.read_bytes() for file in own) if own else (None, None)
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
    async with grpc.aio.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield RouterServiceStub(channel)


async def planned(stub: RouterServiceStub, tenant: str = "", metadata: grpc.aio.Metadata | None = None) -> str:
    return await reason(stub.PlanQuery(asked(tenant), metadata=metadata, timeout=5))


def handshake(port: int, ca: Path, most: ssl.TLSVersion) -> str:
    """The version that a client speaks which knows none newer than this; raises where the server will not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
    context.set_alpn_protocols(["h2"])
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = most
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain, server_hostname="localhost") as secure:
        return secure.version() or ""


async def test_plain_text_and_old_tls_are_refused(secured_settings: Settings, authority: Authority) -> None:
    keys = await keys_of(secured_settings)
    async with service(with_tls(secured_settings, authority, AccessSettings(keys=True))) as running:
        async with securely(running.address, authority.file) as stub:
            assert await planned(stub, metadata=bearing(keys["caller"])) == "OK"
            assert await planned(stub) == "MISSING_CREDENTIALS"
        async with grpc.aio.insecure_channel(running.address) as channel:
            assert await planned(RouterServiceStub(channel), metadata=bearing(keys["caller"])) == "UNAVAILABLE"
        (authority.folder / "other").mkdir()
        async with securely(running.address, Authority(authority.folder / "other").file) as stub:
            assert await planned(stub, metadata=bearing(keys["caller"])) == "UNAVAILABLE"  # the client does not trust it
        port = running.server.port
        assert await asyncio.to_thread(handshake, port, authority.file, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
        assert await asyncio.to_thread(handshake, port, authority.file, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        for old in ("TLSv1_1", "TLSv1"):
            with pytest.warns(DeprecationWarning), pytest.raises((ssl.SSLError, ConnectionError)):
                handshake_with_old(port, authority.file, old)


def handshake_with_old(port: int, ca: Path, version: str) -> str:
    return handshake(port, ca, ssl.TLSVersion[version])


async def test_a_certificate_is_whose_call_it_is(secured_settings: Settings, authority: Authority) -> None:
    access = AccessSettings(
        mtls={
            "uri:spiffe://cluster/poor": IdentitySettings(tenant="poor", roles={Role.CALLER}),
            "cn:boss": IdentitySettings(roles={Role.ADMIN}),
        }
    )
    async with service(with_tls(secured_settings, authority, access, authority.file)) as running:
        poor = authority.issue("any", x509.UniformResourceIdentifier("spiffe://cluster/poor"))
        async with securely(running.address, authority.file, poor) as stub:
            assert await planned(stub, "poor") == "OK"
            assert await planned(stub, "default") == "FOREIGN_TENANT"
            assert await planned(stub, metadata=bearing("rheo_1_2")) == "INVALID_CREDENTIALS"  # what is brought counts before the certificate
        async with securely(running.address, authority.file, authority.issue("boss")) as stub:
            assert await planned(stub, "poor") == "OK"
        async with securely(running.address, authority.file, authority.issue("boss2", x509.DNSName("boss"))) as stub:
            assert await planned(stub, "poor") == "INVALID_CREDENTIALS"
        async with securely(running.address, authority.file) as stub:
            assert await planned(stub, "poor") == "UNAVAILABLE"
        (authority.folder / "other").mkdir()
        async with securely(running.address, authority.file, Authority(authority.folder / "other").issue("boss")) as stub:
            assert await planned(stub, "poor") == "UNAVAILABLE"


def shown(port: int) -> str:
    """The name in the certificate that the next client is shown."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
    return str(x509.load_pem_x509_certificate(pem.encode()).subject.rfc4514_string())


async def test_a_new_certificate_is_the_next_clients_and_cuts_nobody_off(secured_settings: Settings, authority: Authority) -> None:
    keys = await keys_of(secured_settings)
    settings = with_tls(secured_settings, authority, AccessSettings(keys=True))
    tls = settings.server.tls
    assert tls
    async with service(settings) as running, securely(running.address, authority.file) as stub:
        assert await planned(stub, metadata=bearing(keys["caller"])) == "OK"
        assert await asyncio.to_thread(shown, running.server.port) == "CN=server"
        tls.key.write_bytes(b"no key")
        assert await asyncio.to_thread(shown, running.server.port) == "CN=server"  # half written, or wrong: the old one goes on
        for source, target in zip(authority.issue("renewed", *HERE), (tls.certificate, tls.key), strict=True):
            target.write_bytes(source.read_bytes())
        assert await asyncio.to_thread(shown, running.server.port) == "CN=renewed"
        assert await planned(stub, metadata=bearing(keys["caller"])) == "OK"  # over the connection that there was
        async with securely(running.address, authority.file) as another:
            assert await planned(another, metadata=bearing(keys["caller"])) == "OK"


async def test_a_certificate_that_is_wrong_from_the_start_is_told(secured_settings: Settings, authority: Authority) -> None:
    settings = with_tls(secured_settings, authority, AccessSettings(keys=True))
    assert settings.server.tls
    settings.server.tls.key.write_bytes(authority.issue("another")[1].read_bytes())
    with pytest.raises(ValueError, match=r"server\.tls"):
        async with service(settings):
            pass


# The command line, logs and traces


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


async def rheostat(*words: str, **env: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")} | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "router", *words, stdout=pipe, stderr=pipe, env=environment | env)


async def output(*words: str, **env: str) -> tuple[int, str, str]:
    process = await rheostat(*words, **env)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_commands_administer_and_no_secret_is_ever_told(
    secured_settings: Settings, tmp_path: Path, receiver: tuple[Receiver, str], redis_url: str
) -> None:
    collector, endpoint = receiver
    config = tmp_path / "settings.yaml"
    config.write_text(secured_settings.model_dump_json(exclude={"config"}))
    given = {"RHEOSTAT_CONFIG": str(config)}
    code, out, err = await output("keys", "create", "--role", "admin", "--offline", **given)
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
    for secret in secrets:
        assert secret.encode() not in said, "in the log"
        assert not any(secret.encode() in one for one in collector.got), "in a span or metric"
        assert secret not in stored, "in Redis"


async def administered(address: str, admin: str, folder: Path) -> set[str]:
    """By the command line alone; gives the secrets that it showed."""
    given = {"RHEOSTAT_ADDRESS": address, "RHEOSTAT_KEY": admin}
    code, _, err = await output("tenants", "list", RHEOSTAT_ADDRESS=address)
    assert (code, "MISSING_CREDENTIALS" in err or "UNAUTHENTICATED" in err) == (1, True)
    code, out, err = await output("tenants", "set", "acme", "floor=0.5", "plans=quick", "cache=false", "--json", **given)
    assert code == 0, err
    assert json.loads(out)["floor"] == 0.5
    file = folder / "tenants.yaml"
    file.write_text("acme: {value: 500}\nlab: {plans: [none-such]}")
    code, _, err = await output("tenants", "import", str(file), **given)
    assert (code, "none-such" in err) == (1, True)
    code, out, _ = await output("tenants", "get", "acme", "--json", **given)
    assert json.loads(out)["floor"] == 0.5  # all or nothing
    file.write_text("acme: {value: 500}\nlab: {plans: [quick], retention: none}")
    code, out, err = await output("tenants", "import", str(file), "--json", **given)
    assert code == 0, err
    code, out, err = await output("tenants", "set", "acme", "value=", "flor=3", **given)
    assert (code, "flor=3" in err) == (1, True)
    code, out, _ = await output("tenants", "list", "--json", **given)
    found = {one["name"]: one for one in json.loads(out)}
    assert (found["acme"]["value"], found["lab"]["retention"], found["default"]["source"]) == (500, "none", "file")
    code, out, _ = await output("keys", "create", "--role", "caller", "--tenant", "lab", **given)
    first = out.strip()
    code, out, _ = await output("ask", "What is 2 + 2?", "--address", address, "--key", first, "--json")
    assert code == 0
    code, out, _ = await output("keys", "rotate", first.split("_")[1], "--overlap", "0", "--json", **given)
    second = json.loads(out)["secret"]
    code, _, err = await output("ask", "What is 2 + 2?", "--address", address, "--key", first)
    assert code == 1
    code, out, _ = await output("keys", "list", "--json", **given)
    assert {one["tenant"] for one in json.loads(out)} == {"", "lab"}
    code, out, _ = await output("keys", "revoke", first.split("_")[1], **given)
    assert code == 0
    code, out, _ = await output("tenants", "delete", "acme", **given)
    assert code == 0
    code, out, _ = await output("tenants", "changes", "--json", **given)
    assert [one["action"] for one in json.loads(out)] == [
        *("deleted", "key revoked", "key rotated", "key created", "created", "updated", "created", "key created"),
    ]
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
    secrets = {admin.rpartition("_")[2], forged.rpartition("_")[2], bearer.split(".")[1], bearer.split(".")[2]}
    for error in errors:
        told = f"{error} {error.metadata}" if isinstance(error, RouterError) else error
        assert not [secret for secret in secrets if secret[:30] in told]
    return secrets


async def test_serve_will_not_let_everybody_in_from_elsewhere(secured_settings: Settings, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    exposed = secured_settings.model_copy(update={"access": AccessSettings(), "server": ServerSettings(address="0.0.0.0:0")})
    config.write_text(exposed.model_dump_json(exclude={"config"}))
    code, _, err = await output("serve", RHEOSTAT_CONFIG=str(config))
    assert code == 1
    assert "access.open: true" in " ".join(err.split())


async def test_what_is_open_stays_as_it_was(running: Service) -> None:
    async with grpc.aio.insecure_channel(running.address) as channel:
        assert await planned(RouterServiceStub(channel), "poor") == "OK"
        assert len(await served(channel, grpc.aio.Metadata())) == len(LOWEST)
        stub = TenantServiceStub(channel)
        request = tenant_service_pb2.UpdateTenantRequest(tenant=tenant_pb2.Tenant(name="poor", per_day_microdollars=700))
        changed = (await stub.UpdateTenant(request)).tenant
        assert (changed.per_day_microdollars, changed.source) == (700, tenant_pb2.TENANT_SOURCE_STORED)
        assert running.ledger  # whose windows are those of now
        await stub.DeleteTenant(tenant_service_pb2.DeleteTenantRequest(name="poor", etag=changed.etag))
        assert (await stub.GetTenant(tenant_service_pb2.GetTenantRequest(name="poor"))).tenant.per_day_microdollars == 600
        assert TenantSettings().value is None
