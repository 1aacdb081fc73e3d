"""What is told, under which names, and that silence is cheap."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from policies.pacer import ObjectivePacer
from router.errors import BackendUnavailable
from router.ports import Spent
from router.telemetry import Line, Telemetry, current_line, inject, open_telemetry, trace_id
from router.telemetry.line import lined
from router.telemetry.names import MOST_TENANTS
from router.types import (
    Action,
    Answer,
    Call,
    Decision,
    EnergySource,
    Final,
    Finish,
    Message,
    Objective,
    Plan,
    Price,
    Receipt,
    Record,
    Reward,
    Sample,
    Usage,
)

ROW = Record(id="d/1", kind="stage", decision_id="d", tenant="t", at=0.0, stage=1, plan="small", propensity=0.25)
CALL = Call(messages=(Message(content="secret question"),), temperature=0.5, max_tokens=64, stop=("\n",), seed=3)
SAMPLE = Sample(text="secret answer", prompt_tokens=7, completion_tokens=5, finish=Finish.STOP)
PLAN = Plan(id="small", pool="nano", strategy="direct")
DECISION = Decision(action=Action.BUY, plan="small", propensity=0.25, scores={}, explored=True, policy="fixed", reason="")


class Listener:
    """Telemetry and what came out of it."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.telemetry = Telemetry(spans=SimpleSpanProcessor(self.exporter), metrics=self.reader)

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        data: Any = self.reader.get_metrics_data()
        found = [metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics if metric.name == name]
        return [(dict(point.attributes), getattr(point, "value", getattr(point, "sum", None))) for point in found[0].data.data_points]


@pytest.fixture
def heard() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.telemetry.shutdown()


def test_where_objectives_stand_is_told_by_tenant(heard: Listener) -> None:
    capped, floored = ObjectivePacer(Objective(cap=1_000, window=60.0), 0.0), ObjectivePacer(Objective(floor=0.75), 0.0)
    heard.telemetry.watch_pacers({"acme": capped, "umbrella": floored}, lambda: 2.0)
    for pacer in (capped, floored):
        pacer.update(cost=250, quality=0.5, at=1.0)
    acme, umbrella = {"rheostat.tenant.name": "acme"}, {"rheostat.tenant.name": "umbrella"}
    assert heard.points("rheostat.objective.spent") == [(acme, 0.25), (umbrella, 0.0)]
    assert heard.points("rheostat.objective.deficit") == [(acme, 0.0), (umbrella, 0.25)]
    assert heard.points("rheostat.objective.value") == [(acme, capped.value(2.0)), (umbrella, floored.value(2.0))]


def test_only_so_many_tenants_have_their_names(heard: Listener) -> None:
    for number in range(MOST_TENANTS + 5):
        heard.telemetry.answered(Line(tenant=f"t{number}", ending="stopped"), 0.01)
    heard.telemetry.answered(Line(tenant="t0", ending="stopped", cached=True), 0.01)
    points = heard.points("rheostat.request.duration")
    names = [attributes["rheostat.tenant.name"] for attributes, _ in points]
    assert (len(set(names)), names.count("other"), names.count("t0")) == (MOST_TENANTS + 1, 1, 2)
    assert {attributes["rheostat.request.ending"] for attributes, _ in points} == {"stopped", "cached"}


def test_the_line_of_a_call_is_gathered_on_its_way(heard: Listener) -> None:
    telemetry = heard.telemetry
    with lined() as line:
        assert line.facts() == {}
        with telemetry.step("describe"):
            pass
        with pytest.raises(KeyError), telemetry.step("describe"):
            raise KeyError
        line.tenant = "acme"
        telemetry.charged(PLAN, Usage(kept_tokens=3, cost=7, joules=2.0, energy=EnergySource.MEASURED))
        telemetry.charged(PLAN, Usage(cancelled_tokens=2, cost=1, joules=1.0))
        final = Final(decision_id="d", answer=None, receipt=Receipt(usage=Usage()), ending="abstained", degraded=("STORE_UNAVAILABLE",))
        current_line().ended(final)
    facts = line.facts()
    steps = facts.pop("steps_ms")
    assert isinstance(steps, dict)
    assert list(steps) == ["describe"]
    assert facts == {
        "ending": "abstained",
        "plans": ["small", "small"],
        "tokens": 5,
        "cost_microdollars": 8,
        "cached": False,
        "degraded": ["STORE_UNAVAILABLE"],
    }
    joules = {attributes["rheostat.energy.source"]: value for attributes, value in heard.points("rheostat.plan.energy")}
    assert joules == {"measured": 2.0, "estimated": 1.0}
    assert current_line() is not line  # a call that is over gathers nothing more


