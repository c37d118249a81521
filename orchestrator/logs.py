"""Logs of edge and orchestrators: one JSON object a line on stderr."""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Write one JSON line an event, from this severity on; JSON also keeps what clients send from forging a line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
