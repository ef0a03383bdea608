"""What every page's template can read."""

from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language

from core.design.brands import BRANDS, DEFAULT_BRAND
from core.flash import take_flashes


def page(request: HttpRequest) -> dict[str, Any]:
    """Nothing here costs a query. `flashes` is a callable: only a template that shows them takes them from the session."""
    tenant = getattr(request, "tenant", None)
    return {
        "csp_nonce": getattr(request, "csp_nonce", ""),
        "language": (get_language() or "es")[:2],
        "cafeteria": tenant,
        "brand": BRANDS.get(getattr(tenant, "brand", ""), BRANDS[DEFAULT_BRAND]),
        "copied": getattr(request, "copied", ""),  # what a copy of a cafeteria says of itself
        "person": getattr(request, "person", None),
        "mail_enabled": settings.MAIL_ENABLED,
        "flashes": partial(take_flashes, request),
    }
