"""Orders that money was paid for and that a restore has taken away, made again from the copy that the payment keeps."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from payments.ledger.data import LostOrder
from shop.menu.models import Category, Product
from shop.orders.models import Order, OrderEvent, OrderItem
from tenants.scope import current_tenant

Status = Order.Status
STILL_WAITED_FOR = timedelta(hours=2)  # An older order was handed over long ago.


def recreate_order(lost: LostOrder) -> int:
    """The number of the order of that key; if there is none it is made again: with its own id, number and lines.

    In the cafeteria's scope; tells nobody. Without a copy it has no lines. One of more than two hours ago counts as handed over.
    """
    existing = Order.objects.filter(secret=lost.key).first()
    if existing is not None:
        return existing.number
    copy = lost.copy
    now, made = timezone.now(), _moment(copy.get("created_at")) or lost.at
    done = Status.COMPLETED if now - made > STILL_WAITED_FOR else Status.CONFIRMED
    order = Order(
        id=lost.id if not Order.objects.filter(pk=lost.id).exists() else None,
        business_date=lost.business_date,
        number=_free_number(lost.business_date, lost.number),
        status=Status.CANCELLED if lost.cancelled else done,
        channel=copy.get("channel", Order.Channel.ONLINE),
        guest_name=str(copy.get("payer_name", ""))[:80],
        guest_email=str(copy.get("payer_email", ""))[:254],
        table=str(copy.get("table") or "")[:40],
        notes=copy.get("notes") or "",
        pickup_at=_moment(copy.get("pickup_at")),
        subtotal=Decimal(copy.get("subtotal", lost.total)),
        tip=Decimal(copy.get("tip", "0")),
        total=lost.total,
        currency=current_tenant().currency,
        secret=lost.key,
        created_at=made,
        updated_at=now,
    )
    order.save(force_insert=True)
    OrderItem.objects.bulk_create([_line(order, line) for line in copy.get("items", [])])
    OrderEvent.objects.create(order=order, at=made, kind="placed")
    OrderEvent.objects.create(order=order, at=now, kind="recreated", note="after a restore, from its payment")
    return order.number


def _line(order: Order, line: dict[str, Any]) -> OrderItem:
    product = Product.objects.filter(pk=line["product_id"]).first() or _archived(line)
    return OrderItem(
        order=order,
        product=product,
        name=line["name"][:120],
        quantity=line["quantity"],
        unit_price=Decimal(line["unit_price"]),
        choices=line.get("choices", []),
        subtotal=Decimal(line["subtotal"]),
        notes=(line.get("notes") or "")[:200],
    )


def _archived(line: dict[str, Any]) -> Product:
    """A product that came after the restored moment: kept out of the menu, for the sake of what was sold."""
    category = Category.objects.order_by("id").first() or Category.objects.create(name=line["name"][:60])
    return Product.objects.create(
        id=line["product_id"],
        category=category,
        name=line["name"][:120],
        price=Decimal(line["unit_price"]),
        is_available=False,
        archived_at=timezone.now(),
    )


def _free_number(business_date: date, number: int) -> int:
    """Its own, which nobody else should have: a restore never counts a day's numbers back."""
    if not Order.objects.filter(business_date=business_date, number=number).exists():
        return number
    newest: int = Order.objects.filter(business_date=business_date).order_by("-number").values_list("number", flat=True)[0]
    return newest + 1


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
