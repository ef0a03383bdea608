"""What the staff's bar says of the platform's support, on every page."""

from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from accounts.support import owner_name, support_until
from core.identity.callers import Caller
from tenants.routing import platform_url


def support(request: HttpRequest) -> dict[str, Any]:
    """When the owner's consent ends, for the support itself, at no query; `support_allowed` is a callable, for the owner and managers.

    The owner gets the address where it is ended, a manager the callable that says whom to ask.
    """
    tenant, person = getattr(request, "tenant", None), getattr(request, "person", None)
    if tenant is None or not isinstance(person, Caller) or not person.is_manager:
        return {}
    if person.support_until is not None:
        return {"support_here": person.support_until}
    allowed = {"sees_support": True, "support_allowed": partial(support_until, tenant.id)}
    if person.role == "owner":
        home = reverse("home", urlconf=settings.PUBLIC_URLCONF)
        return {**allowed, "support_end_url": f"{platform_url()}{home}#support-{tenant.id}"}
    return {**allowed, "support_owner": partial(owner_name, tenant.id)}
