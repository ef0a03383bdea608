"""Signing up and in at one cafeteria, for API clients. Not scoped as a whole: passwords are hashed outside of the scope."""

from typing import Any, Literal

from django.http import HttpRequest
from ninja import Router

from core.http import errors, text
from core.identity.api import AccountOut, RegisterIn, add_sign_in_operations, register_account
from shop.people.doors import anyone, signed_in
from shop.people.realm import realm_of

router = Router(tags=["auth"])


class CustomerIn(RegisterIn):
    role: Literal["customer"] = "customer"
    phone: text(most=40) = ""  # type: ignore[valid-type]


@router.post("/auth/register", auth=anyone, response={201: AccountOut, **errors(400, 409, 413, 422, 429)})
def register(request: HttpRequest, body: CustomerIn) -> Any:
    """A new customer of this cafeteria."""
    return register_account(realm_of(request), request, body, role=body.role, phone=body.phone)


add_sign_in_operations(router, realm_of, signed_in)
