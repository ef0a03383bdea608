"""Every change of an order. The rules of who may call what are the doors'; the rules of what can happen are here."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.db import connection, transaction
from django.utils import timezone

from core.business_day import business_date
from core.errors import IdempotencyConflict
from core.identity.callers import Caller
from core.metrics import ORDERS
from core.money import LARGEST, as_text, is_exact, quantize
from shop.menu.models import Product
from shop.orders import sql
from shop.orders.data import PICKUP_DAYS_AHEAD, NewLine, NewOrder, PlacedOrder, PricedLine
from shop.orders.errors import (
    AmountTooLarge,
    CannotCancel,
    InvalidChoices,
    InvalidPickupTime,
    InvalidTip,
    InvalidTransition,
    ItemSoldOut,
    OrderNotFound,
    OrdersPaused,
    OutOfStock,
    ProductNotFound,
    UnknownChoice,
)
from shop.orders.models import Order, OrderEvent
from shop.orders.queries import payload
from tenants.pulse import bump_menu_and_orders, bump_orders
from tenants.refs import TenantRef
from tenants.scope import current_tenant

Status = Order.Status
TRANSITIONS: dict[str, frozenset[str]] = {
    Status.PENDING: frozenset({Status.CONFIRMED, Status.CANCELLED}),
    Status.CONFIRMED: frozenset({Status.PREPARING, Status.READY, Status.COMPLETED, Status.CANCELLED}),
    Status.PREPARING: frozenset({Status.READY, Status.CANCELLED}),
    Status.READY: frozenset({Status.COMPLETED, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}
PICKUP_GRACE = timedelta(minutes=5)  # a form filled in slowly


def place_order(*, order: NewOrder, caller: Caller | None, idempotency_key: str = "", fingerprint: str = "") -> PlacedOrder:
    """Places an order at the menu's present prices, takes its stock and gives it the business day's next number: all of it or nothing.

    With an idempotency key, the same caller's second call gets the first answer and places nothing; another `fingerprint` (of the request)
    under the same key raises IdempotencyConflict. Charges nothing. Raises the errors of shop.orders.errors, after which the scope's
    transaction can only be rolled back: show the error from another scope.
    """
    with transaction.atomic(savepoint=False):
        tenant, now = current_tenant(), timezone.now()
        _check(order, caller, tenant, now)
        key_id = None
        if idempotency_key:
            key_id = _claim_key(caller, idempotency_key, fingerprint, now)
            if key_id is None:
                return _first_answer(caller, idempotency_key, fingerprint)
        placed = _insert_order(order, caller, tenant, now, key_id, _priced(order.lines, tenant.currency))
    ORDERS.labels("counter" if caller is not None and caller.is_staff else "online").inc()
    return placed


def change_status(*, order_id: int, status: str, actor: Caller) -> Order:
    """Moves an order along the state machine, notes who did; cancelling gives its stock back. Raises InvalidTransition, OrderNotFound."""
    with transaction.atomic():
        order = _locked(order_id)
        if status not in TRANSITIONS[order.status]:
            raise InvalidTransition(before=order.status, after=status)
        return _move(order, status, actor)


def cancel_order(*, order_id: int, actor: Caller | None) -> Order:
    """Cancels an order and gives its stock back. The staff may until it is handed over, its customer while nobody has taken it up.

    `actor` is None for a guest who holds the order's secret. Raises CannotCancel, OrderNotFound.
    """
    with transaction.atomic():
        order = _locked(order_id)
        staff = actor is not None and actor.is_staff
        if not staff and actor is not None and order.customer_id != actor.id:
            raise OrderNotFound
        if Status.CANCELLED not in TRANSITIONS[order.status] or not (staff or order.status == Status.PENDING):
            raise CannotCancel(status=order.status)
        return _move(order, Status.CANCELLED, actor)


def _locked(order_id: int) -> Order:
    order = Order.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound
    return order


def _move(order: Order, status: str, actor: Caller | None) -> Order:
    before, order.status, order.updated_at = order.status, status, timezone.now()
    order.save(update_fields=["status", "updated_at"])
    OrderEvent.objects.create(
        order=order, at=order.updated_at, kind=status, before=before, actor_id=actor.id if actor is not None else None
    )
    if status == Status.CANCELLED and _give_stock_back(order):
        bump_menu_and_orders()
    else:
        bump_orders()
    return order


def _give_stock_back(order: Order) -> bool:
    quantities: dict[int, int] = {}
    for item in order.items.filter(stock_taken=True):
        quantities[item.product_id] = quantities.get(item.product_id, 0) + item.quantity
    if not quantities:
        return False
    with connection.cursor() as cursor:
        cursor.execute(sql.GIVE_BACK, {"products": list(quantities), "quantities": list(quantities.values())})
    return True


def _check(order: NewOrder, caller: Caller | None, tenant: TenantRef, now: datetime) -> None:
    if not tenant.accepts_orders and not (caller is not None and caller.is_staff):
        raise OrdersPaused
    if not is_exact(order.tip, tenant.currency):
        raise InvalidTip(currency=tenant.currency)
    if order.pickup_at is not None and not now - PICKUP_GRACE <= order.pickup_at <= now + timedelta(days=PICKUP_DAYS_AHEAD):
        raise InvalidPickupTime(days=PICKUP_DAYS_AHEAD)


def _claim_key(caller: Caller | None, key: str, fingerprint: str, now: datetime) -> int | None:
    """The id of the row that this request now owns, or None when the key has an answer. Waits for a twin that is still at work."""
    with connection.cursor() as cursor:
        cursor.execute(sql.CLAIM_KEY, (_key_owner(caller), key, fingerprint, now))
        row = cursor.fetchone()
    return row[0] if row else None


def _key_owner(caller: Caller | None) -> str:
    return "guest" if caller is None else f"person:{caller.id}"


def _first_answer(caller: Caller | None, key: str, fingerprint: str) -> PlacedOrder:
    with connection.cursor() as cursor:
        cursor.execute(sql.READ_KEY, (_key_owner(caller), key))
        known_fingerprint, answer = cursor.fetchone()
    if known_fingerprint != fingerprint:
        raise IdempotencyConflict
    body = orjson.loads(answer)
    return PlacedOrder(id=body["id"], number=body["number"], secret=body["secret"], body=answer.encode(), replayed=True)


def _priced(lines: Iterable[NewLine], currency: str) -> list[PricedLine]:
    """The lines at the menu's prices. Raises for whatever cannot be sold."""
    lines = list(lines)
    with connection.cursor() as cursor:
        cursor.execute(sql.READ_PRODUCTS, (list({line.product_id for line in lines}),))
        products = {row[0]: row for row in cursor.fetchall()}
    priced = []
    for line in lines:
        row = products.get(line.product_id)
        if row is None or row[5]:
            raise ProductNotFound(product_id=line.product_id)
        _, name, price, counted, available, _, groups = row
        if not available:
            raise ItemSoldOut(name=name)
        choices, extra = _chosen(name, line.choices, groups or [], currency)
        priced.append(PricedLine(line=line, name=name, unit_price=quantize(price + extra, currency), choices=choices, counted=counted))
    return priced


