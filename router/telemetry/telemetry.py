"""Telemetry: one process's spans, metrics and gauges, behind one object."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics import TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.trace import NoOpTracerProvider, TracerProvider

from router.telemetry.gauges import Gauges
from router.telemetry.line import current_line
from router.telemetry.metrics import Metrics
from router.telemetry.spans import Spans, tell_usage
from router.types import Record, Usage


class Telemetry(Spans, Metrics, Gauges):
    """One process's instruments. Without `spans` and `metrics` to send to, every method costs next to nothing."""

    def __init__(
        self, service: str = "rheostat-router", *, spans: SpanProcessor | None = None, metrics: MetricReader | Sequence[MetricReader] | None = None
    ) -> None:
        resource = Resource.create({"service.name": service, "service.namespace": "rheostat", "service.version": our_version()})
        readers = [metrics] if isinstance(metrics, MetricReader) else list(metrics or ())
        self.tracers: TracerProvider = NoOpTracerProvider()
        self.meters: MeterProvider = NoOpMeterProvider()
        if spans:
            self.tracers = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
            self.tracers.add_span_processor(spans)
        if readers:
            self.meters = SdkMeterProvider(readers, resource=resource, shutdown_on_exit=False, exemplar_filter=TraceBasedExemplarFilter())
        Spans.__init__(self, self.tracers, self.meters, spans=spans is not None, metrics=bool(readers))
        Metrics.__init__(self, self.meters)
        Gauges.__init__(self, self.meters)
        self.measures = bool(readers)

    def shutdown(self) -> None:
        """Send what is left, and stop."""
        if isinstance(self.tracers, SdkTracerProvider):
            self.tracers.shutdown()
        if isinstance(self.meters, SdkMeterProvider):
            self.meters.shutdown()

    @contextmanager
    def stage(self, decision_id: str, row: Record, took: Callable[[], Usage] = Usage) -> Iterator[None]:
        """Span and duration of the plan that a row's decision bought; what it `took`, asked at its end, stands on the span."""
        started, error = time.perf_counter(), ""
        with self.span("execute", decision_id=decision_id, plan=row.plan, stage=row.stage, propensity=row.propensity) as span:
            try:
                yield
            except BaseException as raised:
                error = type(raised).__name__
                raise
            finally:
                seconds = time.perf_counter() - started
                tell_usage(span, took())
                self.ran(row.plan, seconds, error)
                current_line().spent("execute", seconds)


def our_version() -> str:
    """Of this program."""
    try:
        return version("rheostat")
    except PackageNotFoundError:  # run from a source tree
        return "0"
