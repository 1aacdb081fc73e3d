"""Pools whose workers are found by name, and pools that have none."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.app import service
from router.settings import Settings, WorkerSettings
from tests.integration.conftest import PLANS, POOLS
from tests.integration.test_faults import final_of, refusal, request, until
from tests.loopback import free_port


@pytest.fixture
def named(tmp_path: Path) -> Iterator[str]:
    """The name of a worker that serves `nano` alone."""
    config, port = tmp_path / "worker.yaml", free_port()
    only = Settings(worker=WorkerSettings(pools={"nano": POOLS.pools["nano"]}), plans={"quick": PLANS["quick"]})
    config.write_text(only.model_dump_json(exclude={"config"}))
    env = os.environ | {"RHEOSTAT_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-m", "router", "work", "--address", f"127.0.0.1:{port}"], env=env)
    yield f"dns:///localhost:{port}"
    process.terminate()
    process.wait()


async def test_a_pool_without_workers_is_not_offered_and_that_is_said(settings: Settings, named: str) -> None:
    there = settings.model_copy(update={"worker": WorkerSettings(address=named, pools=POOLS.pools)})
    async with service(there) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)

        async def known() -> bool:
            return not running.pipeline._parts.executor.serves(PLANS["long"].plan("long"))

        await until(known, 10)
        final = await final_of(stub.AnswerQuery(request(policy="allocator"), timeout=60))
        assert final.answer.answer
        assert list(final.degraded) == ["BACKEND_UNAVAILABLE"]
        assert await refusal(stub.AnswerQuery(request(plans=["long"]), timeout=60)) == ("UNAVAILABLE", "BACKEND_UNAVAILABLE")
        assert list((await final_of(stub.AnswerQuery(request(plans=["quick"]), timeout=60))).degraded) == []
