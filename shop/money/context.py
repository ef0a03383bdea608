"""What the staff's bar says of money, on every page."""

from functools import partial
from typing import Any

from django.http import HttpRequest

from core.identity.callers import MANAGERS
from shop.money.queries import waiting_count


def money(request: HttpRequest) -> dict[str, Any]:
    """`money_waits` is a callable: only a page of a manager or owner that shows it costs a query."""
    tenant, person = getattr(request, "tenant", None), getattr(request, "person", None)
    if tenant is None or person is None or person.role not in MANAGERS:
        return {}
    in_money = request.path.startswith(("/staff/money", "/staff/payments"))
    return {"sees_money": True, "in_money": in_money, "money_waits": partial(waiting_count, tenant.uuid)}
