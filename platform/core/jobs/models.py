"""The jobs, in public: what they did must survive the restore of a cafeteria (wall 7)."""

import secrets
import time
import uuid
from datetime import datetime

from django.db import models
from django.db.models.functions import Now


class Queue(models.TextChoices):
    """The clusters: one per class of work, never per cafeteria."""

    SHORT = "short"  # under a minute
    LONG = "long"  # under an hour


class JobState(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


def new_job_id() -> uuid.UUID:
    """A version 7 UUID: it sorts by its time, and nobody guesses it."""
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1)


def lowest_id(moment: datetime) -> uuid.UUID:
    """Every new_job_id of that moment or later is above it. Nothing is from before 1970."""
    return uuid.UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


class Job(models.Model):
    """One piece of work, run at least once. Written only by core.jobs."""

    id = models.UUIDField(primary_key=True, default=new_job_id, editable=False)
    kind = models.CharField(max_length=120)  # the dotted string of its function
    queue = models.CharField(max_length=8, choices=Queue)
    cafeteria_uuid = models.UUIDField(null=True)  # null: the platform's own
    arguments = models.JSONField(default=dict)
    idempotency_key = models.CharField(max_length=200, default="")
    request_id = models.CharField(max_length=64, default="", db_default="")  # in whose course it was added, also by way of other jobs
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    run_after = models.DateTimeField(db_default=Now())

    attempts = models.PositiveSmallIntegerField(default=0)  # counted at the start: the death of a worker counts
    max_attempts = models.PositiveSmallIntegerField(default=3)
    claim = models.UUIDField(null=True)  # of the running attempt; whoever holds another one writes nothing
    worker = models.CharField(max_length=120, default="")
    lease_until = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    wake_up_id = models.BigIntegerField(null=True)  # the row of django-q2 that brings it to a worker
    cancel_requested = models.BooleanField(default=False)

    progress = models.FloatField(default=0)  # 0 to 1
    message = models.CharField(max_length=500, default="")
    error = models.CharField(max_length=1000, default="")
    result = models.JSONField(null=True)

    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)  # of the newest attempt
    finished_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["queue", "run_after"], condition=models.Q(state="queued"), name="core_job_queued"),
            models.Index(fields=["lease_until"], condition=models.Q(state="running"), name="core_job_running"),
            models.Index(fields=["finished_at"], condition=models.Q(finished_at__isnull=False), name="core_job_finished"),
            models.Index(fields=["cafeteria_uuid", "-id"], name="core_job_cafeteria"),
            models.Index(fields=["kind"], name="core_job_kind"),  # few and equal: small
        )
        constraints = (
            models.CheckConstraint(condition=models.Q(state__in=JobState.values), name="core_job_state"),
            models.CheckConstraint(condition=models.Q(queue__in=Queue.values), name="core_job_queue"),
            models.CheckConstraint(condition=models.Q(progress__gte=0, progress__lte=1), name="core_job_progress"),
            # A key belongs to one cafeteria and one kind: it can never answer with another cafeteria's job.
            models.UniqueConstraint(
                fields=["kind", "cafeteria_uuid", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                nulls_distinct=False,
                name="core_job_idempotency_key",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class ClusterBeat(models.Model):
    """When a cluster last did some work. Asked for by the tick and the watchdog, answered by the cluster's workers."""

    queue = models.CharField(max_length=8, primary_key=True)
    asked_at = models.DateTimeField(null=True)  # of the oldest unanswered question
    beat_at = models.DateTimeField(null=True)
    wake_up_id = models.BigIntegerField(null=True)
    stalled_since = models.DateTimeField(null=True)  # the watchdog's verdict
    restarts = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "core_cluster_beat"

    def __str__(self) -> str:
        return self.queue
