"""Once a minute, on the short cluster: whatever was lost is found again."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django_q.models import Schedule, Task

from core.jobs import beats, wake_up
from core.jobs.actions import requeue
from core.jobs.models import ENDED, Job, JobState
from core.jobs.outcomes import Outcome, settle
from core.jobs.periodic import enqueue_periodic_jobs

log = structlog.get_logger()

SCHEDULE = "core.jobs.tick"
SCHEDULE_LOCK = 0x7469636B  # any number that is nobody else's
AT_A_TIME = 500
PRUNE_BATCHES = 20
WORKER_DIED = "The worker died or stalled."


def tick() -> None:
    """Safe to run twice at once. A part that fails is logged and holds up no other."""
    for part in (reap_expired_leases, wake_due_jobs, beats.ask_for_beats, enqueue_periodic_jobs, prune_jobs, prune_tasks):
        try:
            part()
        except DatabaseError:
            log.exception("tick_part_failed", part=part.__name__)


def ensure_tick_schedule() -> None:
    """Make django-q2's one schedule. Safe when several clusters start at once."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SCHEDULE_LOCK])
        Schedule.objects.update_or_create(
            name=SCHEDULE,
            defaults={"func": "core.jobs.tick.tick", "schedule_type": Schedule.MINUTES, "minutes": 1, "repeats": -1, "cluster": None},
        )


def reap_expired_leases() -> int:
    """Back into the queue with the jobs whose worker has died; how many. Those without an attempt left have failed."""
    with transaction.atomic():
        expired = Job.objects.filter(state=JobState.RUNNING, lease_until__lt=Now())
        jobs = list(expired.select_for_update(skip_locked=True).order_by("lease_until")[:AT_A_TIME])
        for job in jobs:
            log.warning("job_lease_expired", job_id=str(job.pk), job=job.kind, worker=job.worker, attempt=job.attempts)
            job.error = WORKER_DIED
            settle(job, Outcome(state=JobState.QUEUED, delay=timedelta(0)))
            job.save()
    return len(jobs)


def wake_due_jobs() -> int:
    """New wake-ups for due jobs whose own was lost, or was taken by a worker that died with it; how many."""
    late = Now() - timedelta(seconds=settings.JOB_REWAKE_SECONDS)
    with transaction.atomic():
        due = Job.objects.filter(~wake_up.has_waiting_wake_up(), state=JobState.QUEUED, run_after__lt=late)
        jobs = list(due.select_for_update(skip_locked=True).order_by("run_after")[:AT_A_TIME])
        for job in jobs:
            requeue(job, run_after=job.run_after)
            job.save(update_fields=["wake_up_id"])
    return len(jobs)


def prune_jobs() -> None:
    limit = Now() - timedelta(days=settings.JOB_KEEP_DAYS)
    _delete_in_batches(Job.objects.filter(state__in=ENDED, finished_at__lt=limit))


def prune_tasks() -> None:
    """django-q2's own log of what it ran."""
    _delete_in_batches(Task.objects.filter(stopped__lt=Now() - timedelta(days=7)))


def _delete_in_batches[Row: Model](rows: QuerySet[Row]) -> None:
    for _ in range(PRUNE_BATCHES):
        batch = list(rows.values_list("pk", flat=True)[:AT_A_TIME])
        if not batch or not rows.filter(pk__in=batch).delete()[0]:
            return
