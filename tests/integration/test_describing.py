"""Encoders that are slow, that fail, or of which there are two, in a whole service."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace

import numpy as np
import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from predictors.encoders.static import Static
from predictors.features import Featurizer
from predictors.prior import Prior
from router.app import Service, service
from router.pipeline import Pipeline
from router.settings import Choice, SecondSettings, Settings, WorkerSettings
from router.telemetry import Telemetry
from router.terms import TenantSettings
from router.types import Final, Knobs, Message, Query, Record, Task
from tests.integration.conftest import POOLS
from tests.predictors.embedder import DIM, Embedder, served

FIRST, SECOND = Prior(low=0.6, high=0.6), Prior(low=0.6, high=0.9)  # is `long` better than `quick`?
KNOBS = Knobs(value=100_000.0, plans=("quick",), policy="allocator", max_stages=1, cache=False)
BOTH = ("quick", "long")


def a_query(**changes: object) -> Query:
    """At the first look `quick` is worth 19,750 micro-dollars more than `long`, half the difference of their ceilings: a fifth of a right answer."""
    return Query(id="q", messages=(Message(content="Calculate 3 + 4."),), task=Task.MATH, seed=1, knobs=replace(KNOBS, **changes))


def prior(one: Prior) -> Choice:
    return Choice(name="prior", options={"low": one.low, "high": one.high})


async def last(pipeline: Pipeline, query: Query) -> Final:
    """The end of an answer."""
    async for event in pipeline.answer(query):
        if isinstance(event, Final):
            return event
    raise AssertionError("no end")


async def first_row(pipeline: Pipeline, decision_id: str) -> Record:
    """What the first decision of a request saw."""
    return (await pipeline.explain(decision_id, "default"))[0]


@pytest.fixture
def embedder() -> Embedder:
    return Embedder()


@pytest.fixture
def elsewhere(embedder: Embedder) -> Iterator[Choice]:
    """An encoder behind HTTP."""
    with served(embedder) as url:
        yield Choice(name="endpoint", options={"url": url, "model": "m", "dim": DIM})


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """What the service measures."""
    reader = InMemoryMetricReader()

    @contextmanager
    def opened(**_: str) -> Iterator[Telemetry]:
        telemetry = Telemetry(metrics=reader)
        yield telemetry
        telemetry.shutdown()

    monkeypatch.setattr("router.app.open_telemetry", opened)
    return reader


def counted(reader: InMemoryMetricReader, name: str) -> int:
    data = reader.get_metrics_data()
    found = [one for resource in data.resource_metrics for scope in resource.scope_metrics for one in scope.metrics if one.name == name]
    return sum(point.value for metric in found for point in metric.data.data_points)


def started(settings: Settings, worker: str, **changes: object) -> AbstractAsyncContextManager[Service]:
    tenants = {"default": TenantSettings()}
    changes = {"worker": WorkerSettings(address=worker, pools=POOLS.pools), "predictor": prior(FIRST), "tenants": tenants, **changes}
    return service(settings.model_copy(update=changes))


async def test_the_event_loop_does_not_wait_for_a_slow_encoder(settings: Settings, worker: str, elsewhere: Choice, embedder: Embedder) -> None:
    embedder.pause = 0.3
    async with started(settings, worker, encoder=elsewhere) as running:
        planning, longest, before = asyncio.create_task(running.pipeline.plan(a_query())), 0.0, time.perf_counter()
        while not planning.done():
            await asyncio.sleep(0.001)
            longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
        row = await first_row(running.pipeline, planning.result().decision_id)
    assert len(embedder.orders) == 1
    assert longest < 0.2
    assert (len(row.features), row.feature_version) == (
        len(Featurizer(Static()).names) - Static().dim + DIM,
        Featurizer(Static()).version.replace(Static().version, f"m-{DIM}"),
    )


async def test_a_query_whose_encoder_fails_is_predicted_by_the_prior(settings: Settings, worker: str, elsewhere: Choice, embedder: Embedder) -> None:
    embedder.status = 500
    async with started(settings, worker, encoder=elsewhere) as running:
        final = await last(running.pipeline, a_query(cache=True))
        row = await first_row(running.pipeline, final.decision_id)
        assert final.answer
        assert (final.ending, final.degraded) == ("stages", ("BACKEND_UNAVAILABLE",))
        assert (row.predictor, row.features, row.feature_version) == (Prior().version, (), "")
        embedder.status = 200
        mended = await last(running.pipeline, a_query(cache=True))
        assert not mended.receipt.cached
        assert mended.degraded == ()
        assert (await first_row(running.pipeline, mended.decision_id)).predictor == FIRST.version


async def test_the_second_encoder_is_consulted_where_the_first_decision_is_close(
    settings: Settings, worker: str, elsewhere: Choice, embedder: Embedder, reader: InMemoryMetricReader
) -> None:
    second = SecondSettings(encoder=elsewhere, predictor=prior(SECOND), close=0.25)
    quick = await Featurizer(Static()).describe(a_query())
    async with started(settings, worker, second=second) as running:
        clear = await first_row(running.pipeline, (await running.pipeline.plan(a_query(plans=BOTH, value=50_000.0))).decision_id)
        assert (clear.predictor, clear.plan, clear.feature_version) == (FIRST.version, "quick", quick.version)
        assert (counted(reader, "rheostat.decisions.reconsidered"), len(embedder.orders)) == (0, 0)

        close = await first_row(running.pipeline, (await running.pipeline.plan(a_query(plans=BOTH))).decision_id)
        assert (close.predictor, close.plan, close.feature_version) == (SECOND.version, "long", f"{quick.version}+m-{DIM}")
        assert close.features[:-DIM] == tuple(quick.vector.tolist())
        assert np.linalg.norm(close.features[-DIM:]) == pytest.approx(1.0, abs=1e-5)
        assert (counted(reader, "rheostat.decisions.reconsidered"), len(embedder.orders)) == (1, 1)

        final = await last(running.pipeline, a_query(abstain_below=0.6, max_stages=3))
        rows = await running.pipeline.explain(final.decision_id, "default")
        assert {row.predictor for row in rows} == {SECOND.version}  # the request goes on with what it has seen
        assert {row.feature_version for row in rows} == {close.feature_version}
        assert len(embedder.orders) == 2
        assert counted(reader, "rheostat.decisions") == 2 + len(rows)  # a decision taken again is one decision


async def test_a_decision_taken_again_has_its_exact_propensity(settings: Settings, worker: str, elsewhere: Choice) -> None:
    second = SecondSettings(encoder=elsewhere, predictor=prior(SECOND), close=0.25)
    times = 300
    async with started(settings, worker, second=second) as running:
        queries = [replace(a_query(plans=BOTH, exploration=0.6), seed=seed) for seed in range(times)]
        decisions = [(await running.pipeline.plan(query)).decision for query in queries]
    told = {decision.plan: decision.propensity for decision in decisions}
    assert told == pytest.approx({"long": 0.7, "quick": 0.3})
    assert abs(sum(decision.plan == "long" for decision in decisions) / times - 0.7) < 4 * (0.7 * 0.3 / times) ** 0.5


async def test_a_second_encoder_that_fails_leaves_the_first_decision(settings: Settings, worker: str, elsewhere: Choice, embedder: Embedder) -> None:
    embedder.status = 500
    second = SecondSettings(encoder=elsewhere, predictor=prior(SECOND))
    async with started(settings, worker, second=second) as running:
        final = await last(running.pipeline, a_query(abstain_below=0.6))
        row = await first_row(running.pipeline, final.decision_id)
    assert (row.predictor, row.feature_version) == (FIRST.version, Featurizer(Static()).version)
    assert final.degraded == ("BACKEND_UNAVAILABLE",)
