"""Merchant orders: what the payments of one preference add up to."""

from decimal import Decimal
from typing import Any

from deploy.mercadopago.clock import SECOND, stamp
from deploy.mercadopago.emulator import Emulator
from deploy.mercadopago.errors import not_found
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.paging import paged, read_paging
from deploy.mercadopago.preferences import total_of
from deploy.mercadopago.sites import as_decimal, as_number
from deploy.mercadopago.store import Document


def merchant_order_of(emulator: Emulator, preference: Document) -> Document:
    """The preference's, made when it is first asked for. Within a transaction."""
    if found := emulator.store.select("merchant_order", {"parent": preference.id}):
        return found[0]
    now, body = emulator.clock.now(), preference.body
    number = emulator.store.next_number("merchant_order", first=now // SECOND * 10)
    shown = {"id": number, "preference_id": preference.id, "site_id": body["site_id"], "collector": {"id": preference.owner}}
    shown |= {"date_created": stamp(now), "last_updated": stamp(now), "external_reference": body.get("external_reference")}
    shown |= {"items": body["items"], "notification_url": body.get("notification_url"), "total_amount": as_number(total_of(preference))}
    shown |= {"shipping_cost": 0, "shipments": [], "cancelled": False, "marketplace": "NONE", "is_test": False}
    order = Document(
        kind="merchant_order", id=str(number), owner=preference.owner, parent=preference.id, created=now, updated=now, body=shown
    )
    order.reference = body.get("external_reference")
    update_merchant_order(emulator, order)
    return order


def update_merchant_order(emulator: Emulator, order: Document) -> None:
    """Adds its payments up anew. Within a transaction."""
    own = emulator.store.select("payment", {"parent": order.parent})
    paid = sum((as_decimal(p.body["transaction_amount"]) for p in own if p.approved and p.status != "charged_back"), Decimal(0))
    returned = sum((as_decimal(p.body["transaction_amount_refunded"]) for p in own), Decimal(0))
    total = as_decimal(order.body["total_amount"])
    order.updated = max(emulator.clock.now(), (order.updated or 0) + 1)
    order.status = "closed" if paid >= total else "opened"
    order.body |= {"payments": [_line(payment) for payment in own], "paid_amount": as_number(paid), "refunded_amount": as_number(returned)}
    order.body |= {"status": order.status, "order_status": _order_status(paid, returned, total), "last_updated": stamp(order.updated)}
    emulator.store.save(order)


def show_merchant_order(emulator: Emulator, request: Request, identifier: str) -> Response:
    order = emulator.store.find("merchant_order", identifier)
    if order is None or order.owner != request.owner_id:
        raise not_found("Merchant order not found")
    return answer(order.public())


def search_merchant_orders(emulator: Emulator, request: Request) -> Response:
    conditions: dict[str, Any] = {"owner": request.owner_id}
    for name, column in {"external_reference": "reference", "preference_id": "parent", "status": "status"}.items():
        if name in request.query:
            conditions[column] = request.query[name]
    paging = read_paging(request.query)
    found = emulator.store.select("merchant_order", conditions, descending=True, limit=paging.limit, offset=paging.offset)
    total = emulator.store.count("merchant_order", conditions)
    shown = [order.public() for order in found]
    return answer({"elements": shown, "next_offset": paging.offset + len(shown), "total": total, **paged(paging, total)})


def _line(payment: Document) -> dict[str, Any]:
    names = ("id", "transaction_amount", "currency_id", "status", "status_detail", "operation_type", "date_approved", "date_created")
    line = {name: payment.body[name] for name in names}
    line |= {"total_paid_amount": payment.body["transaction_details"]["total_paid_amount"], "shipping_cost": 0}
    return {**line, "last_modified": payment.body["date_last_updated"], "amount_refunded": payment.body["transaction_amount_refunded"]}


def _order_status(paid: Decimal, returned: Decimal, total: Decimal) -> str:
    if paid and returned:
        return "reverted" if returned >= paid else "partially_reverted"
    if paid >= total:
        return "paid"
    return "partially_paid" if paid else "payment_required"
