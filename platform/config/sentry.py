"""Sentry, when SENTRY_DSN is set: errors with their request and cafeteria, without anybody's data."""

from typing import TYPE_CHECKING, cast

from django.core.exceptions import ImproperlyConfigured

from config.logging import without_secrets
from core.request_context import request_facts

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

KEPT_HEADERS = {"accept", "accept-language", "content-length", "content-type", "host", "user-agent", "x-request-id"}


def configure_sentry(*, dsn: str, environment: str, release: str) -> None:
    """Report unhandled errors and logged ones to the address `dsn`; with an empty one, do nothing.

    Who made the request is never sent: that is Sentry's own default, and `scrubbed` makes sure of it.
    """
    if not dsn:
        return
    import sentry_sdk  # noqa: PLC0415  10 MB in each process, only for those who use it.
    from sentry_sdk.integrations.django import DjangoIntegration  # noqa: PLC0415
    from sentry_sdk.utils import BadDsn  # noqa: PLC0415

    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=environment,
            release=release,
            integrations=[DjangoIntegration(middleware_spans=False, signals_spans=False)],
            max_request_body_size="never",
            include_local_variables=False,
            before_send=scrubbed,
        )
    except BadDsn as error:
        raise ImproperlyConfigured("SENTRY_DSN is not the address of a Sentry project. Copy it from the project's settings.") from error


def scrubbed(event: "Event", _hint: "Hint") -> "Event | None":
    """The event with its cafeteria and request id as tags, and no cookies, bodies, queries, people or credentials."""
    request = event.get("request")
    if request:
        headers = request.get("headers")
        kept = {name: value for name, value in headers.items() if name.lower() in KEPT_HEADERS} if isinstance(headers, dict) else {}
        event["request"] = {"method": request.get("method"), "url": request.get("url"), "headers": kept}
    event.pop("user", None)
    event["tags"] = {**dict(event.get("tags") or {}), **request_facts()}
    return cast("Event", without_secrets(event))
