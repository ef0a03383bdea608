"""How long a copy of a cafeteria stays: it holds people's names and orders, and is forgotten more easily than it is made."""

from datetime import datetime, timedelta

import structlog
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.audit.actions import record
from ops.backups.media import erase_media
from ops.restores.errors import CloneNotFound
from ops.restores.models import Clone
from tenants.actions import close_cafeteria
from tenants.errors import InvalidLifecycle
from tenants.models import Cafeteria

log = structlog.get_logger()
COPY_DAYS = 30
LONGEST_DAYS = 3650


def end_after(days: int | None) -> datetime | None:
    """When what is to stay for so long from now on is closed; None: never by itself."""
    return timezone.now() + timedelta(days=days) if days else None


def keep_copy(*, slug: str, days: int | None, by: str = "") -> Cafeteria:
    """Let the copy be closed so many days from now instead; None: not by itself. Audited. Raises CloneNotFound, for a closed one too."""
    with transaction.atomic():
        copy = _open_copies().select_for_update().filter(slug=slug).first()
        if copy is None:
            raise CloneNotFound
        copy.closes_at = end_after(days)
        Cafeteria.objects.filter(pk=copy.pk).update(closes_at=copy.closes_at)
        record("clone.kept", cafeteria_uuid=copy.uuid, target=slug, label=by, until=copy.closes_at and copy.closes_at.isoformat())
    return copy


def endless_copies() -> QuerySet[Cafeteria]:
    """Open copies that nothing closes by itself: those for which that was asked, and those of before copies had an end.

    No migration gave those one: whoever works in a copy would lose it without having been told. The console lists them.
    """
    return _open_copies().filter(closes_at=None)


def close_ended_copies() -> int:
    """Close those whose time is over, as anybody would close them; how many. The schema of each is dropped after CLOSED_KEEP_DAYS."""
    closed = 0
    for copy in _open_copies().filter(closes_at__lte=timezone.now()).order_by("closes_at"):
        try:
            with transaction.atomic():
                close_cafeteria(cafeteria_id=copy.pk)
                record("cafeteria.closed", cafeteria_uuid=copy.uuid, target=copy.slug, label="its time was over")
        except InvalidLifecycle:  # Somebody was quicker.
            continue
        log.info("copy_closed", about=str(copy.uuid), slug=copy.slug)
        closed += 1
    return closed


def erase_dropped_copies() -> int:
    """Erase the pictures of copies whose schema was dropped; of how many copies. No backup lists them."""
    dropped = Cafeteria.objects.filter(copy_of__isnull=False, status=Cafeteria.Status.CLOSED, schema_head="").values("uuid")
    erased = 0
    for clone in Clone.objects.filter(copy_uuid__in=dropped).exclude(report__has_key="pictures_erased"):
        folder = f"cafeterias/{clone.copy_uuid}"
        names = default_storage.listdir(folder)[1] if default_storage.exists(folder) else []
        erase_media(f"{folder}/{name}" for name in names)
        Clone.objects.filter(pk=clone.pk).update(report={**clone.report, "pictures_erased": len(names)})
        erased += 1
    return erased


def _open_copies() -> QuerySet[Cafeteria]:
    found: QuerySet[Cafeteria] = Cafeteria.objects.filter(copy_of__isnull=False).exclude(status=Cafeteria.Status.CLOSED)
    return found
