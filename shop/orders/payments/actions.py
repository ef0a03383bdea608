"""The orders' side of their money: what payments calls (settings.PAYMENT_ORDERS), and what a payment begins with."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from payments.ledger.data import OrderFacts
from shop.orders import actions
from shop.orders.models import Order, OrderEvent
from shop.orders.queries import order_payload
from tenants.pulse import bump_orders
from tenants.scope import current_tenant

TOLD = frozenset({"paid", "failed", "refunded", "partially_refunded", "review", "charged_back"})  # worth a line in its history


def lock_order(order_key: str) -> OrderFacts | None:
    """As OrderBook.lock_order says: locked until the transaction ends."""
    order = Order.objects.select_for_update(no_key=True).filter(secret=order_key).first()
    return facts_of(order) if order is not None else None


def note_payment(order_id: int, *, status: str, paid: Decimal, refunded: Decimal) -> None:
    """Keep what the ledger says of a locked order, and note the change; a paid order waits no longer."""
    order = Order.objects.get(pk=order_id)
    before = (order.payment_status, order.paid, order.refunded)
    if before == (status, paid, refunded):
        return
    order.payment_status, order.paid, order.refunded, order.updated_at = status, paid, refunded, timezone.now()
    if status == Order.PaymentStatus.PAID:
        order.pay_by = None
    order.save(update_fields=["payment_status", "paid", "refunded", "pay_by", "updated_at"])
    if status != before[0] and status in TOLD:
        OrderEvent.objects.create(order=order, at=order.updated_at, kind=status)
    bump_orders()


def cancel_unpaid(order_id: int) -> bool:
    return actions.cancel_unpaid(order_id=order_id)


def wait_for_payment(*, order_id: int, until: datetime) -> None:
    """The order, placed from the site, is not cooked before it is paid, and cancelled if it is not by then."""
    if Order.objects.filter(pk=order_id, status=Order.Status.PENDING, channel=Order.Channel.ONLINE).update(pay_by=until):
        bump_orders()


def take_now(*, order_id: int) -> None:
    """The order waits for no payment online any more: it will be paid at the counter."""
    if Order.objects.filter(pk=order_id, pay_by__isnull=False).update(pay_by=None):
        bump_orders()


def facts_of(order: Order, *, payer_email: str = "", payer_name: str = "", with_copy: bool = False) -> OrderFacts:
    """What payments needs of it; with a copy to be paid by and, one day, made again from. The copy reads `order.items`."""
    copy: dict[str, Any] = {}
    if with_copy:
        copy = order_payload(order) | {
            "payer_email": payer_email or order.guest_email,
            "payer_name": payer_name or order.guest_name,
            "statement": current_tenant().name,
        }
    return OrderFacts(
        id=order.pk,
        key=order.secret,
        number=order.number,
        business_date=order.business_date,
        total=order.total,
        currency=order.currency,
        cancelled=order.status == Order.Status.CANCELLED,
        copy=copy,
    )
