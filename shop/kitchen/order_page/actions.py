"""Money that goes back at the staff's word: written in the cafeteria's scope, sent outside it."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from core.errors import IdempotencyConflict
from core.identity.callers import Caller
from payments.gateway.errors import ChargeNotFound, GatewayRefused, GatewayUnavailable, TokenRefused
from payments.ledger.data import Actor, RequestKey
from payments.ledger.errors import NotConnected
from payments.ledger.models import Payment, Refund
from payments.ledger.refunds import request_refund
from payments.ledger.sending import send_refund
from shop.kitchen.errors import FormUsed
from tenants.scope import current_tenant

type Outcome = Literal["till", "card", "sent", "in_process", "unavailable", "unconnected", "refused"]


def write_refund(*, payment: Payment, amount: Decimal, key: str, actor: Caller) -> list[Refund]:
    """In the scope: this much goes back, once a key. Follow it, outside, with send_written. Raises FormUsed, and what the ledger does."""
    try:
        return request_refund(
            cafeteria_uuid=current_tenant().uuid,
            payment_id=payment.pk,
            amount=amount,
            actor=Actor(person_id=actor.id, label=actor.email),
            request=RequestKey(caller=f"person:{actor.id}", key=key, fingerprint=f"refund:{payment.pk}:{amount}"),
        )
    except IdempotencyConflict:
        raise FormUsed from None


def send_written(refunds: Sequence[Refund]) -> tuple[Outcome, str]:
    """Outside every scope: try once to have Mercado Pago do it, since somebody waits. What fails now is sent by its job.

    (how it ended, what Mercado Pago said against it).
    """
    if refunds and refunds[0].charge_id is None:
        return ("card" if refunds[0].payment.method == "card" else "till"), ""
    ended: Outcome = "sent"
    for refund in refunds:
        try:
            done = send_refund(refund_id=refund.pk, attempts=1)
        except (GatewayUnavailable, GatewayRefused, ChargeNotFound):
            return "unavailable", ""
        except (TokenRefused, NotConnected):
            return "unconnected", ""
        if done.state == Refund.State.REJECTED:
            return "refused", done.error
        if done.state == Refund.State.IN_PROCESS:
            ended = "in_process"
    return ended, ""
