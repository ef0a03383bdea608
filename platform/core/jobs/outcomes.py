"""How an attempt ended, and what becomes of its job."""

import random
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from core.jobs.actions import requeue
from core.jobs.functions import Json
from core.jobs.models import Job, JobState
from core.redaction import redact_text

LONGEST_DELAY = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    state: JobState  # queued: to be tried again
    result: Json = None
    error: str = ""
    delay: timedelta | None = None  # before the next attempt; None: the backoff's
    counts: bool = True  # as an attempt


def settle(job: Job, outcome: Outcome) -> None:
    """Set a locked job to its next state; the caller saves it."""
    if outcome.state == JobState.QUEUED and job.cancel_requested:
        end(job, JobState.CANCELLED)
    elif outcome.state == JobState.QUEUED and job.attempts < job.max_attempts:
        delay = backoff(job.attempts) if outcome.delay is None else outcome.delay
        requeue(job, run_after=timezone.now() + delay if delay else None)
    elif outcome.state == JobState.QUEUED:
        end(job, JobState.FAILED)
    else:
        job.result = outcome.result
        end(job, outcome.state)


def end(job: Job, state: JobState) -> None:
    job.state = state
    job.lease_until = job.claim = None
    job.finished_at = Now()
    if state == JobState.SUCCEEDED:
        job.progress = 1


def backoff(attempts: int) -> timedelta:
    """Doubles with every attempt, up to an hour, with a fifth of chance so that what failed together does not come back together."""
    seconds = settings.JOB_RETRY_SECONDS * 2.0 ** max(attempts - 1, 0)
    return min(timedelta(seconds=seconds * random.uniform(0.8, 1.2)), LONGEST_DELAY)  # noqa: S311


def describe_error(error: BaseException) -> str:
    """Type and first line without secrets, for people who run the platform; the traceback is in the log.

    Further lines may hold people's data.
    """
    first_line = str(error).strip().partition("\n")[0].replace("\x00", "")
    return redact_text(f"{type(error).__name__}: {first_line}")[:500]
