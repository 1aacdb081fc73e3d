"""Spans: one per step of a request, per sample, per scoring and per run of a program, with tokens, cost and fate."""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Unpack

from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from opentelemetry.util.genai.handler import TelemetryHandler

from router.errors import RouterError
from router.ports import Spent
from router.telemetry.context import extract
from router.telemetry.line import current_line
from router.telemetry.metrics import tokens_by_fate
from router.telemetry.names import (
    ACTION,
    COST,
    ENERGY,
    EXPLORED,
    FATE,
    JOULES,
    MARKS,
    PLAN,
    POLICY,
    PROPENSITY,
    RUN_ENDING,
    TEXTS,
    TOKENS,
    Marks,
)
from router.types import Call, Decision, Fate, Finish, Price, Run, Sample, Usage

_FREE = Price()


class Step:
    """One step of a request, timed for the call's line and, where anybody listens, a span."""

    __slots__ = ("_began", "_name", "_span")

    def __init__(self, name: str, span: AbstractContextManager[trace.Span] | None) -> None:
        self._name = name
        self._span = span

    def __enter__(self) -> trace.Span:
        self._began = time.perf_counter()
        return self._span.__enter__() if self._span else trace.INVALID_SPAN

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        current_line().spent(self._name, time.perf_counter() - self._began)
        if self._span:
            self._span.__exit__(kind, error, trace)


class Spans:
    """What is traced. Where nobody listens (`spans`, `metrics`: whether anybody does), every method costs next to nothing."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider, *, spans: bool, metrics: bool) -> None:
        self._sends_spans = spans
        self._sends = spans or metrics
        self._tracer = tracers.get_tracer("rheostat")
        self._genai = TelemetryHandler(tracers, meters, instrumentation_scope_name="rheostat")

    def span(self, name: str, **marks: Unpack[Marks]) -> AbstractContextManager[trace.Span]:
        """A span around a piece of work."""
        if not self._sends_spans:
            return nullcontext(trace.INVALID_SPAN)
        return self._tracer.start_as_current_span(name, attributes={MARKS[mark]: value for mark, value in marks.items()})  # type: ignore[misc]

    def step(self, name: str, **marks: Unpack[Marks]) -> Step:
        """One step of a request, named by what is done; the call's line says how long all of that name took."""
        return Step(name, self.span(name, **marks) if self._sends_spans else None)

    def serving(self, method: str, metadata: Iterable[tuple[str, str | bytes]]) -> AbstractContextManager[trace.Span]:
        """A server span around one call, under the one that the call's metadata names, if any."""
        caller = extract(metadata)
        if not self._sends_spans and caller is None:
            return nullcontext(trace.INVALID_SPAN)
        return self._tracer.start_as_current_span(
            method,
            caller,
            trace.SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": method},
            record_exception=False,
            set_status_on_exception=False,
        )

    def workflow(self, strategy: str, plan: str) -> AbstractContextManager[object]:
        """The GenAI span and duration of one run of a strategy."""
        if not self._sends:
            return nullcontext()
        invocation = self._genai.workflow(strategy)
        invocation.attributes[PLAN] = plan
        return invocation

    async def sampled(
        self, model: str, call: Call, spent: Spent, sampling: Awaitable[Sample], *, price: Price = _FREE, provider: str = "rheostat"
    ) -> Sample:
        """Await one sample inside its GenAI span, with tokens, cost and fate however it ends. A cancelled sample is a fate, not an error."""
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
            invocation.attributes |= {FATE: fate.value, COST: spent.prompt * price.prompt + spent.completion * price.completion}
            invocation.fail(failure) if failure else invocation.stop()
        return sample

    @contextmanager
    def scoring(self, texts: int, spent: Spent, price: Price) -> Iterator[None]:
        """A span around one call of a verifier, with what it read."""
        with self.span("score") as span:
            try:
                yield
            finally:
                read = spent.prompt + spent.completion
                span.set_attributes({TEXTS: texts, f"{TOKENS}.scored": read, COST: read * price.scored})

    async def ran_program(self, running: Awaitable[Run]) -> Run:
        """Await one run of a program inside its span, with how it ended."""
        with self.span("run program") as span:
            run = await running
            span.set_attribute(RUN_ENDING, run.ending)
            return run


def tell_usage(span: trace.Span, usage: Usage) -> None:
    """Tokens by fate, cost and energy, as attributes of the span of all that spent them."""
    if span.is_recording():
        told = {f"{TOKENS}.{fate}": count for fate, count in tokens_by_fate(usage).items()}
        span.set_attributes({**told, COST: usage.cost, JOULES: usage.joules, ENERGY: usage.energy.value})


def tell_decision(span: trace.Span, decision: Decision) -> None:
    """What was decided, as attributes of its span."""
    if span.is_recording():
        chosen = {ACTION: decision.action.value, PLAN: decision.plan, POLICY: decision.policy}
        span.set_attributes({**chosen, PROPENSITY: decision.propensity, EXPLORED: decision.explored})
