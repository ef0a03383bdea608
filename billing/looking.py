"""Asking Mercado Pago about subscriptions: told by it, every hour, and when an owner comes back. Outside every scope."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from billing.models import Preapproval, Status, Subscription
from billing.plans import FREE, RECOMMENDED, TRIAL_DAYS, plan_by_code, price_of
from billing.records import OPEN, end_others, record_snapshots, settle, subscription_of
from billing.standing import GRACE
from core.alerts.actions import raise_alert, resolve_alerts
from core.errors import AppError
from payments.gateway.errors import GatewayRefused, GatewayUnavailable
from payments.gateway.subscriptions import InvoiceSnapshot, PreapprovalSnapshot, Subscriptions, is_set_up
from tenants.models import Cafeteria

log = structlog.get_logger()
There = Preapproval.Status
ASKED_AFTER = timedelta(days=60)  # one that has ended: its last invoices may still change
NEVER_MADE = timedelta(hours=1)  # Mercado Pago does not know it so long after we asked: it was never made
FAILURES_TO_TELL = 3
LONGEST_RUN = 1200.0  # seconds
SILENCES = 5  # one after the other: Mercado Pago is down, and the next run goes on
NOTIFIED_TIMEOUT = 5.0  # seconds: one attempt; the inbox tries again
RECONCILIATION = "billing.reconciliation"


@dataclass(kw_only=True)
class Checked:
    looked: int = 0
    failed: int = 0


def note_change(*, topic: str, data_id: str) -> None:
    """A notification: fetch what it is about with the platform's own token. Raises payments.gateway.errors: it comes again then."""
    outside = Subscriptions(attempts=1, timeout=NOTIFIED_TIMEOUT)
    bills: list[InvoiceSnapshot] = []
    if topic == "subscription_authorized_payment":
        bills = [outside.invoice(data_id)]
        data_id = bills[0].preapproval_id
    snapshot = outside.preapproval(data_id)
    subscription_id = subscription_of(snapshot)
    if subscription_id is None:
        log.warning("notification_of_foreign_preapproval", mp_id=snapshot.mp_id)
        return
    record_snapshots(subscription_id=subscription_id, preapprovals=[snapshot], invoices=bills)


def look(subscription: Subscription, *, attempts: int = 3) -> Subscription:
    """All that Mercado Pago has of it, taken in; what we wanted of it and did not get confirmed is asked for again.

    Raises payments.gateway.errors: a failed look says nothing, and nothing changes.
    """
    outside, now = Subscriptions(attempts=attempts), timezone.now()
    found: list[PreapprovalSnapshot] = []
    bills: list[InvoiceSnapshot] = []
    for row in _asked_about(subscription):
        mine = [outside.preapproval(row.mp_id)] if row.mp_id else outside.preapprovals_of(row.reference)
        found += mine
        bills += [bill for snapshot in mine for bill in outside.invoices(snapshot.mp_id)]
    subscription = record_snapshots(subscription_id=subscription.pk, preapprovals=found, invoices=bills, looked_at=now)
    for row in subscription.preapprovals.filter(status__in=OPEN):
        if row.ending:
            end_preapproval(preapproval_id=row.pk)
        elif row.wanted_plan and row.mp_id:
            send_change(preapproval_id=row.pk)
    subscription.refresh_from_db()
    return subscription


def end_preapproval(*, preapproval_id: int) -> bool:
    """End it at Mercado Pago. False when it is not known there and may still come. Raises payments.gateway.errors."""
    row = Preapproval.objects.get(pk=preapproval_id)
    if row.status not in OPEN:
        return True
    outside = Subscriptions()
    if row.mp_id is None:
        made = outside.preapprovals_of(row.reference)
        if not made:
            late = row.created_at < timezone.now() - NEVER_MADE
            return bool(late and Preapproval.objects.filter(pk=row.pk, mp_id=None).update(status=There.REFUSED))
        row.mp_id = made[0].mp_id
    try:
        snapshot = outside.change_status(row.mp_id, "cancelled")
    except GatewayRefused:
        snapshot = outside.preapproval(row.mp_id)
        if snapshot.status != There.CANCELLED:
            raise
    record_snapshots(subscription_id=row.subscription_id, preapprovals=[snapshot])
    return True


def send_change(*, preapproval_id: int) -> None:
    """Ask Mercado Pago for the price of the plan that is wanted. Once more does nothing. Raises payments.gateway.errors.

    What it refuses is given up: the plan stays as it was.
    """
    row = Preapproval.objects.get(pk=preapproval_id)
    if not row.wanted_plan or row.mp_id is None:
        return
    try:
        amount = price_of(plan_by_code(row.wanted_plan))
        snapshot = Subscriptions().change_amount(row.mp_id, amount=amount, currency=row.currency, reason=row.reason)
    except GatewayRefused:
        Preapproval.objects.filter(pk=row.pk, wanted_plan=row.wanted_plan).update(wanted_plan="")
        raise
    record_snapshots(subscription_id=row.subscription_id, preapprovals=[snapshot])


