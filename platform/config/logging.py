"""Logs: structlog and the standard library through one chain; each line knows its request and its cafeteria, none knows a secret."""

import logging.config
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

import orjson
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from structlog.typing import EventDict, Processor, WrappedLogger

from core.redaction import REDACTED, SECRET_NAME, redact_text
from core.request_context import merge_request_facts

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to what is standard error now, not to what it was when logging was set up: a test captures each anew."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure_logging(*, json_lines: bool, level: str) -> None:
    """Send every log line to standard error: JSON for machines, or columns for a person."""
    if level.upper() not in LEVELS:
        raise ImproperlyConfigured(f"LOG_LEVEL is {level!r}. Set it to one of {', '.join(LEVELS)}.")
    chain = shared_chain(json_lines=json_lines)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    formatter: dict[str, object] = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": [*chain[:-1], structlog.stdlib.ExtraAdder(), chain[-1]],
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer(json_lines=json_lines)],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "handlers": {"stderr": {"()": StandardError, "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            # A 4xx is an answer, not an event: the measurements count them.
            "loggers": {
                "django.request": {"level": "ERROR"},
                "django.security.csrf": {"level": "ERROR"},
                "botocore": {"level": "WARNING"},  # Below that it logs what it signs, and with which key.
            },
        }
    )


def shared_chain(*, json_lines: bool) -> list[Processor]:
    """What each line goes through, whoever wrote it; redaction is last, after tracebacks have become text."""
    return [
        structlog.contextvars.merge_contextvars,
        merge_request_facts,
        with_request_and_cafeteria if json_lines else keep,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True) if json_lines else structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.format_exc_info,
        redact,
    ]


def renderer(*, json_lines: bool) -> Processor:
    if json_lines:
        return structlog.processors.JSONRenderer(serializer=as_json)
    return structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback)


def as_json(value: object, default: Callable[[object], object] | None = None, **_: object) -> str:
    return orjson.dumps(value, default=default or str, option=orjson.OPT_NON_STR_KEYS).decode()


def keep(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return line


def with_request_and_cafeteria(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Where there are none they are null, so that every JSON line has the same fields to search by."""
    line.setdefault("request_id", None)
    line.setdefault("job_id", None)
    line.setdefault("cafeteria", None)
    return line


def redact(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    return {name: shown(name, value) for name, value in line.items()}


def shown(name: str, value: object) -> object:
    """Counts and flags may be called after a secret, e.g. tokens_revoked=3."""
    harmless = value is None or isinstance(value, bool | int | float)
    return REDACTED if SECRET_NAME.search(name) and not harmless else without_secrets(value)


def without_secrets(value: object) -> object:
    """The value with the secrets in it taken out, at any depth."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, HttpRequest):  # Django's own lines bear it. Its text would be its whole address: what was asked may be a secret.
        return f"{value.method} {value.path}"
    if isinstance(value, BaseException | bytes):  # The renderer would make a text of them, after this.
        return redact_text(str(value) if isinstance(value, BaseException) else value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {key: shown(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [without_secrets(inner) for inner in value]
    return value
