"""Asking the payments' part of the API, as somebody of a cafeteria."""

from typing import Any

from tests.payments.till import Till
from tests.shop.orders.test_placing import place
from tests.world import Place


def order_of(where: Place, role: str | None = "customer", **more: Any) -> dict[str, Any]:
    """An order as the API answers it: a coffee at 1000.00."""
    body = where.order(**more) if role is not None else where.order(guest={"name": "Ana"}, **more)
    return dict(place(where, role, body).json())


def ask(where: Place, role: str | None, order: dict[str, Any], *, amount: Any = None, query: str = "", **headers: str) -> Any:
    """create-preference's answer."""
    body = {"order_id": order["id"], "amount": order["total"] if amount is None else amount}
    address = f"/api/v1/payments/create-preference{query}"
    return where.client(role).post(address, body, content_type="application/json", headers=headers)


def refund(where: Place, role: str | None, payment_id: str, body: Any = None, **headers: str) -> Any:
    more = {} if body is None else {"data": body}
    return where.client(role).post(f"/api/v1/payments/{payment_id}/refund", content_type="application/json", headers=headers, **more)


def read(where: Place, role: str | None, payment_id: str, query: str = "") -> Any:
    return where.client(role).get(f"/api/v1/payments/{payment_id}{query}")


def listed(where: Place, role: str | None, query: str = "") -> Any:
    return where.client(role).get(f"/api/v1/payments{query}")


def paid(till: Till, order: dict[str, Any]) -> tuple[str, str]:
    """The order, paid online by the API's own steps: (our id of the payment, Mercado Pago's)."""
    answer = ask(till.place, "owner", order).json()
    mp_id = str(till.emulator.pay(answer["preference_id"])["id"])
    till.told(mp_id)
    return answer["payment_id"], mp_id


def refund_requests(till: Till) -> int:
    """How often Mercado Pago was asked to give something back."""
    return sum(entry["method"] == "POST" and entry["path"].endswith("/refunds") for entry in till.emulator.entries("request"))
