"""Microseconds of each stage of a request, one after the other on an otherwise idle service."""

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from policies import policies
from policies.learner import Learner
from predictors.heads.neighbours import Neighbours
from router.exam import draw
from router.pipeline import Pipeline
from router.ports import Spent
from router.types import Amount, Budget, Call, Evidence, Finish, Knobs, Message, Plan, Prediction, Price, Query, Record, Sample, Style, Task
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
    broken = False

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


def near(rows: int, width: int = 64, plans: int = 10) -> float:
    """Median microseconds of looking up the neighbours of one query among so many logged ones, spread evenly over their cells."""
    rng, cells = np.random.default_rng(0), max(1, round(rows**0.5))
    stored = rng.normal(size=(rows, width)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    outcomes = (rng.random((rows, plans)) < 0.1).astype(np.float32)
    head = Neighbours(
        rows=stored,
        right=outcomes,
        wrong=outcomes,
        centres=stored[:cells],
        starts=np.linspace(0, rows, cells + 1).astype(np.intp),
        probes=np.array(4),
        sharpness=np.array(10.0),
        base=np.full(plans, 0.5),
        held=np.array(5.0),
        columns=np.arange(width),
        mean=np.zeros(width),
        scale=np.ones(width),
        weights=np.zeros((plans, width)),
        slope=np.ones(plans),
    )
    taken = []
    for query in rng.normal(size=(200, 1, width)):
        started = time.perf_counter()
        head.logits(query)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e6


def online(seen: Mapping[str, Prediction], plans: Sequence[Plan], knobs: Knobs, queries: Sequence[Query]) -> dict[str, float]:
    """What deciding with 1,000 outcomes learned takes, what learning from one does, and what making a posterior of them does."""
    rng, learner = np.random.default_rng(0), Learner()
    rows = []
    for number in range(1_000):
        prediction = seen[queries[number % len(queries)].id]
        names = tuple(one.plan for one in prediction.forecasts)
        success, costs = (tuple(getattr(one, name) for one in prediction.forecasts) for name in ("success", "cost"))
        known = {"decision_id": str(number), "tenant": "default", "at": 0.0}
        choice = {"action": "buy", "plan": names[number % len(names)], "offered": names, "success": success, "costs": costs}
        context = tuple(prediction.context.tolist())
        rows.append(Record(id=f"{number}/0", kind="stage", predictor=prediction.version, context=context, **known, **choice))
        rows.append(Record(id=f"{number}/u", kind="reward", stage=0, reward=float(rng.random() < 0.7), reward_source="unit_test", **known))
    started = time.perf_counter()
    for row in rows:
        learner.fold(row)
    found = {"learn, per outcome": (time.perf_counter() - started) / len(rows) * 2e6}
    started = time.perf_counter()
    posterior = learner.posteriors()[""]
    found["posterior of one tenant"] = (time.perf_counter() - started) * 1e6
    for name in ("thompson", "linucb"):
        policy = policies.build(name).after(posterior)
        found[f"decide, {name}"] = timed(lambda query, one=policy: one.weigh(seen[query.id], Evidence(), plans, knobs).draw(rng), queries)
    return found


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
    found["decide"] = timed(lambda query: policy.weigh(seen[query.id], evidence, plans, knobs).draw(rng), queries)
    found |= online(seen, plans, knobs, queries)
    for count in (1, 3):
        found[f"predict, {count} of {len(plans)} plans"] = timed(
            lambda query, few=plans[:count]: predictor.predict(features[query.id], evidence, few), queries
        )
    for rows in (10_000, 100_000, 1_000_000):
        found[f"neighbours among {rows:,} queries"] = near(rows)
    found["encode + predict + decide"] = found["encode"] + found["predict"] + found["decide"]

    async def hold(query: Query) -> None:
        async with parts.admission.admit(query, query.id, Amount(1_000), 60.0) as bill:
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
