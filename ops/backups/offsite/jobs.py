import time
from datetime import timedelta
from uuid import UUID

from core.jobs import JobPostponed, JobRun, Json
from ops.backups.offsite import actions, checks, media

COPY_SECONDS = 60.0  # Then it goes on after those that wait, e.g. the next local backup.


def copy(run: JobRun, *, backup_id: str) -> Json:
    """Copy a backup off-site, in as many runs as it takes."""
    began: float | None = None  # at the first part: until then the file is read

    def step(fraction: float) -> None:
        nonlocal began
        began = began or time.monotonic()
        run.progress(fraction, "off-site")
        run.check_cancelled()
        if fraction < 1 and time.monotonic() - began > COPY_SECONDS:
            raise JobPostponed(delay=timedelta(seconds=1))

    return {"copied": actions.copy_backup(backup_id=UUID(backup_id), step=step)}


def copy_media(run: JobRun, *, backup_id: str) -> Json:
    """Copy a backup's pictures off-site, in as many runs as it takes."""
    began = time.monotonic()

    def step(fraction: float) -> None:
        run.progress(fraction, "pictures")
        run.check_cancelled()
        if time.monotonic() - began > COPY_SECONDS:
            raise JobPostponed(delay=timedelta(seconds=1))

    return {"copied": media.copy_media(backup_id=UUID(backup_id), step=step)}


def tidy(run: JobRun) -> Json:
    """Erase off-site what the retention has let go, let go of old local copies, sweep, tell of what is late."""
    if not actions.is_set_up():
        return {}
    late = checks.tell_of_waiting()
    if actions.is_resting():
        return {"late": late}
    media.enqueue_media()
    media.let_go_media()
    erased = actions.erase_forgotten()
    run.check_cancelled()
    return {"late": late, "erased": erased, "let_go": actions.let_go_local_copies(), "swept": actions.sweep_leftovers()}


def check(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Once a day: whether what should be off-site still is."""
    if not actions.is_set_up():
        return {"lost": 0}
    return {"lost": checks.check_copies(), "lost_pictures": media.check_media()}
