"""What admins do from the console. Each is an action of its own part, with who did it written down in the same transaction."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from core.alerts.actions import resolve_alerts
from core.alerts.models import Alert
from core.audit.actions import record
from core.audit.models import AuditEntry
from core.identity.callers import Caller
from core.jobs import actions as jobs
from core.jobs import enqueue
from core.jobs.models import Job, JobState
from ops.backups.actions import backup_by_id
from ops.backups.bundles.keys import bundle_keys
from ops.console.errors import AlertNotFound
from ops.restores.actions import restore_by_id, start_preview, start_undo
from ops.restores.models import Restore
from tenants import actions as tenants
from tenants.models import Cafeteria

ACTIVE = (JobState.QUEUED, JobState.RUNNING)


def suspend_cafeteria(*, cafeteria_id: int, person: Caller) -> Cafeteria:
    """Raises InvalidLifecycle unless it is open."""
    with transaction.atomic():
        cafeteria = tenants.suspend_cafeteria(cafeteria_id=cafeteria_id)
        record("cafeteria.suspended", actor=person, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    return cafeteria


def resume_cafeteria(*, cafeteria_id: int, person: Caller) -> Cafeteria:
    """Raises InvalidLifecycle unless it is suspended."""
    with transaction.atomic():
        cafeteria = tenants.resume_cafeteria(cafeteria_id=cafeteria_id)
        record("cafeteria.resumed", actor=person, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    return cafeteria


def close_cafeteria(*, cafeteria_id: int, person: Caller) -> Cafeteria:
    """For good. Raises InvalidLifecycle when it is closed already."""
    with transaction.atomic():
        cafeteria = tenants.close_cafeteria(cafeteria_id=cafeteria_id)
        record("cafeteria.closed", actor=person, cafeteria_uuid=cafeteria.uuid, target=cafeteria.slug)
    return cafeteria


def request_backup(*, cafeteria: Cafeteria, key: str, person: Caller) -> Job:
    """The job that backs it up now. The same key gives the same job. Raises BackupsNotSetUp."""
    bundle_keys()
    with transaction.atomic():
        job = enqueue(
            "ops.backups.jobs.backup", queue="long", cafeteria_uuid=cafeteria.uuid, idempotency_key=f"console:{key}", kind="manual"
        )
        _record_once("backup.requested", job, person)
    return job


def request_proof(*, cafeteria: Cafeteria, backup_id: UUID, key: str, person: Caller) -> Job:
    """The job that restores a backup beside and compares. The same key gives the same job. Raises BackupsNotSetUp, BackupNotFound."""
    bundle_keys()
    backup = backup_by_id(backup_id, cafeteria_uuid=cafeteria.uuid)
    with transaction.atomic():
        job = enqueue(
            "ops.backups.jobs.prove_one",
            queue="long",
            cafeteria_uuid=cafeteria.uuid,
            idempotency_key=f"console:{key}:{backup.pk}",
            backup_id=str(backup.pk),
        )
        _record_once("backup.proof_requested", job, person)
    return job


def request_preview(*, cafeteria: Cafeteria, backup_id: UUID | None, at: datetime | None, person: Caller) -> Job:
    """The job that finds out what going back to a backup or a moment would change; one that is under way for the same is taken.

    Raises BackupsNotSetUp, BackupNotFound, OutsideWindow and the like.
    """
    bundle_keys()
    wanted = {"arguments__backup_id": str(backup_id)} if at is None else {"arguments__at": at.isoformat()}
    same = Job.objects.filter(kind="ops.restores.jobs.preview", cafeteria_uuid=cafeteria.uuid, state__in=ACTIVE, **wanted)
    if (under_way := same.first()) is not None:
        return under_way
    job = start_preview(cafeteria_uuid=cafeteria.uuid, backup_id=backup_id, at=at)  # May ask the off-site storage: in no transaction.
    record("restore.previewed", actor=person, cafeteria_uuid=cafeteria.uuid, target=at.isoformat() if at else str(backup_id))
    return job


def request_undo(*, restore_id: UUID, person: Caller) -> Job:
    """The job that undoes it; one that is under way is taken. Raises RestoreNotFound, CannotUndo, RestoreUnderWay."""
    restore = restore_by_id(restore_id)
    with transaction.atomic():
        Restore.objects.select_for_update().get(pk=restore.pk)  # Two at once: the second sees the job of the first.
        under_way = Job.objects.filter(
            kind="ops.restores.jobs.undo", cafeteria_uuid=restore.cafeteria_uuid, state__in=ACTIVE, arguments__restore_id=str(restore.pk)
        ).first()
        if under_way is not None:
            return under_way
        job = start_undo(restore_id=restore.pk, by=person.email)
        record("restore.undo_requested", actor=person, cafeteria_uuid=restore.cafeteria_uuid, target=str(restore.pk))
    return job


def retry_job(*, job_id: UUID, person: Caller) -> Job:
    """Raises JobNotFound, JobNotRetryable."""
    with transaction.atomic():
        job = jobs.retry_job(job_id=job_id)
        record("job.retried", actor=person, cafeteria_uuid=job.cafeteria_uuid, target=str(job.pk), kind=job.kind)
    return job


def cancel_job(*, job_id: UUID, person: Caller) -> Job:
    """Raises JobNotFound, JobHasEnded."""
    with transaction.atomic():
        job = jobs.cancel_job(job_id=job_id)
        record("job.cancelled", actor=person, cafeteria_uuid=job.cafeteria_uuid, target=str(job.pk), kind=job.kind)
    return job


def request_fleet_migration(*, key: str, person: Caller) -> Job:
    """The job that brings all cafeterias to this code's head. The same key gives the same job."""
    with transaction.atomic():
        job = enqueue("tenants.jobs.migrate_fleet", queue="long", idempotency_key=f"console:{key}")
        _record_once("fleet.migration_requested", job, person)
    return job


def resolve_alert(*, alert_id: int, person: Caller) -> None:
    """Closed already is closed. It opens again when what raised it finds the same. Raises AlertNotFound."""
    alert = Alert.objects.filter(pk=alert_id).first()
    if alert is None:
        raise AlertNotFound
    with transaction.atomic():
        closed = resolve_alerts(kind=alert.kind, cafeteria_uuid=alert.cafeteria_uuid, subject=alert.subject, by=person.email)
        if closed:
            record("alert.resolved", actor=person, cafeteria_uuid=alert.cafeteria_uuid, target=alert.kind, subject=alert.subject)


def _record_once(action: str, job: Job, person: Caller) -> None:
    """Not again for a form that was sent twice, which got the job of the first."""
    if not AuditEntry.objects.filter(cafeteria_uuid=job.cafeteria_uuid, action=action, target=str(job.pk)).exists():
        record(action, actor=person, cafeteria_uuid=job.cafeteria_uuid, target=str(job.pk))
