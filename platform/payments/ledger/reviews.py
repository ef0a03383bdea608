"""What a person decides about money that is not what it should be."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from core.alerts.actions import resolve_alerts
from core.audit.actions import record
from payments.ledger.cases import Case, open_case
from payments.ledger.charges import MOVED, answer_money, write_movements
from payments.ledger.data import Actor
from payments.ledger.errors import CannotAccept, NotInReview
from payments.ledger.models import Charge, Refund
from payments.ledger.refunds import refund_charge

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
        case.settle()
    return charge


def return_charge(*, cafeteria_uuid: UUID, charge_id: int, actor: Actor) -> Refund:
    """Give all that is left of it back; it stays in review until Mercado Pago has done so. A job sends it. Raises NotInReview."""
    with _open_review(cafeteria_uuid, charge_id) as (case, charge):
        under_way = Refund.objects.filter(charge=charge, state__in=UNSETTLED).first()
        left = charge.amount - charge.refunded
        if under_way is not None:
            return under_way
        if left <= 0 or charge.status not in MOVED:
            raise NotInReview
        before = Refund.objects.filter(charge=charge).count()
        refund = refund_charge(case, charge, amount=left, reason=Refund.Reason.REVIEW, key=f"review-{charge.mp_id}-{before}", actor=actor)
        record("payment.review_returned", cafeteria_uuid=cafeteria_uuid, target=charge.mp_id, label=actor.label, amount=str(left))
    return refund


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
