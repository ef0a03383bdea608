"""The one way in for what Mercado Pago says: a snapshot becomes the charge's newest state, the ledger's rows and the order's status.

The ledger is driven by the snapshot's totals: what it lacks is written, so that the same snapshot twice, or an older one later, moves
nothing. Every outcome (paid, given back at Mercado Pago's own site, charged back and returned) is the same subtraction.
"""

from decimal import Decimal

from django.db.models import Count, Sum

from core.alerts.actions import raise_alert, resolve_alerts
from core.audit.actions import record
from core.money import as_text
from payments.gateway.data import ChargeSnapshot
from payments.ledger.cases import UNDECIDED, ZERO, Case, close_payments, open_case
from payments.ledger.models import Charge, LedgerEntry, Payment, Refund
from payments.ledger.refunds import left_of, refund_charge
from payments.sellers.models import Seller
from tenants.pulse import bump_orders

Kind, Review = LedgerEntry.Kind, Charge.Review
MOVED = {"approved", "partially_refunded", "refunded", "in_mediation", "charged_back"}
PREFIX = "cmd-"  # of our references: an account may have other sales, which are none of ours


def record_charge(*, seller: Seller, snapshot: ChargeSnapshot, refund: Refund | None = None) -> Charge | None:
    """Take in what a GET with that seller's token has answered; None for what is not ours or is older than what is known.

    Writes the ledger, the statuses of payment and order, and the refunds that follow from it (paid twice, paid after the end): all in one
    transaction. `refund` is the one whose sending brought the snapshot.
    """
    payment = Payment.objects.filter(reference=snapshot.reference).first()
    if payment is None and snapshot.reference.startswith(PREFIX):
        _tell_of_unknown(seller, snapshot)
    if payment is None or payment.cafeteria_uuid != seller.cafeteria_uuid:  # Two cafeterias may share an account.
        return None
    with open_case(payment.cafeteria_uuid, payment.order_key) as case:
        payment = next(found for found in case.payments if found.pk == payment.pk)
        was_disputed = Charge.objects.filter(collector_id=seller.mp_user_id, mp_id=snapshot.mp_id, payment=payment, disputed=True).exists()
        charge = _take_in(case, payment, seller, snapshot)
        if charge is not None:
            moved = write_movements(case, charge, refund=refund)
            if was_disputed and charge.counts and not charge.disputed:
                moved = charge.amount  # Won: meanwhile the order may have been cancelled, or paid by other means.
            answer_money(case, charge, moved)
        case.settle()
    return charge


def write_movements(case: Case, charge: Charge, *, refund: Refund | None = None, by: str = "") -> Decimal:
    """Bring the ledger to what the charge's snapshot says, its fee included, and answer how much was paid in anew."""
    if not charge.counts:
        return ZERO
    rows = LedgerEntry.objects.filter(charge=charge).values_list("kind").annotate(Sum("amount"), Count("id"), Sum("fee"))
    recorded = {kind: amount for kind, amount, _, _ in rows}
    written, fees = sum(count for _, _, count, _ in rows), sum((fee for _, _, _, fee in rows), ZERO)
    fee = charge.fee - fees if charge.fee is not None and charge.status in MOVED else ZERO
    back = charge.amount if charge.status == "refunded" else charge.refunded
    paid = charge.amount if charge.status in MOVED else recorded.get(Kind.PAYMENT, ZERO)
    wanted = {
        Kind.PAYMENT: (paid, charge.approved_at or charge.last_updated),
        Kind.REFUND: (-back if paid else ZERO, charge.last_updated),
        Kind.CHARGEBACK: (back - charge.amount if charge.status == "charged_back" else ZERO, charge.last_updated),
        Kind.ADJUSTMENT: (recorded.get(Kind.ADJUSTMENT, ZERO), charge.last_updated),  # only ever for a fee that has changed
    }
    for kind, (amount, at) in wanted.items():
        missing = amount - recorded.get(kind, ZERO)
        if not missing and not (fee and kind == Kind.ADJUSTMENT):
            continue
        own_fee, fee = (fee, ZERO) if kind in {Kind.PAYMENT, Kind.ADJUSTMENT} else (ZERO, fee)
        LedgerEntry.objects.create(
            cafeteria_uuid=case.cafeteria_uuid,
            order_key=charge.payment.order_key,
            order_id=charge.payment.order_id,
            payment=charge.payment,
            charge=charge,
            refund=_behind(charge, -missing, refund) if kind == Kind.REFUND else None,
            key=f"charge:{charge.pk}:{written}",
            kind=kind,
            method=charge.payment.method,
            amount=missing,
            fee=own_fee,
            currency=charge.currency,
            at=at,
            business_date=case.business_date(at),
            recorded_at=case.now,
            actor_label=by,
        )
        written += 1
    moved: Decimal = paid - recorded.get(Kind.PAYMENT, ZERO)
    return moved


def _behind(charge: Charge, amount: Decimal, sent: Refund | None) -> Refund | None:
    """Which refund of ours has moved so much: news of it may be faster than its answer. None: a hand at Mercado Pago's own site."""
    if sent is not None and not sent.entries.exists():
        return sent
    ours = Refund.objects.filter(charge=charge, amount=amount, entries=None).exclude(state=Refund.State.REJECTED)
    return ours.order_by("requested_at", "pk").first()


