"""Whether everything is off-site that should be, found without anybody asking for it."""

from collections.abc import Iterator
from datetime import timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from ops.backups.models import Backup
from ops.backups.offsite import gateway
from ops.backups.offsite.actions import prefix, tell_of_damage

OFFSITE_WITHIN = timedelta(hours=3)


def tell_of_waiting() -> int:
    """One alert while newest backups have not been off-site for hours, whatever the reason; of how many cafeterias."""
    newer = Backup.objects.filter(cafeteria_uuid=OuterRef("cafeteria_uuid"), taken_at__gt=OuterRef("taken_at")).exclude(kind="moment")
    late = Backup.objects.filter(~Exists(newer), offsite_at=None, finished_at__lt=timezone.now() - OFFSITE_WITHIN)
    late = late.exclude(kind=Backup.Kind.MOMENT).order_by("taken_at")
    count, first = late.count(), late.first()
    if first is None:
        resolve_alerts(kind="backups.offsite", subject="late")
    else:
        detail = f"The newest backups of {count} cafeterias are on this machine only, among them {first} UTC. See the jobs that copy them."
        raise_alert(kind="backups.offsite", subject="late", detail=detail)
    return count


def check_copies() -> int:
    """Compare the bucket's list with the rows; how many copies are gone, or of another size. Those that are still here are copied again.

    Raises OffsiteUnavailable.
    """
    there = dict(gateway.list_objects(gateway.bucket_of_settings(), prefix()))
    lost = 0
    for backup in _copied():
        if there.get(backup.offsite_key) == backup.size or not Backup.objects.filter(pk=backup.pk).exists():
            continue
        tell_of_damage(backup, "it is gone." if backup.offsite_key not in there else "it is of another size.")
        if backup.file:
            Backup.objects.filter(pk=backup.pk).update(offsite_at=None, offsite_due_at=None)
        lost += 1
    return lost


def _copied() -> Iterator[Backup]:
    """Those that were there before the list was made."""
    found: QuerySet[Backup] = Backup.objects.filter(offsite_at__lt=timezone.now() - timedelta(hours=1))
    return found.defer("manifest").iterator(chunk_size=500)
