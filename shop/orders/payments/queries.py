"""Payments as people see them."""

import base64
import binascii
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet, Sum
from django.utils import timezone

from core.business_day import business_span
from core.errors import BadRequest
from core.identity.callers import Caller
from core.jobs.models import lowest_id
from core.money import as_text
from payments.ledger.errors import PaymentNotFound
from payments.ledger.models import Charge, LedgerEntry, Method, Payment, Refund
from shop.orders.models import Order
from tenants.refs import TenantRef
from tenants.scope import current_tenant

A_DAY = timedelta(days=1)  # more than any two clocks differ
PAYABLE = (Payment.Status.PENDING, Payment.Status.FAILED)


def payments_visible_to(caller: Caller | None, *, secret: str = "") -> QuerySet[Payment]:
    """All of the cafeteria's for the staff; those of a customer's own orders, or of the order whose secret it is. Newest first."""
    payments = (
        Payment.objects.filter(cafeteria_uuid=current_tenant().uuid)
        .prefetch_related(
            Prefetch("charges", Charge.objects.order_by("created_at", "id")), Prefetch("refunds", Refund.objects.order_by("pk"))
        )
        .order_by("-pk")
    )
    if caller is not None and caller.is_staff:
        return payments
    if secret:
        return payments.filter(order_key__in=Order.objects.filter(secret=secret).values("secret"))
    if caller is None:
        return payments.none()
    return payments.filter(order_key__in=Order.objects.filter(customer_id=caller.id).values("secret"))


def payment_visible_to(caller: Caller | None, payment_id: str, *, secret: str = "") -> Payment:
    """By what a client calls it. Raises PaymentNotFound for whatever this caller may not see."""
    try:
        found = payments_visible_to(caller, secret=secret).filter(pk=UUID(payment_id)).first()
    except ValueError:
        found = None
    if found is None:
        raise PaymentNotFound
    return found


def on_business_day(payments: QuerySet[Payment], day: date) -> QuerySet[Payment]:
    """Those that were begun on the day, and those whose money moved on it."""
    tenant = current_tenant()
    try:
        start, end = business_span(day, zone=tenant.zone, cutoff=tenant.day_cutoff)
        lowest, highest = lowest_id(start - A_DAY), lowest_id(end + A_DAY)
    except OverflowError:  # the last of all days, and the first
        return payments.none()
    # A key begins with the time when it was made: its index finds what was begun around the day, and `created_at` needs none of its own.
    begun = Payment.objects.filter(cafeteria_uuid=tenant.uuid, pk__gte=lowest, pk__lt=highest, created_at__gte=start, created_at__lt=end)
    moved = LedgerEntry.objects.filter(cafeteria_uuid=tenant.uuid, business_date=day)
    return payments.filter(pk__in=begun.values("pk").union(moved.values("payment")))


def payment_payloads(payments: Sequence[Payment], *, tenant: TenantRef, staff: bool) -> list[dict[str, Any]]:
    """As the API answers them; what Mercado Pago says of each attempt is for the staff. Reads `charges` and `refunds`; no scope needed."""
    moved = LedgerEntry.objects.filter(payment__in=payments, kind=LedgerEntry.Kind.REFUND).values_list("payment").annotate(Sum("amount"))
    refunded: dict[UUID, Decimal] = {payment_id: -amount for payment_id, amount in moved}
    now = timezone.now()
    return [_payload(payment, refunded.get(payment.pk, Decimal(0)), now, tenant, staff=staff) for payment in payments]


def _payload(payment: Payment, refunded: Decimal, now: datetime, tenant: TenantRef, *, staff: bool) -> dict[str, Any]:
    def local(moment: datetime | None) -> str | None:
        return moment.astimezone(tenant.zone).isoformat() if moment is not None else None

    payload = {
        "id": str(payment.pk),
        "order_id": payment.order_id,
        "order_number": payment.order_number,
        "method": payment.method,
        "status": payment.status,
        "amount": as_text(payment.amount, payment.currency),
        "refunded": as_text(refunded, payment.currency),
        "currency": payment.currency,
        "created_at": local(payment.created_at),
        "updated_at": local(payment.updated_at),
        "expires_at": local(payment.expires_at),
        "init_point": payment.init_point if _is_payable(payment, now) else None,
        "refunds": [
            {
                "id": str(refund.pk),
                "amount": as_text(refund.amount, refund.currency),
                "state": refund.state,
                "reason": refund.reason,
                "requested_at": local(refund.requested_at),
            }
            for refund in payment.refunds.all()
        ],
    }
    if staff:
        payload["charges"] = [_charge(charge) for charge in payment.charges.all()]
    return payload


def _charge(charge: Charge) -> dict[str, Any]:
    return {
        "mp_id": charge.mp_id,
        "status": charge.status,
        "status_detail": charge.status_detail,
        "amount": _their_amount(charge.amount, charge.currency),
        "refunded": _their_amount(charge.refunded, charge.currency),
        "currency": charge.currency,
        "disputed": charge.disputed,
        "review": charge.review if charge.in_review else None,
    }


def _their_amount(amount: Decimal, currency: str) -> str:
    """A charge in review may be in a currency that we do not take."""
    try:
        return as_text(amount, currency)
    except KeyError:
        return format(amount, "f")


def _is_payable(payment: Payment, now: datetime) -> bool:
    """Whether somebody who goes to its checkout can still pay there."""
    opened = payment.method == Method.MERCADOPAGO and bool(payment.init_point) and payment.closed_at is None
    return opened and payment.status in PAYABLE and payment.expires_at is not None and payment.expires_at > now


def write_cursor(payment_id: UUID) -> str:
    return base64.urlsafe_b64encode(payment_id.bytes).decode().rstrip("=")


def read_cursor(cursor: str) -> UUID:
    """Raises BadRequest for one that is not ours."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadRequest(reason="the cursor is not one of ours.") from error
