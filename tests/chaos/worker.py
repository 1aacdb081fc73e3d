"""A worker whose toy model takes its time, so that faults find it at work. Takes the address to listen on."""

import asyncio
import signal
import sys

from router.interceptors import Interceptor
from router.telemetry import Telemetry
from tests.workers.toy import Oracle, Toy
from workers.energy import Modelled
from workers.executor import LocalExecutor, Pool
from workers.server import WorkerServer

PACE = 0.02  # seconds a token, about


async def serve(address: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pools = {"toy": Pool(backend=Toy(accuracy=0.8, pace=PACE), verifier=Oracle(), model="toy", energy=Modelled(0.1))}
    server = WorkerServer(LocalExecutor(pools=pools), address, [Interceptor(Telemetry())])
    await server.start()
    await server.serve_until(stop, 1.0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
