"""What the lines of the log, the audit and error reports say of where they come from: a request, or a job."""

from contextvars import ContextVar

import structlog
from django.http import HttpRequest
from structlog.typing import EventDict, WrappedLogger

current_request: ContextVar[HttpRequest | None] = ContextVar("current_request", default=None)


FACTS = ("request_id", "job_id", "cafeteria")
LONGEST_NAME = 63  # bytes that PostgreSQL keeps of an application's name


def request_facts() -> dict[str, str]:
    """`request_id`, `job_id`, `cafeteria` (its uuid) and in a request `site` (its slug), those that there are.

    A job has the request's id in whose course it was added: what somebody did can be followed through.
    """
    request = current_request.get()
    if request is None:
        bound = structlog.contextvars.get_contextvars()
        return {name: str(bound[name]) for name in FACTS if bound.get(name)}
    facts = {"request_id": str(getattr(request, "request_id", ""))}
    tenant = getattr(request, "tenant", None)
    if tenant is not None:
        facts |= {"cafeteria": str(tenant.uuid), "site": tenant.slug}
    return facts


def name_for_database() -> str:
    """Who asks, for pg_stat_activity and PostgreSQL's log: `comanda job ID`, `comanda request ID`, or only `comanda`."""
    request = current_request.get()
    if request is not None:
        return f"comanda request {getattr(request, 'request_id', '')}"[:LONGEST_NAME]
    job_id = structlog.contextvars.get_contextvars().get("job_id")
    return f"comanda job {job_id}" if job_id else "comanda"


def merge_request_facts(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """A structlog processor: read when a line is written, so that a request that writes none pays nothing."""
    return {**request_facts(), **line}
