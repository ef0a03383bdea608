"""What a person decides about money that is not what it should be."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from core.alerts.actions import resolve_alerts
from core.audit.actions import record
from payments.ledger.cases import ZERO, Case, close_payments, open_case
from payments.ledger.charges import MOVED, answer_money, write_movements
from payments.ledger.data import Actor
from payments.ledger.errors import CannotAccept, NotInReview
from payments.ledger.models import Charge, Refund
from payments.ledger.refunds import left_of, refund_charge

Review, Verdict = Charge.Review, Charge.Verdict
UNSETTLED = (Refund.State.REQUESTED, Refund.State.IN_PROCESS)


def accept_charge(*, cafeteria_uuid: UUID, charge_id: int, actor: Actor) -> Charge:
    """Count the money as it came: less leaves the rest due, more goes back. Of a refund that failed: leave it at that.

    In the cafeteria's scope. Raises NotInReview; CannotAccept for another currency or account, and for a cancelled order.
    """
    with _open_review(cafeteria_uuid, charge_id) as (case, charge):
        if charge.review != Review.REFUND_FAILED and (charge.review != Review.AMOUNT or case.order is None or case.order.cancelled):
            raise CannotAccept
        _decide(case, charge, Verdict.ACCEPTED, actor)
        moved = write_movements(case, charge, by=actor.label)
        answer_money(case, charge, moved)
        if charge.review == Review.AMOUNT:
            _take_for_enough(case, charge)
        case.settle()
    return charge


def return_charge(*, cafeteria_uuid: UUID, charge_id: int, actor: Actor) -> Refund:
    """Give all that is left of it back; of a refund that failed, ask for that one again. It stays in review until Mercado Pago has done so.

    A job sends it. In the cafeteria's scope. Raises NotInReview.
    """
    with _open_review(cafeteria_uuid, charge_id) as (case, charge):
        under_way = Refund.objects.filter(charge=charge, state__in=UNSETTLED, reason=Refund.Reason.REVIEW).first()
        if under_way is not None:
            return under_way
        left = returnable(charge)
        if left <= 0 or charge.status not in MOVED:
            raise NotInReview
        before = Refund.objects.filter(charge=charge).count()
        refund = refund_charge(case, charge, amount=left, reason=Refund.Reason.REVIEW, key=f"review-{charge.mp_id}-{before}", actor=actor)
        record("payment.review_returned", cafeteria_uuid=cafeteria_uuid, target=charge.mp_id, label=actor.label, amount=str(left))
    return refund


def returnable(charge: Charge) -> Decimal:
    """How much return_charge would give back of it."""
    left = left_of(charge)
    return min(left, _failed_of(charge)) if charge.review == Review.REFUND_FAILED else left


def _take_for_enough(case: Case, charge: Charge) -> None:
    """Of a payment that was given less than it asks for: it asks for no more, and its checkout is over. The rest is due on the order."""
    payment = next(found for found in case.payments if found.pk == charge.payment_id)
    paid = case.sums()[payment.pk].paid
    if paid < payment.amount:
        payment.amount, payment.updated_at = paid, case.now
        payment.save(update_fields=["amount", "updated_at"])
        close_payments(case, only=payment)


def _failed_of(charge: Charge) -> Decimal:
    """How much of it was to go back and has not: refunds that failed and for which no later one of a review has gone."""
    of_charge = Refund.objects.filter(charge=charge)
    failed = of_charge.filter(state=Refund.State.REJECTED).exclude(reason=Refund.Reason.REVIEW)
    mended = of_charge.filter(state=Refund.State.APPROVED, reason=Refund.Reason.REVIEW).order_by("requested_at").last()
    if mended is not None:
        failed = failed.filter(requested_at__gt=mended.requested_at)
    return failed.aggregate(sum=Sum("amount"))["sum"] or ZERO


@contextmanager
def _open_review(cafeteria_uuid: UUID, charge_id: int) -> Iterator[tuple[Case, Charge]]:
    found = Charge.objects.filter(cafeteria_uuid=cafeteria_uuid, pk=charge_id).select_related("payment").first()
    if found is None:
        raise NotInReview
    with open_case(cafeteria_uuid, found.payment.order_key) as case:
        charge = Charge.objects.select_for_update(of=("self",)).select_related("payment").get(pk=charge_id)
        if not charge.in_review:
            raise NotInReview
        yield case, charge


def _decide(case: Case, charge: Charge, verdict: str, actor: Actor) -> None:
    charge.verdict, charge.reviewed_by, charge.reviewed_at = verdict, actor.label, case.now
    charge.save(update_fields=["verdict", "reviewed_by", "reviewed_at"])
    for kind in ("payments.review", "payments.refund_failed"):
        resolve_alerts(kind=kind, cafeteria_uuid=case.cafeteria_uuid, subject=charge.mp_id, by=actor.label)
    record("payment.review_accepted", cafeteria_uuid=case.cafeteria_uuid, target=charge.mp_id, label=actor.label, review=charge.review)
