"""A whole service: a real worker process with bundled models, a real Redis, a real gRPC door."""

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.access.settings import AccessSettings, JwtSettings
from router.app import Service, service
from router.settings import (
    Choice,
    JournalSettings,
    PlanSettings,
    PoolSettings,
    ServerSettings,
    Settings,
    WorkerSettings,
    bundled_model,
)
from router.terms import TenantSettings
from tests.integration.door import SIGNER, Secured, keys_of

CHEAP = (0.1, 0.4, 0.0)


def pool(model: str) -> PoolSettings:
    return PoolSettings(backend=Choice(name="embedded", options={"directory": str(bundled_model(model))}), model=model)


POOLS = WorkerSettings(pools={"nano": pool("nano"), "small": pool("small")})
MANY: dict[str, object] = {"n": 256, "batch": 256, "tau": 1.0}
PLANS = {
    "quick": PlanSettings(pool="nano", strategy="direct", tokens=1_000, cost=500, price=CHEAP),
    "long": PlanSettings(pool="small", strategy="self_consistency", options=MANY, tokens=80_000, cost=40_000, price=CHEAP),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two small pools; `quick` answers at once, `long` takes seconds."""
    return Settings(
        data=tmp_path / "data",
        server=ServerSettings(address="127.0.0.1:0", drain_delay=0.0),
        worker=POOLS,
        plans=PLANS,
        tenants={"default": TenantSettings(exploration=0.0, cache=False), "poor": TenantSettings(per_day=600, exploration=0.0, cache=False)},
        journal=JournalSettings(rotate_seconds=1.0),
    )


@contextmanager
def working(workers: WorkerSettings) -> Iterator[str]:
    """A worker process, by its address."""
    with tempfile.TemporaryDirectory(prefix="rheostat-") as folder:
        config, address = Path(folder) / "settings.yaml", f"unix:{folder}/w.sock"
        config.write_text(Settings(worker=workers, plans=PLANS).model_dump_json(exclude={"config"}))
        env = os.environ | {"RHEOSTAT_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(sys.path)}
        process = subprocess.Popen([sys.executable, "-m", "router", "work", "--address", address], env=env)
        yield address
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def worker() -> Iterator[str]:
    """Address of one worker process for all tests that leave it alive."""
    with working(POOLS) as address:
        yield address


@pytest.fixture
async def running(settings: Settings, worker: str) -> AsyncIterator[Service]:
    async with service(settings.model_copy(update={"worker": WorkerSettings(address=worker, pools=POOLS.pools)})) as started:
        yield started


@pytest.fixture
async def alone(settings: Settings) -> AsyncIterator[RouterServiceStub]:
    """A service with a worker of its own, which may be killed."""
    async with service(settings) as started, grpc.aio.insecure_channel(started.address) as channel:
        yield RouterServiceStub(channel)


@pytest.fixture
async def stub(running: Service) -> AsyncIterator[RouterServiceStub]:
    async with grpc.aio.insecure_channel(running.address) as channel:
        yield RouterServiceStub(channel)


@pytest.fixture
def secured_settings(settings: Settings, worker: str, redis_url: str, tmp_path: Path) -> Settings:
    pem = SIGNER.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "issuer.pem").write_bytes(pem)
    tokens = JwtSettings(issuer="https://issuer.example", audience="rheostat", public_key=tmp_path / "issuer.pem")
    access = AccessSettings(keys=True, jwt=tokens)
    workers = settings.worker.model_copy(update={"address": worker})
    return settings.model_copy(update={"worker": workers, "redis_url": redis_url, "access": access})


@pytest.fixture
async def secured(secured_settings: Settings) -> AsyncIterator[Secured]:
    keys = await keys_of(secured_settings)
    async with service(secured_settings) as running, grpc.aio.insecure_channel(running.address) as channel:
        yield Secured(running, channel, keys)
