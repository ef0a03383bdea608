"""Orders as people see them."""

from datetime import date, datetime
from typing import Any

from django.db.models import Prefetch, QuerySet

from core.identity.callers import Caller
from core.money import as_text
from shop.orders.errors import OrderNotFound
from shop.orders.models import Order, OrderEvent, OrderItem
from tenants.refs import TenantRef
from tenants.scope import current_tenant

OPEN = (Order.Status.PENDING, Order.Status.CONFIRMED, Order.Status.PREPARING, Order.Status.READY)


def order_payload(order: Order) -> dict[str, Any]:
    """The order as the API answers it (shared contract "An order"); times in the cafeteria's zone. Reads `order.items`."""
    tenant = current_tenant()
    items = [
        {
            "id": item.pk,
            "product_id": item.product_id,
            "name": item.name,
            "quantity": item.quantity,
            "unit_price": as_text(item.unit_price, order.currency),
            "choices": item.choices,
            "subtotal": as_text(item.subtotal, order.currency),
            "notes": item.notes,
        }
        for item in order.items.all()
    ]
    return payload(
        tenant,
        items=items,
        **{name: getattr(order, name) for name in (*PLAIN, *AMOUNTS)},
        **{name: getattr(order, name) for name in ("pickup_at", "created_at", "updated_at")},
    )


PLAIN = ("id", "number", "business_date", "status", "payment_status", "channel", "currency", "notes", "table", "secret")
AMOUNTS = ("subtotal", "tip", "total", "paid", "refunded")


def payload(
    tenant: TenantRef,
    *,
    items: list[dict[str, Any]],
    pickup_at: datetime | None,
    created_at: datetime,
    updated_at: datetime,
    **plain: Any,
) -> dict[str, Any]:
    currency = plain["currency"]
    zone = tenant.zone
    return {
        "id": plain["id"],
        "number": plain["number"],
        "business_id": tenant.id,
        "business_date": plain["business_date"].isoformat(),
        "status": plain["status"],
        "payment_status": plain["payment_status"],
        "channel": plain["channel"],
        "items": items,
        "subtotal": as_text(plain["subtotal"], currency),
        "tip": as_text(plain["tip"], currency),
        "total": as_text(plain["total"], currency),
        "paid": as_text(plain["paid"], currency),
        "refunded": as_text(plain["refunded"], currency),
        "currency": currency,
        "notes": plain["notes"],
        "pickup_at": pickup_at.astimezone(zone).isoformat() if pickup_at else None,
        "table": plain["table"] or None,
        "secret": plain["secret"],
        "created_at": created_at.astimezone(zone).isoformat(),
        "updated_at": updated_at.astimezone(zone).isoformat(),
    }


def order_with_items(order_id: int, *, caller: Caller | None, secret: str = "") -> Order:
    """The order that this caller, or whoever holds its secret, may see; OrderNotFound for every other."""
    order = _visible(caller, secret).filter(pk=order_id).first()
    if order is None:
        raise OrderNotFound
    return order


def order_by_secret(secret: str) -> Order:
    """With items and events, for the tracking page; OrderNotFound."""
    events = Prefetch("events", OrderEvent.objects.order_by("id"))
    order = Order.objects.filter(secret=secret).prefetch_related("items", events).first() if secret else None
    if order is None:
        raise OrderNotFound
    return order


def orders_visible_to(caller: Caller, *, status: str = "", day: date | None = None) -> QuerySet[Order]:
    """A customer's own orders, or all of them for the staff, with items, newest first."""
    orders = _visible(caller, "").order_by("-id")
    if status:
        orders = orders.filter(status=status)
    if day is not None:
        orders = orders.filter(business_date=day)
    return orders


def orders_for_board() -> QuerySet[Order]:
    """What is still to be done, oldest first, with items and customer."""
    return (
        Order.objects.exclude(status__in=(Order.Status.COMPLETED, Order.Status.CANCELLED))
        .select_related("customer")
        .prefetch_related(Prefetch("items", OrderItem.objects.order_by("id")))
        .order_by("id")
    )


def _visible(caller: Caller | None, secret: str) -> QuerySet[Order]:
    orders = Order.objects.prefetch_related("items")
    if caller is not None and caller.is_staff:
        return orders
    if caller is not None and not secret:
        return orders.filter(customer_id=caller.id)
    return orders.filter(secret=secret) if secret else orders.none()


def has_orders() -> bool:
    """Whether the cafeteria ever had one: then its currency stays. Named in settings.CAFETERIA_HAS_ORDERS."""
    return Order.objects.exists()
