"""Runs a job in a worker: claim, call, finish."""

import os
import socket
import uuid
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.module_loading import import_string
from django_q.exceptions import TimeoutException

from core.errors import AppError
from core.jobs import beats
from core.jobs.errors import InvalidJob, JobCancelled, JobPostponed, LeaseLost
from core.jobs.functions import Json, check_arguments, check_json, resolve_job
from core.jobs.models import Job, JobState
from core.jobs.outcomes import Outcome, describe_error, settle
from core.jobs.run import Claim, Heartbeat, JobRun, lease_end

log = structlog.get_logger()

# A wake-up comes by the worker's clock, run_after is judged by the database's: they may differ by this much.
CLOCK_SKEW = timedelta(seconds=5)
SERVER_ERROR = 500


def run_job(job_id: str) -> None:
    """What django-q2 calls. Does nothing when the job is not due, runs elsewhere or has ended: a wake-up may come twice.

    Leaves the connection in public with no transaction open, whatever the job did.
    """
    claim = claim_job(uuid.UUID(job_id))
    if claim is not None:
        run_claim(claim)


def run_claim(claim: Claim) -> None:
    """Run a job that claim_job has given. Claimed in the transaction that adds it, no other worker ever sees it waiting."""
    run = JobRun(claim)
    ids = {"job_id": str(claim.job_id), "cafeteria": str(claim.cafeteria_uuid or "")}
    ids |= {"request_id": claim.request_id} if claim.request_id else {}
    with structlog.contextvars.bound_contextvars(job=claim.kind, **ids):
        log.info("job_started", attempt=claim.attempt)
        try:
            outcome = _perform(claim, run)
        except TimeoutException as timeout:
            # django-q2 ends this process next.
            finish_run(claim, run, Outcome(state=JobState.QUEUED, error=describe_error(timeout)))
            raise
        if outcome is not None:
            finish_run(claim, run, outcome)


def claim_job(job_id: uuid.UUID) -> Claim | None:
    """Take a due job, or one whose worker's lease has run out, and count the attempt; None when it is not to be had."""
    token = uuid.uuid4()
    due = Q(state=JobState.QUEUED, run_after__lte=Now() + CLOCK_SKEW)
    abandoned = Q(state=JobState.RUNNING, lease_until__lt=Now())
    claimed = Job.objects.filter(due | abandoned, pk=job_id, attempts__lt=F("max_attempts")).update(
        state=JobState.RUNNING,
        attempts=F("attempts") + 1,
        claim=token,
        worker=worker_name(),
        lease_until=lease_end(),
        heartbeat_at=Now(),
        started_at=Now(),
    )
    if not claimed:
        return None
    job = Job.objects.get(pk=job_id)
    beats.note_work(job.queue)
    return Claim(
        job_id=job_id,
        token=token,
        kind=job.kind,
        queue=job.queue,
        attempt=job.attempts,
        cafeteria_uuid=job.cafeteria_uuid,
        arguments=job.arguments,
        request_id=job.request_id,
    )


def finish_run(claim: Claim, run: JobRun, outcome: Outcome) -> None:
    """Write how an attempt ended. Does nothing when its lease was lost: the job is another worker's by then."""
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(pk=claim.job_id, claim=claim.token, state=JobState.RUNNING).first()
        if job is None:
            log.warning("job_lease_lost", attempt=claim.attempt)
            return
        job.progress, message = run.reported
        job.message = message or job.message
        job.error = outcome.error
        if not outcome.counts:
            job.attempts -= 1
        settle(job, outcome)
        job.save()
    log.info("job_finished", attempt=claim.attempt, state=job.state, error=job.error)


def worker_name() -> str:
    """Host, process group (a cluster's, see core.jobs.cluster) and process."""
    return f"{cluster_prefix(os.getpgrp())}{os.getpid()}"


def cluster_prefix(group: int) -> str:
    return f"{socket.gethostname()[:80]}/{group}/"


def _perform(claim: Claim, run: JobRun) -> Outcome | None:
    """Call the job. None when the lease was lost."""
    nested = connection.in_atomic_block
    try:
        with Heartbeat(claim, run):
            result = _call(claim, run)
        return Outcome(state=JobState.SUCCEEDED, result=result)
    except LeaseLost:
        log.warning("job_lease_lost", attempt=claim.attempt)
        return None
    except JobCancelled:
        return Outcome(state=JobState.CANCELLED)
    except JobPostponed as postponed:
        return Outcome(state=JobState.QUEUED, delay=postponed.delay, counts=False)
    except (AppError, InvalidJob) as error:
        return _refused(error)
    except Exception as error:
        log.exception("job_failed", attempt=claim.attempt)
        return Outcome(state=JobState.QUEUED, error=describe_error(error))
    finally:
        _leave_connection(nested=nested)


def _call(claim: Claim, run: JobRun) -> Json:
    function = resolve_job(claim.kind)
    check_arguments(function, claim.arguments)
    if claim.cafeteria_uuid is not None:
        run.cafeteria = import_string(settings.JOB_SCOPE)(claim.cafeteria_uuid)
    result = function(run, **claim.arguments)
    check_json(result, what="result")
    return result


def _refused(error: AppError | InvalidJob) -> Outcome:
    """An answer of ours is final, unless it says that a later try may fare better."""
    log.warning("job_refused", error=describe_error(error))
    may_pass = isinstance(error, AppError) and error.status >= SERVER_ERROR
    return Outcome(state=JobState.QUEUED if may_pass else JobState.FAILED, error=describe_error(error))


def _leave_connection(*, nested: bool) -> None:
    """A transaction that the job left open goes, and a connection that broke under it."""
    if connection.in_atomic_block and not nested:
        connection.in_atomic_block = False  # or close() would wait for the block's end
        connection.close()
    connection.close_if_unusable_or_obsolete()
