"""A worker process: the configured pools behind WorkerService, until told to stop."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import structlog

from router.app import pools
from router.background import background
from router.errors import BackendUnavailable
from router.interceptors import Interceptor
from router.settings import Settings
from router.telemetry import open_telemetry
from workers.executor import LocalExecutor
from workers.pool import Pool
from workers.server import WorkerServer

log = structlog.get_logger("rheostat.worker")
_LOOK = 1.0  # seconds between two looks at the engines
_SWITCH = 0.0001  # seconds; several engines decode in threads, and each returns to Python between any two tensor operations


async def work(settings: Settings, address: str) -> None:
    """Serve until SIGINT or SIGTERM; raises UnknownPlan at once where a plan asks a pool for what it cannot do."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with executing(settings) as executor:
        server = WorkerServer(executor, address, [Interceptor(executor.telemetry)])
        await server.start()
        log.info("worker_started", address=address, pools=list(executor.pools))
        async with background(pools=_watch(executor.pools, stop)):
            await server.serve_until(stop, settings.server.grace)
        if failed := broken(executor.pools):
            raise BackendUnavailable(f"pools that have failed for good: {', '.join(failed)}; whoever keeps this worker starts a new one")


@asynccontextmanager
async def executing(settings: Settings) -> AsyncIterator[LocalExecutor]:
    """The executor of the configured pools, loaded; raises UnknownPlan where a plan asks one for what it cannot do."""
    sys.setswitchinterval(_SWITCH)
    with open_telemetry("rheostat-worker", prometheus=settings.telemetry.prometheus) as telemetry:
        async with pools(settings) as loaded:
            executor = LocalExecutor(pools=loaded, telemetry=telemetry)
            executor.check([plan.plan(name) for name, plan in settings.plans.items()])
            yield executor


def broken(pools: Mapping[str, Pool]) -> list[str]:
    """Names of those that have failed for good."""
    return [name for name, pool in pools.items() if pool.broken]


async def _watch(pools: Mapping[str, Pool], stop: asyncio.Event) -> None:
    """End the worker when an engine has died: it would refuse for ever what a new one can do."""
    while not stop.is_set():
        if failed := broken(pools):
            log.error("pools_broken", pools=failed)
            stop.set()
        await asyncio.sleep(_LOOK)
