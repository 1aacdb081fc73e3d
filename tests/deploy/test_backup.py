"""Backed up while it serves, destroyed, restored elsewhere: tenants, keys, budgets, the log and what was learned are there."""

import asyncio
import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1 import tenant_pb2, tenant_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from rheostat.v1.tenant_service_pb2_grpc import TenantServiceStub

from router.access.keyring import Keyring
from router.access.roles import Role
from router.access.settings import AccessSettings
from router.app import Service, service
from router.decisions import journals, read_log
from router.settings import Choice, Settings, WorkerSettings
from router.store import attached, socket_path, stream_key
from tests.integration.conftest import POOLS, worker  # noqa: F401 - a fixture
from tests.integration.door import bearing
from tests.integration.test_faults import final_of, request, until

DEPLOY = Path(__file__).parents[2] / "deploy"
QUESTIONS = 12
pytestmark = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed: Debian has it in `redis-tools`")


class Outside:
    """A Redis that is not the service's own, as Debian has it, with its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder.with_suffix(".sock")
        self.url = f"unix://{self.socket}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self.folder.mkdir(exist_ok=True)
        words = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--appendonly", "yes", "--save", ""]
        process = subprocess.Popen(["redis-server", *words], stdout=subprocess.DEVNULL)
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                for _ in range(200):
                    with contextlib.suppress(redis.ConnectionError):
                        if client.ping():
                            break
                    time.sleep(0.02)
            yield
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for a socket in it."""
    with tempfile.TemporaryDirectory(prefix="rh-") as folder:
        yield Path(folder)


@pytest.fixture
def configured(settings: Settings, worker: str, short: Path) -> Settings:  # noqa: F811
    return settings.model_copy(
        update={
            "data": short / "data",
            "access": AccessSettings(keys=True),
            "worker": WorkerSettings(address=worker, pools=POOLS.pools),
            "policies": {"thompson": Choice(name="thompson"), "fixed": Choice(name="fixed")},
        }
    )


async def _asked(running: Service, key: str, questions: int, first: int = 0) -> list[str]:
    """Ask so many questions and say what the answers are worth; the ids of the decisions."""
    found = []
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub = RouterServiceStub(channel)
        for number in range(first, first + questions):
            asking = request(
                f"Tom has {number + 2} apples. Then Tom buys 3 more apples. How many apples does Tom have now?", plans=["quick"], policy="thompson"
            )
            final = await final_of(stub.AnswerQuery(asking, timeout=30, metadata=bearing(key)))
            report = pb.ReportOutcomeRequest(decision_id=final.decision_id, reward=1.0, source=pb.REWARD_SOURCE_VERIFIER)
            await stub.ReportOutcome(report, timeout=10, metadata=bearing(key))
            found.append(final.decision_id)
    return found


@contextlib.asynccontextmanager
async def _busy(running: Service, key: str) -> AsyncIterator[None]:
    """While this is open, one question follows another."""

    async def ask() -> None:
        for number in range(1_000_000):
            await _asked(running, key, 1, first=100 + number)

    asking = asyncio.create_task(ask())
    yield
    assert not asking.done()
    asking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asking


async def _keys(settings: Settings) -> tuple[str, str]:
    """Of an administrator, and of a caller for the tenant `default`."""
    async with attached(settings.redis_url, settings.data / "redis") as store:
        ring = Keyring(store)
        return tuple([(await ring.create("default", [role], actor="offline"))[1] for role in (Role.ADMIN, Role.CALLER)])  # type: ignore[return-value]


async def _streamed(settings: Settings) -> set[Any]:
    async with attached(settings.redis_url, settings.data / "redis") as store:
        return {place for place, _ in await store.ask(lambda client: client.xrange(stream_key()))}