def test_scores_and_programs_are_told_without_what_they_say(heard: Listener) -> None:
    spent = Spent()
    with heard.telemetry.scoring(2, spent, Price(scored=0.5)):
        spent.prompt = 8
    assert dict(heard.spans()["score"].attributes or {}) == {
        "rheostat.verifier.texts": 2,
        "rheostat.tokens.scored": 8,
        "rheostat.cost.microdollars": 4.0,
    }


async def drawn(spent: Spent, result: Sample | BaseException, pause: float = 0.0) -> Sample:
    spent.prompt, spent.completion = 7, 5
    await asyncio.sleep(pause)
    if isinstance(result, BaseException):
        raise result
    return result


async def test_a_sample_is_a_child_of_its_strategy_and_that_of_its_stage(heard: Listener) -> None:
    with heard.telemetry.stage("d", ROW), heard.telemetry.workflow("best_of_n", "small"):
        spent = Spent()
        assert await heard.telemetry.sampled("nano", CALL, spent, drawn(spent, SAMPLE)) is SAMPLE
    spans = heard.spans()
    stage, run, chat = spans["execute"], spans["invoke_workflow best_of_n"], spans["chat nano"]
    assert stage.context
    assert run.context
    assert run.parent
    assert chat.parent
    assert run.parent.span_id == stage.context.span_id
    assert chat.parent.span_id == run.context.span_id
    assert (
        dict(stage.attributes or {}).items()
        >= {
            "rheostat.decision.id": "d",
            "rheostat.plan.id": "small",
            "rheostat.decision.stage": 1,
            "rheostat.decision.propensity": 0.25,
        }.items()
    )
    told = dict(chat.attributes or {})
    assert told["rheostat.token.fate"] == "kept"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"], told["gen_ai.response.finish_reasons"]) == (7, 5, ("stop",))
    assert (told["gen_ai.request.temperature"], told["gen_ai.request.seed"], told["gen_ai.provider.name"]) == (0.5, 3, "rheostat")
    assert "secret" not in str([span.to_json() for span in spans.values()])
    assert heard.points("gen_ai.client.token.usage")
    assert heard.points("gen_ai.invoke_workflow.duration")


