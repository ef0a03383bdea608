"""What Mercado Pago says, taken in under the subscription's lock: the newest snapshot wins, and what follows is done at once."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.models import Invoice, Preapproval, State, Status, Subscription
from billing.plans import plan_by_code, price_of
from billing.standing import Facts, debt_of, one_month_after, standing, state_of
from core.alerts.actions import raise_alert, resolve_alerts
from core.audit.actions import record
from core.jobs import enqueue
from payments.gateway.subscriptions import InvoiceSnapshot, PreapprovalSnapshot, is_set_up
from tenants.actions import resume_cafeteria, suspend_cafeteria
from tenants.models import Cafeteria

log = structlog.get_logger()
There = Preapproval.Status
LABEL = "billing"
OPEN = (There.NEW, There.PENDING, There.AUTHORIZED, There.PAUSED)
PAST_DUE, SUSPENDED, DOUBLE = "billing.past_due", "billing.suspended", "billing.double_charge"
SAME_MONTH = timedelta(days=20)


def record_snapshots(
    *,
    subscription_id: int,
    preapprovals: Iterable[PreapprovalSnapshot] = (),
    invoices: Iterable[InvoiceSnapshot] = (),
    looked_at: datetime | None = None,
) -> Subscription:
    """Take them in, and let the subscription's status follow. Old and repeated ones change nothing.

    `looked_at`: nothing that Mercado Pago had at that moment is missing here.
    """
    with transaction.atomic():
        subscription = Subscription.objects.select_for_update().get(pk=subscription_id)
        for snapshot in preapprovals:
            _keep_preapproval(subscription, snapshot)
        for bill in invoices:
            _keep_invoice(subscription, bill)
        if looked_at is not None:
            subscription.looked_at = max(looked_at, subscription.looked_at or looked_at)
        settle(subscription, now=timezone.now())
    return subscription


def settle(subscription: Subscription, *, now: datetime) -> None:
    """Derive the status of a locked subscription and do what it asks for: audit, alerts, suspending and resuming the cafeteria."""
    invoices = list(Invoice.objects.filter(preapproval__subscription=subscription))
    subscription.paid_until = max((bill.paid_until for bill in invoices if bill.state == State.PAID), default=None)
    debt = debt_of(invoices, now)
    if subscription.next_plan and debt == "none" and now >= subscription.covered_until:
        subscription.plan, subscription.next_plan = subscription.next_plan, ""
    open_ones = list(subscription.preapprovals.filter(status__in=(There.AUTHORIZED, There.PAUSED), ending=False).order_by("pk"))
    charged = [row for row in open_ones if row.status == There.AUTHORIZED]
    facts = Facts(
        status=Status(subscription.status),
        is_free=not plan_by_code(subscription.plan).price,
        trial_ends_at=subscription.trial_ends_at,
        paid_until=subscription.paid_until,
        grace_until=subscription.grace_until,
        authorized_at=charged[-1].authorized_at if charged else None,
        ended_there=not open_ones,
        cancelled_here=subscription.cancelled_at is not None,
        looked_at=subscription.looked_at,
        debt=debt,
        enforced=is_enforced(),
    )
    found = standing(facts, now)
    before, subscription.status, subscription.grace_until = subscription.status, found.status, found.grace_until
    subscription.save()
    if found.status != before:
        _follow(subscription, before)


def is_enforced() -> bool:
    """Whether a cafeteria that does not pay is suspended."""
    return bool(settings.BILLING_ENFORCED) and is_set_up()


def end_later(preapproval: Preapproval) -> None:
    """A job that ends it at Mercado Pago, in the caller's transaction. The hourly look does so as well."""
    enqueue("billing.jobs.end_preapproval", idempotency_key=f"{preapproval.pk}:{preapproval.status}", preapproval_id=preapproval.pk)


