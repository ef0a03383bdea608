from datetime import timedelta
from uuid import UUID

from django.db import transaction

from core.jobs import JobRun, Json, enqueue
from ops.backups import actions, proofs
from ops.backups.final import take_final_backup
from ops.backups.offsite.actions import enqueue_copy, enqueue_waiting
from ops.backups.offsite.media import enqueue_media_of


def backup(run: JobRun, *, kind: str, fingerprint: str = "") -> Json:
    """Back the job's cafeteria up: by its turn, or because somebody asked."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    uuid: UUID = run.cafeteria.uuid
    if fingerprint:
        taken = actions.take_turn(cafeteria_uuid=uuid, fingerprint=fingerprint, step=step)
    else:
        taken = actions.take_backup(cafeteria_uuid=uuid, kind=kind, step=step)
    enqueue_copy(taken)
    enqueue_media_of(taken)
    return {"backup_id": str(taken.pk)}


def final(run: JobRun) -> Json:
    """The last backup of the job's cafeteria, which was closed."""
    return {"backup_id": str(take_final_backup(run.cafeteria.uuid).pk)}


def prove(run: JobRun) -> Json:
    """Once a day: restore every newest backup that is not proven yet, beside; let go of old ones where no turn does."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    actions.forget_where_no_turn_comes()
    found = proofs.prove_due_backups(step=step)
    return {"proven": found.proven, "unchanged": found.unchanged, "failed": list(found.failed), "missing": list(found.missing)}


def prove_one(run: JobRun, *, backup_id: str) -> Json:
    """Because somebody asked: restore one backup of the job's cafeteria beside, and compare."""
    backup = proofs.prove_backup(actions.backup_by_id(UUID(backup_id), cafeteria_uuid=run.cafeteria.uuid))
    return {"backup_id": str(backup.pk)}


def tick(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Add a backup for each cafeteria that is due and has changed, and copies of what is not off-site; tell of what is too old; sweep."""
    if not actions.is_set_up():
        return {"due": 0, "set_up": False}
    with transaction.atomic():  # A turn that is claimed has its job, wherever the tick dies: the next one comes an hour later.
        claimed = actions.claim_due_turns()
        for cafeteria_uuid, fingerprint in claimed:
            enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=cafeteria_uuid, kind="hourly", fingerprint=fingerprint)
    copies, told = enqueue_waiting(), actions.tell_of_old_ones()
    return {"due": len(claimed), "copies": copies, "too_old": told, "swept": actions.sweep_files(older_than=timedelta(hours=6))}
