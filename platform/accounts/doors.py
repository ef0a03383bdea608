"""The doors of the platform's own host.

@page(access="owner")                       # a page
@router.get("/x", auth=signed_in)           # an operation; caller_of(request) says who
"""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, Literal
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts.errors import SecondFactorMissing
from accounts.realm import platform_realm
from accounts.second_factor.codes import check_enrolled
from core.doors import Bearer, Door, OptionalBearer, Rule, View, anyone, bearer_token, check_page, declared, person_of, refusal
from core.errors import AppError
from core.identity.callers import Caller
from core.identity.errors import InvalidToken
from core.sessions import proved_within, remembered
from core.tokens import PLATFORM, read_access

type Access = Literal["anyone", "signed_in", "owner", "admin"]

RULES: dict[str, Rule] = {
    "signed_in": lambda _: True,
    "owner": lambda caller: caller.role == "owner",
    "admin": lambda caller: caller.role == "admin",
}


WHAT_IT_IS_ABOUT = ("backup", "at")  # fields of a form whose page needs them in its address
PROOF_LIFE = timedelta(minutes=15)  # of a password, for pages that ask for one given lately


def page(*, access: Access, proof: bool = False) -> Callable[[View], Door]:
    """Whoever is signed in is `request.person`. Others are sent to sign in, or get a page that says they may not.

    An admin who must have a second factor and has none is sent to set one up before a page for admins opens.
    With `proof`, whoever has not given the password within PROOF_LIFE is asked for it first, and comes back to this page.
    """

    def decorate(view: View) -> Door:
        @wraps(view)
        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                load_person(request)
                check_page(request, RULES.get(access))
                if access == "admin":
                    check_enrolled(person_of(request))
                if proof and not proved_within(request, PROOF_LIFE):
                    return _to_proof(request)
                return view(request, *args, **kwargs)
            except SecondFactorMissing:
                return _to("set_up_second_factor", request.get_full_path() if request.method in {"GET", "HEAD"} else "")
            except AppError as error:
                return refusal(request, error)

        return declared(door, access)

    return decorate


def _to_proof(request: HttpRequest) -> HttpResponseRedirect:
    """Back to where the form was, which says anew what it does: nothing that was sent is done by a redirect."""
    kept = {name: request.POST[name][:80] for name in WHAT_IT_IS_ABOUT if name in request.POST}
    return _to("confirm_password", f"{request.path}?{urlencode(kept)}" if kept else request.get_full_path())


def _to(name: str, back: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(f"{reverse(name)}?{urlencode({'next': back})}" if back else reverse(name))


def load_person(request: HttpRequest) -> None:
    claims = remembered(request)
    request.person = platform_realm.caller(claims) if claims else None  # type: ignore[attr-defined]


def authenticate_bearer(request: HttpRequest) -> Caller:
    """The user of the request's access token. Raises NotSignedIn without one, InvalidToken for one that does not hold here and now.

    And SecondFactorMissing for an admin who must have one first: their token opens nothing but /auth.
    """
    caller = _bearer(request)
    check_enrolled(caller)
    return caller


def _bearer(request: HttpRequest) -> Caller:
    caller = platform_realm.caller(read_access(PLATFORM, bearer_token(request)))
    if caller is None:
        raise InvalidToken
    return caller


signed_in = Bearer(RULES["signed_in"], authenticate_bearer)
owner = Bearer(RULES["owner"], authenticate_bearer)
admin = Bearer(RULES["admin"], authenticate_bearer)
own_sign_in = Bearer(RULES["signed_in"], _bearer)  # of /auth: who one is, and signing out
guest_or_signed_in = OptionalBearer(authenticate_bearer)

__all__ = ["admin", "anyone", "authenticate_bearer", "guest_or_signed_in", "own_sign_in", "owner", "page", "signed_in"]
