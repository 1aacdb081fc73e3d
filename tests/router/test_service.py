"""The service over a real socket: every refusal, every error's details, deadlines, cancellation, health, reflection, drain."""

import asyncio
import math
import time
from collections.abc import MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rheostat.v1 import query_pb2
from rheostat.v1 import router_service_pb2 as pb
from rheostat.v1.router_service_pb2_grpc import RouterServiceStub
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from router import errors
from router.evaluation.desk import Desk
from router.server import SERVICE, Server
from router.service import RouterService
from router.settings import Settings
from router.status import error_of
from router.telemetry import Telemetry
from router.tenants import Tenant, Tenants
from router.types import Action, Answer, Curve, Decision, Final, Knobs, Objective, Planned, Prediction, Receipt, Record, Stage, Usage

PREDICTION = Prediction(in_hand=0.0, forecasts=(), version="p1")
DECISION = Decision(action=Action.BUY, plan="a", propensity=1.0, scores={"a": 1.0}, explored=False, policy="fixed", reason="")
CURVE = Curve(plan="a", success=(0.25, 0.5), saturation=2)
STAGE = Stage(decision_id="d", index=0, prediction=PREDICTION, decision=DECISION)
FINAL = Final(decision_id="d", answer=Answer(text="4", answer="4", confidence=0.9, plan="a"), receipt=Receipt(usage=Usage(cost=3)), ending="stopped")


@dataclass
class Pipeline:
    """Stands where the pipeline does: remembers what it was asked, and fails or waits when told to."""

    failure: Exception | None = None
    wait: float = 0.0
    queries: list = field(default_factory=list)
    rewards: list = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def plan(self, query, *, curves=False):
        self.queries.append((query, time.monotonic()))
        await asyncio.sleep(self.wait)
        if self.failure:
            raise self.failure
        return Planned(decision_id="d", prediction=PREDICTION, decision=DECISION, value=5.0, curves=(CURVE,) if curves else ())

    async def answer(self, query):
        self.queries.append((query, time.monotonic()))
        try:
            yield STAGE
            await asyncio.sleep(self.wait)
            if self.failure:
                raise self.failure
            yield FINAL
        finally:
            self.closed.set()

    async def report(self, reward, tenant):
        self.rewards.append((reward, tenant))

    async def explain(self, decision_id, tenant):
        return [Record(id="d/0", kind="stage", decision_id=decision_id, tenant=tenant, at=1.0, action="stop", answer=tenant)]


TENANTS = Tenants(
    {
        "default": Tenant(id="default", knobs=Knobs(value=7.0, max_stages=3)),
        "acme": Tenant(id="acme", knobs=Knobs(value=7.0, max_stages=2)),
        "floored": Tenant(id="floored", objective=Objective(floor=0.8)),
        "capped": Tenant(id="capped", objective=Objective(cap=1_000)),
    }
)


@pytest.fixture
def pipeline():
    return Pipeline()


@dataclass
class Door:
    channel: grpc.aio.Channel
    stub: RouterServiceStub
    stop: asyncio.Event
    served: asyncio.Task
    calls: list


@asynccontextmanager
async def opened(pipeline, address="127.0.0.1:0", drain_delay=0.0, max_deadline=120.0, spans=None):
    telemetry, calls, stop = Telemetry(spans=spans), [], asyncio.Event()
    telemetry.called = lambda *call: calls.append(call)
    server = Server(RouterService(pipeline, Desk(Settings()), TENANTS.__getitem__, max_deadline), address, telemetry)
    await server.start()
    async with asyncio.TaskGroup() as group:
        served = group.create_task(server.serve_until(stop, drain_delay, 5.0))
        target = address if address.startswith("unix:") else f"127.0.0.1:{server.port}"
        async with grpc.aio.insecure_channel(target) as channel:
            yield Door(channel, RouterServiceStub(channel), stop, served, calls)
        stop.set()


@pytest.fixture
async def door(pipeline):
    async with opened(pipeline) as door:
        yield door


def asked(content="what is 2 + 2?", **more):
    return pb.PlanQueryRequest(query=query_pb2.Query(messages=[query_pb2.Message(content=content)], **more))


