"""A whole request as a collector sees it: spans of router and worker in one trace, metrics with exemplars, one line in the log."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from rheostat.v1 import query_pb2, router_service_pb2
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub

from router.settings import Choice, PlanSettings, Settings, WorkerSettings
from router.terms import TenantSettings
from tests.integration.conftest import CHEAP, pool
from tests.integration.conftest import PLANS as LONG
from tests.integration.test_faults import LEGS, STORY, final_of
from tests.loopback import free_port
from tests.otlp import Collector, collecting, plain

SECRET = "How many apples does Zebedee have?"
PLANS = {
    "first": PlanSettings(pool="small", strategy="short_m_at_k", options={"k": 48, "m": 1}, tokens=80_000, cost=40_000, price=CHEAP),
    "best": PlanSettings(pool="scored", strategy="best_of_n", options={"n": 4}, tokens=20_000, cost=9_000, price=(0.1, 0.4, 0.2)),
    "long": LONG["long"],
}


def settings(folder: Path, prometheus: int) -> Settings:
    scored = pool("nano").model_copy(update={"verifier": Choice(name="calculator"), "joules_per_token": 0.5})
    return Settings(
        data=folder / "data",
        server={"address": "127.0.0.1:0", "drain_delay": 0.0},
        worker=WorkerSettings(pools={"small": pool("small").model_copy(update={"joules_per_token": 0.25}), "scored": scored}),
        plans=PLANS,
        tenants={"default": TenantSettings(exploration=0.0, per_day=10**9), "acme": TenantSettings(exploration=0.0)},
        telemetry={"prometheus": f"127.0.0.1:{prometheus}"},
    )


@dataclass
class Traced:
    stub: RouterServiceStub
    collector: Collector
    log: Path
    prometheus: str

    async def spans(self, trace_id: str, enough: Callable[[dict[bytes, tuple[str, Span]]], bool]) -> dict[bytes, tuple[str, Span]]:
        async with asyncio.timeout(20):
            while not enough(found := self.collector.of(trace_id)):
                await asyncio.sleep(0.05)
        return found

    def lines(self) -> list[dict]:
        rows = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [row for row in rows if row["event"] == "call_served"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Collector, Path, str]]:
    """`rheostat serve` with its worker, as processes, and a collector that both of them tell."""
    folder = tmp_path_factory.mktemp("traced")
    config, log, port = folder / "settings.yaml", folder / "log", free_port()
    config.write_text(settings(folder, port).model_dump_json(exclude={"config"}))
    with collecting() as (endpoint, collector), log.open("w") as written:
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "RHEOSTAT_CONFIG": str(config), "RHEOSTAT_LOG": "info"}
        env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "300"}
        process = subprocess.Popen([sys.executable, "-m", "router", "serve"], env=env, stderr=written)
        try:
            while not (found := re.search(r"--address (\S+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield found[1], collector, log, f"http://127.0.0.1:{port}/metrics"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


@pytest.fixture
async def traced(served: tuple[str, Collector, Path, str]) -> AsyncIterator[Traced]:
    async with grpc.aio.insecure_channel(served[0]) as channel:
        yield Traced(RouterServiceStub(channel), *served[1:])


def asked(text: str, plan: str, tenant: str = "", **knobs) -> router_service_pb2.AnswerQueryRequest:
    stated = query_pb2.Knobs(plans=[plan], policy="fixed", **knobs)
    messages = [query_pb2.Message(content=text)]
    return router_service_pb2.AnswerQueryRequest(query=query_pb2.Query(messages=messages, task="TASK_MATH", tenant=tenant, knobs=stated))


def caller(number: int) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Trace id, span id and metadata of a client that traces."""
    trace, span = f"{number:032x}", f"{number:016x}"
    return trace, span, (("traceparent", f"00-{trace}-{span}-01"),)


def under(spans: dict[bytes, tuple[str, Span]], name: str) -> list[tuple[str, Span, str]]:
    """Service, span, and name of the parent, of all spans whose names begin so."""
    return [(service, one, spans[one.parent_span_id][1].name) for service, one in spans.values() if one.name.startswith(name)]


def ended(spans: dict[bytes, tuple[str, Span]]) -> bool:
    return any(one.name.endswith("AnswerQuery") for _, one in spans.values()) and any(one.name.endswith("Execute") for _, one in spans.values())


