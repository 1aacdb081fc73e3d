"""The town that faults visit: two routers on one Redis and two workers, links of our own between them, and somebody who starts again what died."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from router.settings import Choice, PlanSettings, PoolSettings, Settings
from router.store import server_command
from router.terms import TenantSettings
from tests.chaos.link import Link
from tests.loopback import free_port

ROOT = Path(__file__).parents[2]
ROUTERS, WORKERS = 2, 2
DISK = "48m"
_PRICE = (0.5, 2.0, 0.1)
PLANS = {
    "once": PlanSettings(pool="toy", strategy="direct", tokens=300, cost=600, price=_PRICE),
    "vote": PlanSettings(pool="toy", strategy="self_consistency", options={"n": 8}, tokens=2_000, cost=4_000, price=_PRICE),
    "best": PlanSettings(pool="toy", strategy="best_of_n", options={"n": 4}, tokens=2_000, cost=4_000, price=_PRICE),
}
TENANTS = {
    "acme": TenantSettings(exploration=0.3, cache=False, max_stages=2),
    "lab": TenantSettings(exploration=0.3, cache=False, max_stages=2, per_day=400_000),
    "poor": TenantSettings(exploration=0.3, cache=False, max_stages=2, per_day=20_000),
}


@dataclass
class Resident:
    """A process that is started again when it dies; `command` is made anew each time."""

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    starts: int = 0
    asleep: bool = False  # stays dead until it is woken
    process: subprocess.Popen | None = None

    def start(self) -> None:
        self.starts += 1
        own = {name: value for name, value in os.environ.items() if not name.startswith(("RHEOSTAT_", "OTEL_"))}
        env = own | {"PYTHONPATH": os.pathsep.join(sys.path)} | self.env
        with self.log.open("a") as written:
            self.process = subprocess.Popen(self.command(), env=env, stdout=written, stderr=written, cwd=ROOT)

    def send(self, number: signal.Signals) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    async def watch(self) -> None:
        while True:
            if not self.asleep and (self.process is None or self.process.poll() is not None):
                self.start()
            await asyncio.sleep(0.1)


@dataclass
class Town:
    """Everybody in it."""

    folder: Path
    redis: Resident
    routers: list[Resident]
    workers: list[Resident]
    to_redis: list[Link]
    to_worker: list[Link]
    addresses: list[str]
    disks: list[Path]  # of the routers, where they are small ones; else empty

    @property
    def redis_url(self) -> str:
        return f"unix://{self.folder}/redis/r.sock"

    def everybody(self) -> list[Resident]:
        return [self.redis, *self.workers, *self.routers]

    def mend(self) -> None:
        """No fault is left."""
        for link in (*self.to_redis, *self.to_worker):
            link.mend()
        for resident in self.everybody():
            resident.asleep = False
            resident.send(signal.SIGCONT)
        for disk in self.disks:
            (disk / "ballast").unlink(missing_ok=True)

    async def up(self, seconds: float = 60.0) -> None:
        """Wait until every router serves."""
        for address in self.addresses:
            async with asyncio.timeout(seconds), grpc.aio.insecure_channel(address) as channel:
                await channel.channel_ready()


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[Town]:
    """Founded, with nobody at fault yet; at the end the routers are told to stop, so that what they have is on disk."""
    (folder / "redis").mkdir()
    redis = Resident("redis", lambda: server_command(folder / "redis", folder / "redis" / "r.sock"), folder / "redis.out")
    to_redis = [Link(f"unix:{folder}/redis/r.sock") for _ in range(ROUTERS)]
    to_worker = [Link(f"unix:{folder}/w{number}.sock") for _ in range(ROUTERS) for number in range(WORKERS)]
    for link in (*to_redis, *to_worker):
        await link.start()
    workers = [_worker(folder, number) for number in range(WORKERS)]
    disks = [disk for number in range(ROUTERS) if (disk := _small_disk(folder / f"data{number}"))]
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(ROUTERS)]
    lots = [to_worker[number * WORKERS : (number + 1) * WORKERS] for number in range(ROUTERS)]
    routers = [_router(folder, number, addresses[number], to_redis[number], lots[number]) for number in range(ROUTERS)]
    found = Town(folder, redis, routers, workers, to_redis, to_worker, addresses, disks)
    watching = [asyncio.create_task(one.watch()) for one in found.everybody()]
    try:
        await found.up()
        yield found
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
        found.mend()
        await _ended(routers)
        await _ended([*workers, redis])
        for link in (*to_redis, *to_worker):
            await link.close()


async def _ended(residents: list[Resident]) -> None:
    for one in residents:
        one.send(signal.SIGTERM)
    end = time.monotonic() + 30
    for one in residents:
        while one.process and one.process.poll() is None and time.monotonic() < end:
            await asyncio.sleep(0.05)
        with suppress(ProcessLookupError):
            if one.process:
                one.process.kill()
                one.process.wait()


def forget_disks(town: Town) -> None:
    """Unmount the small disks."""
    for disk in town.disks:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def _worker(folder: Path, number: int) -> Resident:
    command = [sys.executable, "-m", "tests.chaos.worker", f"unix:{folder}/w{number}.sock"]
    return Resident(f"worker {number}", lambda: command, folder / f"worker{number}.log")


def _router(folder: Path, number: int, address: str, redis: Link, workers: Sequence[Link]) -> Resident:
    config = folder / f"router{number}.yaml"
    settings = Settings(
        data=folder / f"data{number}",
        redis_url=f"redis://127.0.0.1:{redis.port}",
        server={"address": address, "drain_delay": 0.0, "grace": 5.0},
        worker={"address": ",".join(f"127.0.0.1:{link.port}" for link in workers), "pools": {"toy": PoolSettings(backend=Choice(name="embedded"))}},
        plans=PLANS,
        tenants=TENANTS,
        journal={"rotate_seconds": 5.0, "rotate_rows": 500},
    )
    config.write_text(settings.model_dump_json(exclude={"config"}))
    command = [sys.executable, "-m", "router", "serve"]
    env = {"RHEOSTAT_CONFIG": str(config), "RHEOSTAT_LOG": "info"}
    return Resident(f"router {number}", lambda: command, folder / f"router{number}.log", env)


def _small_disk(folder: Path) -> Path | None:
    """A small file system of its own, which can be filled; None where we may not mount."""
    folder.mkdir()
    done = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    return folder if done and done.returncode == 0 else None


def skewing() -> str | None:
    """The library that tells a process another time; None where it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else None
