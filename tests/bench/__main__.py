"""How quick the service is, beside a bare gRPC echo in the same process: `make bench`, in about a minute."""

import asyncio
import cProfile
import json
import logging
import pstats
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import grpc
import structlog
import typer
from rich.console import Console
from rich.table import Table

from router.app import service, settled
from router.server import OPTIONS
from router.settings import Settings
from tests.bench.stages import stages

console = Console(stderr=True)


@asynccontextmanager
async def echo():
    """A bare grpc.aio server with the service's options; gives its address."""

    async def same(request, context):
        return request

    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(same)}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def measure(settings, profile):
    async with AsyncExitStack() as stack:
        console.print("Starting the service ...")
        running = await stack.enter_async_context(service(settings))
        settled()  # as `rheostat serve` does
        bare = await stack.enter_async_context(echo())
        console.print("Calling it, and a bare echo, in turns ...")
        profiler = cProfile.Profile() if profile else None
        if profiler:
            profiler.enable()
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.client", running.address, bare, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await client.communicate()
        if profiler:
            profiler.disable()
            pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)
        assert client.returncode == 0
        console.print("Timing each stage ...")
        return {"calls": json.loads(printed), "microseconds": await stages(running.pipeline)}


def show(found):
    calls = Table("call", "callers", "per second", "p50 ms", "p99 ms", "of the echo's rate", title="Calls")
    for name, rows in found["calls"].items():
        for callers, row in rows.items():
            share = row["per_second"] / found["calls"]["echo"][callers]["per_second"]
            calls.add_row(name, callers, f"{row['per_second']:,.0f}", f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{share:.2f}")
    times = Table("stage", "microseconds", title="Stages, one request at a time (medians)")
    for name, value in found["microseconds"].items():
        times.add_row(name, f"{value:,.0f}")
    out = Console()
    out.print(calls, times)


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    profile: Annotated[bool, typer.Option(help="Print where the server's time went.")] = False,
) -> None:
    """Measure calls and stages of a service with nothing configured."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # as `rheostat serve` does
    with tempfile.TemporaryDirectory(prefix="rheostat-bench-") as folder:
        found = asyncio.run(measure(Settings(data=Path(folder), server={"address": "127.0.0.1:0"}), profile))
    print(json.dumps(found, indent=2)) if as_json else show(found)


if __name__ == "__main__":
    typer.run(main)
