"""The outermost layer: the request's id, language, nonce, security headers and measurements."""

import re
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from random import getrandbits

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.utils import translation
from prometheus_client import Histogram

from core.http import shape_not_allowed
from core.metrics import SECONDS
from core.request_context import current_request

REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}\Z")
log = structlog.get_logger("comanda.http")

UNSPOKEN = ("/api/", "/health", "/metrics", "/static/")  # What is in no language, and runs no script.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",  # Nobody else's page shows ours; CORS answers are not held to it.
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Frame-Options": "DENY",
}
PAGE_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
}
DATA_CSP = "default-src 'none'; frame-ancestors 'none'"  # Of what is no page: opened as one, it can do nothing.
FILE_CSP = "frame-ancestors 'none'"  # Of static files: drawings have styles of their own.
HSTS, OF_ALL_OURS = "max-age=31536000", "; includeSubDomains"
CSP = (
    "default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'{form_targets}; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class RequestMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.perf_counter()
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if REQUEST_ID.match(given) else f"{getrandbits(128):032x}"
        request.request_id = request_id  # type: ignore[attr-defined]
        token = current_request.set(request)
        try:
            response = self._answer(request)
            _add_headers(request, response, request_id)
            _measure(request, response, time.perf_counter() - started)
        finally:
            current_request.reset(token)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        if "\x00" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return HttpResponseBadRequest('{"detail": "The address contains a NUL character.", "code": "bad_request"}', "application/json")
        if request.path_info.startswith(UNSPOKEN):
            response = self.get_response(request)
            if response.status_code == 405 and request.path_info.startswith("/api/"):
                shape_not_allowed(request, response)
            return response
        request.csp_nonce = secrets.token_urlsafe(12)  # type: ignore[attr-defined]
        with translation.override(_language(request)):
            return self.get_response(request)


def _language(request: HttpRequest) -> str:
    chosen = request.COOKIES.get(settings.LANGUAGE_COOKIE_NAME, "")
    return chosen if chosen in {"es", "en"} else settings.LANGUAGE_CODE


def _add_headers(request: HttpRequest, response: HttpResponseBase, request_id: str) -> None:
    response["X-Request-ID"] = request_id
    if not response.streaming and "Content-Length" not in response.headers:
        response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
    headers = response.headers
    for name, value in HEADERS.items():
        headers.setdefault(name, value)  # A page whose address is a secret says more of its own.
    if settings.HTTPS:
        headers["Strict-Transport-Security"] = HSTS + (OF_ALL_OURS if _is_below_ours(request) else "")
    if request.path_info.startswith("/static/") and response.status_code < 400:
        headers.setdefault("Content-Security-Policy", FILE_CSP)
        return
    headers.setdefault("Cache-Control", "private, no-store")  # Whoever may be kept says so.
    if response.get("Content-Type", "").startswith("text/html"):
        for name, value in PAGE_HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", _page_policy(request))
    else:
        headers.setdefault("Content-Security-Policy", DATA_CSP)


def _is_below_ours(request: HttpRequest) -> bool:
    """A cafeteria's own domain may have other hosts below it, which are none of our business and may know no TLS."""
    host = str(request.META.get("HTTP_HOST", "")).partition(":")[0].removesuffix(".").lower()
    return f".{host}".endswith(f".{settings.BASE_DOMAIN}")


def _page_policy(request: HttpRequest) -> str:
    nonce = getattr(request, "csp_nonce", "")
    scripts = f"'nonce-{nonce}' 'strict-dynamic'" if nonce else "'none'"  # A nonce that can be guessed would be none.
    return CSP.format(scripts=scripts, form_targets=_form_targets())


def _form_targets() -> str:
    """Entering a cafeteria posts to the platform and is sent on to the cafeteria's host; paying is sent on to Mercado Pago."""
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return " ".join(["", f"{settings.PUBLIC_SCHEME}://*.{settings.BASE_DOMAIN}{port}", *settings.FORM_TARGETS])


def _measure(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    kind = "platform" if getattr(request, "tenant", None) is None else "cafeteria"
    match = request.resolver_match
    route = (match.route if match else "") or "none"
    method = request.method if request.method in METHODS else "other"
    _took(kind, route, method, response.status_code).observe(seconds)
    if getattr(request, "quiet", False):
        return
    if response.status_code >= 500:
        log.error("answered", method=method, route=route, status=response.status_code, seconds=round(seconds, 4))
    elif settings.LOG_REQUESTS:
        log.info("answered", method=method, route=route, status=response.status_code, seconds=round(seconds, 4))


@lru_cache(maxsize=2048)  # Finding a metric's child by its labels costs more than counting.
def _took(kind: str, route: str, method: str | None, status: int) -> Histogram:
    return SECONDS.labels(kind, route, method, str(status))


METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
