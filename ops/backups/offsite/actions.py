"""Every backup a second time, in an S3 elsewhere. What goes wrong here holds up no local backup."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.jobs import enqueue
from core.jobs.models import Job, JobState
from ops.backups.actions import file_of, flush_folder
from ops.backups.errors import BundleRefused
from ops.backups.models import Backup
from ops.backups.offsite import gateway
from ops.backups.offsite.cards import card_of
from ops.backups.offsite.errors import LocalCopyUnusable, OffsiteDamaged, OffsiteNotFound, OffsiteUnavailable
from ops.backups.offsite.files import FileFacts, look_at, pieces_of, sha256_of
from ops.backups.offsite.models import OffsiteErasure, OffsiteStanding

log = structlog.get_logger()

CLAIMED_FOR = timedelta(minutes=15)  # A copy that has not come to its end by then is begun again.
UNUSABLE_FOR = timedelta(days=1)
ALERT_AFTER = 3  # failures in a row
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
UPLOADS_KEPT = timedelta(days=2)

type Step = Callable[[float], None]


def is_set_up() -> bool:
    return bool(settings.S3_BUCKET)


def key_of(backup: Backup) -> str:
    return f"{prefix()}{backup.cafeteria_uuid}/{backup.pk}.bundle"


def card_key(bundle_key: str) -> str:
    return f"{bundle_key.removesuffix('.bundle')}.json"


def prefix() -> str:
    return f"{settings.S3_PREFIX}/" if settings.S3_PREFIX else ""


def copy_backup(*, backup_id: UUID, step: Step = lambda _: None) -> bool:
    """Put the backup's bundle off-site, then its card; False when there is nothing to do, or the storage is resting after failures.

    Killed at any time, or ended by `step`, the next one goes on; nothing half is ever taken for whole. Raises OffsiteUnavailable,
    OffsiteDamaged, LocalCopyUnusable.
    """
    backup = Backup.objects.filter(pk=backup_id).first()
    if not is_set_up() or backup is None or backup.offsite_at is not None or is_resting():
        return False
    facts, card = _to_copy(backup)
    key = key_of(backup)
    # Noted before anything is there: whoever erases the backup from now on erases that too.
    if not Backup.objects.filter(pk=backup_id).update(offsite_key=key):
        return False
    _put(backup, key, facts, card, step)
    if not Backup.objects.filter(pk=backup_id).update(offsite_at=timezone.now(), offsite_due_at=None):
        OffsiteErasure.objects.get_or_create(key=key, defaults={"since": timezone.now()})
        return False
    for kind in ("backups.offsite", "backups.offsite_damaged"):
        resolve_alerts(kind=kind, cafeteria_uuid=backup.cafeteria_uuid, subject=str(backup.pk))
    log.info("backup_copied", about=str(backup.cafeteria_uuid), backup=str(backup.pk), size=facts.size)
    return True


def enqueue_copy(backup: Backup) -> None:
    """Add the job that copies it; nothing when off-site is off."""
    if is_set_up() and backup.kind != Backup.Kind.MOMENT:
        Backup.objects.filter(pk=backup.pk).update(offsite_due_at=timezone.now() + CLAIMED_FOR)
        enqueue("ops.backups.offsite.jobs.copy", queue="long", backup_id=str(backup.pk))


def enqueue_waiting(*, limit: int = 20) -> int:
    """Add the jobs of backups that should be off-site and are not, the newest first, up to `limit` at a time; how many. None while the
    storage is resting.

    Two at once add different ones.
    """
    limit -= Job.objects.filter(kind="ops.backups.offsite.jobs.copy", state__in=(JobState.QUEUED, JobState.RUNNING)).count()
    if not is_set_up() or is_resting() or limit <= 0:
        return 0
    with transaction.atomic():
        now = timezone.now()
        due = Q(offsite_due_at=None) | Q(offsite_due_at__lte=now)
        waiting = (
            Backup.objects.select_for_update(skip_locked=True)
            .filter(due, offsite_at=None)
            .exclude(file="")
            .exclude(kind=Backup.Kind.MOMENT)
            .order_by("-taken_at")
        )
        found = list(waiting[:limit])
        for backup in found:
            enqueue_copy(backup)
    return len(found)


def local_bundle(backup: Backup, *, step: Step = lambda _: None) -> Path:
    """A path to the bundle on this machine. Fetches the off-site copy when the local one is gone or damaged, and checks its digest.

    What it answers is not let go for settings.BACKUP_LOCAL_DAYS. Without an off-site copy it is the local one, in whatever state.
    Raises OffsiteUnavailable, OffsiteNotFound, OffsiteDamaged, OffsiteNotSetUp.
    """
    path = file_of(backup)
    if backup.offsite_at is None or (backup.file and not is_set_up()):
        return path
    if _is_whole(path, backup):
        os.utime(path)
        return path
    if path.exists():
        detail = f"The local copy of the backup {backup} UTC was damaged, and was fetched again. Look at the disk."
        raise_alert(kind="backups.local_damaged", cafeteria_uuid=backup.cafeteria_uuid, subject=str(backup.pk), detail=detail)
    part = path.with_name(f"{backup.pk}.{token_hex(4)}.part")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        _fetch(backup, part, step)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    flush_folder(path.parent)
    backup.file = str(path.relative_to(settings.BACKUP_FOLDER))
    Backup.objects.filter(pk=backup.pk).update(file=backup.file)
    return path


def fetch_bundle(address: str, *, step: Step = lambda _: None) -> Path:
    """Bring the object at s3://bucket/key here; the file stays for settings.BACKUP_LOCAL_DAYS. What is in it is not looked at.

    Raises BadAddress, OffsiteNotSetUp, OffsiteNotFound, OffsiteUnavailable, OffsiteDamaged.
    """
    name, key = gateway.parse_address(address)
    folder = Path(settings.BACKUP_FOLDER) / "fetched"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = folder / f"{token_hex(8)}.part"
    try:
        _size, sha256 = gateway.fetch_file(gateway.bucket_of_settings(name), key, part, step=step)
        return part.rename(folder / f"{sha256}.bundle")
    finally:
        part.unlink(missing_ok=True)


def erase_forgotten(*, limit: int = 500) -> int:
    """Erase off-site what the retention has let go; how many. What cannot be erased now is tried again by the next one.

    Raises OffsiteUnavailable.
    """
    bucket, erased = gateway.bucket_of_settings(), 0
    for erasure in OffsiteErasure.objects.order_by("since")[:limit]:
        # The card goes first: where one is, a whole bundle is.
        gateway.erase(bucket, card_key(erasure.key))
        gateway.erase(bucket, erasure.key)
        erasure.delete()
        erased += 1
    return erased


def let_go_local_copies(*, limit: int = 200) -> int:
    """Erase local copies that are old and surely off-site, never a cafeteria's newest; how many. Killed in between, no row lies for long:
    a file that is not there is fetched all the same.

    Raises OffsiteUnavailable.
    """
    bucket, gone = gateway.bucket_of_settings(), 0
    for backup in _let_go_candidates().iterator():
        if gone >= limit:
            break
        path = file_of(backup)
        if path.exists() and time.time() - path.stat().st_mtime < timedelta(days=settings.BACKUP_LOCAL_DAYS).total_seconds():
            continue  # fetched, or used, not long ago
        if not _is_offsite(bucket, backup):
            continue
        path.unlink(missing_ok=True)
        Backup.objects.filter(pk=backup.pk).update(file="")
        gone += 1
    return gone


def sweep_leftovers() -> int:
    """End uploads that nobody goes on with, and erase what was fetched for a restore long ago; how many. Raises OffsiteUnavailable."""
    limit = timezone.now() - timedelta(days=settings.BACKUP_LOCAL_DAYS)
    fetched = [path for path in (Path(settings.BACKUP_FOLDER) / "fetched").glob("*") if path.stat().st_mtime < limit.timestamp()]
    for path in fetched:
        path.unlink(missing_ok=True)
    begun_before = timezone.now() - UPLOADS_KEPT
    return len(fetched) + gateway.abort_uploads(gateway.bucket_of_settings(), prefix(), begun_before=begun_before)


def is_resting() -> bool:
    """Whether the storage has failed lately, and is not to be asked again yet."""
    return OffsiteStanding.objects.filter(retry_at__gt=timezone.now()).exists()


def tell_of_damage(backup: Backup, why: str) -> None:
    """An alert, until the backup is copied again."""
    detail = f"The off-site copy of the backup {backup} UTC cannot be used: {why}"
    raise_alert(
        kind="backups.offsite_damaged", cafeteria_uuid=backup.cafeteria_uuid, subject=str(backup.pk), detail=detail, severity="critical"
    )


@contextmanager
def noting_failures() -> Iterator[None]:
    """Failures in a row make the pause longer and, from some on, an alert; the first success ends both."""
    try:
        yield
    except OffsiteUnavailable as error:
        _note_failure(str(error))
        raise
    if OffsiteStanding.objects.filter(failures__gt=0).update(failures=0, retry_at=None, error=""):
        resolve_alerts(kind="backups.offsite", subject="storage")


def _note_failure(why: str) -> None:
    OffsiteStanding.objects.get_or_create(pk=1)
    OffsiteStanding.objects.filter(pk=1).update(failures=F("failures") + 1, error=why[:300])
    failures = OffsiteStanding.objects.values_list("failures", flat=True).get(pk=1)
    pause = min(FIRST_PAUSE * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
    OffsiteStanding.objects.filter(pk=1).update(retry_at=timezone.now() + pause)
    if failures >= ALERT_AFTER:
        waiting = Backup.objects.filter(offsite_at=None).exclude(kind=Backup.Kind.MOMENT).count()
        detail = f"{why} {failures} times in a row; {waiting} backups are on this machine only."
        raise_alert(kind="backups.offsite", subject="storage", detail=detail, severity="critical")


def _put(backup: Backup, key: str, facts: FileFacts, card: bytes, step: Step) -> None:
    bucket = gateway.bucket_of_settings()
    with noting_failures():
        try:
            gateway.put_file(bucket, key, file_of(backup), facts, step=step)
        except OffsiteDamaged as error:
            raise_alert(
                kind="backups.offsite", cafeteria_uuid=backup.cafeteria_uuid, subject=str(backup.pk), detail=str(error), severity="critical"
            )
            raise
        gateway.put_text(bucket, card_key(key), card)


def _to_copy(backup: Backup) -> tuple[FileFacts, bytes]:
    try:
        facts, card = look_at(file_of(backup)), card_of(backup)
    except OSError:
        reason = "it is gone."
    except BundleRefused as error:
        reason = error.reason
    else:
        if (facts.size, facts.sha256) == (backup.size, backup.sha256):
            return facts, card
        reason = "it is not what was written."
    Backup.objects.filter(pk=backup.pk).update(offsite_due_at=timezone.now() + UNUSABLE_FOR)
    detail = f"The backup {backup} UTC is not off-site, and its local copy cannot be used: {reason}"
    raise_alert(kind="backups.offsite", cafeteria_uuid=backup.cafeteria_uuid, subject=str(backup.pk), detail=detail, severity="critical")
    raise LocalCopyUnusable(reason)


def _fetch(backup: Backup, part: Path, step: Step) -> None:
    try:
        found = gateway.fetch_file(gateway.bucket_of_settings(), backup.offsite_key, part, step=step)
        if found != (backup.size, backup.sha256):
            raise OffsiteDamaged("its bytes are not those that were backed up.")
    except (OffsiteDamaged, OffsiteNotFound) as error:
        tell_of_damage(backup, str(error))
        raise


def _is_whole(path: Path, backup: Backup) -> bool:
    with suppress(OSError):
        return path.stat().st_size == backup.size and sha256_of(pieces_of(path)) == backup.sha256
    return False


def _is_offsite(bucket: gateway.Bucket, backup: Backup) -> bool:
    """Still. If not, the local copy is copied again."""
    stored = gateway.look(bucket, backup.offsite_key)
    if stored is not None and (stored.size, stored.sha256) == (backup.size, backup.sha256):
        return True
    tell_of_damage(backup, "it is gone." if stored is None else "it was exchanged.")
    Backup.objects.filter(pk=backup.pk).update(offsite_at=None, offsite_due_at=None)
    return False


def _let_go_candidates() -> QuerySet[Backup]:
    newer = Backup.objects.filter(cafeteria_uuid=OuterRef("cafeteria_uuid"), taken_at__gt=OuterRef("taken_at")).exclude(kind="moment")
    old = timezone.now() - timedelta(days=settings.BACKUP_LOCAL_DAYS)
    found = Backup.objects.filter(Exists(newer), offsite_at__isnull=False, taken_at__lt=old)
    return found.exclude(file="").order_by("taken_at")
