"""A refund on its way to Mercado Pago."""

from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from core.alerts.actions import resolve_alerts
from payments.gateway.data import ChargeSnapshot, RefundSnapshot
from payments.gateway.errors import ChargeNotFound, GatewayRefused, TokenRefused
from payments.gateway.gateway import Gateway, gateway
from payments.ledger.cases import Case, open_case
from payments.ledger.charges import record_charge
from payments.ledger.errors import NotConnected
from payments.ledger.models import Charge, Refund
from payments.ledger.refunds import fail_refund
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.models import Seller
from payments.sellers.queries import seller_of
from payments.sellers.vault import token_of

State = Refund.State
STATES = {"approved": State.APPROVED, "in_process": State.IN_PROCESS, "rejected": State.REJECTED}
ENDED = frozenset({State.APPROVED, State.REJECTED})
KEY_SURELY_KEPT = timedelta(hours=1)  # Mercado Pago does not say for how long it knows a key.
CLOCKS_APART = timedelta(minutes=5)  # at most, its clock and ours


def send_refund(*, refund_id: UUID, attempts: int = 3) -> Refund:
    """Have Mercado Pago give it back, once: the row's key goes with every try. Then take in what it says of the charge.

    Outside every scope. Done already is done. Raises GatewayUnavailable and TokenRefused: try again later.
    """
    refund = Refund.objects.select_related("charge", "payment").get(pk=refund_id)
    if refund.charge is None or refund.state in ENDED:
        return refund
    seller = seller_of(refund.cafeteria_uuid, refund.charge.collector_id)
    if seller is None:
        raise NotConnected
    token = token_of(seller)
    outside = gateway(token, attempts=attempts)
    try:
        answer, refused = _ask(outside, refund)
        snapshot = _charge_of(outside, refund)
    except TokenRefused:
        mark_needs_reconnect(seller_id=seller.pk, refused_token=token)
        raise
    return _keep(refund, seller, answer, refused, snapshot)


def _keep(refund: Refund, seller: Seller, answer: RefundSnapshot | None, refused: str, snapshot: ChargeSnapshot | None) -> Refund:
    """The refund's new state and the charge's, in one transaction."""
    with open_case(refund.cafeteria_uuid, refund.payment.order_key) as case:
        refund = Refund.objects.select_for_update(of=("self",)).select_related("charge", "payment").get(pk=refund.pk)
        if refund.state in ENDED:
            return refund
        if answer is not None and _is_known(refund, answer):  # Another row took it for its own meanwhile.
            answer = None
        if answer is None and snapshot is not None and snapshot.refunded >= snapshot.amount:
            refund.state, refund.error, refund.finished_at = State.REJECTED, "Given back at Mercado Pago before.", case.now
            refund.save(update_fields=["state", "error", "finished_at"])
            _tell_of_end(refund)
        elif answer is None or answer.status == "rejected":
            fail_refund(case, refund, why=refused or "rejected")
            _tell_of_end(refund)
        else:
            refund.state, refund.mp_refund_id = STATES[answer.status], answer.mp_refund_id
            refund.finished_at = case.now if refund.state == State.APPROVED else None
            refund.save(update_fields=["state", "mp_refund_id", "finished_at"])
            if refund.state == State.APPROVED:
                _end_review(case, refund)
                _tell_of_end(refund)
        if snapshot is not None:
            record_charge(seller=seller, snapshot=snapshot, refund=refund)
    return refund


def _ask(outside: Gateway, refund: Refund) -> tuple[RefundSnapshot | None, str]:
    """(the answer, or None and why it was refused)."""
    assert refund.charge is not None
    mp_id = refund.charge.mp_id
    earlier = _asked_before(outside, refund)
    if earlier is not None:
        return earlier, ""
    whole = refund.amount == refund.charge.amount
    try:
        return outside.refund(mp_id, amount=None if whole else refund.amount, currency=refund.currency, key=refund.key), ""
    except ChargeNotFound as error:
        return None, str(error)
    except GatewayRefused as error:
        # What went back under this amount and under no other row of ours went back for this one: an answer was lost, or a hand was faster.
        same = (found for found in _refunds(outside, mp_id) if found.amount == refund.amount and found.status != "rejected")
        done = next((found for found in same if not _is_known(refund, found)), None)
        return done, "" if done is not None else str(error)


def _asked_before(outside: Gateway, refund: Refund) -> RefundSnapshot | None:
    """What has become of it at Mercado Pago, where that is known by more than its key."""
    assert refund.charge is not None
    if refund.mp_refund_id:
        return next((found for found in _refunds(outside, refund.charge.mp_id) if found.mp_refund_id == refund.mp_refund_id), None)
    if refund.requested_at > timezone.now() - KEY_SURELY_KEPT:
        return None
    since = refund.requested_at - CLOCKS_APART
    for found in _refunds(outside, refund.charge.mp_id):
        is_its = found.amount == refund.amount and found.status != "rejected" and found.created_at is not None and found.created_at > since
        if is_its and not _is_known(refund, found):
            return found
    return None


def _refunds(outside: Gateway, mp_id: str) -> list[RefundSnapshot]:
    try:
        return outside.refunds(mp_id)
    except ChargeNotFound:
        return []


def _charge_of(outside: Gateway, refund: Refund) -> ChargeSnapshot | None:
    assert refund.charge is not None
    try:
        return outside.charge(refund.charge.mp_id)
    except ChargeNotFound:
        return None


def _is_known(refund: Refund, found: RefundSnapshot) -> bool:
    others = Refund.objects.filter(charge=refund.charge, mp_refund_id=found.mp_refund_id).exclude(pk=refund.pk)
    return others.exists()


def _end_review(case: Case, refund: Refund) -> None:
    """A refund that had failed has gone after all: nobody has to look at the charge for it any more."""
    charge = refund.charge
    assert charge is not None
    if refund.reason != Refund.Reason.REVIEW or charge.review != Charge.Review.REFUND_FAILED or not charge.in_review:
        return
    Charge.objects.filter(pk=charge.pk).update(verdict=Charge.Verdict.RETURNED, reviewed_by=refund.actor_label, reviewed_at=case.now)
    resolve_alerts(kind="payments.refund_failed", cafeteria_uuid=case.cafeteria_uuid, subject=charge.mp_id, by=refund.actor_label)


def _tell_of_end(refund: Refund) -> None:
    resolve_alerts(kind="payments.refund_waits", cafeteria_uuid=refund.cafeteria_uuid, subject=str(refund.pk))