def _chosen(name: str, wanted: tuple[int, ...], groups: list[Any], currency: str) -> tuple[list[dict[str, object]], Decimal]:
    left, chosen, extra = set(wanted), [], Decimal(0)
    for group, minimum, maximum, choices in groups:
        picked = [choice for choice in choices or [] if choice[0] in left and choice[3]]
        if not minimum <= len(picked) <= maximum:
            raise InvalidChoices(name=name, group=group, minimum=minimum, maximum=maximum)
        for choice_id, choice_name, delta, _ in picked:
            left.discard(choice_id)
            extra += Decimal(delta)
            chosen.append({"id": choice_id, "group": group, "name": choice_name, "price_delta": as_text(Decimal(delta), currency)})
    if left or len(set(wanted)) != len(wanted):
        raise UnknownChoice(name=name, choice_id=min(left or set(wanted)))
    return chosen, extra


def _insert_order(
    order: NewOrder, caller: Caller | None, tenant: TenantRef, now: datetime, key_id: int | None, lines: list[PricedLine]
) -> PlacedOrder:
    day = business_date(now, zone=tenant.zone, cutoff=tenant.day_cutoff)
    subtotal = sum((line.subtotal for line in lines), Decimal(0))
    if subtotal + order.tip > LARGEST:
        raise AmountTooLarge
    number, order_id, item_ids = _take_stock_and_number(lines, day)
    staff = caller is not None and caller.is_staff
    row: dict[str, Any] = {
        "id": order_id,
        "business_date": day,
        "number": number,
        "status": Status.PENDING.value,
        "payment_status": Order.PaymentStatus.PENDING.value,
        "channel": (Order.Channel.COUNTER if staff else Order.Channel.ONLINE).value,
        "currency": tenant.currency,
        "notes": order.notes,
        "table": order.table,
        "secret": secrets.token_urlsafe(16),
        "subtotal": subtotal,
        "tip": quantize(order.tip, tenant.currency),
        "total": quantize(subtotal + order.tip, tenant.currency),
        "pickup_at": order.pickup_at,
    }
    items = [_item_payload(item_id, line, tenant.currency) for item_id, line in zip(item_ids, lines, strict=True)]
    body = orjson.dumps(payload(tenant, items=items, created_at=now, updated_at=now, **row))
    guest = order.guest
    with connection.cursor() as cursor:
        cursor.execute(
            sql.INSERT,
            {
                **row,
                **_item_columns(item_ids, lines),
                "day": day,
                "now": now,
                "customer": None if staff or caller is None else caller.id,
                "placed_by": caller.id if staff and caller is not None else None,
                "actor": caller.id if caller is not None else None,
                "guest_name": guest.name if guest else "",
                "guest_phone": guest.phone if guest else "",
                "guest_email": guest.email if guest else "",
                "answer": body.decode(),
                "key_id": key_id,
                "menu_changes": int(any(line.counted for line in lines)),
                "cafeteria": tenant.id,
            },
        )
    return PlacedOrder(id=order_id, number=number, secret=row["secret"], body=body)


