"""From the dotted string to the function."""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, cast

from django.utils.module_loading import import_string

from core.jobs.errors import InvalidJob
from core.jobs.run import JobRun

type Json = bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None
type JobFunction = Callable[Concatenate[JobRun, ...], Json]

# A row can only ever name a function of a module called jobs, whoever wrote the row.
KIND = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)*\.jobs\.[a-z][a-z0-9_]*")
KIND_LENGTH = 120


def check_kind(kind: str) -> None:
    if len(kind) > KIND_LENGTH or not KIND.fullmatch(kind):
        raise InvalidJob(f"{kind!r} names no job. A job is a function of a module called jobs, as in 'shop.orders.jobs.import_sales'.")


def resolve_job(kind: str) -> JobFunction:
    """The function of a job. InvalidJob when there is none, or when it takes no `run`."""
    check_kind(kind)
    try:
        function = import_string(kind)
    except ImportError as error:
        raise InvalidJob(f"There is no job {kind}: {error}") from error
    if not inspect.isfunction(function) or next(iter(_parameters(function)), "") != "run":
        raise InvalidJob(f"{kind} is no job: it must be a function whose first parameter is `run`.")
    return cast("JobFunction", function)


def check_arguments(function: JobFunction, arguments: Mapping[str, Any]) -> None:
    """InvalidJob when the function cannot be called with them: the row is of another release."""
    try:
        inspect.signature(function).bind(None, **arguments)
    except TypeError as error:
        raise InvalidJob(f"The job's arguments do not fit: {error}") from error


def check_json(value: object, *, what: str) -> None:
    """InvalidJob unless the value comes back from a JSON column as it went in."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(f"The job's {what} cannot be JSON: {error}") from error
    if "\\u0000" in text:
        raise InvalidJob(f"The job's {what} holds a NUL character, which PostgreSQL cannot store.")
    if json.loads(text) != value:
        raise InvalidJob(f"The job's {what} would come back from JSON as something else. Use plain lists, dicts and strings.")


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters
