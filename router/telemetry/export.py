"""Export: where telemetry goes."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.trace import SpanProcessor

from router.telemetry.telemetry import Telemetry

EXPORT_SECONDS = 3  # unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise: a collector that is gone delays our end by about as much


@contextmanager
def open_telemetry(service: str = "rheostat-router", *, prometheus: str = "") -> Iterator[Telemetry]:
    """Telemetry that goes where OTEL_EXPORTER_OTLP_ENDPOINT says (OTLP over gRPC, with its other standard variables), or nowhere.

    `prometheus` is where metrics can be scraped, as `host:port`; empty: nowhere. Raises OSError when that address cannot be had.
    """
    with ExitStack() as stack:
        spans, readers = _otlp() if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") else (None, [])
        if prometheus:
            readers.append(stack.enter_context(_scraped(prometheus)))
        telemetry = Telemetry(service, spans=spans, metrics=readers)
        if spans or readers:
            trace.set_tracer_provider(telemetry.tracers)  # for instrumentation that asks nobody
            metrics.set_meter_provider(telemetry.meters)
            stack.callback(telemetry.shutdown)
        yield telemetry


def _otlp() -> tuple[SpanProcessor, list[MetricReader]]:
    # Imported here: they bring grpc, which a process that exports nothing may do without.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    timeout = float(os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT", EXPORT_SECONDS))
    return BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)), [PeriodicExportingMetricReader(OTLPMetricExporter(timeout=timeout))]


@contextmanager
def _scraped(address: str) -> Iterator[MetricReader]:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415

    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    server, thread = start_http_server(int(port), host.strip("[]") or "127.0.0.1", registry)
    try:
        yield PrometheusMetricReader(registry=registry)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
