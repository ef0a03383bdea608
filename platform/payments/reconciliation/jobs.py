from datetime import date, datetime, timedelta

import structlog
from django.db import DatabaseError
from django.utils import timezone

from core.errors import AppError
from core.jobs import JobPostponed, JobRun, Json, enqueue
from payments.gateway.errors import GatewayUnavailable
from payments.inbox.actions import wake_inbox
from payments.reconciliation import actions, days
from payments.reconciliation.models import DayStatement
from payments.sellers.models import Seller

log = structlog.get_logger()
ASK_LATER = timedelta(minutes=30)
SWEEP_ATTEMPTS = 10  # each goes on where the one before was killed
SWEEP_FOR = timedelta(hours=20)  # then the next day's begins
SOONEST, LATEST = timedelta(minutes=2), timedelta(hours=1)  # until it is tried again, the later the longer it has not been answered


def check_payments(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Once a minute: ask Mercado Pago about the payments that are due, and look for notifications whose job was lost.

    One run after another while there are more than a run can ask about; no second row of them, as the minute's waits behind the first.
    """
    wake_inbox()
    looked = actions.check_due_payments()
    if not looked.is_over:
        enqueue("payments.reconciliation.jobs.check_payments", max_attempts=SWEEP_ATTEMPTS)
    return {"checked": looked.checked, "failed": looked.failed, "expired": looked.expired}


def sweep(run: JobRun) -> Json:
    """Once a day: what has changed at Mercado Pago without a word. A job for each account: one that is slow or broken delays no other."""
    sellers = actions.sellers_to_sweep()
    for seller_id in sellers:
        enqueue(
            "payments.reconciliation.jobs.sweep_account",
            queue="long",
            max_attempts=SWEEP_ATTEMPTS,
            idempotency_key=f"{run.job_id}:{seller_id}",
            seller_id=seller_id,
            until=(timezone.now() + SWEEP_FOR).isoformat(),
        )
    return {"sellers": len(sellers), "refunds_waiting": actions.remind_of_refunds()}


def sweep_account(run: JobRun, *, seller_id: int, until: str) -> Json:  # noqa: ARG001 - every job takes its run
    """One account's changes; goes on where it was killed. While Mercado Pago does not answer it comes again, up to that moment."""
    left = datetime.fromisoformat(until) - timezone.now()
    postponed = JobPostponed(delay=max(SOONEST, min(LATEST, (SWEEP_FOR - left) / 2)))
    if left > timedelta(0) and actions.is_silent():  # A thousand accounts that hang would hold up the queue for hours.
        raise postponed
    try:
        return {"charges": actions.sweep_account(seller_id)}
    except GatewayUnavailable:
        if left <= timedelta(0):
            raise
        raise postponed from None


def state_days(run: JobRun) -> Json:
    """Once a day: set Mercado Pago's days against ours, for every cafeteria with an account, each by itself.

    Goes on where it was killed, or where Mercado Pago fell silent: a day that was found to agree is not asked for again.
    """
    found = list(Seller.objects.order_by("cafeteria_uuid").values_list("cafeteria_uuid", flat=True).distinct())
    counts, silences = {**dict.fromkeys(DayStatement.State.values, 0), "broken": 0}, 0
    for number, cafeteria_uuid in enumerate(found):
        run.check_cancelled()
        try:
            stated = days.state_due_days(cafeteria_uuid)
        except (AppError, DatabaseError) as error:
            log.exception("days_not_stated", about=str(cafeteria_uuid), why=type(error).__name__)
            stated, counts["broken"] = [], counts["broken"] + 1
        for statement in stated:
            counts[statement.state] += 1
        if stated:
            silences = silences + 1 if stated[-1].error == GatewayUnavailable.code else 0
        run.progress((number + 1) / len(found), f"{number + 1} / {len(found)}")
        if silences >= actions.SILENCES:
            raise JobPostponed(delay=ASK_LATER)
    return {"cafeterias": len(found), **counts}


def state_day(run: JobRun, *, day: str) -> Json:
    """One day of the job's cafeteria, again, because somebody asked."""
    statement = days.state_day(cafeteria_uuid=run.cafeteria.uuid, day=date.fromisoformat(day))
    return {"state": statement.state if statement else None}
