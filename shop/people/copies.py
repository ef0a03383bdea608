"""A copy of a cafeteria (tenants.copies) is for its staff alone: nobody else sees more of it than where to sign in."""

from collections.abc import Callable
from functools import cache

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _

from core.design.formats import format_day_and_time
from core.doors import refusal
from core.errors import AppError, NotAllowed, NotSignedIn
from core.http import json_error
from shop.people.doors import RULES, authenticate_bearer, load_person
from tenants.copies import copied_from
from tenants.refs import TenantRef
from tenants.scope import request_scope

OPEN_CALLS = frozenset({"/api/v1/auth/login", "/api/v1/auth/refresh", "/api/v1/auth/logout"})
OPEN_PAGES = ("sign_in", "sign_out", "enter", "language")


class CopyMiddleware:
    """Asks every visitor of a copy to be of its staff, says on each page that it is one, and keeps search engines out."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        tenant: TenantRef | None = request.tenant  # type: ignore[attr-defined]
        if tenant is None or tenant.copy_of is None:
            return self.get_response(request)
        request.copied = _Banner(tenant)  # type: ignore[attr-defined]
        try:
            _check_staff(request)
        except AppError as error:
            response: HttpResponseBase = json_error(error) if request.path_info.startswith("/api/") else refusal(request, error)
        else:
            response = self.get_response(request)
        response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        return response


class _Banner:
    """In the language of the page that shows it, and asked for only by one that does."""

    def __init__(self, tenant: TenantRef) -> None:
        self._tenant = tenant

    def __str__(self) -> str:
        original, moment, closes_at = copied_from(self._tenant.id)
        told = _(
            "This is a copy of {original} as it was on {moment}. Customers cannot order here, and no money, mail or notification leaves it."
        ).format(original=original, moment=format_day_and_time(moment, self._tenant.timezone))
        if closes_at is None:
            return told
        ends = _("It closes by itself on {moment}.").format(moment=format_day_and_time(closes_at, self._tenant.timezone))
        return f"{told} {ends}"


def _check_staff(request: HttpRequest) -> None:
    """Raises NotSignedIn, NotAllowed, and what a scope raises."""
    path = request.path_info
    if path.startswith("/api/"):
        if path not in OPEN_CALLS and not RULES["staff"](authenticate_bearer(request)):
            raise NotAllowed
        return
    if path in _open_pages():
        return
    with request_scope(request):
        load_person(request)
    if request.person is None:  # type: ignore[attr-defined]
        raise NotSignedIn
    if not RULES["staff"](request.person):  # type: ignore[attr-defined]
        raise NotAllowed


@cache
def _open_pages() -> frozenset[str]:
    return frozenset(reverse(name) for name in OPEN_PAGES)