def answered(content="what is 2 + 2?", **more):
    return pb.AnswerQueryRequest(query=asked(content, **more).query)


def details(failure, kind):
    """The rich status's detail of this kind, or None."""
    for packed in rpc_status.from_call(failure).details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    return None


async def failing(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def collected(call):
    return [event async for event in call]


REFUSED = [
    ("query", pb.PlanQueryRequest()),
    ("query.messages", pb.PlanQueryRequest(query=query_pb2.Query())),
    ("query.messages[0].content", asked("")),
    ("query.messages[0].content", asked(" \t\n\u3000\u200b")),
    ("query.messages[0].content", asked("x" * 2**20)),
    ("query.messages[0].role", pb.PlanQueryRequest(query=query_pb2.Query(messages=[query_pb2.Message(role=9, content="x")]))),
    ("query.messages", pb.PlanQueryRequest(query=query_pb2.Query(messages=[query_pb2.Message(role="ROLE_ASSISTANT", content="x")]))),
    ("query.messages", pb.PlanQueryRequest(query=query_pb2.Query(messages=[query_pb2.Message(content="x")] * 33))),
    ("query.task", asked(task=99)),
    ("query.tenant", asked(tenant="t" * 65)),
    ("query.id", asked(id="i" * 65)),
    ("query.budget.tokens", asked(budget=query_pb2.Budget(tokens=0))),
    ("query.budget.cost_microdollars", asked(budget=query_pb2.Budget(cost_microdollars=-5))),
    ("query.knobs.value_microdollars", asked(knobs=query_pb2.Knobs(value_microdollars=math.inf))),
    ("query.knobs.value_microdollars", asked(knobs=query_pb2.Knobs(value_microdollars=-1))),
    ("query.knobs.abstain_below", asked(knobs=query_pb2.Knobs(abstain_below=1.5))),
    ("query.knobs.risk", asked(knobs=query_pb2.Knobs(risk=1.5))),
    ("query.knobs.exploration", asked(knobs=query_pb2.Knobs(exploration=math.nan))),
    ("query.knobs.max_stages", asked(knobs=query_pb2.Knobs(max_stages=9))),
    ("query.knobs.max_stages", asked(knobs=query_pb2.Knobs(max_stages=0))),
    ("query.knobs.plans", asked(knobs=query_pb2.Knobs(plans=["a", "a"]))),
    ("query.knobs.plans[0]", asked(knobs=query_pb2.Knobs(plans=[""]))),
]


@pytest.mark.parametrize(("at", "request_"), REFUSED, ids=[f"{number}-{at}" for number, (at, _) in enumerate(REFUSED)])
async def test_a_query_against_the_rules_is_refused_by_both_calls(door, pipeline, at, request_):
    same = pb.AnswerQueryRequest.FromString(request_.SerializeToString())
    for call in (door.stub.PlanQuery(request_), collected(door.stub.AnswerQuery(same))):
        failure = await failing(call)
        assert failure.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert details(failure, error_details_pb2.ErrorInfo).reason == "INVALID_QUERY"
        assert at in {violation.field for violation in details(failure, error_details_pb2.BadRequest).field_violations}
        assert "xxxx" not in failure.details()
    assert pipeline.queries == []


@pytest.mark.parametrize(
    ("at", "change"),
    [
        ("reward", {"reward": math.nan}),
        ("reward", {"reward": -0.1}),
        ("reward", {"reward": math.inf}),
        ("source", {"source": 0}),
        ("source", {"source": 9}),
        ("decision_id", {"decision_id": ""}),
        ("stage", {"stage": -1}),
    ],
)
async def test_a_reward_against_the_rules_is_refused(door, pipeline, at, change):
    good = {"decision_id": "d", "reward": 1.0, "source": pb.REWARD_SOURCE_USER}
    failure = await failing(door.stub.ReportOutcome(pb.ReportOutcomeRequest(**{**good, **change})))
    assert failure.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details(failure, error_details_pb2.BadRequest).field_violations] == [at]
    assert pipeline.rewards == []


async def test_very_many_violations_still_arrive(door):
    messages = [query_pb2.Message(content="")] * 32
    knobs = query_pb2.Knobs(plans=["x" * 65 + str(number) for number in range(64)])
    failure = await failing(door.stub.PlanQuery(pb.PlanQueryRequest(query=query_pb2.Query(messages=messages, knobs=knobs))))
    assert failure.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert len(details(failure, error_details_pb2.BadRequest).field_violations) == 16


async def test_more_than_the_receive_limit_is_refused(door):
    failure = await failing(door.stub.PlanQuery(asked("x" * (5 * 2**20))))
    assert failure.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_plan(door, pipeline):
    response = await door.stub.PlanQuery(asked(tenant="acme", id="mine"), timeout=10)
    assert (response.decision_id, response.decision.plan, response.value_microdollars) == ("d", "a", 5)
    query, _ = pipeline.queries[0]
    assert (query.id, query.tenant, query.knobs.max_stages, query.text) == ("mine", "acme", 2, "what is 2 + 2?")
    assert query.deadline == math.inf  # the caller has its own time for what it plans


async def test_curves_are_told_where_they_are_asked_for(door):
    without = asked()
    with_curves = pb.PlanQueryRequest(query=without.query, curves=True)
    assert not (await door.stub.PlanQuery(without)).curves
    (curve,) = (await door.stub.PlanQuery(with_curves)).curves
    assert (curve.plan, list(curve.success), curve.saturation) == ("a", [0.25, 0.5], 2)


