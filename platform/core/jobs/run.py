"""What a running job knows of itself, and the thread that keeps its lease."""

import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models.functions import Now

from core.jobs import beats
from core.jobs.errors import JobCancelled, LeaseLost
from core.jobs.models import Job, JobState

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One attempt's right to a job."""

    job_id: UUID
    token: UUID  # of this attempt
    kind: str
    queue: str
    attempt: int  # 1 for the first
    cafeteria_uuid: UUID | None
    arguments: dict[str, Any]
    request_id: str = ""  # in whose course the job was added


class JobRun:
    """Handed to the job's function as `run`. May be used from any thread of the job."""

    def __init__(self, claim: Claim, *, cafeteria: Any = None) -> None:
        self.job_id = claim.job_id
        self.attempt = claim.attempt
        # The tenants.refs.TenantRef of a cafeteria's job, for tenant_scope; Any, because core cannot name what stands above it.
        self.cafeteria = cafeteria
        self.wire = Wire()

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far the job is, 0 to 1. Shown within a second or two, also from inside an open transaction. Never raises."""
        self.wire.report(min(max(fraction, 0.0), 1.0), message.replace("\x00", "")[:500])

    def check_cancelled(self) -> None:
        """Call where it is safe to stop. Raises JobCancelled, or LeaseLost when the job may run elsewhere by now."""
        if self.wire.lost.is_set():
            raise LeaseLost
        if self.wire.cancelled.is_set():
            raise JobCancelled

    @property
    def reported(self) -> tuple[float, str]:
        return self.wire.latest()


class Heartbeat:
    """Keeps the lease of a claim for the block, from a thread with a connection of its own, and carries progress and cancellation."""

    def __init__(self, claim: Claim, run: JobRun) -> None:
        self._claim = claim
        self._wire = run.wire
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat_until_stopped, name=f"lease-{claim.job_id}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # A database that hangs must not hold up the end: a late beat writes nothing, since the job runs no more.
        self._thread.join(timeout=5)

    def _beat_until_stopped(self) -> None:
        kept = time.monotonic()
        try:
            while not self._stop.wait(settings.JOB_PROGRESS_SECONDS):
                due = time.monotonic() - kept >= settings.JOB_HEARTBEAT_SECONDS
                if self._look(due=due):
                    kept = time.monotonic()
                if time.monotonic() - kept > settings.JOB_LEASE_SECONDS:
                    self._wire.lost.set()
                if self._wire.lost.is_set():
                    return
        finally:
            connections.close_all()

    def _look(self, *, due: bool) -> bool:
        """One look at the row; whether the lease was prolonged."""
        try:
            report = self._wire.take_report()
            prolonged = self._prolong(report) if due or report else False
            self._read_wishes()
        except DatabaseError:
            log.warning("job_heartbeat_failed", job_id=str(self._claim.job_id), exc_info=True)
            connections.close_all()
            return False
        return prolonged

    def _prolong(self, report: tuple[float, str] | None) -> bool:
        progress = {} if report is None else {"progress": report[0], "message": report[1]}
        kept = self._row().update(heartbeat_at=Now(), lease_until=lease_end(), **progress)
        beats.note_work(self._claim.queue)
        return bool(kept)

    def _read_wishes(self) -> None:
        wishes = self._row().values_list("cancel_requested", flat=True).first()
        if wishes is None:
            self._wire.lost.set()
        elif wishes:
            self._wire.cancelled.set()

    def _row(self) -> Any:
        return Job.objects.filter(pk=self._claim.job_id, claim=self._claim.token, state=JobState.RUNNING)


class Wire:
    """Between the job's threads and the heartbeat's."""

    def __init__(self) -> None:
        self.lost = threading.Event()
        self.cancelled = threading.Event()
        self._lock = threading.Lock()
        self._report = (0.0, "")
        self._unsaved = False

    def report(self, fraction: float, message: str) -> None:
        with self._lock:
            self._report = (fraction, message or self._report[1])
            self._unsaved = True

    def take_report(self) -> tuple[float, str] | None:
        with self._lock:
            unsaved, self._unsaved = self._unsaved, False
            return self._report if unsaved else None

    def latest(self) -> tuple[float, str]:
        with self._lock:
            return self._report


def lease_end() -> Any:
    """The end of a lease that is given now, by the database's clock: the machines' clocks need not agree."""
    return Now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)
