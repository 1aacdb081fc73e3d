"""What the tests of the door share: a client's credentials, and what a call comes to."""

import asyncio
import os
import sys
import time
from typing import Any, NamedTuple

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from typer.testing import CliRunner

from router.__main__ import app
from router.access.keyring import Keyring
from router.access.roles import Role
from router.app import Service
from router.errors import RouterError
from router.settings import Settings
from router.status import error_of
from router.store import attached

SIGNER = ec.generate_private_key(ec.SECP256R1())
"""The issuer of tokens."""


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


async def planned(stub: RouterServiceStub, tenant: str = "", metadata: grpc.aio.Metadata | None = None) -> str:
    return await reason(stub.PlanQuery(asked(tenant), metadata=metadata, timeout=5))


async def keys_of(settings: Settings) -> dict[str, str]:
    """As `rheostat keys create --offline` makes them."""
    async with attached(settings.redis_url, settings.data / "redis") as store:
        ring = Keyring(store)
        made = {str(role): (await ring.create("default", [role], actor="offline"))[1] for role in Role}
        return made | {"poor": (await ring.create("poor", [Role.CALLER], actor="offline"))[1]}


def token(key: Any = SIGNER, **other: Any) -> str:
    now = time.time()
    claims = {"iss": "https://issuer.example", "aud": "rheostat", "sub": "ada", "exp": now + 60, "tenant": "default", "roles": ["caller"]}
    return jwt.encode({name: value for name, value in (claims | other).items() if value is not None}, key, algorithm="ES256")


async def served(channel: grpc.aio.Channel, metadata: grpc.aio.Metadata) -> dict[str, Any]:
    """Every method of every service that the server tells of by reflection, with an empty request for each."""
    stub, pool = reflection_pb2_grpc.ServerReflectionStub(channel), descriptor_pool.Default()
    asks = [reflection_pb2.ServerReflectionRequest(list_services="")]
    answers = [told async for told in stub.ServerReflectionInfo(iter(asks), metadata=metadata)]
    methods = {}
    for name in [one.name for one in answers[0].list_services_response.service]:
        if name.startswith("rheostat."):
            for method in pool.FindServiceByName(name).methods:
                methods[f"{name}/{method.name}"] = method
    return methods


async def rheostat(*words: str, **env: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RHEOSTAT_")} | {"PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "router", *words, stdout=pipe, stderr=pipe, env=environment | env)


async def output(*words: str, **env: str) -> tuple[int, str, str]:
    process = await rheostat(*words, **env)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def commanded(*words: str, **env: str) -> tuple[int, str, str]:
    """As `output`, in a thread of this process: there are many, and each would load everything anew."""
    done = await asyncio.to_thread(CliRunner().invoke, app, list(words), env=env)
    return done.exit_code, done.stdout, done.stderr
