"""Giving money back: the row first, then Mercado Pago, then the ledger, which only Mercado Pago's own answer moves."""

from decimal import Decimal
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone

from core.alerts.actions import raise_alert
from core.audit.actions import record
from core.errors import IdempotencyConflict
from core.jobs import enqueue
from core.money import DECIMALS, as_text, is_exact
from payments.ledger.cases import ZERO, Case, close_payments, lock_request, open_case
from payments.ledger.data import Actor, RequestKey
from payments.ledger.errors import AlreadyRefunded, InexactAmount, NothingToRefund, PaymentNotFound, RefundTooLarge
from payments.ledger.models import Charge, LedgerEntry, Method, Payment, Refund

State, Reason = Refund.State, Refund.Reason
UNSETTLED = (State.REQUESTED, State.IN_PROCESS)


def request_refund(
    *, cafeteria_uuid: UUID, payment_id: UUID, amount: Decimal | None, actor: Actor, request: RequestKey | None = None
) -> list[Refund]:
    """Write down that this much of the payment goes back (None: the rest of it); money from the till goes at once.

    In the cafeteria's scope; follow it, outside, with payments.ledger.sending.send_refund (a job does so anyway). The same request key
    answers with the same refunds. Raises AlreadyRefunded, NothingToRefund, RefundTooLarge, InexactAmount, IdempotencyConflict.
    """
    request = request or RequestKey()
    payment = Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, pk=payment_id).first()
    if payment is None:
        raise PaymentNotFound
    with open_case(cafeteria_uuid, payment.order_key) as case:
        payment = next(found for found in case.payments if found.pk == payment.pk)
        earlier = _earlier(cafeteria_uuid, request)
        if earlier:
            return earlier
        wanted = _check(payment, amount)
        made = _spread(case, payment, wanted, Reason.STAFF, actor, request)
        case.settle()
        record("payment.refunded", cafeteria_uuid=cafeteria_uuid, target=str(payment.pk), label=actor.label, amount=str(wanted))
    return made


def release_order(*, cafeteria_uuid: UUID, order_key: str, actor: Actor) -> None:
    """The order was cancelled: what was paid goes back and open checkouts are closed. In the cafeteria's scope."""
    if not Payment.objects.filter(cafeteria_uuid=cafeteria_uuid, order_key=order_key).exists():
        return
    with open_case(cafeteria_uuid, order_key) as case:
        close_payments(case)
        for payment in case.payments:
            left = refundable(payment)
            if left > 0:
                _spread(case, payment, left, Reason.CANCELLED, actor, RequestKey())
        case.settle()


def was_taken_at_counter(*, cafeteria_uuid: UUID, order_key: str) -> bool:
    """Whether money from the till is in the order: a hand has to give it back."""
    taken = LedgerEntry.objects.filter(cafeteria_uuid=cafeteria_uuid, order_key=order_key).exclude(method=Method.MERCADOPAGO)
    return bool(taken.aggregate(net=Sum("amount"))["net"] or 0)


def refund_charge(
    case: Case, charge: Charge, *, amount: Decimal, reason: str, key: str, actor: Actor | None = None, request: RequestKey | None = None
) -> Refund:
    """One refund of a charge under its key, however often it is asked for; a job sends it."""
    request, actor = request or RequestKey(), actor or Actor()
    refund, made = Refund.objects.get_or_create(
        key=key,
        defaults={
            "cafeteria_uuid": case.cafeteria_uuid,
            "payment": charge.payment,
            "charge": charge,
            "amount": amount,
            "currency": charge.currency,
            "reason": reason,
            "requested_at": case.now,
            "actor_label": actor.label,
            "caller": request.caller,
            "idempotency_key": request.key,
            "fingerprint": request.fingerprint,
        },
    )
    if made:
        enqueue(
            "payments.ledger.jobs.send_refund",
            cafeteria_uuid=case.cafeteria_uuid,
            idempotency_key=str(refund.pk),
            max_attempts=20,
            refund_id=str(refund.pk),
        )
    return refund


def refundable(payment: Payment) -> Decimal:
    """How much of what has arrived can still be asked back, refunds under way taken off. Under the case's lock."""
    return sum((left for _, left in _parts(payment)), ZERO)


def fail_refund(case: Case, refund: Refund, *, why: str) -> None:
    """Mercado Pago will not do it: a person has to."""
    refund.state, refund.error, refund.finished_at = State.REJECTED, why[:300], timezone.now()
    refund.save(update_fields=["state", "error", "finished_at"])
    if refund.charge is not None and not refund.charge.in_review:
        failed = {"review": Charge.Review.REFUND_FAILED, "verdict": "", "reviewed_by": "", "reviewed_at": None}
        Charge.objects.filter(pk=refund.charge.pk).update(**failed)
    amount = as_text(refund.amount, refund.currency) if refund.currency in DECIMALS else str(refund.amount)
    detail = f"The refund of {amount} {refund.currency} for order {refund.payment.order_number} was refused: {why}"
    raise_alert(
        kind="payments.refund_failed",
        cafeteria_uuid=case.cafeteria_uuid,
        subject=refund.charge.mp_id if refund.charge else str(refund.pk),
        detail=detail,
        severity="critical",
    )


def _earlier(cafeteria_uuid: UUID, request: RequestKey) -> list[Refund]:
    """What the same request has made: one refund bears its key, those that it was spread over were made at the same moment."""
    if not request.key:
        return []
    lock_request(cafeteria_uuid, request)
    first = Refund.objects.filter(cafeteria_uuid=cafeteria_uuid, caller=request.caller, idempotency_key=request.key).first()
    if first is None:
        return []
    if first.fingerprint != request.fingerprint:
        raise IdempotencyConflict
    return list(Refund.objects.filter(payment=first.payment, requested_at=first.requested_at, reason=first.reason).order_by("pk"))


def _check(payment: Payment, amount: Decimal | None) -> Decimal:
    currency, left = payment.currency, refundable(payment)
    if amount is not None and (not is_exact(amount, currency) or amount <= 0):
        raise InexactAmount(currency=currency)
    if left <= 0:
        raise AlreadyRefunded if LedgerEntry.objects.filter(payment=payment, amount__gt=0).exists() else NothingToRefund
    if amount is not None and amount > left:
        raise RefundTooLarge(left=as_text(left, currency), currency=currency)
    return left if amount is None else amount


def _parts(payment: Payment) -> list[tuple[Charge | None, Decimal]]:
    """The payment's charges, or its money from the till, with what of each can still go back."""
    if payment.method != Method.MERCADOPAGO:
        net = LedgerEntry.objects.filter(payment=payment).aggregate(net=Sum("amount"))["net"] or ZERO
        return [(None, net)]
    charges = Charge.objects.filter(payment=payment, status__in=("approved", "partially_refunded", "in_mediation")).order_by("id")
    return [(charge, left_of(charge)) for charge in charges if charge.counts]


def left_of(charge: Charge) -> Decimal:
    """What of it can still be asked back: not what has gone, by its snapshot or by an answer newer than that, nor what is on its way."""
    by_state: dict[str, Decimal] = dict(Refund.objects.filter(charge=charge).values_list("state").annotate(Sum("amount")))
    gone = max(charge.refunded, by_state.get(State.APPROVED, ZERO))
    return charge.amount - gone - sum((by_state.get(state, ZERO) for state in UNSETTLED), ZERO)


def _spread(case: Case, payment: Payment, wanted: Decimal, reason: str, actor: Actor, request: RequestKey) -> list[Refund]:
    """Over the payment's charges, in their order. The first refund carries the request's key, which is one of a kind."""
    made: list[Refund] = []
    for charge, left in _parts(payment):
        part = min(wanted, left)
        if part <= 0:
            continue
        wanted -= part
        carried = request if not made else RequestKey()
        if charge is None:
            made.append(_from_till(case, payment, part, reason, actor, carried))
        else:
            key = f"{reason}-{charge.mp_id}-{Refund.objects.filter(charge=charge).count()}"
            made.append(refund_charge(case, charge, amount=part, reason=reason, key=key, actor=actor, request=carried))
    return made


def _from_till(case: Case, payment: Payment, amount: Decimal, reason: str, actor: Actor, request: RequestKey) -> Refund:
    refund = Refund(
        cafeteria_uuid=case.cafeteria_uuid,
        payment=payment,
        amount=amount,
        currency=payment.currency,
        reason=reason,
        state=State.APPROVED,
        requested_at=case.now,
        finished_at=case.now,
        actor_label=actor.label,
        caller=request.caller,
        idempotency_key=request.key,
        fingerprint=request.fingerprint,
    )
    refund.key = f"till-{refund.pk}"
    refund.save(force_insert=True)
    LedgerEntry.objects.create(
        cafeteria_uuid=case.cafeteria_uuid,
        order_key=payment.order_key,
        order_id=payment.order_id,
        payment=payment,
        refund=refund,
        key=f"till:{refund.pk}",
        kind=LedgerEntry.Kind.REFUND,
        method=payment.method,
        amount=-amount,
        currency=payment.currency,
        at=case.now,
        business_date=case.business_date(case.now),
        recorded_at=case.now,
        actor_label=actor.label,
    )
    return refund
