"""What the lines of the log, the audit and error reports say of where they come from: a request, or a job."""

from contextvars import ContextVar

import structlog
from django.http import HttpRequest
from structlog.typing import EventDict, WrappedLogger

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)


def request_facts() -> dict[str, str]:
    """`request_id` and `cafeteria` (its slug, or the uuid in a job), those that there are."""
    request = current_request.get()
    if request is None:
        bound = structlog.contextvars.get_contextvars()
        return {name: str(bound[name]) for name in ("request_id", "cafeteria") if bound.get(name)}
    facts = {"request_id": str(getattr(request, "request_id", ""))}
    tenant = getattr(request, "tenant", None)
    if tenant is not None:
        facts["cafeteria"] = tenant.slug
    return facts


def merge_request_facts(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """A structlog processor: read when a line is written, so that a request that writes none pays nothing."""
    return {**request_facts(), **line}