@pytest.mark.parametrize(("tenant", "objective"), [("floored", "floor"), ("capped", "cap")])
async def test_a_value_beside_an_objective_contradicts_it(door, pipeline, tenant, objective):
    request = asked(tenant=tenant, knobs=query_pb2.Knobs(value_microdollars=5))
    for call in (door.stub.PlanQuery(request), collected(door.stub.AnswerQuery(pb.AnswerQueryRequest(query=request.query)))):
        failure = await failing(call)
        info = details(failure, error_details_pb2.ErrorInfo)
        assert (failure.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTRADICTORY_KNOBS")
        assert dict(info.metadata) == {"field": "query.knobs.value_microdollars", "objective": objective}
    assert pipeline.queries == []
    await door.stub.PlanQuery(asked(tenant=tenant, knobs=query_pb2.Knobs(max_stages=1)))
    assert pipeline.queries[0][0].knobs.max_stages == 1


async def test_no_deadline_is_the_longest_allowed(door, pipeline):
    await collected(door.stub.AnswerQuery(answered()))
    await collected(door.stub.AnswerQuery(answered(), timeout=10_000))
    for query, now in pipeline.queries:
        assert 119.0 < query.deadline - now < 120.0


async def test_answer_streams_stages_then_the_final(door, pipeline):
    events = await collected(door.stub.AnswerQuery(answered()))
    assert [event.WhichOneof("event") for event in events] == ["stage", "final"]
    assert events[-1].final.answer.answer == "4"
    assert pipeline.queries[0][0].tenant == "default"
    assert pipeline.closed.is_set()


async def test_report_and_explain_know_the_tenant(door, pipeline):
    await door.stub.ReportOutcome(pb.ReportOutcomeRequest(decision_id="d", reward=1.0, source=pb.REWARD_SOURCE_JUDGE, tenant="acme"))
    reward, tenant = pipeline.rewards[0]
    assert (reward.decision_id, reward.value, reward.source, tenant) == ("d", 1.0, "judge", "acme")
    assert abs(reward.at - time.time()) < 5
    explained = await door.stub.ExplainDecision(pb.ExplainDecisionRequest(decision_id="d"))
    assert [stage.answer for stage in explained.stages] == ["default"]


async def test_an_unknown_tenant_is_not_found(door, pipeline):
    failure = await failing(door.stub.PlanQuery(asked(tenant="nobody")))
    info = details(failure, error_details_pb2.ErrorInfo)
    assert (failure.code(), info.reason, info.domain, dict(info.metadata)) == (
        grpc.StatusCode.NOT_FOUND, "UNKNOWN_TENANT", "rheostat", {"tenant": "nobody"},
    )  # fmt: skip


KINDS = [errors.RouterError, *errors.RouterError.__subclasses__()]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_every_error_has_its_status(door, pipeline, kind, streamed):
    pipeline.failure = kind("it did not work", tenant="acme", left=3)
    failure = await failing(collected(door.stub.AnswerQuery(answered())) if streamed else door.stub.PlanQuery(asked()))
    info, retry = details(failure, error_details_pb2.ErrorInfo), details(failure, error_details_pb2.RetryInfo)
    assert (failure.code().name, failure.details(), info.reason) == (kind.code, "it did not work", kind.reason)
    assert dict(info.metadata) == {"tenant": "acme", "left": "3"}
    assert (retry and retry.retry_delay.ToTimedelta().total_seconds()) == kind.retry_after
    quota = details(failure, error_details_pb2.QuotaFailure)
    assert [violation.subject for violation in quota.violations] == ["tenant:acme"] if kind is errors.BudgetExhausted else quota is None
    told = error_of(failure)
    assert (type(told), told.message, told.metadata) == (kind, "it did not work", {"tenant": "acme", "left": "3"})


async def test_who_is_out_of_money_hears_when_to_come_again(door, pipeline):
    pipeline.failure = errors.BudgetExhausted("nothing left", retry_after=61.5)
    failure = await failing(door.stub.PlanQuery(asked()))
    assert details(failure, error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds() == 61.5


async def written(lines: list[MutableMapping[str, object]], count: int) -> None:
    """A call's line is written once the client has its status: on a busy machine some time after."""
    async with asyncio.timeout(10):
        while len(lines) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_bug_is_internal_and_its_text_stays_inside(door, pipeline, streamed):
    pipeline.failure = ZeroDivisionError("the secret is 42")
    with capture_logs() as lines:
        failure = await failing(collected(door.stub.AnswerQuery(answered())) if streamed else door.stub.PlanQuery(asked()))
        await written(lines, 2)
    assert (failure.code(), failure.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert details(failure, error_details_pb2.ErrorInfo).reason == "INTERNAL"
    assert [line["event"] for line in lines] == ["call_failed", "call_served"]
    assert lines[0]["exc_info"]


async def test_an_error_that_is_not_ours_is_not_taken_for_one(door):
    failure = await failing(door.channel.unary_unary(f"/{SERVICE}/Nothing")(b""))
    assert (failure.code(), error_of(failure)) == (grpc.StatusCode.UNIMPLEMENTED, None)


async def test_one_line_and_one_observation_per_call(door):
    with capture_logs(processors=[merge_contextvars]) as lines:
        await door.stub.PlanQuery(asked("a prompt that must not be logged"))
        await failing(door.stub.PlanQuery(asked("")))
        await collected(door.stub.AnswerQuery(answered("a prompt that must not be logged")))
        await written(lines, 3)
    assert [(line["event"], line["method"], line["code"], line.get("tenant"), line.get("decision_id")) for line in lines] == [
        ("call_served", f"{SERVICE}/PlanQuery", "OK", "default", "d"),
        ("call_served", f"{SERVICE}/PlanQuery", "INVALID_ARGUMENT", None, None),
        ("call_served", f"{SERVICE}/AnswerQuery", "OK", "default", "d"),
    ]
    assert "must not be logged" not in str(lines)
    assert [call[:2] for call in door.calls] == [(line["method"], line["code"]) for line in lines]
    assert all(0 <= seconds < 5 for _, _, seconds in door.calls)


async def test_a_deadline_that_has_passed(door, pipeline):
    failure = await failing(door.stub.PlanQuery(asked(), timeout=-1))
    assert failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert pipeline.queries == []


async def test_no_time_left_is_refused_before_any_work(pipeline):
    async with opened(pipeline, max_deadline=0.0) as door:
        failure = await failing(collected(door.stub.AnswerQuery(answered())))
    assert (failure.code(), details(failure, error_details_pb2.ErrorInfo).reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert pipeline.queries == []


async def test_a_deadline_that_passes_closes_the_generator(door, pipeline):
    pipeline.wait = 30.0
    failure = await failing(collected(door.stub.AnswerQuery(answered(), timeout=0.3)))
    assert failure.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        await pipeline.closed.wait()


async def test_a_client_that_goes_closes_the_generator_at_once(door, pipeline):
    pipeline.wait = 30.0
    call = door.stub.AnswerQuery(answered())
    await call.read()
    with capture_logs() as lines:
        call.cancel()
        async with asyncio.timeout(5):
            await pipeline.closed.wait()
        await written(lines, 1)
    assert [(line["event"], line["code"]) for line in lines] == [("call_served", "CANCELLED")]


async def test_a_client_that_goes_while_events_pile_up_closes_the_generator(door, pipeline, monkeypatch):
    """The client reads nothing, so the server waits in the middle of sending, outside the pipeline."""

    async def flood(query):
        try:
            while True:
                yield Stage(decision_id="d" * 2**16, index=0, prediction=PREDICTION, decision=DECISION)
        finally:
            pipeline.closed.set()

    monkeypatch.setattr(pipeline, "answer", flood)
    call = door.stub.AnswerQuery(answered())
    await call.read()
    await asyncio.sleep(0.2)
    with capture_logs() as lines:
        call.cancel()
        async with asyncio.timeout(5):
            await pipeline.closed.wait()
        await written(lines, 1)
    assert [(line["event"], line["code"]) for line in lines] == [("call_served", "CANCELLED")]


async def test_health_and_reflection(door):
    health = health_pb2_grpc.HealthStub(door.channel)
    for service in ("", SERVICE):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(door.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = await collected(reflection.ServerReflectionInfo(iter(requests)))
    assert SERVICE in {service.name for service in listed.list_services_response.service}
    files = map(descriptor_pb2.FileDescriptorProto.FromString, described.file_descriptor_response.file_descriptor_proto)
    assert [method.name for file in files for service in file.service for method in service.method] == [
        "PlanQuery", "PlanBatch", "AnswerQuery", "ReportOutcome", "ExplainDecision", "EvaluatePolicy", "PreviewKnob",
    ]  # fmt: skip
    assert door.calls == []


async def test_a_unix_socket_serves_as_well(pipeline, tmp_path):
    async with opened(pipeline, f"unix:{tmp_path}/r.sock") as door:
        assert (await door.stub.PlanQuery(asked())).decision_id == "d"


async def test_a_port_in_use_is_an_error(pipeline):
    service = RouterService(pipeline, Desk(Settings()), TENANTS.__getitem__)
    first = Server(service, "127.0.0.1:0", Telemetry())
    with pytest.raises(RuntimeError):
        Server(service, f"127.0.0.1:{first.port}", Telemetry())


async def test_the_drain_tells_then_lets_calls_finish(pipeline):
    pipeline.wait = 0.6
    async with opened(pipeline, drain_delay=0.3) as door:
        call = door.stub.AnswerQuery(answered())
        await call.read()
        door.stop.set()
        await asyncio.sleep(0.1)
        health = health_pb2_grpc.HealthStub(door.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await call.read()).WhichOneof("event") == "final"
        assert await call.code() == grpc.StatusCode.OK
        await door.served
        assert (await failing(door.stub.PlanQuery(asked()))).code() == grpc.StatusCode.UNAVAILABLE


async def test_a_call_has_a_span_under_its_callers(pipeline):
    exported = InMemorySpanExporter()
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with opened(pipeline, spans=SimpleSpanProcessor(exported)) as door:
        await door.stub.PlanQuery(asked(), metadata=[("traceparent", caller)])
        await failing(door.stub.PlanQuery(asked("")))
        async with asyncio.timeout(5):
            while len(exported.get_finished_spans()) < 2:  # the caller hears of a failure before the span has ended
                await asyncio.sleep(0.001)
    good, bad = exported.get_finished_spans()
    assert (good.name, good.kind, f"{good.context.trace_id:032x}") == (f"{SERVICE}/PlanQuery", trace.SpanKind.SERVER, caller[3:35])
    assert dict(good.attributes) == {"rpc.system.name": "grpc", "rpc.method": good.name, "rpc.response.status_code": "OK"}
    assert bad.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert bad.status.status_code == trace.StatusCode.UNSET
