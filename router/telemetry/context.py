"""Context: which trace the work at hand belongs to, and how the next process learns of it (W3C trace context)."""

from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_FIELDS = ("traceparent", "tracestate")
_propagator = TraceContextTextMapPropagator()


def inject() -> tuple[tuple[str, str], ...]:
    """The current trace as gRPC metadata or HTTP headers; empty outside a trace."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return tuple(carrier.items())


def extract(metadata: Iterable[tuple[str, str | bytes]]) -> Context | None:
    """The trace that a call's metadata names, if any."""
    carrier = {name: value for name, value in metadata if name in _FIELDS}
    return _propagator.extract(carrier) if carrier else None


def trace_id() -> str:
    """The current trace's id in hexadecimal; empty outside a trace."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""
