from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from ops.backups.errors import BackupNotFound
from ops.backups.models import Backup, BackupTurn
from tenants.models import Cafeteria

NEWEST_MAY_BE = timedelta(hours=2)
PROVEN_MAY_BE = timedelta(hours=48)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How well one cafeteria is backed up."""

    cafeteria: Cafeteria
    newest_at: datetime | None  # the moment of the newest backup, or at which nothing had changed since it
    proven_at: datetime | None  # the moment that is in the newest proven one
    ok: bool

    def as_json(self, now: datetime) -> dict[str, Any]:
        return {
            "id": self.cafeteria.pk,
            "slug": self.cafeteria.slug,
            "newest_at": self.newest_at.isoformat() if self.newest_at else None,
            "newest_age_seconds": int((now - self.newest_at).total_seconds()) if self.newest_at else None,
            "proven_at": self.proven_at.isoformat() if self.proven_at else None,
            "proven_age_seconds": int((now - self.proven_at).total_seconds()) if self.proven_at else None,
            "ok": self.ok,
        }


def standings() -> list[Standing]:
    """Of every cafeteria that is not closed, by slug. Two queries."""
    now = timezone.now()
    newest = dict(BackupTurn.objects.values_list("cafeteria_uuid", "newest_at"))
    found = (
        Backup.objects.exclude(kind=Backup.Kind.MOMENT)
        .values("cafeteria_uuid")
        .annotate(newest=Max("taken_at"), proven=Max("taken_at", filter=Q(proven_at__isnull=False)))
    )
    moments = {row["cafeteria_uuid"]: (row["newest"], row["proven"]) for row in found}
    return [_standing(cafeteria, newest.get(cafeteria.uuid), moments.get(cafeteria.uuid), now) for cafeteria in _alive()]


def newest_backup(cafeteria_uuid: UUID) -> Backup:
    """Raises BackupNotFound."""
    found = backups_of(cafeteria_uuid).exclude(kind=Backup.Kind.MOMENT).first()
    if found is None:
        raise BackupNotFound
    return found


def backups_of(cafeteria_uuid: UUID) -> QuerySet[Backup]:
    """Newest first."""
    return Backup.objects.filter(cafeteria_uuid=cafeteria_uuid).order_by("-taken_at", "-id")


def _standing(
    cafeteria: Cafeteria, looked_at: datetime | None, moments: tuple[datetime | None, datetime | None] | None, now: datetime
) -> Standing:
    taken, proven = moments or (None, None)
    newest = max((moment for moment in (looked_at, taken) if moment is not None), default=None) if taken is not None else None
    # A cafeteria that was opened just now has time until its first turn.
    begun = cafeteria.created_at > now - NEWEST_MAY_BE
    fresh = newest is not None and now - newest <= NEWEST_MAY_BE
    unproven_since = taken is not None and proven is None and cafeteria.created_at < now - PROVEN_MAY_BE
    stale_proof = proven is not None and taken is not None and taken - proven > PROVEN_MAY_BE
    return Standing(cafeteria=cafeteria, newest_at=newest, proven_at=proven, ok=(fresh or begun) and not (unproven_since or stale_proof))


def _alive() -> QuerySet[Cafeteria]:
    return Cafeteria.objects.filter(copy_of=None).exclude(status=Cafeteria.Status.CLOSED).exclude(schema_head="").order_by("slug")
