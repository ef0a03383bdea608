"""Every change of an order. The rules of who may call what are the doors'; the rules of what can happen are here."""

import secrets
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
from payments.ledger.data import Actor
from payments.ledger.refunds import release_order, was_taken_at_counter
from shop.menu.models import Product
from shop.orders import sql
from shop.orders.data import PICKUP_DAYS_AHEAD, Guest, Key, NewLine, NewOrder, PlacedOrder, PricedLine, ProductRow
from shop.orders.errors import (
    AmountTooLarge,
    CannotCancel,
    CannotCancelPaid,
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
from shop.orders.queries import order_payload, payload
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
NOTHING = Decimal(0)
PICKUP_GRACE = timedelta(minutes=5)  # a form filled in slowly
UNPAID = "unpaid"  # the note of a cancellation for want of a payment


def place_order(*, order: NewOrder, caller: Caller | None, idempotency_key: str = "", fingerprint: str = "") -> PlacedOrder:
    """Places an order at the menu's present prices, takes its stock and gives it the business day's next number: all of it or nothing.

    With an idempotency key, the same caller's second call gets the first answer and places nothing; another `fingerprint` (of the request)
    under the same key raises IdempotencyConflict. Charges nothing. Raises the errors of shop.orders.errors, after which the scope's
    transaction can only be rolled back: show the error from another scope.
    """
    tenant, now = current_tenant(), timezone.now()
    key = Key(caller=_key_owner(caller), key=idempotency_key, fingerprint=fingerprint) if idempotency_key else None
    with transaction.atomic(savepoint=False):
        products, earlier = _read(order.lines, key)
        if key is not None and earlier is not None:
            return _first_answer(key)
        _check(order, caller, tenant, now)
        lines = [_priced(line, products.get(line.product_id), tenant.currency) for line in order.lines]
        placed = _insert(order, lines, caller, now, key)
        if placed is None and key is not None:
            answer = _first_answer(key)  # A twin was faster. What this one has written is undone.
            transaction.set_rollback(True)
            return answer
    assert placed is not None
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

    `actor` is None for a guest who holds the order's secret. Raises CannotCancel, OrderNotFound; CannotCancelPaid when a customer has paid
    at the counter, where only the staff can give the money back.
    """
    with transaction.atomic():
        order = _locked(order_id)
        staff = actor is not None and actor.is_staff
        if not staff and actor is not None and order.customer_id != actor.id:
            raise OrderNotFound
        if Status.CANCELLED not in TRANSITIONS[order.status] or not (staff or order.status == Status.PENDING):
            raise CannotCancel(status=order.status)
        if not staff and order.paid > 0 and was_taken_at_counter(cafeteria_uuid=current_tenant().uuid, order_key=order.secret):
            raise CannotCancelPaid
        return _move(order, Status.CANCELLED, actor)


def cancel_again(*, order_id: int) -> None:
    """Cancels an order that was cancelled before a restore brought it back. What its money did since then is not done twice."""
    with transaction.atomic():
        order = _locked(order_id)
        if Status.CANCELLED in TRANSITIONS[order.status]:
            _move(order, Status.CANCELLED, None, note="as before the restore")


def cancel_unpaid(*, order_id: int) -> bool:
    """Cancels an order that waited for its payment online in vain; False, and nothing, when somebody has taken it up."""
    with transaction.atomic():
        order = _locked(order_id)
        if order.status != Status.PENDING or order.pay_by is None:
            return False
        _move(order, Status.CANCELLED, None, note=UNPAID)
    return True


def _locked(order_id: int) -> Order:
    order = Order.objects.select_for_update(no_key=True).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound
    return order


def _move(order: Order, status: str, actor: Caller | None, note: str = "") -> Order:
    before, order.status, order.updated_at, order.pay_by = order.status, status, timezone.now(), None
    order.save(update_fields=["status", "updated_at", "pay_by"])
    OrderEvent.objects.create(
        order=order, at=order.updated_at, kind=status, before=before, actor_id=actor.id if actor is not None else None, note=note
    )
    # The products before the money, and the pulse last: whoever places an order locks them in this order too.
    given_back = status == Status.CANCELLED and _give_stock_back(order)
    if status == Status.CANCELLED:
        who = Actor(person_id=actor.id, label=actor.email) if actor is not None else Actor()
        release_order(cafeteria_uuid=current_tenant().uuid, order_key=order.secret, actor=who)
    if given_back:
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


def _key_owner(caller: Caller | None) -> str:
    return "guest" if caller is None else f"person:{caller.id}"


def _read(lines: tuple[NewLine, ...], key: Key | None) -> tuple[dict[int, ProductRow], int | None]:
    """(the lines' products by id, the id of the order that the key has placed already)."""
    facts: dict[str, Any] = {"products": list({line.product_id for line in lines})}
    if key is not None:
        facts |= {"caller": key.caller, "key": key.key}
    with connection.cursor() as cursor:
        (sql.READ_PRODUCTS if key is None else sql.READ_PRODUCTS_AND_KEY).run(cursor, facts)
        rows = cursor.fetchall()
    return {row[0]: ProductRow(*row[1:7]) for row in rows}, rows[0][7] if rows else None


def _first_answer(key: Key) -> PlacedOrder:
    """What the key's order was answered with. Whatever may have changed since is answered as it was."""
    with connection.cursor() as cursor:
        cursor.execute(sql.READ_KEY, {"caller": key.caller, "key": key.key})
        fingerprint, order_id = cursor.fetchone()
    if fingerprint != key.fingerprint:
        raise IdempotencyConflict
    order = Order.objects.prefetch_related("items").get(pk=order_id)
    order.status, order.payment_status, order.updated_at = Status.PENDING, _first_payment_status(order.total), order.created_at
    order.paid = order.refunded = NOTHING
    return PlacedOrder(id=order.pk, number=order.number, secret=order.secret, body=orjson.dumps(order_payload(order)), replayed=True)


def _priced(line: NewLine, product: ProductRow | None, currency: str) -> PricedLine:
    """The line at the menu's price. Raises for whatever cannot be sold."""
    if product is None or product.archived:
        raise ProductNotFound(product_id=line.product_id)
    if not product.available:
        raise ItemSoldOut(name=product.name)
    choices, extra = _chosen(product, line.choices, currency)
    price = quantize(product.price + extra, currency)
    return PricedLine(line=line, name=product.name, unit_price=price, choices=choices, counted=product.counted)


def _chosen(product: ProductRow, wanted: tuple[int, ...], currency: str) -> tuple[list[dict[str, object]], Decimal]:
    left, chosen, extra = set(wanted), [], Decimal(0)
    for group, minimum, maximum, choices in product.groups or []:
        picked = [choice for choice in choices or [] if choice[0] in left and choice[3]]
        if not minimum <= len(picked) <= maximum:
            raise InvalidChoices(name=product.name, group=group, minimum=minimum, maximum=maximum)
        for choice_id, choice_name, delta, _ in picked:
            left.discard(choice_id)
            extra += Decimal(delta)
            chosen.append({"id": choice_id, "group": group, "name": choice_name, "price_delta": as_text(Decimal(delta), currency)})
    if left or len(set(wanted)) != len(wanted):
        raise UnknownChoice(name=product.name, choice_id=min(left or set(wanted)))
    return chosen, extra


def _insert(order: NewOrder, lines: list[PricedLine], caller: Caller | None, now: datetime, key: Key | None) -> PlacedOrder | None:
    """The order with its stock and number, in one statement; None when the key was taken in the meantime. Raises OutOfStock."""
    tenant = current_tenant()
    row = _order_row(order, lines, caller, now)
    wanted = _counted(lines)
    facts = {**row, **_item_columns(lines), "now": now, "cafeteria": tenant.id, "menu_changes": int(bool(wanted))}
    facts |= {"counted_products": list(wanted), "counted_quantities": list(wanted.values())}
    if key is not None:
        facts |= {"caller": key.caller, "key": key.key, "fingerprint": key.fingerprint}
    with connection.cursor() as cursor:
        sql.PLACING[bool(wanted), key is not None].run(cursor, facts)
        order_id, number, item_ids, taken, key_was_free = cursor.fetchone()
    if not key_was_free:
        return None
    if wanted and len(taken) < len(wanted):
        raise _shortage(set(wanted) - set(taken))
    items = [_item_payload(item_id, line, tenant.currency) for item_id, line in zip(item_ids, lines, strict=True)]
    facts = {"id": order_id, "number": number, "business_date": row["day"], "paid": NOTHING, "refunded": NOTHING, **row}
    body = payload(tenant, items=items, created_at=now, updated_at=now, **facts)
    return PlacedOrder(id=order_id, number=number, secret=row["secret"], body=orjson.dumps(body))


def _order_row(order: NewOrder, lines: list[PricedLine], caller: Caller | None, now: datetime) -> dict[str, Any]:
    tenant = current_tenant()
    subtotal = sum((line.subtotal for line in lines), Decimal(0))
    if subtotal + order.tip > LARGEST:
        raise AmountTooLarge
    staff = caller is not None and caller.is_staff
    guest = order.guest or Guest(name="")
    total = quantize(subtotal + order.tip, tenant.currency)
    return {
        "day": business_date(now, zone=tenant.zone, cutoff=tenant.day_cutoff),
        "status": Status.PENDING.value,
        "payment_status": _first_payment_status(total),
        "channel": (Order.Channel.COUNTER if staff else Order.Channel.ONLINE).value,
        "customer": caller.id if caller is not None and not staff else None,
        "placed_by": caller.id if caller is not None and staff else None,
        "actor": caller.id if caller is not None else None,
        "guest_name": guest.name,
        "guest_phone": guest.phone,
        "guest_email": guest.email,
        "table": order.table,
        "notes": order.notes,
        "pickup_at": order.pickup_at,
        "subtotal": subtotal,
        "tip": quantize(order.tip, tenant.currency),
        "total": total,
        "currency": tenant.currency,
        "secret": secrets.token_urlsafe(16),
    }


def _first_payment_status(total: Decimal) -> str:
    """Of an order that is free nothing is due: it is paid from the first."""
    return (Order.PaymentStatus.PENDING if total else Order.PaymentStatus.PAID).value


def _counted(lines: list[PricedLine]) -> dict[int, int]:
    """How many of each product whose stock is counted."""
    wanted: dict[int, int] = {}
    for line in lines:
        if line.counted:
            wanted[line.line.product_id] = wanted.get(line.line.product_id, 0) + line.line.quantity
    return wanted


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


def _item_columns(lines: list[PricedLine]) -> dict[str, list[Any]]:
    return {
        "products": [line.line.product_id for line in lines],
        "names": [line.name for line in lines],
        "quantities": [line.line.quantity for line in lines],
        "prices": [line.unit_price for line in lines],
        "choices": [orjson.dumps(line.choices).decode() for line in lines],
        "subtotals": [line.subtotal for line in lines],
        "item_notes": [line.line.notes for line in lines],
        "counted": [line.counted for line in lines],
    }
