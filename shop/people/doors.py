"""The doors of a cafeteria's host.

    @cafeteria_page(access="staff")                       # a page, in the cafeteria's scope
    @cafeteria_page(access="anyone", scope=False)         # one that hashes passwords or calls outside: it opens short scopes itself
    @router.get("/x", auth=manager)                       # an operation; caller_of(request) says who

Each access includes those who stand higher: the owner passes every door.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, Literal

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.support import supporter
from core.audit.actions import record
from core.doors import Bearer, Door, OptionalBearer, Rule, View, anyone, bearer_token, check_page, declared, refusal
from core.errors import AppError
from core.identity.callers import MANAGERS, STAFF, Caller, Claims, find_caller
from core.identity.errors import InvalidToken
from core.sessions import remembered
from core.tokens import read_access
from shop.people.models import Person, PersonSession
from tenants.scope import current_tenant, current_tenant_or_none, request_scope

type Access = Literal["anyone", "customer", "staff", "kitchen", "cashier", "manager", "owner"]

RULES: dict[str, Rule] = {
    "customer": lambda _: True,
    "staff": lambda caller: caller.role in STAFF,
    "kitchen": lambda caller: caller.role in MANAGERS | {"kitchen"},
    "cashier": lambda caller: caller.role in MANAGERS | {"cashier"},
    "manager": lambda caller: caller.role in MANAGERS,
    "owner": lambda caller: caller.role == "owner",
}


def cafeteria_page(*, access: Access, scope: bool = True) -> Callable[[View], Door]:
    """Whoever is signed in is `request.person`; others are sent to sign in, or get a page that says they may not.

    With `scope`, view and template run in the cafeteria's scope, and an answer of 400 or more rolls back what was done in it.
    Without, only the person is read in one; a suspended or closed cafeteria is refused either way.
    """

    def decorate(view: View) -> Door:
        @wraps(view)
        def door(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                with request_scope(request):
                    load_person(request)
                    check_page(request, RULES.get(access))
                    if scope:
                        return _answer(view, request, *args, **kwargs)
                return view(request, *args, **kwargs)
            except AppError as error:
                return refusal(request, error)

        return declared(door, access)

    return decorate


def _answer(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    response = view(request, *args, **kwargs)
    render = getattr(response, "render", None)
    if callable(render):
        response = render()  # A TemplateResponse reads rows too.
    if response.status_code >= 400:
        transaction.set_rollback(True)
    return response


def load_person(request: HttpRequest) -> None:
    """Inside the scope."""
    claims = remembered(request)
    request.person = _holder(request, claims) if claims else None  # type: ignore[attr-defined]


def authenticate_bearer(request: HttpRequest) -> Caller:
    """The person of the request's access token: one query. Raises NotSignedIn without one, InvalidToken for one that does not hold here.

    Inside a scope it uses that; outside it opens one.
    """
    token = bearer_token(request)
    if current_tenant_or_none() is None:
        with request_scope(request):
            return _bearer(request, token)
    return _bearer(request, token)


def _bearer(request: HttpRequest, token: str) -> Caller:
    claims = read_access(request.tenant.audience, token)  # type: ignore[attr-defined]
    caller = _holder(request, claims)
    if caller is None:
        raise InvalidToken
    return caller


def _holder(request: HttpRequest, claims: Claims) -> Caller | None:
    """Whose sign-in it is. The support's holds while the owner's consent does, and whatever it sends is audited, with what it does."""
    caller = find_caller("person", Person, PersonSession, claims)
    if caller is None or not caller.is_support:
        return caller
    tenant = current_tenant()
    admin = supporter(user_id=caller.platform_user_id or 0, cafeteria_id=tenant.id)
    if admin is None:
        return None
    caller = replace(caller, email=admin.email, support_until=admin.until)
    if request.method not in {"GET", "HEAD", "OPTIONS"}:
        record("support.acted", actor=caller, cafeteria_uuid=tenant.uuid, target=request.path[:120], method=request.method)
    return caller


signed_in = Bearer(RULES["customer"], authenticate_bearer)
staff = Bearer(RULES["staff"], authenticate_bearer)
cashier = Bearer(RULES["cashier"], authenticate_bearer)
manager = Bearer(RULES["manager"], authenticate_bearer)
owner = Bearer(RULES["owner"], authenticate_bearer)
guest_or_signed_in = OptionalBearer(authenticate_bearer)

__all__ = [
    "anyone",
    "authenticate_bearer",
    "cafeteria_page",
    "cashier",
    "guest_or_signed_in",
    "manager",
    "owner",
    "signed_in",
    "staff",
]
