"""What pages need and the API does not: the session cookie, CSRF, htmx's headers, compression, caching."""

import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.http import http_date
from django_htmx.middleware import HtmxDetails

from core import error_pages
from core.sessions import SessionStore, SessionTooLarge, audience_of

NOT_PAGES = ("/api/", "/health", "/metrics", "/static/")
type GetResponse = Callable[[HttpRequest], HttpResponseBase]


class PageMiddleware:
    """Gives `request.session`, `request.htmx` and `request.person` (None: doors fill it in) to all but the API, health and static."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.csrf = CsrfViewMiddleware(get_response)
        self.gzip = GZipMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_page(request):
            return self.get_response(request)
        request.session = SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME), audience=audience_of(request))
        request.htmx = HtmxDetails(request)  # type: ignore[attr-defined]
        request.person = None  # type: ignore[attr-defined]
        self.csrf.process_request(request)
        response = self.csrf.process_response(request, self.get_response(request))
        try:
            _save_session(request, response)
        except SessionTooLarge as error:
            response = error_pages.app_error(request, error)  # The cookie stays as it was.
        return self._finished(request, response)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self.csrf.process_view(request, view, args, kwargs) if _is_page(request) else None

    def _finished(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not response.get("Content-Type", "").startswith("text/html") or not isinstance(response, HttpResponse):
            return response
        patch_vary_headers(response, ("Cookie", "HX-Request"))
        signed_in = getattr(request, "person", None) is not None
        private = signed_in or request.method not in {"GET", "HEAD"} or response.status_code >= 400
        response.headers.setdefault("Cache-Control", "private, no-store" if private else "private, no-cache")
        return self.gzip.process_response(request, response)


def _is_page(request: HttpRequest) -> bool:
    return not request.path_info.startswith(NOT_PAGES)


def _save_session(request: HttpRequest, response: HttpResponseBase) -> None:
    """The cookie is host-only: no domain, ever."""
    session, name = request.session, settings.SESSION_COOKIE_NAME
    if session.accessed:
        patch_vary_headers(response, ("Cookie",))
    if not session.keys():  # Not is_empty(): that is about the key, which is the cookie as it came.
        if name in request.COOKIES:
            response.delete_cookie(name, samesite="Lax")
        return
    if not session.modified or response.status_code >= 500:
        return
    session.save()
    response.set_cookie(
        name,
        session.session_key or "",
        max_age=settings.SESSION_COOKIE_AGE,
        expires=http_date(time.time() + settings.SESSION_COOKIE_AGE),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