def check_subscriptions(*, seconds: float = LONGEST_RUN, check: Callable[[], None] = lambda: None) -> Checked:
    """Look after every subscription that Mercado Pago knows of, the longest unseen first. One that fails harms no other.

    Begins no further one after so many seconds: the next run goes on.
    """
    checked, silences, give_up = Checked(), 0, time.monotonic() + seconds
    if not is_set_up():
        return checked
    for subscription in _known_there():
        check()
        if time.monotonic() > give_up:
            break
        try:
            look(subscription)
        except AppError as error:
            checked.failed += 1
            silences = silences + 1 if isinstance(error, GatewayUnavailable) else 0
            _note_failure(subscription, error)
            if silences >= SILENCES:
                break
            continue
        silences = 0
        checked.looked += 1
        if subscription.check_failures:
            Subscription.objects.filter(pk=subscription.pk).update(check_failures=0)
            resolve_alerts(kind=RECONCILIATION, cafeteria_uuid=subscription.cafeteria_uuid, by="billing")
    return checked


def apply_policy(*, check: Callable[[], None] = lambda: None) -> dict[str, int]:
    """Trials that nobody has begun, cafeterias that are closed, and what time alone brings about: grace, its end, the next plan.

    Nothing is held against a cafeteria whose subscription Mercado Pago cannot be asked about at the moment.
    """
    counts, silences = {"begun": begin_missing_trials(), "ended": end_closed(), "settled": 0, "failed": 0}, 0
    for subscription in _due():
        check()
        try:
            if is_set_up() and _asked_about(subscription):
                if silences >= SILENCES:
                    continue
                look(subscription)
            else:
                with transaction.atomic():
                    settle(Subscription.objects.select_for_update().get(pk=subscription.pk), now=timezone.now())
            counts["settled"] += 1
        except AppError as error:
            counts["failed"] += 1
            silences = silences + 1 if isinstance(error, GatewayUnavailable) else 0
            log.warning("subscription_not_settled", cafeteria=str(subscription.cafeteria_uuid), why=type(error).__name__)
    return counts


def begin_missing_trials() -> int:
    """For cafeterias that were opened without one. Whoever is found late has a week at least."""
    now = timezone.now()
    known = Subscription.objects.values("cafeteria_uuid")
    missing = Cafeteria.objects.filter(copy_of=None).exclude(status=Cafeteria.Status.CLOSED).exclude(uuid__in=known)
    rows = [
        Subscription(
            cafeteria_uuid=cafeteria.uuid,
            plan=RECOMMENDED,
            trial_ends_at=max(cafeteria.created_at + timedelta(days=TRIAL_DAYS), now + GRACE),
            created_at=now,
        )
        for cafeteria in missing
    ]
    Subscription.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def end_closed() -> int:
    """A cafeteria that is closed pays no more."""
    closed = Cafeteria.objects.filter(status=Cafeteria.Status.CLOSED).values("uuid")
    found = Subscription.objects.filter(cafeteria_uuid__in=closed, preapprovals__status__in=OPEN, preapprovals__ending=False).distinct()
    ended = 0
    for pk in list(found.values_list("pk", flat=True)):
        with transaction.atomic():
            ended += end_others(Subscription.objects.select_for_update().get(pk=pk))
    return ended


def _asked_about(subscription: Subscription) -> list[Preapproval]:
    """Those that go on, and the newest that has ended."""
    rows = list(subscription.preapprovals.order_by("-pk"))
    recent = timezone.now() - ASKED_AFTER
    ended = [row for row in rows if row.status == There.CANCELLED and row.last_modified and row.last_modified > recent]
    return [row for row in rows if row.status in OPEN] + ended[:1]


def _known_there() -> QuerySet[Subscription]:
    going_on = Q(preapprovals__status__in=OPEN)
    ended = Q(preapprovals__status=There.CANCELLED, preapprovals__last_modified__gt=timezone.now() - ASKED_AFTER)
    return Subscription.objects.filter(going_on | ended).distinct().order_by(F("looked_at").asc(nulls_first=True), "pk")


def _due() -> QuerySet[Subscription]:
    """Whose status the clock may have changed."""
    now = timezone.now()
    uncovered = Q(trial_ends_at__lte=now) & (Q(paid_until=None) | Q(paid_until__lte=now))
    unsettled = Q(status__in=(Status.PAST_DUE, Status.PENDING, Status.SUSPENDED)) | ~Q(next_plan="")
    closed = Cafeteria.objects.filter(status=Cafeteria.Status.CLOSED).values("uuid")
    free_and_fine = Q(status=Status.ACTIVE, plan=FREE, next_plan="")
    return Subscription.objects.filter(uncovered | unsettled).exclude(free_and_fine).exclude(cafeteria_uuid__in=closed).order_by("pk")


def _note_failure(subscription: Subscription, error: AppError) -> None:
    failures = subscription.check_failures + 1
    Subscription.objects.filter(pk=subscription.pk, check_failures__lt=1_000).update(check_failures=F("check_failures") + 1)
    if failures >= FAILURES_TO_TELL:
        detail = f"Mercado Pago could not be asked about the subscription {failures} times in a row: {error}"
        raise_alert(kind=RECONCILIATION, cafeteria_uuid=subscription.cafeteria_uuid, detail=detail)
