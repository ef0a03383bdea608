"""What the staff's bar says of the platform's support, on every page."""

from functools import partial
from typing import Any

from django.http import HttpRequest

from accounts.support import support_until
from core.identity.callers import Caller


def support(request: HttpRequest) -> dict[str, Any]:
    """When the owner's consent ends, for the support itself, at no query; `support_allowed` is a callable, for the owner and managers."""
    tenant, person = getattr(request, "tenant", None), getattr(request, "person", None)
    if tenant is None or not isinstance(person, Caller) or not person.is_manager:
        return {}
    if person.support_until is not None:
        return {"support_here": person.support_until}
    return {"sees_support": True, "support_allowed": partial(support_until, tenant.id)}