async def test_a_request_is_one_trace_through_router_and_worker(traced: Traced) -> None:
    trace, span, metadata = caller(0xABC)
    final = await final_of(traced.stub.AnswerQuery(asked(f"{LEGS} {SECRET}", "first"), timeout=60, metadata=metadata))
    spans = await traced.spans(trace, ended)
    (served,) = [one for service, one in spans.values() if one.name == "rheostat.v1.RouterService/AnswerQuery"]
    assert (served.parent_span_id.hex(), served.kind) == (span, Span.SPAN_KIND_SERVER)
    children = [one.name for _, one in spans.values() if one.parent_span_id == served.span_id]
    assert sorted(children) == ["admission", "cache", "decide", "decide", "describe", "execute", "record", "record", "settle"]
    ((_, execution, parent),) = under(spans, "rheostat.v1.WorkerService/Execute")
    assert parent == "execute"
    ((worker, workflow, parent),) = under(spans, "invoke_workflow short_m_at_k")
    assert (worker, parent) == ("rheostat-worker", execution.name)
    chats = under(spans, "chat ")
    assert {parent for *_, parent in chats} == {workflow.name}
    told = [plain(one.attributes) for _, one, _ in chats]
    usage = final.receipt.usage
    assert len(told) == usage.samples >= 48
    assert sum(one["gen_ai.usage.input_tokens"] for one in told) == usage.prompt_tokens
    written = {fate: sum(one["gen_ai.usage.output_tokens"] for one in told if one["rheostat.token.fate"] == fate) for fate in ("kept", "cancelled")}
    assert usage.cancelled_tokens > 0
    assert written == {"kept": usage.kept_tokens + usage.discarded_tokens, "cancelled": usage.cancelled_tokens}
    assert sum(one["rheostat.cost.microdollars"] for one in told) == pytest.approx(usage.cost_microdollars, abs=1)
    ((_, bought, _),) = under(spans, "execute")
    assert (
        plain(bought.attributes).items()
        >= {
            "rheostat.cost.microdollars": usage.cost_microdollars,
            "rheostat.tokens.cancelled": usage.cancelled_tokens,
            "rheostat.energy.source": "estimated",
            "rheostat.decision.id": final.decision_id,
        }.items()
    )
    assert "Zebedee" not in str([str(one) for _, one in spans.values()])


async def test_scores_have_spans_and_a_client_that_leaves_has_a_whole_trace(traced: Traced) -> None:
    trace, _, metadata = caller(0xDEF)
    final = await final_of(traced.stub.AnswerQuery(asked(STORY, "best"), timeout=60, metadata=metadata))
    spans = await traced.spans(trace, ended)
    scores = [plain(one.attributes) for _, one, parent in under(spans, "score") if parent.startswith("invoke_workflow")]
    assert scores
    assert sum(one["rheostat.tokens.scored"] for one in scores) == final.receipt.usage.scored_tokens
    trace, _, metadata = caller(0x123)
    call = traced.stub.AnswerQuery(asked(LEGS, "long"), timeout=60, metadata=metadata)
    await call.read()
    await asyncio.sleep(0.5)
    call.cancel()
    spans = await traced.spans(trace, ended)
    ((_, bought, _),) = under(spans, "execute")
    told = [plain(one.attributes) for _, one, _ in under(spans, "chat ")]
    cancelled = sum(one["gen_ai.usage.output_tokens"] for one in told if one["rheostat.token.fate"] == "cancelled")
    assert 0 < cancelled == plain(bought.attributes)["rheostat.tokens.cancelled"]
    (line,) = [line for line in traced.lines() if line["trace_id"] == trace]
    assert (line["ending"], line["code"], line["plans"]) == ("CANCELLED", "CANCELLED", ["long"])
    assert line["cost_microdollars"] > 0


async def test_metrics_have_exemplars_and_bounded_labels_and_the_log_one_line(traced: Traced) -> None:
    trace, _, metadata = caller(0x456)
    final = await final_of(traced.stub.AnswerQuery(asked(f"{STORY} {SECRET}", "first", "acme"), timeout=60, metadata=metadata))
    again = await final_of(traced.stub.AnswerQuery(asked(f"{STORY} {SECRET}", "first", "acme"), timeout=60, metadata=metadata))
    assert again.receipt.cached
    with pytest.raises(grpc.aio.AioRpcError):
        await final_of(traced.stub.AnswerQuery(asked(STORY, "first", "stranger"), timeout=60))
    async with asyncio.timeout(20):
        while ("rheostat-router", "rheostat.requests.rejected") not in traced.collector.metrics:
            await asyncio.sleep(0.05)
    points = traced.collector.metrics["rheostat-router", "rheostat.request.cost"].histogram.data_points
    points = [point for point in points if plain(point.attributes)["rheostat.tenant.name"] not in ("default", "stranger")]
    labels = [plain(point.attributes) for point in points]
    assert sorted(one["rheostat.request.ending"] for one in labels) == ["cached", "stopped"]
    assert {one["rheostat.tenant.name"] for one in labels} == {"acme"}
    assert {exemplar.trace_id.hex() for point in points for exemplar in point.exemplars} == {trace}
    scraped = await asyncio.to_thread(lambda: urllib.request.urlopen(traced.prometheus, timeout=5).read().decode())
    assert 'rheostat_requests_rejected_total{error_type="UNKNOWN_TENANT"' in scraped
    assert "rheostat_plan_energy" in scraped
    assert "stranger" not in scraped
    assert "rheostat_budget_left" in scraped
    lines = [line for line in traced.lines() if line["trace_id"] == trace]
    first, second = lines
    usage = final.receipt.usage
    assert (first["tenant"], first["decision_id"], first["plans"], first["cost_microdollars"]) == (
        "acme",
        final.decision_id,
        ["first"],
        usage.cost_microdollars,
    )
    tokens = usage.prompt_tokens + usage.kept_tokens + usage.discarded_tokens + usage.cancelled_tokens + usage.scored_tokens
    assert (first["tokens"], first["cached"], second["cached"], second["plans"]) == (tokens, False, True, [])
    assert set(first["steps_ms"]) == {"cache", "admission", "describe", "decide", "execute", "record", "settle"}
    assert sum(first["steps_ms"].values()) <= first["ms"] * 1.05
    assert "Zebedee" not in traced.log.read_text()
