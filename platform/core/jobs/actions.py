"""Every write to a job from outside of its run."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from core.jobs import wake_up
from core.jobs.errors import InvalidJob, JobHasEnded, JobNotFound, JobNotRetryable
from core.jobs.functions import Json, check_json, check_kind
from core.jobs.models import Job, JobState, Queue
from core.request_context import request_facts

MAX_ATTEMPTS = 3
KEY_LENGTH = 200


def enqueue(
    kind: str,
    /,
    *,
    queue: str = Queue.SHORT,
    cafeteria_uuid: UUID | None = None,
    idempotency_key: str = "",
    run_after: datetime | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    **arguments: Json,
) -> Job:
    """Add a job, in the caller's transaction: nobody sees it before the commit, and a rollback leaves nothing.

    Inside a cafeteria's scope it is that cafeteria's. The same idempotency key, of the same kind and cafeteria, gives the job that is
    there, whatever its state. Raises InvalidJob for a name that is no job's, arguments that JSON cannot carry, and another cafeteria.
    """
    check_kind(kind)
    for name, value in arguments.items():
        check_json(value, what=f"argument {name}")
    if len(idempotency_key) > KEY_LENGTH:
        raise InvalidJob(f"An idempotency key has at most {KEY_LENGTH} characters.")
    job = Job(
        kind=kind,
        queue=Queue(queue),
        cafeteria_uuid=_cafeteria_of_scope(cafeteria_uuid),
        arguments=arguments,
        idempotency_key=idempotency_key,
        max_attempts=max_attempts,
        request_id=request_facts().get("request_id", ""),
    )
    if run_after is not None:
        job.run_after = run_after
    with transaction.atomic():
        if idempotency_key:
            return _insert_once(job, run_after)
        job.wake_up_id = _new_wake_up(job, run_after)
        job.save(force_insert=True)
    return job


def cancel_job(*, job_id: UUID) -> Job:
    """A queued job is cancelled at once; a running one is asked to stop, which it does at its next check_cancelled, if it has one.

    Raises JobNotFound and JobHasEnded.
    """
    with transaction.atomic():
        job = _locked(job_id)
        if job.has_ended:
            raise JobHasEnded(state=job.state)
        job.cancel_requested = True
        if job.state == JobState.QUEUED:
            job.state = JobState.CANCELLED
            job.finished_at = Now()
        job.save(update_fields=["cancel_requested", "state", "finished_at"])
    return job


def retry_job(*, job_id: UUID) -> Job:
    """Put a failed or cancelled job back into its queue, with all its attempts again. Raises JobNotFound and JobNotRetryable."""
    with transaction.atomic():
        job = _locked(job_id)
        if job.state not in {JobState.FAILED, JobState.CANCELLED}:
            raise JobNotRetryable(state=job.state)
        requeue(job)
        job.attempts = 0
        job.cancel_requested = False
        job.progress, job.message, job.error = 0, "", ""
        job.save()
    return job


def requeue(job: Job, *, run_after: datetime | None = None) -> None:
    """Set a locked job back to queued, and wake a worker for it. The caller saves it, in the same transaction."""
    job.state = JobState.QUEUED
    job.run_after = run_after or Now()
    job.claim = None
    job.lease_until = job.heartbeat_at = job.finished_at = None
    job.worker = ""
    job.wake_up_id = _new_wake_up(job, run_after)


def _insert_once(job: Job, run_after: datetime | None) -> Job:
    # Waits for another transaction that inserts the same key, then sees its row.
    Job.objects.bulk_create([job], ignore_conflicts=True)
    stored = Job.objects.get(kind=job.kind, cafeteria_uuid=job.cafeteria_uuid, idempotency_key=job.idempotency_key)
    if stored.pk == job.pk:
        stored.wake_up_id = _new_wake_up(stored, run_after)
        stored.save(update_fields=["wake_up_id"])
    return stored


def _new_wake_up(job: Job, due: datetime | None) -> int:
    return wake_up.replace_wake_up(job.wake_up_id, queue=job.queue, function=wake_up.RUN_JOB, argument=str(job.pk), due=due)


def _locked(job_id: UUID) -> Job:
    job = Job.objects.select_for_update().filter(pk=job_id).first()
    if job is None:
        raise JobNotFound
    return job


def _cafeteria_of_scope(asked: UUID | None) -> UUID | None:
    current: UUID | None = import_string(settings.JOB_TENANT)()
    if current is not None and asked not in {None, current}:
        raise InvalidJob(f"A job for the cafeteria {asked} cannot be added inside the scope of {current}.")
    return current or asked
