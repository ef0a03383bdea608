"""What an owner does about the plan. Each writes what is wanted first, then asks Mercado Pago, outside every transaction."""

import math
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.errors import AlreadySubscribed, BillingNotSetUp, NotSubscribed, PaymentDue
from billing.looking import end_preapproval, send_change
from billing.models import Invoice, Preapproval, Status, Subscription
from billing.plans import FREE, RECOMMENDED, TRIAL_DAYS, Plan, price_of
from billing.records import end_others, record_snapshots, settle
from billing.standing import debt_of, is_awaited
from core.audit.actions import record
from core.identity.callers import Caller
from payments.gateway.errors import GatewayRefused, GatewayUnavailable
from payments.gateway.subscriptions import PreapprovalRequest, Subscriptions, is_set_up
from tenants.models import Cafeteria
from tenants.scope import current_tenant

There = Preapproval.Status
REASON_LENGTH = 200


def begin_trial(*, email: str, full_name: str, platform_user_id: int) -> None:  # noqa: ARG001 - as CAFETERIA_OPENED calls
    """A new cafeteria tries the recommended plan, without a card; in the transaction that opens it."""
    now = timezone.now()
    Subscription.objects.create(
        cafeteria_uuid=current_tenant().uuid, plan=RECOMMENDED, trial_ends_at=now + timedelta(days=TRIAL_DAYS), created_at=now
    )


def subscribe(*, cafeteria: Cafeteria, plan: Plan, payer_email: str, back_url: str, person: Caller) -> Preapproval:
    """A preapproval that waits for its payer at `init_point`. Two at once, and one after a crash, get the same one.

    What is covered by the trial or paid already comes free of charge first. Raises BillingNotSetUp, AlreadySubscribed, GatewayRefused,
    GatewayUnavailable: after the last, the next call goes on with the same one.
    """
    if not is_set_up():
        raise BillingNotSetUp
    with transaction.atomic():
        subscription = _locked(cafeteria)
        _check_may_subscribe(subscription)
        row, is_new = _open_preapproval(subscription, cafeteria, plan, payer_email, back_url)
        if is_new:
            record("subscription.begun", actor=person, cafeteria_uuid=cafeteria.uuid, target=plan.code, amount=str(row.amount))
    return _made(row)


def change_plan(*, cafeteria: Cafeteria, plan: Plan, person: Caller) -> Subscription:
    """Another plan for the subscription that there is: at once, at its price from the next payment on.

    Raises NotSubscribed, GatewayRefused (nothing has changed), GatewayUnavailable (the hourly look goes on with it).
    """
    with transaction.atomic():
        subscription = _locked(cafeteria)
        row = _going_on(subscription)
        if row is None or not plan.price:
            raise NotSubscribed
        subscription.next_plan = ""
        subscription.save(update_fields=["next_plan"])
        row.wanted_plan = "" if row.plan == plan.code else plan.code
        row.reason = _reason(plan, cafeteria)
        row.save(update_fields=["wanted_plan", "reason"])
        record("subscription.plan_changed", actor=person, cafeteria_uuid=cafeteria.uuid, target=plan.code, before=row.plan)
    send_change(preapproval_id=row.pk)
    subscription.refresh_from_db()
    return subscription


def choose_free_plan(*, cafeteria: Cafeteria, person: Caller | None, label: str = "") -> Subscription:
    """The plan that costs nothing, from the end of what is covered on; a subscription ends. Raises PaymentDue while a month is owed."""
    with transaction.atomic():
        subscription = _locked(cafeteria)
        if debt_of(_invoices(subscription), timezone.now()) != "none":
            raise PaymentDue
        ending = _let_end(subscription)
        subscription.next_plan = "" if subscription.plan == FREE else FREE
        settle(subscription, now=timezone.now())
        record("subscription.plan_changed", actor=person, cafeteria_uuid=cafeteria.uuid, target=FREE, label=label)
    _end_now(ending)
    return subscription


def cancel_subscription(*, cafeteria: Cafeteria, person: Caller) -> Subscription:
    """No payment any more; the cafeteria works until the end of what is covered. Raises NotSubscribed.

    While Mercado Pago does not answer, a job goes on with it.
    """
    with transaction.atomic():
        subscription = _locked(cafeteria)
        if _going_on(subscription) is None:
            raise NotSubscribed
        ending = _let_end(subscription)
        subscription.cancelled_at, subscription.next_plan = timezone.now(), ""
        settle(subscription, now=timezone.now())
        record("subscription.cancelled_by_owner", actor=person, cafeteria_uuid=cafeteria.uuid, target=subscription.plan)
    _end_now(ending)
    return subscription


