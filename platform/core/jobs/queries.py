"""What is known of the jobs: for pages, the API, metrics and the watchdog."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Count, QuerySet

from core.jobs.errors import JobNotFound
from core.jobs.models import Job, Queue

QUEUES = """
SELECT q.queue,
       count(j.id) FILTER (WHERE j.state = 'queued') AS queued,
       count(j.id) FILTER (WHERE j.state = 'running') AS running,
       coalesce(max(extract(epoch FROM now() - j.run_after)) FILTER (WHERE j.state = 'queued' AND j.run_after <= now()), 0),
       coalesce(max(extract(epoch FROM now() - j.lease_until)) FILTER (WHERE j.state = 'running' AND j.lease_until <= now()), 0),
       extract(epoch FROM now() - b.beat_at), extract(epoch FROM now() - b.asked_at), b.stalled_since, coalesce(b.restarts, 0)
FROM unnest(%s::text[]) AS q(queue)
LEFT JOIN public.core_job j ON j.queue = q.queue AND j.state IN ('queued', 'running')
LEFT JOIN public.core_cluster_beat b ON b.queue = q.queue
GROUP BY q.queue, b.beat_at, b.asked_at, b.stalled_since, b.restarts ORDER BY q.queue
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStats:
    queue: str
    queued: int  # due or not
    running: int
    oldest_due_age: float  # seconds that the oldest due job has waited; 0 when none waits
    oldest_expired_age: float  # seconds since the oldest lease ran out that nobody has reaped; 0 when there is none
    beat_age: float | None  # seconds since the cluster's last sign of life; None when it never gave one
    unanswered_age: float | None  # seconds since it was asked for one; None when it has answered
    stalled_since: datetime | None  # the watchdog's verdict
    restarts: int  # by the watchdog


def queue_stats() -> tuple[QueueStats, ...]:
    """One for every queue. All ages by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(QUEUES, [list(Queue.values)])
        return tuple(_queue_stats(row) for row in cursor.fetchall())


def job_counts() -> list[tuple[str, str, int]]:
    """(kind, state, jobs kept in the table)."""
    return list(Job.objects.values_list("kind", "state").annotate(jobs=Count("id")).order_by("kind", "state"))


def job_by_id(job_id: UUID) -> Job:
    """Raises JobNotFound."""
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise JobNotFound
    return job


def newest_jobs(
    *, cafeteria_uuid: UUID | None = None, kind: str = "", state: str = "", before: UUID | None = None, limit: int = 50
) -> list[Job]:
    """Newest first, of one cafeteria or of all. `before` is the id of the last job of the page above."""
    wanted: dict[str, object] = {"cafeteria_uuid": cafeteria_uuid, "kind": kind, "state": state, "pk__lt": before}
    jobs: QuerySet[Job] = Job.objects.filter(**{name: value for name, value in wanted.items() if value})
    return list(jobs.order_by("-id")[:limit])


def _queue_stats(row: tuple[object, ...]) -> QueueStats:
    queue, queued, running, due, expired, beat, unanswered, stalled_since, restarts = row
    return QueueStats(
        queue=str(queue),
        queued=int(str(queued)),
        running=int(str(running)),
        oldest_due_age=_seconds(due) or 0.0,
        oldest_expired_age=_seconds(expired) or 0.0,
        beat_age=_seconds(beat),
        unanswered_age=_seconds(unanswered),
        stalled_since=stalled_since if isinstance(stalled_since, datetime) else None,
        restarts=int(str(restarts)),
    )


def _seconds(value: object) -> float | None:
    return None if value is None else max(float(str(value)), 0.0)
