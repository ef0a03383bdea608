"""One order's money, locked: the order's row first, then its payments. Everything that moves money goes through a case."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from core.business_day import business_date
from core.jobs import enqueue
from payments.ledger.data import OrderFacts, order_book
from payments.ledger.models import Charge, LedgerEntry, Method, Payment
from tenants.errors import CafeteriaNotFound, CrossedTenantScope
from tenants.queries import ref_by_uuid
from tenants.refs import TenantRef
from tenants.scope import current_tenant_or_none, tenant_scope

Kind = LedgerEntry.Kind
UNDECIDED = ("pending", "in_process", "authorized")
ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Sums:
    paid: Decimal = ZERO  # adjustments included
    refunded: Decimal = ZERO
    charged_back: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        return self.paid - self.refunded - self.charged_back

    def __add__(self, other: "Sums") -> "Sums":
        charged_back = self.charged_back + other.charged_back
        return Sums(paid=self.paid + other.paid, refunded=self.refunded + other.refunded, charged_back=charged_back)


@dataclass(kw_only=True)
class Case:
    cafeteria_uuid: UUID
    order_key: str
    ref: TenantRef | None  # None: the cafeteria is gone
    order: OrderFacts | None  # None: the order is gone, e.g. by a restore
    payments: list[Payment]  # locked, oldest first
    now: datetime

    def business_date(self, moment: datetime) -> date:
        if self.ref is None:
            return moment.astimezone(UTC).date()
        return business_date(moment, zone=self.ref.zone, cutoff=self.ref.day_cutoff)

    def sums(self) -> dict[UUID, Sums]:
        """By payment id, from the ledger."""
        rows = LedgerEntry.objects.filter(payment__in=self.payments).values_list("payment_id", "kind").annotate(Sum("amount"))
        found: dict[UUID, dict[str, Decimal]] = {}
        for payment_id, kind, amount in rows:
            found.setdefault(payment_id, {})[kind] = amount
        return {
            payment.pk: Sums(
                paid=kinds.get(Kind.PAYMENT, ZERO) + kinds.get(Kind.ADJUSTMENT, ZERO),
                refunded=-kinds.get(Kind.REFUND, ZERO),
                charged_back=-kinds.get(Kind.CHARGEBACK, ZERO),
            )
            for payment in self.payments
            for kinds in (found.get(payment.pk, {}),)
        }

    @property
    def net(self) -> Decimal:
        """What the order's money comes to at the moment."""
        return sum(self.sums().values(), Sums()).net

    def settle(self) -> None:
        """Derive the status of each payment and of the order from the ledger and the newest snapshots, and keep them."""
        sums = self.sums()
        charges: dict[UUID, list[Charge]] = {}
        for charge in Charge.objects.filter(payment__in=self.payments).order_by("created_at", "id"):
            charges.setdefault(charge.payment_id, []).append(charge)
        for payment in self.payments:
            status = _status(payment.amount, sums[payment.pk], charges.get(payment.pk, []))
            if payment.closed_at is not None and status == Payment.Status.PENDING and not _undecided(charges.get(payment.pk, [])):
                status = Payment.Status.CANCELLED
            if status != payment.status:
                payment.status, payment.updated_at = status, self.now
                payment.save(update_fields=["status", "updated_at"])
        if self.order is not None:
            total = sum(sums.values(), Sums())
            newest = charges.get(self.payments[-1].pk, []) if self.payments else []
            doubtful = [charge for found in charges.values() for charge in found if charge.in_review and not charge.counts]
            status = _status(self.order.total, total, [*doubtful, *newest])
            order_book().note_payment(self.order.id, status=status.value, paid=total.net, refunded=total.refunded)


@contextmanager
def open_case(cafeteria_uuid: UUID, order_key: str) -> Iterator[Case]:
    """A transaction with the order and its payments locked. Inside the cafeteria's scope it joins that; else it opens one.

    Suspended and closed cafeterias too: their money is still money.
    """
    outer = current_tenant_or_none()
    if outer is not None:
        if outer.uuid != cafeteria_uuid:
            raise CrossedTenantScope(f"Money of {cafeteria_uuid} was to be moved inside the scope of {outer.uuid}.")
        with transaction.atomic():
            yield _locked(cafeteria_uuid, order_key, outer)
        return
    try:
        ref = ref_by_uuid(cafeteria_uuid)
    except CafeteriaNotFound:
        with transaction.atomic():
            yield _locked(cafeteria_uuid, order_key, None)
        return
    with tenant_scope(ref, also_suspended=True, also_closed=True) as fresh:
        yield _locked(cafeteria_uuid, order_key, fresh)


def close_payments(case: Case, *, only: Payment | None = None) -> None:
    """Nobody should use the case's open checkouts (or this one) any more: a job tells Mercado Pago."""
    for payment in [only] if only is not None else case.payments:
        if payment.method == Method.MERCADOPAGO and payment.closed_at is None:
            payment.closed_at = case.now
            payment.save(update_fields=["closed_at"])
            enqueue(
                "payments.ledger.jobs.close_checkout",
                cafeteria_uuid=case.cafeteria_uuid,
                idempotency_key=str(payment.pk),
                max_attempts=8,
                payment_id=str(payment.pk),
            )


def _locked(cafeteria_uuid: UUID, order_key: str, ref: TenantRef | None) -> Case:
    order = order_book().lock_order(order_key) if ref is not None else None
    payments = Payment.objects.select_for_update().filter(cafeteria_uuid=cafeteria_uuid, order_key=order_key).order_by("pk")
    return Case(cafeteria_uuid=cafeteria_uuid, order_key=order_key, ref=ref, order=order, payments=list(payments), now=timezone.now())


def _undecided(charges: Sequence[Charge]) -> bool:
    return any(charge.status in UNDECIDED for charge in charges)


def _status(due: Decimal, sums: Sums, charges: Sequence[Charge]) -> Payment.Status:
    """Of a payment, or of an order, whose newest charges are these."""
    if sums.paid > 0 and sums.net >= due:
        return Payment.Status.PAID
    if sums.charged_back > 0:
        return Payment.Status.CHARGED_BACK
    if sums.refunded > 0:
        return Payment.Status.REFUNDED if sums.net <= 0 else Payment.Status.PARTIALLY_REFUNDED
    if any(charge.in_review and not charge.counts for charge in charges):
        return Payment.Status.REVIEW
    if sums.paid == 0 and charges and charges[-1].status == "rejected" and not _undecided(charges):
        return Payment.Status.FAILED
    return Payment.Status.PENDING
