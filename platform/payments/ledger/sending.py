"""A refund on its way to Mercado Pago."""

from uuid import UUID

from payments.gateway.data import RefundSnapshot
from payments.gateway.errors import ChargeNotFound, GatewayRefused, TokenRefused
from payments.gateway.gateway import Gateway, gateway
from payments.ledger.cases import open_case
from payments.ledger.charges import record_charge
from payments.ledger.errors import NotConnected
from payments.ledger.models import Refund
from payments.ledger.refunds import fail_refund
from payments.sellers.actions import mark_needs_reconnect
from payments.sellers.queries import seller_of

State = Refund.State
STATES = {"approved": State.APPROVED, "in_process": State.IN_PROCESS, "rejected": State.REJECTED}


def send_refund(*, refund_id: UUID, attempts: int = 3) -> Refund:
    """Have Mercado Pago give it back, once: the row's key goes with every try. Then take in what it says of the charge.

    Outside every scope. Done already is done. Raises GatewayUnavailable and TokenRefused: try again later.
    """
    refund = Refund.objects.select_related("charge", "payment").get(pk=refund_id)
    if refund.charge is None or refund.state in {State.APPROVED, State.REJECTED}:
        return refund
    seller = seller_of(refund.cafeteria_uuid, refund.charge.collector_id)
    if seller is None:
        raise NotConnected
    token = seller.access_token
    outside = gateway(token, attempts=attempts)
    try:
        answer, refused = _ask(outside, refund)
        snapshot = outside.charge(refund.charge.mp_id)
    except TokenRefused:
        mark_needs_reconnect(seller_id=seller.pk, refused_token=token)
        raise
    with open_case(refund.cafeteria_uuid, refund.payment.order_key) as case:
        refund = Refund.objects.select_for_update(of=("self",)).select_related("charge", "payment").get(pk=refund_id)
        if refund.state in {State.APPROVED, State.REJECTED}:
            return refund
        if answer is None and snapshot.refunded >= snapshot.amount:
            refund.state, refund.error, refund.finished_at = State.REJECTED, "Given back at Mercado Pago before.", case.now
            refund.save(update_fields=["state", "error", "finished_at"])
        elif answer is None or answer.status == "rejected":
            fail_refund(case, refund, why=refused or "rejected")
        else:
            refund.state, refund.mp_refund_id = STATES[answer.status], answer.mp_refund_id
            refund.finished_at = case.now if refund.state == State.APPROVED else None
            refund.save(update_fields=["state", "mp_refund_id", "finished_at"])
        record_charge(seller=seller, snapshot=snapshot, refund=refund)
    return refund


def _ask(outside: Gateway, refund: Refund) -> tuple[RefundSnapshot | None, str]:
    """(the answer, or None and why it was refused)."""
    assert refund.charge is not None
    mp_id = refund.charge.mp_id
    if refund.mp_refund_id:
        known = [found for found in outside.refunds(mp_id) if found.mp_refund_id == refund.mp_refund_id]
        if known:
            return known[0], ""
    whole = refund.amount == refund.charge.amount
    try:
        return outside.refund(mp_id, amount=None if whole else refund.amount, currency=refund.currency, key=refund.key), ""
    except ChargeNotFound as error:
        return None, str(error)
    except GatewayRefused as error:
        # What went back under this amount and under no other row of ours went back for this one: an answer was lost, or a hand was faster.
        same = (found for found in outside.refunds(mp_id) if found.amount == refund.amount and found.status != "rejected")
        done = next((found for found in same if not _is_known(refund, found)), None)
        return done, "" if done is not None else str(error)


def _is_known(refund: Refund, found: RefundSnapshot) -> bool:
    others = Refund.objects.filter(charge=refund.charge, mp_refund_id=found.mp_refund_id).exclude(pk=refund.pk)
    return others.exists()
