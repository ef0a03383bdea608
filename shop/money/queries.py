"""What several of the money pages ask."""

from decimal import Decimal
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse

from core.design.formats import format_money
from core.money import DECIMALS
from payments.ledger.models import Charge, Refund

UNDER_WAY = (Refund.State.REQUESTED, Refund.State.IN_PROCESS)
SETTLED = ("settled", "reimbursed")  # Mercado Pago's details of a chargeback that is over, either way
TO_DECIDE = ~Q(review="") & Q(verdict="")
DISPUTED = Q(disputed=True) & ~Q(status="charged_back", status_detail__in=SETTLED)


def charges_in_review(cafeteria_uuid: UUID) -> QuerySet[Charge]:
    """Money that a person has to decide about."""
    return Charge.objects.filter(TO_DECIDE, cafeteria_uuid=cafeteria_uuid)


def open_disputes(cafeteria_uuid: UUID) -> QuerySet[Charge]:
    """Money that a buyer or their bank wants back, and nobody has decided yet."""
    return Charge.objects.filter(DISPUTED, cafeteria_uuid=cafeteria_uuid)


def waiting_count(cafeteria_uuid: UUID) -> int:
    """How many payments wait for somebody: two small indexes."""
    both = open_disputes(cafeteria_uuid).exclude(TO_DECIDE)
    return charges_in_review(cafeteria_uuid).count() + both.count()


def order_address(order_id: int) -> str:
    """Of the staff's page of an order."""
    return reverse("staff_order", args=[order_id])


def written(amount: Decimal, currency: str, own_currency: str) -> str:
    """An amount for people; one of another currency says which."""
    if currency not in DECIMALS:
        return f"{amount} {currency}"
    text = format_money(amount, currency)
    return text if currency == own_currency else f"{text} {currency}"