def _take_in(case: Case, payment: Payment, seller: Seller, snapshot: ChargeSnapshot) -> Charge | None:
    """The charge with the snapshot's state; None when a newer one is known."""
    charge = Charge.objects.filter(cafeteria_uuid=payment.cafeteria_uuid, collector_id=seller.mp_user_id, mp_id=snapshot.mp_id).first()
    if charge is None:
        charge = Charge(cafeteria_uuid=payment.cafeteria_uuid, payment=payment, collector_id=seller.mp_user_id, mp_id=snapshot.mp_id)
    elif snapshot.last_updated < charge.last_updated:
        return None
    if charge.status not in MOVED and snapshot.status in MOVED:
        charge.review = _mismatch(payment, seller, snapshot)
        if charge.review:
            _tell_of_mismatch(payment, charge, snapshot)
    was_disputed, before = charge.disputed, charge.status
    charge.payment = payment
    charge.status, charge.status_detail = snapshot.status[:20], snapshot.status_detail[:80]
    charge.amount, charge.refunded, charge.currency = snapshot.amount, snapshot.refunded, snapshot.currency[:3]
    charge.net = snapshot.net
    charge.fee = snapshot.amount - snapshot.net if snapshot.net is not None else None
    charge.payment_type = snapshot.payment_type[:40]
    charge.created_at, charge.approved_at, charge.last_updated = snapshot.created_at, snapshot.approved_at, snapshot.last_updated
    charge.disputed = snapshot.status in {"in_mediation", "charged_back"}
    charge.seen_at = case.now
    if charge.status == "refunded":
        _close_questions(charge)
    charge.save()
    if case.ref is not None and before != charge.status and {before, charge.status} & set(UNDECIDED):
        bump_orders()  # The ledger has nothing to say of it, but whoever waits for the payment sees it.
    if was_disputed != charge.disputed:
        _tell_of_dispute(charge)
    return charge


def _close_questions(charge: Charge) -> None:
    """All of it has gone back: nobody has to decide anything any more."""
    if charge.in_review:
        charge.verdict, charge.reviewed_at = Charge.Verdict.RETURNED, charge.seen_at
    for kind in ("payments.review", "payments.refund_failed", "payments.order_missing"):
        resolve_alerts(kind=kind, cafeteria_uuid=charge.cafeteria_uuid, subject=charge.mp_id)


def _tell_of_dispute(charge: Charge) -> None:
    """That it has begun, or that it is over."""
    about = f"A buyer disputes payment {charge.mp_id} of order {charge.payment.order_number}: answer it at Mercado Pago."
    if charge.disputed:
        raise_alert(kind="payments.dispute", cafeteria_uuid=charge.cafeteria_uuid, subject=charge.mp_id, detail=about)
    else:
        resolve_alerts(kind="payments.dispute", cafeteria_uuid=charge.cafeteria_uuid, subject=charge.mp_id)


def _tell_of_unknown(seller: Seller, snapshot: ChargeSnapshot) -> None:
    """Money for an attempt of ours that the database has lost: after a recovery, or another installation's on the same account."""
    if snapshot.status in MOVED and snapshot.refunded < snapshot.amount:
        detail = (
            f"Payment {snapshot.mp_id} of {as_text(snapshot.amount, snapshot.currency)} {snapshot.currency} is for an order "
            "that is not known here. If data was lost, give it back at Mercado Pago's own site, or hand over what was ordered."
        )
        raise_alert(
            kind="payments.unknown", cafeteria_uuid=seller.cafeteria_uuid, subject=snapshot.mp_id, detail=detail, severity="critical"
        )
    else:
        resolve_alerts(kind="payments.unknown", cafeteria_uuid=seller.cafeteria_uuid, subject=snapshot.mp_id)


def _mismatch(payment: Payment, seller: Seller, snapshot: ChargeSnapshot) -> str:
    if snapshot.collector_id != seller.mp_user_id or payment.collector_id not in {None, seller.mp_user_id}:
        return Review.COLLECTOR
    if snapshot.currency != payment.currency:
        return Review.CURRENCY
    return Review.AMOUNT if snapshot.amount != payment.amount else Review.NONE


def _tell_of_mismatch(payment: Payment, charge: Charge, snapshot: ChargeSnapshot) -> None:
    due = f"{as_text(payment.amount, payment.currency)} {payment.currency}"
    detail = (
        f"Order {payment.order_number}: {snapshot.amount} {snapshot.currency} came for {due} ({charge.review}). It is not counted as paid."
    )
    raise_alert(kind="payments.review", cafeteria_uuid=payment.cafeteria_uuid, subject=charge.mp_id, detail=detail, severity="critical")


def answer_money(case: Case, charge: Charge, moved: Decimal) -> None:
    """What follows when money has just come in: back with what came too late or twice; a paid order's other checkouts are closed."""
    left = left_of(charge)
    if moved <= 0 or charge.status not in {"approved", "partially_refunded"}:
        return
    if case.order is None:
        detail = f"Payment {charge.mp_id} is for order {charge.payment.order_number}, which does not exist (any more)."
        raise_alert(
            kind="payments.order_missing", cafeteria_uuid=case.cafeteria_uuid, subject=charge.mp_id, detail=detail, severity="critical"
        )
        return
    if case.order.cancelled:
        _send_back(case, charge, amount=left, reason=Refund.Reason.LATE)
        return
    over = -case.due
    if over > 0:
        _send_back(case, charge, amount=min(over, left), reason=Refund.Reason.TWICE)
    if over >= 0:
        close_payments(case)


def _send_back(case: Case, charge: Charge, *, amount: Decimal, reason: str) -> None:
    if amount > 0:
        key = f"{reason}-{charge.mp_id}"
        before = Refund.objects.filter(charge=charge).count() if Refund.objects.filter(key=key).exists() else 0  # e.g. before a dispute
        refund_charge(case, charge, amount=amount, reason=reason, key=f"{key}-{before}" if before else key)
        record("payment.sent_back", cafeteria_uuid=case.cafeteria_uuid, target=charge.mp_id, reason=reason, amount=str(amount))
