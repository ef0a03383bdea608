"""The doors of the platform's own host.

@page(access="owner")                       # a page
@router.get("/x", auth=signed_in)           # an operation; caller_of(request) says who
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.realm import platform_realm
from core.doors import Bearer, Door, OptionalBearer, Rule, View, anyone, bearer_token, check_page, declared, refusal
from core.errors import AppError
from core.identity.callers import Caller
from core.identity.errors import InvalidToken
from core.sessions import remembered
from core.tokens import PLATFORM, read_access

type Access = Literal["anyone", "signed_in", "owner", "admin"]

RULES: dict[str, Rule] = {
    "signed_in": lambda _: True,
    "owner": lambda caller: caller.role == "owner",
    "admin": lambda caller: caller.role == "admin",
}


def page(*, access: Access) -> Callable[[View], Door]:
    """Whoever is signed in is `request.person`. Others are sent to sign in, or get a page that says they may not."""

    def decorate(view: View) -> Door:
        @wraps(view)
        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                load_person(request)
                check_page(request, RULES.get(access))
                return view(request, *args, **kwargs)
            except AppError as error:
                return refusal(request, error)

        return declared(door, access)

    return decorate


def load_person(request: HttpRequest) -> None:
    claims = remembered(request)
    request.person = platform_realm.caller(claims) if claims else None  # type: ignore[attr-defined]


def authenticate_bearer(request: HttpRequest) -> Caller:
    """The user of the request's access token. Raises NotSignedIn without one, InvalidToken for one that does not hold here and now."""
    caller = platform_realm.caller(read_access(PLATFORM, bearer_token(request)))
    if caller is None:
        raise InvalidToken
    return caller


signed_in = Bearer(RULES["signed_in"], authenticate_bearer)
owner = Bearer(RULES["owner"], authenticate_bearer)
admin = Bearer(RULES["admin"], authenticate_bearer)
guest_or_signed_in = OptionalBearer(authenticate_bearer)

__all__ = ["admin", "anyone", "authenticate_bearer", "guest_or_signed_in", "owner", "page", "signed_in"]
