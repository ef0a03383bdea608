"""One order's money, locked: the order's row first, then its payments. Everything that moves money goes through a case."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from core.business_day import business_date
from core.jobs import enqueue
from core.jobs.models import Queue
from payments.ledger.data import OrderFacts, RequestKey, order_book
from payments.ledger.models import Charge, LedgerEntry, Method, Payment, Refund
from tenants.errors import CafeteriaNotFound, CrossedTenantScope, StaleTenant
from tenants.queries import ref_by_uuid
from tenants.refs import TenantRef
from tenants.scope import current_tenant_or_none, tenant_scope

Kind = LedgerEntry.Kind
UNDECIDED = ("pending", "in_process", "authorized")
UNPAID = (Payment.Status.PENDING, Payment.Status.FAILED)
ZERO = Decimal(0)
LOCK = 0x7061796D  # any number that is nobody else's
LOCK_REQUEST = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"


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

    @property
    def due(self) -> Decimal:
        """What is still to be paid on the order, which is there; below zero: so much came too much.

        What the staff gave back of money that stays (a cold coffee) is not asked for again. What was given back whole is.
        """
        assert self.order is not None
        rows = LedgerEntry.objects.filter(payment__in=self.payments).values_list("payment_id", "charge_id", "kind", "refund__reason")
        kept: dict[tuple[UUID, int | None], Decimal] = {}
        forgiven: dict[tuple[UUID, int | None], Decimal] = {}
        for payment_id, charge_id, kind, reason, amount in rows.annotate(Sum("amount")):
            kept[payment_id, charge_id] = kept.get((payment_id, charge_id), ZERO) + amount
            if kind == Kind.REFUND and reason in {None, Refund.Reason.STAFF}:
                forgiven[payment_id, charge_id] = forgiven.get((payment_id, charge_id), ZERO) - amount
        return self.order.total - sum((net + (forgiven.get(of, ZERO) if net > 0 else ZERO) for of, net in kept.items()), ZERO)

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
                if status in UNPAID and payment.closed_at is None and payment.next_check_at is None:
                    payment.next_check_at = self.now  # Its last look was long ago, and somebody has to end it.
                elif status == Payment.Status.PAID and payment.next_check_at is not None:
                    payment.next_check_at = max(payment.next_check_at, payment.expires_at or self.now)  # once more, at its end
                payment.save(update_fields=["status", "updated_at", "next_check_at"])
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
    with ExitStack() as stack:
        try:
            fresh: TenantRef | None = _enter(stack, cafeteria_uuid)
        except CafeteriaNotFound:
            fresh = None
            stack.enter_context(transaction.atomic())
        yield _locked(cafeteria_uuid, order_key, fresh)


def lock_request(cafeteria_uuid: UUID, request: RequestKey) -> None:
    """Until the transaction ends: of two requests with one key, on whatever orders, the second sees what the first has made."""
    with connection.cursor() as cursor:
        cursor.execute(LOCK_REQUEST, [LOCK, f"{cafeteria_uuid}:{request.caller}:{request.key}"])


def close_payments(case: Case, *, only: Payment | None = None) -> None:
    """Nobody should use the case's open checkouts (or this one) any more: a job tells Mercado Pago."""
    for payment in [only] if only is not None else case.payments:
        if payment.method == Method.MERCADOPAGO and payment.closed_at is None:
            payment.closed_at = case.now
            payment.save(update_fields=["closed_at"])
            enqueue(
                "payments.ledger.jobs.close_checkout",
                queue=Queue.LONG,  # One for each paid order: refunds and looks must not wait behind them.
                cafeteria_uuid=case.cafeteria_uuid,
                idempotency_key=str(payment.pk),
                max_attempts=8,
                payment_id=str(payment.pk),
            )


def _enter(stack: ExitStack, cafeteria_uuid: UUID) -> TenantRef:
    """Its scope. Its row may change between the two looks at it, once. Raises CafeteriaNotFound."""
    try:
        return stack.enter_context(tenant_scope(ref_by_uuid(cafeteria_uuid), also_suspended=True, also_closed=True))
    except StaleTenant:
        return stack.enter_context(tenant_scope(ref_by_uuid(cafeteria_uuid), also_suspended=True, also_closed=True))


def _locked(cafeteria_uuid: UUID, order_key: str, ref: TenantRef | None) -> Case:
    order = order_book().lock_order(order_key) if ref is not None else None
    payments = Payment.objects.select_for_update().filter(cafeteria_uuid=cafeteria_uuid, order_key=order_key).order_by("pk")
    return Case(cafeteria_uuid=cafeteria_uuid, order_key=order_key, ref=ref, order=order, payments=list(payments), now=timezone.now())


def _undecided(charges: Sequence[Charge]) -> bool:
    return any(charge.status in UNDECIDED for charge in charges)


def _status(due: Decimal, sums: Sums, charges: Sequence[Charge]) -> Payment.Status:
    """Of a payment, or of an order, whose newest charges are these."""
    if sums.net >= due and (sums.paid > 0 or due <= 0):
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
