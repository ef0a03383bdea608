"""From the host to the cafeteria. On the path of every request: no query but for a host that is not cached."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from core import error_pages
from core.errors import AppError
from core.http import json_error
from tenants.errors import CafeteriaNotFound, CafeteriaSuspended
from tenants.refs import TenantRef
from tenants.routing import is_platform, normalise_host, resolve

# Probes and the proxy's questions come by address; they concern the process, not a site.
HOSTLESS = frozenset({"/health", "/metrics", "/internal/known-host"})
HOSTLESS_FOLDERS = ("/health/", "/static/")


class TenantMiddleware:
    """Sets `request.comanda_host`, `request.tenant` (None on the platform) and, on the platform, `request.urlconf`.

    Opens no scope: doors do. Unknown and closed hosts end here with 404, suspended ones with 503. Only the Host header counts.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.platform_urlconf = settings.PUBLIC_URLCONF

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path in HOSTLESS or path.startswith(HOSTLESS_FOLDERS):
            return self.on_platform(request, "")
        host = normalise_host(request.META.get("HTTP_HOST", ""))
        if host and is_platform(host):
            return self.on_platform(request, host)
        ref = resolve(host) if host else None
        if ref is None:
            return self.refuse(request, host, CafeteriaNotFound())
        if ref.status == "suspended":
            return self.refuse(request, host, CafeteriaSuspended(), name=ref.name)
        attach(request, host, ref)
        return self.get_response(request)

    def on_platform(self, request: HttpRequest, host: str) -> HttpResponse:
        attach(request, host, None)
        request.urlconf = self.platform_urlconf
        return self.get_response(request)

    def refuse(self, request: HttpRequest, host: str, error: AppError, *, name: str = "") -> HttpResponse:
        attach(request, host, None)
        request.urlconf = self.platform_urlconf  # The page's links are the platform's.
        if request.path_info.startswith("/api/"):
            return json_error(error)
        if isinstance(error, CafeteriaSuspended):
            return error_pages.suspended_cafeteria(request, name)
        return error_pages.unknown_cafeteria(request)


def attach(request: HttpRequest, host: str, ref: TenantRef | None) -> None:
    request.comanda_host = host  # type: ignore[attr-defined]
    request.tenant = ref  # type: ignore[attr-defined]