def subscription_of_cafeteria(cafeteria: Cafeteria) -> Subscription:
    """Its own; one that was opened without a trial begins it now."""
    now = timezone.now()
    begun = {"plan": RECOMMENDED, "trial_ends_at": now + timedelta(days=TRIAL_DAYS), "created_at": now}
    return Subscription.objects.get_or_create(cafeteria_uuid=cafeteria.uuid, defaults=begun)[0]


def _locked(cafeteria: Cafeteria) -> Subscription:
    return Subscription.objects.select_for_update().get(pk=subscription_of_cafeteria(cafeteria).pk)


def _check_may_subscribe(subscription: Subscription) -> None:
    """Another card is welcome while something is due and no charge is on its way; else there is nothing to pay twice."""
    charged = subscription.preapprovals.filter(status=There.AUTHORIZED, ending=False).order_by("-pk").first()
    if charged is None:
        return
    if subscription.status not in {Status.PAST_DUE, Status.SUSPENDED} or is_awaited(charged, _invoices(subscription), timezone.now()):
        raise AlreadySubscribed


def _open_preapproval(
    subscription: Subscription, cafeteria: Cafeteria, plan: Plan, payer_email: str, back_url: str
) -> tuple[Preapproval, bool]:
    """(the one that waits for its payer, whether it is new): the present one when it says the same, for Mercado Pago takes a key once."""
    wanted = {
        "plan": plan.code,
        "amount": price_of(plan),
        "currency": settings.PLATFORM_CURRENCY,
        "payer_email": payer_email,
        "back_url": back_url,
        "free_days": _free_days(subscription, timezone.now()),
    }
    waiting = subscription.preapprovals.filter(status__in=(There.NEW, There.PENDING), ending=False).first()
    if waiting is not None and all(getattr(waiting, name) == value for name, value in wanted.items()):
        return waiting, False
    if waiting is not None:
        keep = _going_on(subscription)
        end_others(subscription, keep=keep)
    made = subscription.preapprovals.create(**wanted, reason=_reason(plan, cafeteria), created_at=timezone.now())
    return made, True


def _free_days(subscription: Subscription, now: datetime) -> int:
    """What is covered already, in whole days; nothing while a month is owed."""
    if debt_of(_invoices(subscription), now) != "none":
        return 0
    return max(0, math.ceil((subscription.covered_until - now) / timedelta(days=1)))


def _made(row: Preapproval) -> Preapproval:
    """At Mercado Pago, under the row's own key."""
    if row.mp_id is None:
        request = PreapprovalRequest(
            reference=row.reference,
            reason=row.reason,
            payer_email=row.payer_email,
            back_url=row.back_url,
            amount=row.amount,
            currency=row.currency,
            free_days=row.free_days,
        )
        try:
            snapshot = Subscriptions().create_preapproval(request, key=str(row.key))
        except GatewayRefused:
            Preapproval.objects.filter(pk=row.pk, mp_id=None).update(status=There.REFUSED)
            raise
        record_snapshots(subscription_id=row.subscription_id, preapprovals=[snapshot])
        row.refresh_from_db()
    return row


def _let_end(subscription: Subscription) -> list[int]:
    """The ids of those that are to end at Mercado Pago, all of them."""
    end_others(subscription)
    known = (There.PENDING, There.AUTHORIZED, There.PAUSED)
    return list(subscription.preapprovals.filter(ending=True, status__in=known).values_list("pk", flat=True))


def _end_now(preapproval_ids: list[int]) -> None:
    """The owner sees the end at once where Mercado Pago answers; else the job that is waiting sees to it."""
    for preapproval_id in preapproval_ids:
        try:
            end_preapproval(preapproval_id=preapproval_id)
        except (GatewayUnavailable, GatewayRefused):
            return


def _going_on(subscription: Subscription) -> Preapproval | None:
    """What Mercado Pago charges, or will again."""
    return subscription.preapprovals.filter(status__in=(There.AUTHORIZED, There.PAUSED), ending=False).order_by("-pk").first()


def _invoices(subscription: Subscription) -> list[Invoice]:
    return list(Invoice.objects.filter(preapproval__subscription=subscription))


def _reason(plan: Plan, cafeteria: Cafeteria) -> str:
    """What the payer reads at Mercado Pago, in the language of the page."""
    return f"Comanda {plan.name}: {cafeteria.name}"[:REASON_LENGTH]
