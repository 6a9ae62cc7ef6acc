"""Structured logs: a JSON object a line, without a customer, an address or a body in it."""

from __future__ import annotations

import json
import logging
import os
import traceback
from datetime import UTC, datetime
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":")).encode


class LineHandler(logging.Handler):
    """Writes each line to standard error by one system call, which takes a quarter of the time that a stream takes."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        try:
            os.write(2, f"{self.format(record)}\n".encode())
        except OSError:
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """time, level, logger, event, and what the call gave as `extra={"facts": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line. Of an exception only its kind and place: its message may quote a request."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": time,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= getattr(record, "facts", {})
        if record.exc_info and record.exc_info[0] is not None:
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = record.exc_info[0].__name__
            line["place"] = [f"{frame.name}:{frame.lineno}" for frame in frames[-5:]]
        return _encode(line)


def log_settings(level: str) -> dict:
    """For `logging.config.dictConfig`: everything as JSON lines on standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"()": LineHandler, "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        # uvicorn's access log would hold addresses and whole paths.
        "loggers": {"uvicorn.access": {"handlers": [], "propagate": False}},
    }
