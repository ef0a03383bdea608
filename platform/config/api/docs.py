from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from ninja import NinjaAPI

# Swagger UI draws with inline styles; scripts stay bound to the nonce.
CSP = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def docs_view(api: NinjaAPI, openapi_url: str) -> Callable[[HttpRequest], HttpResponse]:
    """The Swagger page of an API, from ninja's own static files."""

    @require_safe
    def docs(request: HttpRequest) -> HttpResponse:
        response = render(request, "config/docs.html", {"api": api, "openapi_url": openapi_url})
        response["Content-Security-Policy"] = CSP.format(nonce=request.csp_nonce)  # type: ignore[attr-defined]
        return response

    docs.access = "anyone"  # type: ignore[attr-defined]
    return docs
