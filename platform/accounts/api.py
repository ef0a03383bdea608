"""Signing up and in on the platform, for API clients."""

from typing import Any, Literal

from django.http import HttpRequest
from ninja import Router

from accounts.doors import anyone, own_sign_in
from accounts.realm import platform_realm
from core.http import errors
from core.identity.api import AccountOut, RegisterIn, add_sign_in_operations, register_account

router = Router(tags=["auth"])


class OwnerIn(RegisterIn):
    role: Literal["owner"] = "owner"


@router.post("/auth/register", auth=anyone, response={201: AccountOut, **errors(400, 409, 413, 422, 429)})
def register(request: HttpRequest, body: OwnerIn) -> Any:
    """A new owner, who may then open cafeterias."""
    return register_account(platform_realm, request, body, role=body.role)


add_sign_in_operations(router, lambda _: platform_realm, own_sign_in)