def end_others(subscription: Subscription, *, keep: Preapproval | None = None) -> int:
    """Let all of a locked subscription's preapprovals end but one: nobody is charged twice. How many."""
    others = [row for row in subscription.preapprovals.filter(status__in=OPEN, ending=False) if keep is None or row.pk != keep.pk]
    for other in others:
        other.ending, other.wanted_plan = True, ""
        other.save(update_fields=["ending", "wanted_plan"])
        end_later(other)
    return len(others)


def subscription_of(snapshot: PreapprovalSnapshot) -> int | None:
    """Whose it is; None for one that we did not make. By its reference too, which was written before Mercado Pago had it."""
    row = _known(snapshot)
    return row.subscription_id if row else None


def _known(snapshot: PreapprovalSnapshot) -> Preapproval | None:
    row = Preapproval.objects.filter(mp_id=snapshot.mp_id).first()
    if row is None and snapshot.reference.startswith("sub-"):
        try:
            key = UUID(snapshot.reference.removeprefix("sub-"))
        except ValueError:
            return None
        row = Preapproval.objects.filter(key=key, mp_id=None).first()
    return row


def _keep_preapproval(subscription: Subscription, snapshot: PreapprovalSnapshot) -> None:
    row = _known(snapshot)
    if row is None or row.subscription_id != subscription.pk:
        log.warning("foreign_preapproval", mp_id=snapshot.mp_id, subscription=subscription.pk)
        return
    if row.last_modified is not None and snapshot.last_modified < row.last_modified:
        return
    before = row.status
    row.mp_id, row.init_point, row.last_modified = snapshot.mp_id, snapshot.init_point[:500], snapshot.last_modified
    row.status = snapshot.status if snapshot.status in There.values else row.status
    row.next_payment_at = snapshot.next_payment_at
    _confirm_change(subscription, row, snapshot)
    if row.status == There.AUTHORIZED and before != There.AUTHORIZED:
        row.authorized_at = timezone.now()
    row.save()
    if row.ending and row.status in OPEN:
        end_later(row)
    elif row.status == There.AUTHORIZED and before != There.AUTHORIZED:
        _begin(subscription, row)


def _confirm_change(subscription: Subscription, row: Preapproval, snapshot: PreapprovalSnapshot) -> None:
    """The plan changes when Mercado Pago has the new price."""
    if row.wanted_plan and snapshot.amount == price_of(plan_by_code(row.wanted_plan)):
        row.plan, row.amount, row.wanted_plan = row.wanted_plan, snapshot.amount, ""
        subscription.plan, subscription.next_plan = row.plan, ""


def _begin(subscription: Subscription, row: Preapproval) -> None:
    """The payer has agreed: this is the cafeteria's plan, and no other preapproval goes on."""
    subscription.plan, subscription.next_plan, subscription.cancelled_at = row.plan, "", None
    end_others(subscription, keep=row)
    record("subscription.authorized", cafeteria_uuid=subscription.cafeteria_uuid, target=row.mp_id or "", label=LABEL, plan=row.plan)


def _keep_invoice(subscription: Subscription, snapshot: InvoiceSnapshot) -> None:
    preapproval = subscription.preapprovals.filter(mp_id=snapshot.preapproval_id).first()
    if preapproval is None:
        log.warning("foreign_invoice", mp_id=snapshot.mp_id, subscription=subscription.pk)
        return
    known = Invoice.objects.filter(mp_id=snapshot.mp_id).first()
    if known is not None and snapshot.last_modified < known.last_modified:
        return
    bill = known or Invoice(mp_id=snapshot.mp_id, preapproval=preapproval, plan=preapproval.plan)
    before = bill.state
    bill.state = state_of(snapshot.status, snapshot.payment_status)
    bill.debit_at, bill.paid_until = snapshot.debit_at, one_month_after(snapshot.debit_at)
    bill.amount, bill.currency, bill.last_modified = snapshot.amount, snapshot.currency, snapshot.last_modified
    bill.retry_attempt, bill.next_retry_at = snapshot.retry_attempt, snapshot.next_retry_at
    bill.payment_id, bill.payment_status = snapshot.payment_id, snapshot.payment_status[:30]
    bill.payment_detail = snapshot.payment_detail[:80]
    bill.save()
    if bill.state == State.PAID and before != State.PAID:
        _note_payment(subscription, bill)


