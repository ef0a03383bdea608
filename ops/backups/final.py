"""A cafeteria's last backup: taken when it is closed, and proven before its schema is dropped. The retention never lets go of it."""

from uuid import UUID

from django.db import DatabaseError

from core.alerts.actions import raise_alert, resolve_alerts
from core.errors import AppError
from core.jobs import enqueue
from ops.backups.actions import forget_old_backups, take_backup
from ops.backups.errors import said_of
from ops.backups.models import Backup
from ops.backups.offsite.actions import enqueue_copy
from ops.backups.offsite.media import enqueue_media_of
from ops.backups.proofs import prove_backup
from tenants.models import Cafeteria

FINAL_MISSING = "backups.final_missing"


def ask_for_final_backup(cafeteria: Cafeteria) -> None:
    """Add the job that takes it, in the transaction that closes the cafeteria. A copy gets none: it was made from a backup.

    settings.CAFETERIA_CLOSED names this.
    """
    if cafeteria.copy_of is None:
        enqueue("ops.backups.jobs.final", queue="long", cafeteria_uuid=cafeteria.uuid)


def take_final_backup(cafeteria_uuid: UUID) -> Backup:
    """The last backup of a closed cafeteria, whole, restored beside and compared: the one that is there, or a new one.

    After an alert it raises what take_backup and prove_backup do.
    """
    closed_at = Cafeteria.objects.values_list("closed_at", flat=True).get(uuid=cafeteria_uuid, status=Cafeteria.Status.CLOSED)
    found = Backup.objects.filter(cafeteria_uuid=cafeteria_uuid, kind=Backup.Kind.FINAL, taken_at__gte=closed_at)
    try:
        final = found.filter(error="").order_by("-taken_at").first()
        if final is None:
            final = take_backup(cafeteria_uuid=cafeteria_uuid, kind=Backup.Kind.FINAL)
            enqueue_copy(final)
            enqueue_media_of(final)
        if final.proven_at is None:
            prove_backup(final)
    except (AppError, DatabaseError, OSError) as error:
        detail = f"The cafeteria was closed and has no proven last backup, so its data is not dropped: {said_of(error)}"
        raise_alert(kind=FINAL_MISSING, cafeteria_uuid=cafeteria_uuid, detail=detail, severity="critical")
        raise
    for kind in (FINAL_MISSING, "backups.too_old"):  # No turn will take a newer one.
        resolve_alerts(kind=kind, cafeteria_uuid=cafeteria_uuid)
    forget_old_backups(cafeteria_uuid=cafeteria_uuid)
    return final


def check_final_backup(cafeteria: Cafeteria) -> None:
    """Make sure of it before the schema goes. Raises as take_final_backup. settings.CAFETERIA_BEFORE_DROP names this."""
    if cafeteria.copy_of is None:
        take_final_backup(cafeteria.uuid)