async def test_a_cancelled_sample_is_no_error_and_a_failed_one_is(heard: Listener) -> None:
    spent = Spent()
    task = asyncio.ensure_future(heard.telemetry.sampled("nano", CALL, spent, drawn(spent, SAMPLE, 60)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(BackendUnavailable):
        await heard.telemetry.sampled("large", CALL, spent, drawn(spent, BackendUnavailable("gone")))
    spans = heard.spans()
    cancelled, failed = spans["chat nano"], spans["chat large"]
    assert (cancelled.status.status_code, (cancelled.attributes or {})["rheostat.token.fate"]) == (StatusCode.UNSET, "cancelled")
    assert (cancelled.attributes or {})["gen_ai.usage.output_tokens"] == 5
    assert (failed.status.status_code, (failed.attributes or {})["rheostat.token.fate"]) == (StatusCode.ERROR, "discarded")
    assert "BackendUnavailable" in str((failed.attributes or {})["error.type"])


def test_every_instrument_under_its_name(heard: Listener) -> None:
    telemetry = heard.telemetry
    telemetry.predicted("learned", 0.001)
    telemetry.decided(DECISION, "fixed", 0.002)
    with pytest.raises(KeyError), telemetry.stage("d", ROW):
        raise KeyError
    telemetry.charged(PLAN, Usage(prompt_tokens=9, kept_tokens=3, discarded_tokens=2, cancelled_tokens=1))
    telemetry.rewarded("small", Reward(decision_id="d", value=0.5, source="user", at=0.0), "acme")
    telemetry.rejected("OVERLOADED")
    telemetry.waited(0.25)
    telemetry.looked_up("miss")
    telemetry.watch_budgets(lambda: {("acme", "day", "cost"): 9.0})
    telemetry.reconsidered()
    telemetry.called("rheostat.v1.RouterService/PlanQuery", "OK", 0.01)
    telemetry.watch_journal(lambda: 42)
    choice = {"rheostat.policy.name": "fixed", "rheostat.plan.id": "small", "rheostat.decision.action": "buy", "rheostat.decision.explored": True}
    telemetry.active(1)
    assert heard.points("rheostat.request.active") == [({}, 1)]
    telemetry.active(-1)
    assert heard.points("rheostat.request.active") == [({}, 0)]
    assert heard.points("rheostat.decisions") == [(choice, 1)]
    assert heard.points("rheostat.decision.duration") == [({"rheostat.policy.name": "fixed"}, 0.002)]
    assert heard.points("rheostat.prediction.duration") == [({"rheostat.predictor.name": "learned"}, 0.001)]
    assert [attributes for attributes, _ in heard.points("rheostat.plan.duration")] == [{"rheostat.plan.id": "small", "error.type": "KeyError"}]
    fates = {attributes["rheostat.token.fate"]: count for attributes, count in heard.points("rheostat.plan.tokens")}
    assert fates == {"prompt": 9, "kept": 3, "discarded": 2, "cancelled": 1}
    assert heard.points("rheostat.plan.reward") == [({"rheostat.plan.id": "small", "rheostat.reward.source": "user"}, 0.5)]
    assert heard.points("rheostat.request.reward") == [({"rheostat.tenant.name": "acme", "rheostat.reward.source": "user"}, 0.5)]
    assert heard.points("rheostat.requests.rejected") == [({"error.type": "OVERLOADED"}, 1)]
    assert heard.points("rheostat.admission.wait") == [({}, 0.25)]
    assert heard.points("rheostat.cache.lookups") == [({"rheostat.cache.kind": "miss"}, 1)]
    ((left, value),) = heard.points("rheostat.budget.left")
    assert (left, value) == ({"rheostat.tenant.name": "acme", "rheostat.budget.window": "day", "rheostat.budget.unit": "cost"}, 9.0)
    assert heard.points("rheostat.decisions.reconsidered") == [({}, 1)]
    assert [attributes["rpc.method"] for attributes, _ in heard.points("rpc.server.call.duration")] == ["rheostat.v1.RouterService/PlanQuery"]
    assert heard.points("rheostat.journal.pending") == [({}, 42)]


def test_a_policy_that_learns_has_one_name(heard: Listener) -> None:
    for number in range(3):
        heard.telemetry.decided(replace(DECISION, policy=f"thompson-{number}"), "thompson", 0.001)
    assert [point["rheostat.policy.name"] for point, _ in heard.points("rheostat.decisions")] == ["thompson"]


def test_what_an_answer_promised_is_told_by_tenant_and_what_did_not_work(heard: Listener) -> None:
    answer = Answer(text="4", answer="4", confidence=0.75, plan="small")
    for final in (
        Final(decision_id="d", answer=answer, receipt=Receipt(usage=Usage()), ending="stopped", degraded=("STORE_UNAVAILABLE",)),
        Final(decision_id="d", answer=None, receipt=Receipt(usage=Usage()), ending="abstained"),
    ):
        line = Line(tenant="acme")
        line.ended(final)
        heard.telemetry.answered(line, 0.01)
    heard.telemetry.answered(Line(tenant="acme", ending="OVERLOADED"), 0.01)  # neither an answer nor an abstention
    assert heard.points("rheostat.request.confidence") == [({"rheostat.tenant.name": "acme"}, 0.75)]
    assert heard.points("rheostat.requests.degraded") == [({"error.type": "STORE_UNAVAILABLE"}, 1)]


def test_what_is_learned_and_where_candidates_stand_is_told(heard: Listener) -> None:
    heard.telemetry.watch_learning(lambda: 7, lambda: {"small": 1}, lambda: {"unknown source": 2}, lambda: 3, lambda: 0.5)
    heard.telemetry.watch_standings(lambda: {f"t{number}": "better" for number in range(MOST_TENANTS + 5)}, lambda: {"acme": "canary"})
    for name, value in (("outcomes", 7), ("disbelieved", 3), ("behind", 0.5)):
        assert heard.points(f"rheostat.learning.{name}") == [({}, value)]
    assert heard.points("rheostat.learning.changes") == [({"rheostat.plan.id": "small"}, 1)]
    assert heard.points("rheostat.learning.quarantined") == [({"rheostat.learning.doubt": "unknown source"}, 2)]
    assert heard.points("rheostat.promotion.standing") == [({"rheostat.tenant.name": "acme", "rheostat.promotion.stage": "canary"}, 1)]
    assert len(heard.points("rheostat.guard.standing")) == MOST_TENANTS


def test_a_trace_goes_on_in_the_next_process(heard: Listener) -> None:
    assert (inject(), trace_id()) == ((), "")
    with heard.telemetry.span("here"):
        metadata, trace = inject(), trace_id()
    assert len(trace) == 32
    with heard.telemetry.serving("S/M", [*metadata, ("binary-bin", b"\0")]), heard.telemetry.span("there"):
        assert trace_id() == trace
    assert trace_id() == ""


async def test_silence_is_cheap() -> None:
    telemetry, spent = Telemetry(), Spent()

    async def instant() -> Sample:
        return SAMPLE

    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(500):
            with telemetry.span("predict", decision_id="d"), telemetry.stage("d", ROW), telemetry.workflow("direct", "small"):
                await telemetry.sampled("nano", CALL, spent, instant())
            telemetry.decided(DECISION, "fixed", 0.001)
        best = min(best, (time.perf_counter() - start) / 500)
    assert best < 100e-6


def test_import_brings_no_grpc_and_no_redis() -> None:
    code = "import router.telemetry, sys; sys.exit(any(name in sys.modules for name in ('grpc', 'redis', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_nothing_is_exported_unless_the_environment_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with open_telemetry() as telemetry, telemetry.span("x"):
        assert trace_id() == ""


def test_a_collector_that_is_gone_delays_the_end_by_seconds_only() -> None:
    code = """
from router.telemetry import open_telemetry, trace_id
with open_telemetry() as telemetry:
    with telemetry.span("x"):
        assert trace_id()
    telemetry.rejected("x")
"""
    environment = os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], env=environment, check=False, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 12


def test_how_the_cache_fares_is_told(heard: Listener) -> None:
    heard.telemetry.watch_cache(lambda: [300, 20])
    for kind in ("miss", "exact", "exact", "semantic"):
        heard.telemetry.looked_up(kind)
    for same in (True, True, False):
        heard.telemetry.checked(same=same)
    told = {point["rheostat.cache.kind"]: count for point, count in heard.points("rheostat.cache.lookups")}
    assert told == {"miss": 1, "exact": 2, "semantic": 1}
    assert {point["rheostat.cache.check"]: count for point, count in heard.points("rheostat.cache.checks")} == {"same": 2, "false": 1}
    assert {point["rheostat.cache.shelf"]: taken for point, taken in heard.points("rheostat.cache.size")} == {"answers": 300, "requests": 20}


def test_how_busy_pools_are_and_what_was_run_again(heard: Listener) -> None:
    heard.telemetry.watch_pools(lambda: {"large": 1.5}, lambda: {"large": 2.0})
    heard.telemetry.watch_workers(lambda: {"large": 2}, lambda: 1, lambda: {"straggler": 3, "failure": 4})
    for name, value in (("rheostat.pool.load", 1.5), ("rheostat.pool.surcharge", 2.0)):
        assert [(point["rheostat.pool.name"], found) for point, found in heard.points(name)] == [("large", value)]
    assert [found for _, found in heard.points("rheostat.workers.ejected")] == [1]
    assert {point["rheostat.execution.why"]: found for point, found in heard.points("rheostat.executions.repeated")} == {"straggler": 3, "failure": 4}