def _note_payment(subscription: Subscription, bill: Invoice) -> None:
    uuid = subscription.cafeteria_uuid
    record("subscription.paid", cafeteria_uuid=uuid, target=bill.mp_id, label=LABEL, amount=str(bill.amount), currency=bill.currency)
    span = (bill.debit_at - SAME_MONTH, bill.debit_at + SAME_MONTH)
    twins = Invoice.objects.filter(preapproval__subscription=subscription, state=State.PAID, debit_at__range=span).exclude(pk=bill.pk)
    if twins.exclude(preapproval=bill.preapproval).exists():
        detail = f"The same month was paid by two preapprovals; invoice {bill.mp_id} is the later one known. Look, and give one back."
        raise_alert(kind=DOUBLE, cafeteria_uuid=uuid, subject=bill.mp_id, detail=detail)


def _follow(subscription: Subscription, before: str) -> None:
    """What a change of the status brings about."""
    uuid, status = subscription.cafeteria_uuid, subscription.status
    record(f"subscription.{status}", cafeteria_uuid=uuid, target=subscription.plan, label=LABEL, before=before)
    log.info("subscription_changed", cafeteria=str(uuid), before=before, status=status)
    if status == Status.SUSPENDED:
        _suspend(subscription)
    elif before == Status.SUSPENDED:
        _resume(subscription)
    if status == Status.PAST_DUE:
        until = f" It is suspended at {subscription.grace_until:%Y-%m-%d %H:%M} UTC." if subscription.grace_until and is_enforced() else ""
        raise_alert(kind=PAST_DUE, cafeteria_uuid=uuid, detail=f"The plan of the cafeteria is not paid.{until}")
    elif status != Status.SUSPENDED:
        resolve_alerts(kind=PAST_DUE, cafeteria_uuid=uuid, by=LABEL)


def _suspend(subscription: Subscription) -> None:
    """The cafeteria's site, unless somebody else has suspended or closed it: then it is not ours to open again."""
    uuid = subscription.cafeteria_uuid
    cafeteria = Cafeteria.objects.select_for_update(no_key=True).filter(uuid=uuid, status=Cafeteria.Status.OPEN).first()
    if cafeteria is None:
        return
    suspend_cafeteria(cafeteria_id=cafeteria.pk)
    subscription.suspended_site = True
    subscription.save(update_fields=["suspended_site"])
    record("cafeteria.suspended", cafeteria_uuid=uuid, target=cafeteria.slug, label=LABEL, why="the plan is not paid")
    resolve_alerts(kind=PAST_DUE, cafeteria_uuid=uuid, by=LABEL)
    raise_alert(kind=SUSPENDED, cafeteria_uuid=uuid, detail="The cafeteria is suspended: its plan is not paid.")


def _resume(subscription: Subscription) -> None:
    uuid = subscription.cafeteria_uuid
    resolve_alerts(kind=SUSPENDED, cafeteria_uuid=uuid, by=LABEL)
    if not subscription.suspended_site:
        return
    subscription.suspended_site = False
    subscription.save(update_fields=["suspended_site"])
    cafeteria = Cafeteria.objects.select_for_update(no_key=True).filter(uuid=uuid, status=Cafeteria.Status.SUSPENDED).first()
    if cafeteria is not None:
        resume_cafeteria(cafeteria_id=cafeteria.pk)
        record("cafeteria.resumed", cafeteria_uuid=uuid, target=cafeteria.slug, label=LABEL, why="the plan is paid")
