"""The orders' side of their money: what payments calls (settings.PAYMENT_ORDERS), and what a payment begins with."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.utils import timezone

from core.errors import AppError, IdempotencyConflict
from core.identity.callers import Caller
from payments.ledger.actions import start_payment
from payments.ledger.data import Actor, LostOrder, OrderFacts
from payments.ledger.models import Method, Payment, Refund
from payments.ledger.sending import send_refund
from shop.orders import actions
from shop.orders.data import Key
from shop.orders.models import IdempotencyKey, Order, OrderEvent
from shop.orders.payments import recreating
from shop.orders.queries import order_payload
from tenants.pulse import bump_orders
from tenants.scope import current_tenant

log = structlog.get_logger()
COPIED = "copied"  # the note of a cancellation because its payment is the original's
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


def cancel_again(order_id: int) -> None:
    actions.cancel_again(order_id=order_id)


def recreate_order(lost: LostOrder) -> int:
    return recreating.recreate_order(lost)


def part_copied_orders(*, with_staff: bool) -> None:  # noqa: ARG001 - every hook of a copy is told
    """In a copy of a cafeteria: no order is found by what the original's are known by, to payments and to customers, and none waits for
    a payment that cannot come. What it says was paid stays. settings.CAFETERIA_COPIED names this.
    """
    IdempotencyKey.objects.all().delete()
    now = timezone.now()
    waiting = list(Order.objects.filter(pay_by__isnull=False, status=Order.Status.PENDING).values_list("pk", flat=True))
    Order.objects.filter(pk__in=waiting).update(status=Order.Status.CANCELLED, updated_at=now)
    OrderEvent.objects.bulk_create(
        OrderEvent(order_id=pk, at=now, kind=Order.Status.CANCELLED, before=Order.Status.PENDING, note=COPIED) for pk in waiting
    )
    Order.objects.filter(pay_by__isnull=False).update(pay_by=None)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_order SET secret = replace(gen_random_uuid()::text, '-', '')")


def wait_for_payment(*, order_id: int, until: datetime) -> None:
    """The order, placed from the site, is not cooked before it is paid, and cancelled if it is not by then; a free one is paid."""
    waits = Order.objects.filter(pk=order_id, status=Order.Status.PENDING, channel=Order.Channel.ONLINE, total__gt=0)
    if waits.update(pay_by=until):
        bump_orders()


def take_now(*, order_id: int) -> None:
    """The order waits for no payment online any more: it will be paid at the counter."""
    if Order.objects.filter(pk=order_id, pay_by__isnull=False).update(pay_by=None):
        bump_orders()


def begin_payment(*, order: Order, amount: Decimal, return_url: str, caller: Caller | None, key: Key | None = None) -> Payment:
    """A payment online for what is due on the order; follow it, outside the scope, with open_checkout. Does not hold the order back.

    The same key gets the same payment, whatever has become of it. Raises as start_payment does, and IdempotencyConflict.
    """
    payer = caller if caller is not None and caller.id == order.customer_id else None
    with transaction.atomic():
        kept = IdempotencyKey.objects.filter(caller=key.caller, key=key.key).first() if key is not None else None
        if key is not None and kept is not None:
            return _payment_of(kept, key, order, amount)
        payment = start_payment(
            cafeteria_uuid=current_tenant().uuid,
            order=facts_of(order, payer_email=payer.email if payer else "", payer_name=payer.full_name if payer else "", with_copy=True),
            amount=amount,
            return_url=return_url,
            actor=Actor(person_id=caller.id, label=caller.email) if caller is not None else Actor(),
        )
        if key is None:
            return payment
        facts = {"fingerprint": key.fingerprint, "order_id": order.pk, "created_at": max(timezone.now(), payment.created_at)}
        kept, made = IdempotencyKey.objects.get_or_create(caller=key.caller, key=key.key, defaults=facts)
        return payment if made else _payment_of(kept, key, order, amount)  # A twin was faster.


def _payment_of(kept: IdempotencyKey, key: Key, order: Order, amount: Decimal) -> Payment:
    """What the key was answered with: of the payments of that amount that were there, the newest."""
    there = Payment.objects.filter(cafeteria_uuid=current_tenant().uuid, order_key=order.secret, method=Method.MERCADOPAGO, amount=amount)
    answered = there.filter(created_at__lte=kept.created_at).order_by("-pk").first()
    if answered is None or kept.fingerprint != key.fingerprint:
        raise IdempotencyConflict
    return answered


def refunds_to_send(*, cafeteria_uuid: UUID, order_key: str) -> list[Refund]:
    """What is written down to go back of an order's money, and Mercado Pago has not been asked for yet."""
    waiting = Refund.objects.filter(cafeteria_uuid=cafeteria_uuid, payment__order_key=order_key, state=Refund.State.REQUESTED)
    return list(waiting.order_by("pk"))


def send_now(refunds: Iterable[Refund], *, attempts: int = 1) -> list[Refund]:
    """Have Mercado Pago give them back while somebody waits: few attempts. What cannot be sent now has its job. Outside every scope."""
    return [_try_to_send(refund, attempts) for refund in refunds]


def _try_to_send(refund: Refund, attempts: int) -> Refund:
    try:
        return send_refund(refund_id=refund.pk, attempts=attempts)
    except AppError as error:
        log.warning("refund_waits", refund=str(refund.pk), why=error.code)
        return refund


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
