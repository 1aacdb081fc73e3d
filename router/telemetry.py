"""Telemetry: spans, metrics and the names of both. Nothing is measured unless somebody listens."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import TypedDict, Unpack

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, NoOpMeterProvider, Observation
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import NoOpTracerProvider, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.genai.handler import TelemetryHandler

from router.errors import RouterError
from router.ports import Pacer, Spent
from router.types import CacheHit, Call, Decision, Fate, Finish, Record, Reward, Sample, Standing, Usage

# Span attributes may carry ids; metric attributes never do.
DECISION_ID = "rheostat.decision.id"
STAGE = "rheostat.decision.stage"
ACTION = "rheostat.decision.action"
PROPENSITY = "rheostat.decision.propensity"
EXPLORED = "rheostat.decision.explored"
PLAN = "rheostat.plan.id"
POLICY = "rheostat.policy.name"
PREDICTOR = "rheostat.predictor.name"
REWARD_SOURCE = "rheostat.reward.source"
FATE = "rheostat.token.fate"
CACHE_HIT = "rheostat.cache.hit"
CACHE_CHECK = "rheostat.cache.check"
CACHE_SHELF = "rheostat.cache.shelf"
TENANT = "rheostat.tenant.name"  # configured, so there are only so many
ERROR = "error.type"

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)  # as the RPC conventions have them
SHARES = tuple(step / 10 for step in range(11))
EXPORT_SECONDS = 3  # unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise: a collector that is gone delays our end by about as much

_propagator = TraceContextTextMapPropagator()
_MARKS = {"decision_id": DECISION_ID, "plan": PLAN, "stage": STAGE, "propensity": PROPENSITY}


class Marks(TypedDict, total=False):
    """What a span can be marked with."""

    decision_id: str
    plan: str
    stage: int
    propensity: float


class Telemetry:
    """One process's instruments. Without `spans` and `metrics` to send to, every method costs next to nothing."""

    def __init__(self, service: str = "rheostat-router", *, spans: SpanProcessor | None = None, metrics: MetricReader | None = None) -> None:
        resource = Resource.create({"service.name": service, "service.namespace": "rheostat", "service.version": _version()})
        self._sends_spans = spans is not None
        self._sends = spans is not None or metrics is not None
        self.tracers: TracerProvider = NoOpTracerProvider()
        self.meters: MeterProvider = NoOpMeterProvider()
        if spans:
            self.tracers = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
            self.tracers.add_span_processor(spans)
        if metrics:
            self.meters = SdkMeterProvider([metrics], resource=resource, shutdown_on_exit=False)
        self._tracer = self.tracers.get_tracer("rheostat")
        self._genai = TelemetryHandler(self.tracers, self.meters, instrumentation_scope_name="rheostat")
        meter = self.meters.get_meter("rheostat")
        seconds = partial(meter.create_histogram, unit="s", explicit_bucket_boundaries_advisory=SECONDS)
        self._meter = meter
        self._decisions = meter.create_counter("rheostat.decisions", "{decision}", "Choices of a policy")
        self._decision_seconds = seconds("rheostat.decision.duration", description="Time to predict and choose")
        self._prediction_seconds = seconds("rheostat.prediction.duration", description="Time to forecast every plan")
        self._reconsidered = meter.create_counter(
            "rheostat.decisions.reconsidered", "{decision}", "Close decisions, taken again with a second encoder"
        )
        self._plan_seconds = seconds("rheostat.plan.duration", description="Time to run a plan")
        self._plan_tokens = meter.create_counter("rheostat.plan.tokens", "{token}", "Tokens charged, by what became of them")
        self._plan_reward = meter.create_histogram("rheostat.plan.reward", "1", "Rewards reported", explicit_bucket_boundaries_advisory=SHARES)
        self._active = meter.create_up_down_counter("rheostat.request.active", "{request}", "Requests being answered")
        self._rejected = meter.create_counter("rheostat.requests.rejected", "{request}", "Requests refused at admission")
        self._cache_requests = meter.create_counter("rheostat.cache.requests", "{request}", "Requests that looked into the cache, by how they fared")
        self._cache_checks = meter.create_counter("rheostat.cache.checks", "{check}", "Answers to nearest questions, compared with real ones")
        self._call_seconds = meter.create_histogram(
            "rpc.server.call.duration", "s", "Time to answer a call", explicit_bucket_boundaries_advisory=CALL_SECONDS
        )

    def shutdown(self) -> None:
        """Send what is left, and stop."""
        if isinstance(self.tracers, SdkTracerProvider):
            self.tracers.shutdown()
        if isinstance(self.meters, SdkMeterProvider):
            self.meters.shutdown()

    def span(self, name: str, **marks: Unpack[Marks]) -> AbstractContextManager[object]:
        """A span around one step of a request, named by the step."""
        if not self._sends_spans:
            return nullcontext()
        return self._tracer.start_as_current_span(name, attributes={_MARKS[mark]: value for mark, value in marks.items()})  # type: ignore[misc]

    @contextmanager
    def stage(self, decision_id: str, row: Record) -> Iterator[None]:
        """Span and duration of the plan that a row's decision bought."""
        started, error = time.perf_counter(), ""
        try:
            with self.span("execute", decision_id=decision_id, plan=row.plan, stage=row.stage, propensity=row.propensity):
                yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self._plan_seconds.record(time.perf_counter() - started, {PLAN: row.plan, ERROR: error} if error else {PLAN: row.plan})

    def predicted(self, predictor: str, seconds: float) -> None:
        """One prediction. `predictor` is its name, without a version."""
        self._prediction_seconds.record(seconds, {PREDICTOR: predictor})

    def decided(self, decision: Decision, seconds: float) -> None:
        """One decision, and the time it took, prediction included."""
        self._decisions.add(1, {POLICY: decision.policy, PLAN: decision.plan, ACTION: decision.action.value, EXPLORED: decision.explored})
        self._decision_seconds.record(seconds, {POLICY: decision.policy})

    def reconsidered(self) -> None:
        """One first decision that was close, for which the second encoder is consulted."""
        self._reconsidered.add(1)

    def charged(self, plan: str, usage: Usage) -> None:
        """What running a plan took. Beside the three fates of completion tokens: `prompt` and `scored`."""
        tokens = {
            Fate.KEPT.value: usage.kept_tokens,
            Fate.DISCARDED.value: usage.discarded_tokens,
            Fate.CANCELLED.value: usage.cancelled_tokens,
            "prompt": usage.prompt_tokens,
            "scored": usage.scored_tokens,
        }
        for fate, count in tokens.items():
            if count:
                self._plan_tokens.add(count, {PLAN: plan, FATE: fate})

    def rewarded(self, plan: str, reward: Reward) -> None:
        """One reward, for the plan that gave the answer."""
        self._plan_reward.record(reward.value, {PLAN: plan, REWARD_SOURCE: reward.source})

    @contextmanager
    def active(self) -> Iterator[None]:
        """Count a request while it is being answered."""
        self._active.add(1)
        try:
            yield
        finally:
            self._active.add(-1)

    def rejected(self, reason: str) -> None:
        """One request refused; `reason` is the error's."""
        self._rejected.add(1, {ERROR: reason})

    def looked_up(self, hit: CacheHit) -> None:
        """One request that looked into the cache, and how it fared."""
        self._cache_requests.add(1, {CACHE_HIT: hit.value or "miss"})

    def checked(self, *, same: bool) -> None:
        """One answer that was got to be compared with the one to the nearest question."""
        self._cache_checks.add(1, {CACHE_CHECK: "same" if same else "false"})

    def watch_cache(self, taken: Callable[[], Sequence[int]]) -> None:
        """Report how many bytes of Redis answers and ended requests take, whenever metrics are collected."""
        observe = [lambda _: [Observation(one, {CACHE_SHELF: shelf}) for shelf, one in zip(("answers", "requests"), taken(), strict=True)]]
        self._meter.create_observable_gauge("rheostat.cache.size", observe, "By", "What the cache takes in Redis")

    def serving(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> AbstractContextManager[trace.Span]:
        """A server span around one call, under the one that the call's metadata names, if any."""
        caller = {name: value for name, value in metadata if name in ("traceparent", "tracestate")}
        if not self._sends_spans and not caller:
            return nullcontext(trace.INVALID_SPAN)
        attributes = {"rpc.system.name": "grpc", "rpc.method": method}
        return self._tracer.start_as_current_span(
            method,
            _propagator.extract(caller),
            trace.SpanKind.SERVER,
            attributes,
            record_exception=False,
            set_status_on_exception=False,
        )

    def called(self, method: str, code: str, seconds: float) -> None:
        """One call of our services: `package.Service/Method`, the name of its status code, and its time."""
        self._call_seconds.record(seconds, {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": code})

    def watch_journal(self, pending: Callable[[], int]) -> None:
        """Report how many rows are acknowledged but not shipped, whenever metrics are collected."""
        observe = [lambda _: [Observation(pending())]]
        self._meter.create_observable_gauge("rheostat.journal.pending", observe, "{record}", "Rows on disk that are still to be shipped")

    def watch_guard(self, closed: Callable[[], Mapping[str, bool]]) -> None:
        """Report for each tenant whether the control serves because routing is no better."""
        observe = [lambda _: [Observation(int(one), {TENANT: tenant}) for tenant, one in closed().items()]]
        self._meter.create_observable_gauge("rheostat.guard.closed", observe, "1", "Whether the best constant plan serves instead of routing")

    def watch_pacers(self, pacers: Mapping[str, Pacer], now: Callable[[], float] = time.time) -> None:
        """Report where every tenant's objective stands, whenever metrics are collected."""

        def gauge(name: str, unit: str, description: str, of: Callable[[Standing], float]) -> None:
            def observe(_: CallbackOptions) -> list[Observation]:
                return [Observation(of(pacer.standing(now())), {TENANT: tenant}) for tenant, pacer in pacers.items()]

            self._meter.create_observable_gauge(name, [observe], unit, description)

        gauge("rheostat.objective.value", "{microdollar}", "What a right answer is worth now", lambda one: one.value)
        gauge("rheostat.objective.spent", "1", "Share of the cap spent in this window", lambda one: one.spent)
        gauge("rheostat.objective.deficit", "{answer}", "Right answers by which recent requests fell short of the floor", lambda one: one.deficit)

    def workflow(self, strategy: str, plan: str) -> AbstractContextManager[object]:
        """The GenAI span and duration of one run of a strategy."""
        if not self._sends:
            return nullcontext()
        invocation = self._genai.workflow(strategy)
        invocation.attributes[PLAN] = plan
        return invocation

    async def sampled(self, model: str, call: Call, spent: Spent, sampling: Awaitable[Sample], *, provider: str = "rheostat") -> Sample:
        """Await one sample inside its GenAI span, with tokens and fate however it ends. A cancelled sample is a fate, not an error."""
        if not self._sends:
            return await sampling
        invocation = self._genai.inference(provider, request_model=model)
        invocation.temperature, invocation.top_p, invocation.max_tokens, invocation.seed = call.temperature, call.top_p, call.max_tokens, call.seed
        invocation.stop_sequences = list(call.stop) or None
        fate, finish, failure = Fate.DISCARDED, "error", None
        try:
            sample = await sampling
            fate, finish = Fate.KEPT, sample.finish.value
        except asyncio.CancelledError:
            fate, finish = Fate.CANCELLED, Finish.CANCELLED.value
            raise
        except RouterError as error:  # all that a backend may raise
            failure = error
            raise
        finally:
            invocation.input_tokens, invocation.output_tokens, invocation.finish_reasons = spent.prompt, spent.completion, [finish]
            invocation.attributes[FATE] = fate.value
            invocation.fail(failure) if failure else invocation.stop()
        return sample


@contextmanager
def open_telemetry(service: str = "rheostat-router") -> Iterator[Telemetry]:
    """Telemetry that goes where OTEL_EXPORTER_OTLP_ENDPOINT says (OTLP over gRPC, with its other standard variables), or nowhere."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        yield Telemetry(service)
        return
    telemetry = _exporting(service)
    trace.set_tracer_provider(telemetry.tracers)  # for instrumentation that asks nobody
    metrics.set_meter_provider(telemetry.meters)
    try:
        yield telemetry
    finally:
        telemetry.shutdown()


def _version() -> str:
    try:
        return version("rheostat")
    except PackageNotFoundError:  # run from a source tree
        return "0"


def _exporting(service: str) -> Telemetry:
    # Imported here: they bring grpc, which a process that exports nothing may do without.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    timeout = float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", EXPORT_SECONDS))
    spans = BatchSpanProcessor(OTLPSpanExporter(timeout=timeout))
    return Telemetry(service, spans=spans, metrics=PeriodicExportingMetricReader(OTLPMetricExporter(timeout=timeout)))


def inject() -> tuple[tuple[str, str], ...]:
    """The current trace as gRPC metadata (W3C trace context); empty outside a trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return tuple(carrier.items())


def trace_id() -> str:
    """The current trace's id in hexadecimal; empty outside a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
