from uuid import UUID

from django.db import transaction
from django.utils import timezone

from core.audit.actions import record
from core.identity.callers import Caller
from core.jobs.actions import cancel_job
from core.jobs.errors import JobHasEnded
from core.jobs.models import Job
from ops.restores.actions import restore_by_id
from ops.restores.errors import RestoreIsLive
from ops.restores.models import Restore
from tenants.provisioning.schema import drop_schema
from tenants.sides import schema_exists

Phase = Restore.Phase
BEFORE_EXCHANGE = (Phase.WAITING, Phase.BUILT)


def cancel_restore(*, restore_id: UUID, person: Caller) -> Restore:
    """Stop it before it goes live: at once while its job waits, else at the job's next step. The cafeteria stays as it is.

    Raises RestoreNotFound, RestoreIsLive once the exchange has been made, or when it is over.
    """
    restore = restore_by_id(restore_id)
    if restore.phase not in BEFORE_EXCHANGE:
        raise RestoreIsLive
    with transaction.atomic():
        stopped = _stop_job(restore.job_id)
        changed = stopped and Restore.objects.filter(pk=restore.pk, phase__in=BEFORE_EXCHANGE).update(
            phase=Phase.FAILED, error="It was cancelled.", finished_at=timezone.now()
        )
        record("restore.cancelled", actor=person, cafeteria_uuid=restore.cafeteria_uuid, target=str(restore.pk))
    if changed and restore.side_schema and schema_exists(restore.side_schema):
        drop_schema(restore.side_schema)
    restore.refresh_from_db()
    return restore


def _stop_job(job_id: UUID | None) -> bool:
    """Whether nothing of it runs any more."""
    if job_id is None or not Job.objects.filter(pk=job_id).exists():
        return True
    try:
        return cancel_job(job_id=job_id).has_ended
    except JobHasEnded:
        return True
