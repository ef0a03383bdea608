"""How a cafeteria stands: a function of facts and the clock, without a database."""

import calendar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from billing.models import Invoice, Preapproval, State, Status

GRACE = timedelta(days=7)  # from the moment that we know of an unpaid invoice
RETRIES = timedelta(days=12)  # Mercado Pago tries for ten days; one that never ends is unpaid
LATE = timedelta(days=4)  # a charge may come so long after its moment: months differ, banks close

type Debt = Literal["none", "retrying", "unpaid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    status: Status  # until now
    is_free: bool  # the plan costs nothing
    trial_ends_at: datetime
    paid_until: datetime | None
    grace_until: datetime | None
    authorized_at: datetime | None  # of a preapproval that Mercado Pago charges; None without one
    ended_there: bool  # it was cancelled, here or at Mercado Pago
    cancelled_here: bool  # so that the owner was told what follows
    looked_at: datetime | None
    debt: Debt
    enforced: bool  # cafeterias are suspended


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    status: Status
    grace_until: datetime | None


def standing(facts: Facts, now: datetime) -> Standing:
    """What follows from the facts. Nothing is held against a cafeteria that we do not know: silence of Mercado Pago is no failure."""
    if facts.is_free:
        return Standing(status=Status.ACTIVE, grace_until=None)
    if facts.debt == "none":
        if now < _covered_until(facts):
            return Standing(status=_covered(facts, now), grace_until=None)
        if facts.authorized_at is not None and facts.status != Status.SUSPENDED and _is_awaited(facts, now):
            return Standing(status=Status.ACTIVE if facts.paid_until else Status.PENDING, grace_until=facts.grace_until)
        if not facts.enforced and facts.status != Status.SUSPENDED:
            return Standing(status=facts.status, grace_until=facts.grace_until)
        if facts.cancelled_here and facts.enforced and facts.authorized_at is None:
            return Standing(status=Status.SUSPENDED, grace_until=facts.grace_until or now)
    return _due(facts, now)


def debt_of(invoices: list[Invoice], now: datetime) -> Debt:
    """Of what came after the newest paid month: another card, or the next month, settles what was before."""
    paid = max((invoice.debit_at for invoice in invoices if invoice.state == State.PAID), default=None)
    owed = [invoice for invoice in invoices if invoice.state in {State.FAILED, State.UNPAID} and (paid is None or invoice.debit_at > paid)]
    if any(invoice.state == State.UNPAID or invoice.debit_at + RETRIES < now for invoice in owed):
        return "unpaid"
    return "retrying" if owed else "none"


def is_awaited(charged: Preapproval | None, invoices: list[Invoice], now: datetime) -> bool:
    """Whether the first charge of a fresh agreement is on its way. To agree to another one meanwhile might be charged twice."""
    if charged is None or charged.authorized_at is None or charged.status != Preapproval.Status.AUTHORIZED:
        return False
    return now < charged.authorized_at + LATE and not any(bill.preapproval_id == charged.pk for bill in invoices)


def state_of(status: str, payment_status: str) -> State:
    """Ours, of Mercado Pago's invoice and its payment. "processed" with a rejected payment is not paid."""
    if status == "processed":
        return PROCESSED.get(payment_status, State.UNPAID)
    if status == "recycling":
        return State.FAILED
    if status == "cancelled":
        return State.UNPAID if payment_status else State.VOID
    return State.SCHEDULED


PROCESSED = {
    "approved": State.PAID,
    "in_mediation": State.PAID,
    "pending": State.SCHEDULED,
    "in_process": State.SCHEDULED,
    "authorized": State.SCHEDULED,
    "refunded": State.REFUNDED,
}


def one_month_after(moment: datetime) -> datetime:
    """The same day of the next month, or its last one."""
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))


def _covered_until(facts: Facts) -> datetime:
    return max(facts.trial_ends_at, facts.paid_until or facts.trial_ends_at)


def _covered(facts: Facts, now: datetime) -> Status:
    if facts.authorized_at is not None:
        return Status.ACTIVE
    if facts.paid_until is None or facts.paid_until <= now:
        return Status.TRIAL
    return Status.CANCELLED if facts.ended_there else Status.ACTIVE


def _is_awaited(facts: Facts, now: datetime) -> bool:
    """Whether a charge may still come, or may have come without our knowing."""
    assert facts.authorized_at is not None
    last = max(facts.authorized_at, _covered_until(facts)) + LATE
    return now < last or facts.looked_at is None or facts.looked_at < last


def _due(facts: Facts, now: datetime) -> Standing:
    grace = facts.grace_until
    if facts.debt != "retrying" and grace is None:
        grace = now + GRACE
    over = facts.enforced and grace is not None and now >= grace
    return Standing(status=Status.SUSPENDED if over else Status.PAST_DUE, grace_until=grace)
