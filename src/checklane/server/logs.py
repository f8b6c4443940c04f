"""How the service logs: one line an event, to people or to machines, on standard error."""

import logging
import sys
from typing import Any

import structlog

__all__ = ["configure_logs"]


def configure_logs(log_format: str, log_level: str) -> None:
    """Set the form and the least level of every log of this process.

    Parameters
    ----------
    log_format : str
        "console" or "json".
    log_level : str
        "debug", "info", "warning" or "error".
    """
    renderer: Any = structlog.processors.JSONRenderer()
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelName(log_level.upper())
        ),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
