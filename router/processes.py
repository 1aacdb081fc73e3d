"""Several router processes behind one port: started, started again when they die, and renewed one after the other while the others serve."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.app import own_worker
from router.errors import RouterError
from router.server import SERVICE
from router.settings import Settings
from router.store import open_redis, socket_path

log = structlog.get_logger("rheostat.processes")
_START = 120.0  # seconds within which a router must serve
_REST = 0.5  # seconds between a death and the next start
_LOOK = 0.05


class Replica:
    """One place among the processes. Its next process begins before its last one ends, so two journals take turns."""

    def __init__(self, number: int, folder: Path, env: Mapping[str, str], prometheus: str = "") -> None:
        self._number = number
        self._folder = folder
        self._env = env
        self._prometheus = prometheus
        self._turn = 0
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when it serves; raises RouterError when it does not."""
        self._keep(await self._started())

    async def renew(self) -> None:
        """Start another, then let this one finish what it began. Raises RouterError where the new one does not serve; the old one then goes on."""
        old = self._unkept()
        self._turn = 1 - self._turn
        try:
            new = await self._started()
        except BaseException:
            self._turn = 1 - self._turn
            if old:
                self._keep(old)
            raise
        self._keep(new)
        if old:
            await _ended(old)

    async def stop(self) -> None:
        """Let it finish what it has begun."""
        if process := self._unkept():
            await _ended(process)

    def _keep(self, process: asyncio.subprocess.Process) -> None:
        """From here on this is the process, and is started again when it dies."""
        self._process = process
        self._keeper = asyncio.create_task(self._kept(), name=f"keep-router-{self._number}")

    def _unkept(self) -> asyncio.subprocess.Process | None:
        """The process, which is not started again from here on; so nobody else starts one of its name."""
        if self._keeper:
            self._keeper.cancel()
        return self._process

    async def _kept(self) -> None:
        while self._process:
            returncode = await self._process.wait()
            log.error("router_died", replica=self._number, returncode=returncode)
            await asyncio.sleep(_REST)
            try:
                self._process = await self._started()
            except RouterError as error:
                log.error("router_not_started", replica=self._number, error=error.message)

    async def _started(self) -> asyncio.subprocess.Process:
        name = f"{self._number}{'ab'[self._turn]}"
        private = self._folder / f"{name}.sock"
        private.unlink(missing_ok=True)
        env = {**self._env, "RHEOSTAT_JOURNAL__NAME": f"journal-{name}", "RHEOSTAT_SERVER__PRIVATE": f"unix:{private}"}
        if self._prometheus:
            env["RHEOSTAT_TELEMETRY__PROMETHEUS"] = _above(self._prometheus, 2 * (self._number - 1) + self._turn)
        # Its own session: Ctrl-C is for us, and each of them is told in its turn.
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "router", "serve", env=env, start_new_session=True)
        try:
            await _serves(process, f"unix:{private}")
        except BaseException:
            await _ended(process)
            raise
        return process


@asynccontextmanager
async def processes(settings: Settings) -> AsyncIterator[tuple[str, list[Replica]]]:
    """The address that all of them serve, and the replicas; they share one Redis and, where none is configured, one worker."""
    settings.served().data.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        address = stack.enter_context(_reserved(settings.server.address))
        http = stack.enter_context(_reserved(settings.server.http)) if settings.server.http else ""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rheostat-routers-")))
        await stack.enter_async_context(open_redis(settings.redis_url, settings.data / "redis"))
        env = {
            **os.environ,
            "RHEOSTAT_DATA": str(settings.data),
            "RHEOSTAT_REDIS_URL": settings.redis_url or f"unix://{socket_path(settings.data / 'redis')}",
            "RHEOSTAT_WORKER__ADDRESS": settings.worker.address or await stack.enter_async_context(own_worker(settings)),
            "RHEOSTAT_SERVER__ADDRESS": address,
            "RHEOSTAT_SERVER__HTTP": http,
            "RHEOSTAT_SERVER__PROCESSES": "1",
            "RHEOSTAT_SERVER__REUSE_PORT": "true",
        }
        replicas = [Replica(number, folder, env, settings.telemetry.prometheus) for number in range(1, settings.server.processes + 1)]
        for replica in replicas:
            stack.push_async_callback(replica.stop)
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield address, replicas


def _above(address: str, place: int) -> str:
    """An address so many ports above another."""
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + place}"


@contextmanager
def _reserved(address: str) -> Iterator[str]:
    """The address, with a port if it asked for any; it is kept for us, though we do not listen there."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host.strip("[]"), int(port)))
        yield f"{host}:{held.getsockname()[1]}"


async def _serves(process: asyncio.subprocess.Process, address: str) -> None:
    """Return when it says so on its private address; raises RouterError."""
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    try:
        async with asyncio.timeout(_START), grpc.aio.insecure_channel(address) as channel:
            while process.returncode is None:
                try:
                    found = await health_pb2_grpc.HealthStub(channel).Check(asked, wait_for_ready=True, timeout=1)
                    if found.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                except grpc.aio.AioRpcError:
                    pass
                await asyncio.sleep(_LOOK)
    except TimeoutError:
        pass
    raise RouterError("a router process did not begin to serve: what it printed says why")


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()
