"""Two routers on two hosts, one Redis, and clients that share their calls out: restarted one after the other, and killed, without a failed call."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rheostat.client.place import Place
from rheostat.v1 import answer_pb2
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.decisions import journals, read_log, records
from router.ledger.ledger import RedisLedger
from router.server import SERVICE
from router.settings import ServerSettings, Settings, WorkerSettings
from router.store import open_redis
from router.tenants import DAY
from router.terms import TenantSettings
from tests.integration.conftest import POOLS
from tests.integration.test_faults import final_of, request
from tests.loopback import free_port

CALLERS = 4
SPENDER = TenantSettings(per_day=10**9, exploration=0.0, cache=False)


class Host:
    """A router with files of its own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        server = ServerSettings(address=self.address, drain_delay=0.5, grace=10)
        self.data = folder / "data"
        own = settings.model_copy(update={"data": self.data, "server": server})
        folder.mkdir()
        config = folder / "settings.yaml"
        config.write_text(own.model_dump_json(exclude={"config"}))
        self._env = os.environ | {"RHEOSTAT_CONFIG": str(config), "PYTHONPATH": os.pathsep.join(sys.path)}

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(sys.executable, "-m", "router", "serve", env=self._env)
        async with asyncio.timeout(60), grpc.aio.insecure_channel(self.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while (await health.Check(health_pb2.HealthCheckRequest(service=SERVICE), wait_for_ready=True)).status != 1:
                await asyncio.sleep(0.05)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(40):
            await self.process.wait()


@pytest.fixture
async def hosts(settings: Settings, worker: str, redis_url: str, tmp_path: Path) -> AsyncIterator[list[Host]]:
    tenants = {"default": TenantSettings(exploration=0.0), "spender": SPENDER}
    shared = settings.model_copy(update={"worker": WorkerSettings(address=worker, pools=POOLS.pools), "redis_url": redis_url, "tenants": tenants})
    started = [Host(shared, tmp_path / name) for name in ("one", "other")]
    await asyncio.gather(*(host.start() for host in started))
    yield started
    await asyncio.gather(*(host.stop() for host in started))


def balanced(hosts: list[Host]) -> grpc.aio.Channel:
    target = "ipv4:" + ",".join(host.address for host in hosts)
    return grpc.aio.insecure_channel(target, options=[*Place(address=target).options, ("grpc.max_reconnect_backoff_ms", 500)])


async def ask_for_ever(stub: RouterServiceStub, name: str, told: Counter[str], paid: list[int]) -> None:
    """Each with an id, so that none is paid for twice however often it is tried."""
    number = 0
    while True:
        number += 1
        try:
            final = await final_of(stub.AnswerQuery(request(plans=["quick"], tenant="spender", id=f"{name}-{number}"), timeout=30))
            await stub.ReportOutcome(
                pb.ReportOutcomeRequest(decision_id=final.decision_id, reward=1.0, source=pb.REWARD_SOURCE_VERIFIER, tenant="spender"), timeout=30
            )
        except grpc.aio.AioRpcError as failed:
            told[f"{failed.code().name}: {failed.details()}"] += 1
        else:
            told["OK"] += 1
            paid.append(final.receipt.usage.cost_microdollars)


@asynccontextmanager
async def calling(stub: RouterServiceStub, told: Counter[str], paid: list[int]) -> AsyncIterator[None]:
    """Several callers ask meanwhile; what they are at in the end is cut off."""
    callers = [asyncio.create_task(ask_for_ever(stub, str(name), told, paid)) for name in range(CALLERS)]
    try:
        yield
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def test_restarting_them_one_after_the_other_fails_no_call_and_they_share_one_budget(hosts: list[Host], redis_url: str, tmp_path: Path) -> None:
    told, paid = Counter[str](), list[int]()
    async with balanced(hosts) as channel:
        stub = RouterServiceStub(channel)
        async with calling(stub, told, paid):
            for host in hosts:
                await host.stop()
                await host.start()
                began = told["OK"]
                async with asyncio.timeout(30):
                    while told["OK"] < began + 20:
                        await asyncio.sleep(0.05)
    assert set(told) == {"OK"}
    async with balanced(hosts) as channel:
        hits = [(await final_of(RouterServiceStub(channel).AnswerQuery(request(plans=["quick"]), timeout=30))).receipt.cache_hit for _ in range(4)]
    assert hits == [answer_pb2.CACHE_HIT_UNSPECIFIED] + [answer_pb2.CACHE_HIT_EXACT] * 3
    await asyncio.gather(*(host.stop() for host in hosts))
    charged, logged = await paid_for(hosts, redis_url, tmp_path)
    assert charged == logged >= sum(paid)  # what was cut off at the end was paid for too


async def test_one_that_is_killed_is_made_up_for_by_the_other(hosts: list[Host]) -> None:
    told, paid = Counter[str](), list[int]()
    async with balanced(hosts) as channel:
        stub = RouterServiceStub(channel)
        async with calling(stub, told, paid):
            async with asyncio.timeout(30):
                while told["OK"] < 20:
                    await asyncio.sleep(0.05)
            await hosts[0].stop(signal.SIGKILL)
            begun = told["OK"]
            async with asyncio.timeout(30):
                while told["OK"] < begun + 40:
                    await asyncio.sleep(0.05)
    lost = sum(told.values()) - told["OK"]
    assert lost <= CALLERS, told  # a stream that had begun to answer is not tried again by gRPC; its id makes that safe for the caller
    assert all(reason.startswith("UNAVAILABLE") for reason in told if reason != "OK")


async def paid_for(hosts: list[Host], redis_url: str, folder: Path) -> tuple[int, int]:
    """What the spender's ledger says, and what the logs of all routers do."""
    async with open_redis(redis_url, folder) as store, RedisLedger(store, lambda _: (DAY,), local_limit=0) as ledger:
        charged, held = await ledger.spent("spender")
    assert held == 0
    rows = records(read_log(*(one for host in hosts for one in journals(host.data))))
    return charged, sum(row.cost for row in rows if row.kind == "stage" and row.tenant == "spender")
