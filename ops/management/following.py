"""A job that a person at a terminal waits for: run here unless a worker is quicker, with its progress, and cancelled by Ctrl-C."""

import sys
import threading
import time
from collections.abc import Callable
from uuid import UUID

from django.core.management.base import CommandError, OutputWrapper
from django.db import connections, transaction
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from core.jobs.actions import cancel_job
from core.jobs.errors import JobHasEnded
from core.jobs.models import ENDED, Job, JobState
from core.jobs.run import Claim
from core.jobs.runner import claim_job, run_claim, run_job

LOOK_EVERY = 0.2  # seconds


def kept_here[Added](add: Callable[[], Added], *, job_of: Callable[[Added], UUID | None]) -> tuple[Claim, Added]:
    """(the claim on the job that `add` adds, what it answers): the job is this process's from the moment that others can see it.

    For one that reads a file of this machine: no worker elsewhere could. Should this process die before the file was read, the worker
    that takes the job up finds no file, and the job fails.
    """
    with transaction.atomic():
        added = add()
        job_id = job_of(added)
        assert job_id is not None
        claim = claim_job(job_id)
        assert claim is not None  # It is due at once, and nobody else's yet.
    return claim, added


def follow(job: Job, *, what: str, out: OutputWrapper, claim: Claim | None = None) -> Job:
    """Wait for the end of the job. Raises CommandError when it does not succeed; Ctrl-C asks it to stop and waits for that."""
    thread = threading.Thread(target=_run_here, args=(str(job.pk), claim), name=f"job-{job.pk}")
    thread.start()
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn()
    with Progress(*columns, console=Console(file=sys.stderr), disable=not out.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        while True:
            try:
                job.refresh_from_db()
                bar.update(task, completed=job.progress, description=f"{what}: {job.message}" if job.message else what)
                if job.state in ENDED or (not thread.is_alive() and job.state == JobState.QUEUED):
                    break
                time.sleep(LOOK_EVERY)
            except KeyboardInterrupt:
                _ask_to_stop(job)
    thread.join()
    job.refresh_from_db()
    if job.state == JobState.SUCCEEDED:
        return job
    if job.state == JobState.QUEUED:
        raise CommandError(f"{what} did not succeed and will be tried again by a worker: {job.error or job.message}")
    raise CommandError(f"{what} was cancelled." if job.state == JobState.CANCELLED else f"{what} failed: {job.error}")


def _run_here(job_id: str, claim: Claim | None) -> None:
    try:
        if claim is not None:
            run_claim(claim)
        else:
            run_job(job_id)
    finally:
        connections.close_all()


def _ask_to_stop(job: Job) -> None:
    try:
        cancel_job(job_id=job.pk)
    except JobHasEnded:
        return
    print("Stopping at the next safe place ...", file=sys.stderr)  # noqa: T201 - to a person
