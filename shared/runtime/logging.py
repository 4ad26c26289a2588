"""One JSON object a line, on standard output, for our own logs and every library's: same fields, same redaction.

Our code: `log = structlog.stdlib.get_logger(__name__)`, then `log.info("what happened", channel_id=…)`. What is bound
to the context (service, request_id) is added by itself.
"""

import json
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from shared.runtime.redaction import error_text, redacted

MAX_FRAMES = 12
CHATTY = ("aiokafka", "faststream", "uvicorn", "uvicorn.error", "asyncio", "pymongo", "urllib3", "httpx", "kafka")
Event = MutableMapping[str, Any]


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """For the whole process; repeatable. Libraries are heard from warnings on, everything at level `debug`."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*_SHARED, _rendered], foreign_pre_chain=_OURS))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in CHATTY:
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
        library.setLevel("DEBUG" if level == "debug" else "WARNING")
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=[*_OURS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _with_error(logger: object, method: str, event: Event) -> Event:
    """`exc_info` -> `error_type`, `error`, `frames` (innermost last), without values of variables."""
    error = _exception(event.pop("exc_info", None))
    if error is None:
        return event
    event.setdefault("error_type", type(error).__name__)
    event.setdefault("error", error_text(error))
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        event["cause"] = f"{type(cause).__name__}: {error_text(cause)}"
    return event


def _exception(given: object) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exception() if given else None


def _redacted(logger: object, method: str, event: Event) -> Event:
    return redacted(event)


def _rendered(logger: object, method: str, event: Event) -> str:
    """Never raises: a log line that cannot be written as it is, is written escaped."""
    try:
        return orjson.dumps(event, default=str).decode()
    except (TypeError, orjson.JSONEncodeError):
        return json.dumps(event, default=str)


_OURS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
]
_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    _with_error,
    _redacted,
]
