"""Telemetry: spans, metrics, the line of a call, and the names of all of them. Nothing is measured unless somebody listens."""

from router.telemetry.context import inject, trace_id
from router.telemetry.export import open_telemetry
from router.telemetry.line import Line, current_line
from router.telemetry.telemetry import Telemetry

__all__ = ["Line", "Telemetry", "current_line", "inject", "open_telemetry", "trace_id"]