def _run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("whose", ["own", "outside"])
async def test_what_was_acknowledged_before_a_backup_is_there_after_a_restore(whose: str, configured: Settings, short: Path) -> None:
    if whose == "outside" and shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: Debian has it")
    before, after = (Outside(short / name) for name in ("before", "after"))
    backup = short / "backup.tar"
    first = configured if whose == "own" else configured.model_copy(update={"redis_url": before.url})
    with before.running() if whose == "outside" else contextlib.nullcontext():
        async with service(first) as running:
            admin, caller = await _keys(first)
            async with grpc.aio.insecure_channel(running.address) as channel:
                made = tenant_service_pb2.CreateTenantRequest(tenant=tenant_pb2.Tenant(name="acme", floor=0.75))
                await _when_known(lambda: TenantServiceStub(channel).CreateTenant(made, timeout=10, metadata=bearing(admin)))
            decisions = await _asked(running, caller, QUESTIONS)
            await until(lambda: _learned(running), 20)
            (first.data / "predictor").mkdir()
            (first.data / "predictor" / "card.md").write_text("how good it is")
            spent, _ = await running.ledger.spent("default")
            streamed = await _streamed(first)
            async with _busy(running, caller):
                place = ["-s", before.socket] if whose == "outside" else ["-s", socket_path(first.data / "redis")]
                await asyncio.to_thread(_run, DEPLOY / "backup.sh", first.data, backup, *place)
    shutil.rmtree(first.data)
    shutil.rmtree(before.folder, ignore_errors=True)

    second = configured.model_copy(update={"data": short / "elsewhere", "redis_url": after.url if whose == "outside" else None})
    await asyncio.to_thread(_run, DEPLOY / "restore.sh", backup, second.data, *([after.folder] if whose == "outside" else []))
    with after.running() if whose == "outside" else contextlib.nullcontext():
        async with service(second) as running:
            async with grpc.aio.insecure_channel(running.address) as channel:
                asked = tenant_service_pb2.GetTenantRequest(name="acme")
                found = await _when_known(lambda: TenantServiceStub(channel).GetTenant(asked, timeout=10, metadata=bearing(admin)))
                assert found.tenant.floor == 0.75
                for decision in (decisions[0], decisions[-1]):
                    told = await RouterServiceStub(channel).ExplainDecision(
                        pb.ExplainDecisionRequest(decision_id=decision), timeout=10, metadata=bearing(caller)
                    )
                    assert len(told.rewards) == 1
            assert (await running.ledger.spent("default"))[0] >= spent > 0
            assert streamed <= await _streamed(second)
            assert (second.data / "predictor" / "card.md").read_text() == "how good it is"
            logged = read_log(*journals(second.data)).to_pylist()
            assert {row["decision_id"] for row in logged if row["kind"] == "reward"} >= set(decisions)
            await until(lambda: _learned(running), 20)
            assert len(await _asked(running, caller, 1, first=50)) == 1


async def _learned(running: Service) -> bool:
    return any(name == "thompson" for name, _ in running.pipeline.learned)


async def _when_known(call: Any) -> Any:
    """A key is known to a router within a second."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as refused:
                if refused.code() is not grpc.StatusCode.UNAUTHENTICATED:
                    raise
            await asyncio.sleep(0.05)


def test_nothing_is_written_over_and_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal").touch()
    backup = subprocess.run([str(DEPLOY / "backup.sh"), str(tmp_path / "data"), str(tmp_path / "b.tar")], capture_output=True, text=True, check=False)
    assert backup.returncode == 1
    assert not (tmp_path / "b.tar").exists()
    restore = subprocess.run(
        [str(DEPLOY / "restore.sh"), str(tmp_path / "b.tar"), str(tmp_path / "data")], capture_output=True, text=True, check=False
    )
    assert restore.returncode == 1
    assert "not empty" in restore.stderr
    for script in ("backup.sh", "restore.sh"):
        asked = subprocess.run([str(DEPLOY / script)], capture_output=True, text=True, check=False)
        assert (asked.returncode, script in asked.stderr) == (2, True)
