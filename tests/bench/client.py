"""The load: bytes over gRPC from a process of its own, so that the client's work is not the server's. Prints what it measured as JSON."""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import cycle, islice

import grpc
from rheostat.v1 import query_pb2, router_service_pb2

from router.exam import draw

QUESTIONS = 2_000
ROUNDS, SECONDS, ALONE_SECONDS = 4, 2.5, 3.0


def plan_requests() -> list[bytes]:
    """Different questions."""
    messages = [[query_pb2.Message(content=problem.question)] for problem in draw("train", 1, QUESTIONS)]
    return [router_service_pb2.PlanQueryRequest(query=query_pb2.Query(messages=one, task="TASK_MATH")).SerializeToString() for one in messages]


def answer_request() -> bytes:
    """One question, allowed to come from the cache."""
    message = query_pb2.Message(content=draw("test", 1, 1)[0].question)
    knobs = query_pb2.Knobs(cache=True, exploration=0.0, policy="fixed")
    return router_service_pb2.AnswerQueryRequest(query=query_pb2.Query(messages=[message], task="TASK_MATH", knobs=knobs)).SerializeToString()


async def unary(call: grpc.aio.UnaryUnaryMultiCallable, bodies: Iterator[bytes]) -> None:
    await call(next(bodies))


async def stream(call: grpc.aio.UnaryStreamMultiCallable, bodies: Iterator[bytes]) -> None:
    async for _ in call(next(bodies)):
        pass


async def load(one: Callable[[], Awaitable[None]], concurrency: int, seconds: float) -> list[float]:
    """Seconds of every call made in this time by so many callers."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (started := time.perf_counter()) < end:
            await one()
            taken.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(caller())
    return taken


def summary(rounds: list[list[float]], seconds: float) -> dict[str, float]:
    """Requests per second (the median round's), and milliseconds over all rounds."""
    taken = sorted(one for part in rounds for one in part)
    return {
        "per_second": statistics.median(len(part) for part in rounds) / seconds,
        "p50_ms": taken[len(taken) // 2] * 1e3,
        "p99_ms": taken[len(taken) * 99 // 100] * 1e3,
    }


async def main(service: str, echo: str) -> None:
    """Rounds take turns, so that what else the machine does is shared out fairly."""
    plans = plan_requests()
    async with grpc.aio.insecure_channel(service) as channel, grpc.aio.insecure_channel(echo) as bare:
        bodies, cached = cycle(plans), answer_request()
        methods = {
            "echo": partial(unary, bare.unary_unary("/bench.Echo/Echo"), bodies),
            "PlanQuery": partial(unary, channel.unary_unary("/rheostat.v1.RouterService/PlanQuery"), bodies),
            "AnswerQuery, cached": partial(stream, channel.unary_stream("/rheostat.v1.RouterService/AnswerQuery"), cycle([cached])),
        }
        await _fill_cache(channel, cached)
        found = {name: {} for name in methods}
        for concurrency, rounds, seconds in ((64, ROUNDS, SECONDS), (1, 1, ALONE_SECONDS)):
            taken = {name: [] for name in methods}
            for number, (name, one) in enumerate(islice(cycle(methods.items()), (rounds + 1) * len(methods))):
                warm = number >= len(methods)
                calls = await load(one, concurrency, seconds if warm else 0.5)
                taken[name] += [calls] if warm else []
            for name in methods:
                found[name][str(concurrency)] = summary(taken[name], seconds)
    print(json.dumps(found))


async def _fill_cache(channel: grpc.aio.Channel, request: bytes) -> None:
    call = channel.unary_stream("/rheostat.v1.RouterService/AnswerQuery", response_deserializer=router_service_pb2.AnswerQueryResponse.FromString)
    for _ in range(2):
        final = [event async for event in call(request)][-1].final
    assert final.receipt.cached, f"the answer did not come from the cache: {final}"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
