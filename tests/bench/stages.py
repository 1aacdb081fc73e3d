"""Microseconds of each stage of a request, one after the other on an otherwise idle service."""

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import numpy as np

from router.exam import draw
from router.pipeline import Pipeline
from router.ports import Spent
from router.types import Budget, Call, Evidence, Finish, Message, Plan, Price, Query, Sample, Style, Task
from tests.workers.toy import Bill
from workers.executor import LocalExecutor, Pool

TIMES = 400


def timed(one: Callable[[Query], object], queries: Iterable[Query]) -> float:
    """Median microseconds."""
    taken = []
    for query in queries:
        started = time.perf_counter()
        one(query)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


async def awaited(one: Callable[[Query], Awaitable[object]], queries: Iterable[Query]) -> float:
    """Median microseconds."""
    taken = []
    for query in queries:
        started = time.perf_counter()
        await one(query)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


class Instant:
    """A backend that answers at once, so that what is left is the executor's own."""

    capabilities: frozenset[str] = frozenset()
    style = Style()

    def count(self, call: Call) -> int:
        return 10

    async def sample(self, call: Call, spent: Spent) -> Sample:
        spent.prompt, spent.completion = 10, 5
        return Sample(text="Answer: 5", prompt_tokens=10, completion_tokens=5, finish=Finish.END, logprobs=(-0.1,) * 5)


async def per_sample(batch: int, samples: int = 64) -> float:
    """Median microseconds that executing a strategy adds to each sample, so many of them at a time."""
    executor = LocalExecutor(pools={"instant": Pool(backend=Instant())})
    plan = Plan(id="v", pool="instant", strategy="self_consistency", options={"n": samples, "tau": 1.0, "batch": batch}, price=Price(completion=1.0))
    query = Query(id="q", messages=(Message(content="2 + 3?"),), task=Task.MATH, seed=1)

    async def run(one: Query) -> object:
        return await executor.execute(one, plan, Evidence(), Budget(tokens=10**6, cost=10**6), Bill())

    return await awaited(run, [query] * 40) / samples


async def stages(pipeline: Pipeline) -> dict[str, float]:
    """What encoding, predicting, deciding, holding and settling money, and logging take."""
    parts, predictor = pipeline._parts, pipeline.predictor
    knobs = replace(parts.tenants["default"].knobs, exploration=0.0)
    queries = [
        Query(id=str(index), messages=(Message(content=problem.question),), task=Task.MATH, knobs=knobs)
        for index, problem in enumerate(draw("train", 2, TIMES))
    ]
    plans, evidence, rng = tuple(parts.catalogue.values()), Evidence(), np.random.default_rng(0)
    policy = next(iter(parts.policies.values()))
    found = {"encode": await awaited(parts.describer.describe, queries)}
    features = {query.id: await parts.describer.describe(query) for query in queries}
    found["predict"] = timed(lambda query: predictor.predict(features[query.id], evidence, plans), queries)
    seen = {query.id: predictor.predict(features[query.id], evidence, plans) for query in queries}
    found["decide"] = timed(lambda query: policy.decide(seen[query.id], evidence, plans, knobs, rng), queries)
    found["encode + predict + decide"] = found["encode"] + found["predict"] + found["decide"]

    async def hold(query: Query) -> None:
        async with parts.admission.admit("default", query.id, 1_000, 60.0) as bill:
            assert bill.usage.cost == 0

    planned = await pipeline.plan(queries[0])
    (row,) = [row async for row in parts.journal.read(planned.decision_id)]

    async def write(query: Query) -> None:
        await parts.journal.write([replace(row, id=query.id)])

    found["ledger: hold + settle"] = await awaited(hold, queries)
    found["journal: one row on disk"] = await awaited(write, queries)
    found["all of PlanQuery but gRPC"] = await awaited(pipeline.plan, queries)
    found["worker: executing a strategy, per sample"] = await per_sample(16)
    return found
