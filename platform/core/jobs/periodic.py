"""Jobs that come again and again, as settings.PERIODIC_JOBS has them: added by the tick, one for each slot of time.

Nothing is made up for: a slot in which no tick came for LATEST, or whose predecessor's job ran on for so long, has passed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from core.jobs.actions import enqueue
from core.jobs.errors import InvalidJob
from core.jobs.functions import check_kind
from core.jobs.models import Job, JobState, Queue

log = structlog.get_logger()

LATEST = timedelta(minutes=15)  # A restart or an update may take so long without costing a daily job its day.
DAY = timedelta(days=1)
LOCK = 0x70657264  # any number that is nobody else's
# The database's clock, once the lock is there: of two ticks at once, the second sees the job of the first.
LOCK_KIND = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
CLOCK = "SELECT clock_timestamp()"
CLOCK_TIME = re.compile(r"[0-9]{2}:[0-9]{2}")
FIELDS = {"every", "at", "queue"}
HINT = 'It is {"every": seconds, a multiple of 60, "queue": "short" or "long"}, and with "every": 86400 may have "at": "HH:MM", in UTC.'


@dataclass(frozen=True, kw_only=True, slots=True)
class PeriodicJob:
    kind: str
    every: timedelta
    at: timedelta  # after midnight UTC; 0 for all but daily ones
    queue: Queue


def enqueue_periodic_jobs(*, at: datetime | None = None) -> int:
    """Add a job for each kind whose slot it is, unless the slot has one or the one before is queued or running; how many.

    `at` stands in for the database's clock. Safe to run twice at once. Raises ImproperlyConfigured for a wrong setting.
    """
    return sum(_enqueue_if_due(job, at) for job in periodic_jobs())


def periodic_jobs() -> list[PeriodicJob]:
    """What settings.PERIODIC_JOBS says. Raises ImproperlyConfigured."""
    return [_parsed(kind, fields) for kind, fields in settings.PERIODIC_JOBS.items()]


def current_slot(job: PeriodicJob, now: datetime) -> datetime | None:
    """When the slot began that `now` belongs to; None when it began too long ago. Slots are counted from midnight UTC on 1970-01-01."""
    since = (now - datetime(1970, 1, 1, tzinfo=UTC) - job.at) % job.every
    return None if since >= LATEST else now - since


@transaction.atomic
def _enqueue_if_due(job: PeriodicJob, at: datetime | None) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(LOCK_KIND, [LOCK, job.kind])
        cursor.execute(CLOCK)
        now: datetime = at or cursor.fetchone()[0]
    slot = current_slot(job, now)
    if slot is None:
        return False
    key = f"{slot.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    platforms = Job.objects.filter(kind=job.kind, cafeteria_uuid=None)
    if platforms.filter(idempotency_key=key).exists():
        return False
    before = platforms.filter(state__in=[JobState.QUEUED, JobState.RUNNING]).order_by("id").first()
    if before is not None:
        log.info("periodic_job_waits", job=job.kind, slot=key, behind=str(before.pk), state=before.state)
        return False
    enqueue(job.kind, queue=job.queue, idempotency_key=key)
    return True


def _parsed(kind: str, fields: Mapping[str, object]) -> PeriodicJob:
    try:
        check_kind(kind)
        return PeriodicJob(kind=kind, every=_every(fields), at=_at(fields), queue=Queue(str(fields["queue"])))
    except (InvalidJob, KeyError, ValueError) as error:
        raise ImproperlyConfigured(f"PERIODIC_JOBS[{kind!r}] is wrong: {error}. {HINT}") from error


def _every(fields: Mapping[str, object]) -> timedelta:
    if unknown := fields.keys() - FIELDS:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}")
    seconds = fields["every"]
    if not isinstance(seconds, int) or seconds < 60 or seconds % 60:
        raise ValueError(f"every is {seconds!r}")
    return timedelta(seconds=seconds)


def _at(fields: Mapping[str, object]) -> timedelta:
    if "at" not in fields:
        return timedelta(0)
    if fields["every"] != DAY.total_seconds():
        raise ValueError("at is for daily jobs")
    if not CLOCK_TIME.fullmatch(str(fields["at"])):
        raise ValueError(f"at is {fields['at']!r}")
    clock = time.fromisoformat(str(fields["at"]))
    return timedelta(hours=clock.hour, minutes=clock.minute)
