"""What Ray Serve adds: the same plan on a worker whose model answers at once, called directly and through Ray's ingress, in turns."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from router.types import Budget, Evidence
from tests.loopback import free_port
from tests.workers.toy import Bill, a_plan, a_query
from workers.remote import RemoteExecutor, connected

INSTANT = {"worker": {"pools": {"nano": {"backend": {"name": "instant"}, "slots": 64}}}, "plans": {}}

_PLAN = replace(a_plan("direct"), pool="nano")
_WARMING = 20  # calls that do not count


async def ray_against_plain(calls: int = 300) -> dict[str, Any]:
    """Milliseconds of Execute, one call at a time; both kinds are asked in turns, so that a busy machine holds up both alike."""
    from tests.ray.cluster import nodes  # noqa: PLC0415 - brings Ray

    with _plain_worker() as address, nodes() as cluster:
        await asyncio.to_thread(cluster.deploy, INSTANT, autoscaling_config={"min_replicas": 2, "max_replicas": 2}, max_replicas_per_node=1)
        async with connected(address) as direct, connected(cluster.addresses[0]) as by_ray:
            return _told(await _turns(calls, {"plain": direct, "ray": by_ray}))


@contextmanager
def _plain_worker() -> Iterator[str]:
    """The address of one."""
    address = f"127.0.0.1:{free_port()}"
    worker = subprocess.Popen(
        [sys.executable, "-m", "tests.load.instant", address], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield address
    finally:
        worker.kill()
        worker.wait()


async def _turns(calls: int, executors: dict[str, RemoteExecutor]) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in executors}
    for number in range(calls + _WARMING):
        for name, executor in executors.items():
            began = time.perf_counter()
            await executor.execute(a_query(), _PLAN, Evidence(), Budget(), Bill())
            if number >= _WARMING:
                took[name].append(1e3 * (time.perf_counter() - began))
    return took


def _told(took: dict[str, list[float]]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        name: {"p50_ms": round(float(np.quantile(all_, 0.5)), 2), "p99_ms": round(float(np.quantile(all_, 0.99)), 2)} for name, all_ in took.items()
    }
    return figures | {"calls": len(took["ray"]), "ray_adds_p50_ms": round(figures["ray"]["p50_ms"] - figures["plain"]["p50_ms"], 2)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ray_against_plain())))
