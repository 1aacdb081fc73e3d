"""What a process logs, and how."""

import logging
import os
import sys

import structlog

from router.redaction import redact


def write_logs() -> None:
    """To stderr from now on: lines for people on a terminal, JSON otherwise; from the level on that RHEOSTAT_LOG names."""
    level = getattr(logging, os.environ.get("RHEOSTAT_LOG", "warning").upper(), logging.WARNING)
    shape = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            redact,
            shape,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
