"""The service as a small fleet: routers, workers and Redis, each a process on a core of its own as far as there are cores."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from router.settings import Settings
from tests.conftest import RedisServer
from tests.load.subjects import Subject, answer, questions, started

METHOD = "/rheostat.v1.RouterService/AnswerQuery"
TENANTS = {"default": {"cache": False, "exploration": 0.0}}
MODEL, VOTE = "small", "small-vote"  # the bundled model that is put under load, and how


@dataclass(frozen=True)
class Town:
    """What runs, and where."""

    routers: list[psutil.Process]
    workers: list[psutil.Process]
    redis: psutil.Process
    data: list[Path]
    subject: Subject

    def spent(self) -> dict[str, float]:
        """Processor seconds of each kind, children's with them."""
        return {"routers": sum(map(_seconds, self.routers)), "workers": sum(map(_seconds, self.workers)), "redis": _seconds(self.redis)}


def _seconds(process: psutil.Process) -> float:
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


@contextmanager
def town(
    folder: Path,
    routers: int,
    workers: int,
    *,
    pace: float = 0.0,
    slots: int = 0,
    processes: int = 1,
    models: bool = False,
    together: bool = False,
) -> Iterator[Town]:
    """So many routers with a Redis and so many workers, whose samples take `pace` seconds, `slots` at a time; with `models`, a bundled one's.

    Routers take turns on the cores, beginning with the first, or share that (`together`); all else is on the last. `processes` serve behind each
    router's port.
    """
    free = sorted(os.sched_getaffinity(0))
    (state := folder / "redis").mkdir()
    redis = RedisServer(state)
    watched = psutil.Process(redis.process.pid)
    watched.cpu_affinity([free[0] if models else free[-1]])
    try:
        with ExitStack() as stack:
            addresses = [f"unix:{folder}/worker-{number}.sock" for number in range(workers)]
            given = _bundled() if models else {}
            given |= {"redis_url": redis.url, "tenants": TENANTS}
            serving = [stack.enter_context(_worker(folder, one, free[-1], given, pace=pace, slots=slots)) for one in addresses]
            found, where, data = [], [], []
            for number in range(routers):
                data.append(folder / f"data-{number}")
                pools = given.get("worker", {})
                core = free[0 if together else number % len(free)]
                own = {"data": data[-1], "server": {"address": "127.0.0.1:0", "processes": processes}}
                own |= {"worker": pools | {"address": ",".join(addresses)}}
                process, address = stack.enter_context(_router(folder / f"settings-{number}.yaml", core, given | own))
                found.append(process)
                where.append(address)
            bodies = folder / "bodies"
            bodies.write_text("\n".join(answer(text, cache=False, plan=VOTE if models else "nano-direct") for text in questions()))
            subject = Subject(f"{routers} x {workers}", "stream", ",".join(where), METHOD, str(bodies), found[0])
            yield Town(found, serving, watched, data, subject)
    finally:
        redis.kill()


def _bundled() -> dict:
    """One bundled model on one thread, and one plan."""
    usual = Settings()
    return {"worker": {"pools": {MODEL: usual.worker.pools[MODEL]}, "threads": 1}, "plans": {VOTE: usual.plans[VOTE]}}


@contextmanager
def _worker(folder: Path, address: str, core: int, given: dict, *, pace: float, slots: int) -> Iterator[psutil.Process]:
    if "worker" not in given:
        with started([sys.executable, "-m", "tests.load.instant", address, str(pace), str(slots)], core, None) as (process, _):
            yield process
        return
    config = folder / "worker.yaml"
    config.write_text(Settings(**given).model_dump_json(exclude={"config"}))
    command = [sys.executable, "-m", "router", "work", "--address", address]
    with started(command, core, None, RHEOSTAT_CONFIG=str(config), OMP_NUM_THREADS="1") as (process, _):
        yield process


@contextmanager
def _router(config: Path, core: int, given: dict) -> Iterator[tuple[psutil.Process, str]]:
    settings = Settings(**given)
    config.write_text(settings.model_dump_json(exclude={"config"}))
    says = r"--address (\S+)" if settings.server.processes == 1 else r"Ready at ([\d.:]+)\."
    with started([sys.executable, "-m", "router", "serve"], core, says, RHEOSTAT_CONFIG=str(config)) as running:
        yield running


def rose(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Processor seconds of each kind between two looks."""
    return {name: after[name] - before[name] for name in before}


def journals_of(data: Sequence[Path]) -> list[Path]:
    """Of all routers."""
    return [path for folder in data for path in sorted(folder.glob("journal*")) if path.is_dir()]
