"""The load: raw bytes from a process of its own. Takes one order a line on its standard input, and prints what it measured, both as JSON.

Closed: so many callers, each waiting for its answer before it asks again; that finds the throughput. Open: Poisson arrivals at a fixed rate whatever
comes back, and every latency counts from when the call was due, so that a server (or a client) that falls behind cannot hide it.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle
from pathlib import Path

import grpc
import httpx2

One = Callable[[], Awaitable[str]]
_PATIENCE = 20.0  # seconds for a call


@asynccontextmanager
async def caller(kind: str, target: str, method: str, bodies: list[bytes], *, retries: int = 0, tried: Counter[str] | None = None):
    """Makes one call, and says what went wrong, or nothing. Several gRPC targets, separated by commas, take turns.

    A gRPC call that ends UNAVAILABLE is made again up to `retries` times, at the next target; `tried` counts how often.
    """
    turns, tried = cycle(bodies), Counter() if tried is None else tried
    if kind == "http":
        async with httpx2.AsyncClient(base_url=target, timeout=_PATIENCE, headers={"content-type": "application/json"}) as http:

            async def post() -> str:
                try:
                    status = (await http.post(method, content=next(turns))).status_code
                except httpx2.HTTPError as error:
                    return type(error).__name__
                return "" if status == 200 else str(status)

            yield post
        return
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(one)) for one in target.split(",")]
        calls = [(channel.unary_unary(method), channel.unary_stream(method)) for channel in channels]
        first = count()

        async def once(body: bytes, place: int) -> str:
            unary, stream = calls[place % len(calls)]
            try:
                if kind == "stream":
                    async for _ in stream(body, timeout=_PATIENCE):
                        pass
                else:
                    await unary(body, timeout=_PATIENCE)
            except grpc.aio.AioRpcError as error:
                return f"{error.code().name}: {error.details()}"
            return ""

        async def ask() -> str:
            body, place = next(turns), next(first)
            wrong = await once(body, place)
            for turn in range(1, 1 + retries):
                if not wrong.startswith("UNAVAILABLE"):
                    break
                tried["again"] += 1
                wrong = await once(body, place + turn)
            return wrong

        yield ask


async def closed(one: One, concurrency: int, seconds: float, calls: int | None = None) -> tuple[list[float], Counter[str]]:
    """Seconds of every call that went well, and what went wrong with the others: for so many seconds, or so many calls."""
    taken, failed, left, end = [], Counter(), calls if calls else sys.maxsize, time.perf_counter() + seconds

    async def ask() -> None:
        nonlocal left
        while left > 0 and (calls or time.perf_counter() < end):
            left -= 1
            began = time.perf_counter()
            if wrong := await one():
                failed[wrong] += 1
            else:
                taken.append(time.perf_counter() - began)

    await asyncio.gather(*(ask() for _ in range(concurrency)))
    return taken, failed


async def opened(one: One, rate: float, seconds: float, seed: int) -> tuple[list[float], Counter[str]]:
    """The same at a fixed rate, from when each call was due."""
    rng, taken, failed, running = random.Random(seed), [], Counter(), set()

    async def ask(due: float) -> None:
        if wrong := await one():
            failed[wrong] += 1
        else:
            taken.append(time.perf_counter() - due)

    due = began = time.perf_counter()
    while (due := due + rng.expovariate(rate)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        running.add(task := asyncio.create_task(ask(due)))
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return taken, failed


def summary(taken: list[float], failed: Counter[str], wall: float) -> dict:
    """Calls per second, and milliseconds."""
    taken.sort()
    places = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}
    found = {name: taken[min(len(taken) - 1, int(len(taken) * share))] * 1e3 for name, share in places.items()} if taken else dict.fromkeys(places)
    return {
        "calls": len(taken),
        "failed": failed.total(),
        "wrong": dict(failed.most_common(3)),
        "seconds": wall,
        "per_second": len(taken) / wall,
        **found,
    }


async def measure(order: dict) -> dict:
    bodies = [bytes.fromhex(line) for line in Path(order["bodies"]).read_text().split()]
    tried: Counter[str] = Counter()
    async with caller(order["kind"], order["target"], order["method"], bodies, retries=order.get("retries", 0), tried=tried) as one:
        began = time.perf_counter()
        if "rate" in order:
            taken, failed = await opened(one, order["rate"], order["seconds"], order.get("seed", 0))
        else:
            taken, failed = await closed(one, order["concurrency"], order["seconds"], order.get("calls"))
        return summary(taken, failed, time.perf_counter() - began) | {"again": tried["again"]}


async def main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await measure(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