def _take_stock_and_number(lines: list[PricedLine], day: Any) -> tuple[int, int, list[int]]:
    """(the day's next number, the order's id, its items' ids), with the counted stock taken. Raises OutOfStock."""
    wanted: dict[int, int] = {}
    for line in lines:
        if line.counted:
            wanted[line.line.product_id] = wanted.get(line.line.product_id, 0) + line.line.quantity
    facts = {"day": day, "lines": len(lines), "products": list(wanted), "quantities": list(wanted.values())}
    with connection.cursor() as cursor:
        cursor.execute(sql.TAKE_STOCK_AND_NUMBER if wanted else sql.NUMBER, facts)
        number, order_id, item_ids, taken = cursor.fetchone()
    if wanted and len(taken) < len(wanted):
        raise _shortage(set(wanted) - set(taken))
    return number, order_id, item_ids


def _shortage(product_ids: set[int]) -> OutOfStock:
    name, left = Product.objects.filter(pk=min(product_ids)).values_list("name", "stock").get()
    return OutOfStock(name=name, left=left or 0)


def _item_payload(item_id: int, line: PricedLine, currency: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "product_id": line.line.product_id,
        "name": line.name,
        "quantity": line.line.quantity,
        "unit_price": as_text(line.unit_price, currency),
        "choices": line.choices,
        "subtotal": as_text(line.subtotal, currency),
        "notes": line.line.notes,
    }


def _item_columns(item_ids: list[int], lines: list[PricedLine]) -> dict[str, list[Any]]:
    return {
        "item_ids": item_ids,
        "products": [line.line.product_id for line in lines],
        "names": [line.name for line in lines],
        "quantities": [line.line.quantity for line in lines],
        "prices": [line.unit_price for line in lines],
        "choices": [orjson.dumps(line.choices).decode() for line in lines],
        "subtotals": [line.subtotal for line in lines],
        "item_notes": [line.line.notes for line in lines],
        "counted": [line.counted for line in lines],
    }
