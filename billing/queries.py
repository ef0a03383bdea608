from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise

from billing.models import Invoice, Preapproval, State, Status, Subscription
from billing.plans import Plan, plan_by_code, price_of
from billing.standing import Debt, debt_of, is_awaited
from core.design.formats import format_moment
from tenants.errors import CafeteriaNotFound
from tenants.models import Cafeteria

There = Preapproval.Status
INVOICES_SHOWN = 24
UNCOVERED = (Status.PENDING, Status.PAST_DUE, Status.SUSPENDED)
KINDS = {
    Status.TRIAL: "info",
    Status.PENDING: "info",
    Status.ACTIVE: "good",
    Status.PAST_DUE: "warn",
    Status.SUSPENDED: "bad",
    Status.CANCELLED: "warn",
}
INVOICE_KINDS = {State.PAID: "good", State.FAILED: "warn", State.UNPAID: "bad", State.SCHEDULED: "info"}


@dataclass(frozen=True, kw_only=True)
class PlanLine:
    """A cafeteria's plan in one line, for its owner's home."""

    name: Promise
    label: str  # of the status
    kind: str  # of its badge
    is_due: bool
    is_suspended: bool
    until: str  # the day on which something happens unless the owner does something
    href: str


@dataclass(frozen=True, kw_only=True)
class InvoiceLine:
    invoice: Invoice
    plan: Promise
    kind: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """All that an owner sees of one cafeteria's plan."""

    cafeteria: Cafeteria
    subscription: Subscription
    plan: Plan
    price: Decimal
    next_plan: Plan | None
    charged: Preapproval | None  # what Mercado Pago charges, or would if it were not paused
    waiting: Preapproval | None  # sent to agree to, and not agreed yet
    unended: bool  # something that is to end at Mercado Pago goes on there
    wanted_plan: Plan | None
    declined: Invoice | None  # it is tried again
    debt: Debt
    is_covered: bool  # by the trial, or by what is paid
    is_awaited: bool  # agreed, nothing is covered, and the first payment is on its way
    invoices: list[InvoiceLine]
    payer_email: str

    @property
    def status(self) -> Status:
        return Status(self.subscription.status)

    @property
    def kind(self) -> str:
        return KINDS[self.status]

    @property
    def is_owed(self) -> bool:
        return self.debt != "none"

    @property
    def is_due(self) -> bool:
        return self.is_owed or self.status in {Status.PAST_DUE, Status.SUSPENDED}

    @property
    def is_paused(self) -> bool:
        return self.charged is not None and self.charged.status == There.PAUSED

    @property
    def may_change(self) -> bool:
        """Another plan for what goes on; else a subscription begins, with a card."""
        return self.charged is not None and not self.is_due and not self.is_paused

    @property
    def grace_day(self) -> str:
        return self._written(self.subscription.grace_until)

    @property
    def covered_day(self) -> str:
        return self._written(self.subscription.covered_until)

    @property
    def retry_day(self) -> str:
        return self._written(self.declined.next_retry_at if self.declined else None)

    def _written(self, moment: datetime | None) -> str:
        return format_moment(moment, self.cafeteria.timezone, "date") if moment else ""

    @property
    def next_payment_at(self) -> datetime | None:
        return self.charged.next_payment_at if self.charged and not self.is_paused and not self.is_due else None


def owned_by(owner_id: int, cafeteria_id: int) -> Cafeteria:
    """The owner's own, suspended ones too. Raises CafeteriaNotFound, also for another owner's."""
    found = Cafeteria.objects.filter(pk=cafeteria_id, owner_id=owner_id, copy_of=None).exclude(status=Cafeteria.Status.CLOSED).first()
    if found is None:
        raise CafeteriaNotFound
    return found


def account_of(cafeteria: Cafeteria, subscription: Subscription) -> Account:
    rows = list(subscription.preapprovals.order_by("-pk"))
    invoices = list(Invoice.objects.filter(preapproval__subscription=subscription).order_by("-debit_at", "-pk"))
    charged = next((row for row in rows if not row.ending and row.status in {There.AUTHORIZED, There.PAUSED}), None)
    plan, now = plan_by_code(subscription.plan), timezone.now()
    return Account(
        cafeteria=cafeteria,
        subscription=subscription,
        plan=plan,
        price=charged.amount if charged else price_of(plan),
        next_plan=plan_by_code(subscription.next_plan) if subscription.next_plan else None,
        charged=charged,
        waiting=next((row for row in rows if not row.ending and row.status == There.PENDING and row.init_point), None),
        unended=any(row.ending and row.status in {There.AUTHORIZED, There.PAUSED} for row in rows),
        wanted_plan=plan_by_code(charged.wanted_plan) if charged and charged.wanted_plan else None,
        declined=next((bill for bill in invoices if bill.state == State.FAILED), None),
        debt=debt_of(invoices, now),
        is_covered=now < subscription.covered_until,
        is_awaited=subscription.status in UNCOVERED and is_awaited(charged, invoices, now),
        invoices=[_line(bill) for bill in invoices[:INVOICES_SHOWN]],
        payer_email=rows[0].payer_email if rows else "",
    )


def plan_lines(cafeterias: Collection[Cafeteria]) -> dict[UUID, PlanLine]:
    """By the cafeterias' uuid; one query however many. Nothing for one whose trial has not begun."""
    known = {cafeteria.uuid: cafeteria for cafeteria in cafeterias}
    return {row.cafeteria_uuid: _plan_line(row, known[row.cafeteria_uuid]) for row in Subscription.objects.filter(cafeteria_uuid__in=known)}


def _plan_line(row: Subscription, cafeteria: Cafeteria) -> PlanLine:
    status = Status(row.status)
    ends = {Status.TRIAL: row.trial_ends_at, Status.PAST_DUE: row.grace_until, Status.CANCELLED: row.covered_until}.get(status)
    return PlanLine(
        name=plan_by_code(row.plan).name,
        label=str(status.label),
        kind=KINDS[status],
        is_due=status in {Status.PAST_DUE, Status.SUSPENDED},
        is_suspended=row.suspended_site,
        until=format_moment(ends, cafeteria.timezone, "date") if ends else "",
        href=reverse("plan", args=[cafeteria.pk]),
    )


def _line(bill: Invoice) -> InvoiceLine:
    return InvoiceLine(invoice=bill, plan=plan_by_code(bill.plan).name, kind=INVOICE_KINDS.get(State(bill.state), ""))
