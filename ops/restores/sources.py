"""Where a restore or a copy is from: a backup, a bundle's file or a moment. While the off-site storage does not answer, it waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog
from django.utils import timezone

from core.jobs import JobPostponed
from core.jobs.errors import JobCancelled
from core.jobs.models import Job
from ops.archive.moments import check_moment, take_moment
from ops.backups.actions import backup_by_id, file_of
from ops.backups.bundles.data import Manifest
from ops.backups.bundles.reading import read_manifest
from ops.backups.errors import said_of
from ops.backups.offsite.actions import local_bundle
from ops.backups.offsite.errors import OffsiteUnavailable
from ops.restores.models import Clone, Restore

log = structlog.get_logger()
TRIES = 8  # with the pauses between them, about three quarters of an hour
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)

type Step = Callable[[float, str], None]


def checked_source(*, cafeteria_uuid: UUID, backup_id: UUID | None, file: str, at: datetime | None) -> str:
    """The file that its bundle has or will have; empty while that of a moment is still to be made.

    Raises BackupNotFound; OutsideWindow and the like when the archive does not reach the moment.
    """
    if backup_id is not None:
        return str(file_of(backup_by_id(backup_id, cafeteria_uuid=cafeteria_uuid)))
    if at is not None:
        check_moment(at)
    return file


def bundle_of(row: Restore | Clone, *, step: Step) -> tuple[Path, Manifest]:
    """The bundle on this machine, looked at whole. Raises BundleRefused, OffsiteUnavailable, RecoveryFailed and the like."""
    step(0.02, "look")
    if row.backup_id is None and not row.file and row.moment is not None:
        # Noted, so that a killed job goes on from the bundle that is there.
        taken = take_moment(cafeteria_uuid=row.cafeteria_uuid, at=row.moment, step=lambda done, what: step(0.02 + done * 0.08, what))
        row.backup_id, row.file = taken.pk, str(file_of(taken))
        row.save(update_fields=["backup_id", "file"])
    path = Path(row.file)
    if row.backup_id is not None:
        path = local_bundle(backup_by_id(row.backup_id), step=lambda done: step(0.02 + done * 0.08, "fetch"))
    return path, read_manifest(path, step=lambda what: step(0.1, what))


@contextmanager
def waiting_for_storage(row: Restore | Clone, *, step: Step) -> Iterator[None]:
    """Raises JobPostponed for OffsiteUnavailable of the block, until it was tried TRIES times.

    Not for a bundle that lies on one machine only: another machine's worker might take it up.
    """
    try:
        yield
    except OffsiteUnavailable as error:
        row.tries += 1
        row.save(update_fields=["tries"])
        is_bound = row.backup_id is None and bool(row.file)
        if is_bound or row.tries >= TRIES:
            raise
        pause = min(FIRST_PAUSE * 2 ** (row.tries - 1), LONGEST_PAUSE)
        log.warning("storage_waited_for", about=str(row.cafeteria_uuid), tries=row.tries, error=str(error))
        detail = f"{error} Attempt {row.tries + 1} of {TRIES} follows at {timezone.now() + pause:%Y-%m-%d %H:%M:%S} UTC."
        step(0.02, detail)
        raise JobPostponed(delay=pause) from error


def reason_of(row: Restore | Clone, error: BaseException) -> str:
    """Why it has failed, for whoever reads its row."""
    said = "It was cancelled." if isinstance(error, JobCancelled) else said_of(error)
    detail = f"{said} It was tried {row.tries} times."
    return detail if row.tries > 1 else said


def has_lost_its_job(row: Restore | Clone) -> bool:
    """Whether nobody goes on with it: its job has ended, or is gone."""
    job = Job.objects.filter(pk=row.job_id).first() if row.job_id is not None else None
    return job is None or job.has_ended
