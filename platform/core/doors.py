"""Who may come in. What the doors of the platform (accounts.doors) and of the cafeterias (shop.people.doors) share.

Every view carries `access`, every API operation its `auth`: an architecture test looks for them.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Protocol, cast
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect
from ninja.security import HttpBearer

from core import error_pages
from core.errors import AppError, NotAllowed, NotSignedIn
from core.identity.callers import Caller
from core.identity.errors import InvalidToken

type View = Callable[..., HttpResponseBase]
type Rule = Callable[[Caller], bool]


class Door(Protocol):
    access: str

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase: ...


def open_page(view: View) -> Door:
    """For pages of both kinds of host that ask nobody who they are and read no cafeteria's tables."""

    @wraps(view)
    def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return view(request, *args, **kwargs)
        except AppError as error:
            return error_pages.app_error(request, error)

    return declared(door, "anyone")


def declared(door: View, access: str) -> Door:
    door.access = access  # type: ignore[attr-defined]
    return cast("Door", door)


def person_of(request: HttpRequest) -> Caller:
    """Who looks at a page whose door asks for somebody signed in."""
    person: Caller | None = getattr(request, "person", None)
    if person is None:
        raise NotSignedIn
    return person


def check_page(request: HttpRequest, rule: Rule | None) -> None:
    """Raises NotSignedIn or NotAllowed. A rule of None admits anyone."""
    if rule is not None and not rule(person_of(request)):
        raise NotAllowed


def refusal(request: HttpRequest, error: AppError) -> HttpResponseBase:
    """A page's answer to an error; whoever is not signed in is sent to sign in, and back."""
    if isinstance(error, NotSignedIn):
        return to_sign_in(request)
    return error_pages.app_error(request, error)


def to_sign_in(request: HttpRequest) -> HttpResponse:
    address = reverse("sign_in")
    htmx = getattr(request, "htmx", None)
    if htmx:
        page = urlsplit(htmx.current_url or "")
        return HttpResponseClientRedirect(f"{address}?{urlencode({'next': page.path or '/'})}")
    back = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
    return HttpResponseRedirect(f"{address}?{urlencode({'next': back})}")


def safe_next(request: HttpRequest, default: str) -> str:
    """Where ?next= or a form's `next` wants to go, if that is a path of this host; else the default."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    return default


# --- The API ---------------------------------------------------------------------------------------------------------------


class Anyone:
    """Does not ask, and does not look at a token: an expired one must not keep its owner from signing in."""

    def __call__(self, request: HttpRequest) -> str:
        return "anyone"


anyone = Anyone()


class Bearer(HttpBearer):
    """Somebody with an access token for this host, whom the rule admits. The operation finds them with caller_of(request).

    A kind of host fills in `authenticate_bearer`. 401 for no or a bad token, 403 for somebody whom the rule does not admit.
    """

    openapi_bearerFormat: ClassVar[str] = "JWT"  # noqa: N815 - OpenAPI's name

    def __init__(self, rule: Rule, authenticate_bearer: Callable[[HttpRequest], Caller]) -> None:
        super().__init__()
        self.rule = rule
        self.authenticate_bearer = authenticate_bearer

    def __call__(self, request: HttpRequest) -> Caller:
        caller = self.authenticate_bearer(request)
        if not self.rule(caller):
            raise NotAllowed
        request.caller = caller  # type: ignore[attr-defined]
        return caller

    def authenticate(self, request: HttpRequest, token: str) -> Caller:  # noqa: ARG002 - abstract in ninja
        return self(request)


class OptionalBearer:
    """A guest without a token, or somebody with a good one. A bad token is 401: its owner should learn of it, not become a guest."""

    def __init__(self, authenticate_bearer: Callable[[HttpRequest], Caller]) -> None:
        self.authenticate_bearer = authenticate_bearer

    def __call__(self, request: HttpRequest) -> Caller | str:
        if "HTTP_AUTHORIZATION" not in request.META:
            return "guest"
        caller = self.authenticate_bearer(request)
        request.caller = caller  # type: ignore[attr-defined]
        return caller


def bearer_token(request: HttpRequest) -> str:
    """The token of the Authorization header. Raises NotSignedIn without one, InvalidToken for another scheme."""
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        raise NotSignedIn
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise InvalidToken
    return str(token.strip())


def caller_of(request: HttpRequest) -> Caller:
    """Who calls an operation whose `auth` asks for somebody."""
    caller = caller_or_none(request)
    if caller is None:
        raise NotSignedIn
    return caller


def caller_or_none(request: HttpRequest) -> Caller | None:
    """Who calls an operation that guests may use too."""
    caller: Caller | None = getattr(request, "caller", None)
    return caller
