"""The pictures off-site: each content once for a cafeteria, encrypted as the bundles are, for as long as a kept backup lists it.

Bundles that only list their pictures are enough then, also when the machine with the storage is lost. An object is never written over: who
encrypts a picture again, e.g. with a newer key, gives it another name, so that nothing that is erased late takes a newer one with it.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import shuffle
from secrets import token_hex
from uuid import UUID

import pyrage
import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.jobs import JobPostponed, enqueue
from core.jobs.models import Job, JobState
from ops.backups.bundles.data import MediaFacts
from ops.backups.bundles.keys import BundleKey, bundle_keys
from ops.backups.media import is_that, read_media
from ops.backups.models import Backup
from ops.backups.offsite import gateway
from ops.backups.offsite.actions import is_resting, is_set_up, noting_failures, prefix
from ops.backups.offsite.errors import OffsiteDamaged, OffsiteNotFound
from ops.backups.offsite.files import look_at
from ops.backups.offsite.models import OffsiteErasure, OffsiteMedia

log = structlog.get_logger()
LARGEST = 128 * 1024 * 1024
COPY = "ops.backups.offsite.jobs.copy_media"
MISSING = "backups.media_missing"

# Backups whose pictures are not all off-site under the newest key, the newest one of each cafeteria, unless it is being copied. By chance:
# those whose pictures are lost are always among them, and must not keep the others out.
WAITING = """
SELECT b.id::text FROM (SELECT DISTINCT ON (cafeteria_uuid) id FROM public.ops_backup WHERE kind <> 'moment'
    ORDER BY cafeteria_uuid, taken_at DESC) newest JOIN public.ops_backup b USING (id)
WHERE EXISTS (SELECT FROM jsonb_array_elements(b.manifest->'media') e WHERE NOT EXISTS (
    SELECT FROM public.ops_offsitemedia m WHERE m.cafeteria_uuid = b.cafeteria_uuid AND m.sha256 = e->>'sha256'
        AND m.key_id = %s AND m.copied_at IS NOT NULL))
    AND b.cafeteria_uuid NOT IN (SELECT copied.cafeteria_uuid FROM public.ops_backup copied
        WHERE copied.id::text IN (SELECT j.arguments->>'backup_id' FROM public.core_job j WHERE j.id = ANY(%s)))
ORDER BY random() LIMIT %s"""
# Objects that no kept backup lists, those of an older key that have one of the newest beside them, and those that were begun in vain.
# What is listed is put together once: asked for each picture (NOT IN), a thousand cafeterias' would take an hour.
UNLISTED = """
WITH listed AS MATERIALIZED (SELECT DISTINCT b.cafeteria_uuid, e->>'sha256' AS sha256
    FROM public.ops_backup b, jsonb_array_elements(b.manifest->'media') e)
SELECT m.offsite_key FROM public.ops_offsitemedia m LEFT JOIN listed l ON l.cafeteria_uuid = m.cafeteria_uuid AND l.sha256 = m.sha256
WHERE m.noted_at < now() - interval '1 day' AND (
    m.copied_at IS NULL
    OR l.sha256 IS NULL
    OR EXISTS (SELECT FROM public.ops_offsitemedia n WHERE n.cafeteria_uuid = m.cafeteria_uuid AND n.sha256 = m.sha256
        AND n.noted_at > m.noted_at AND n.copied_at IS NOT NULL))
LIMIT %s"""

type Step = Callable[[float], None]


def enqueue_media_of(backup: Backup) -> None:
    """Add the job, if the backup lists a picture that is not off-site; nothing when off-site is off."""
    if is_set_up() and {row["sha256"] for row in backup.manifest["media"]} - _known(backup, bundle_keys()[0]):
        enqueue("ops.backups.offsite.jobs.copy_media", queue="long", backup_id=str(backup.pk))


def enqueue_media(*, limit: int = 50) -> int:
    """Add the jobs for cafeterias with pictures that should be off-site and are not; how many. None while the storage is resting.

    A cafeteria whose job waits or runs gets no second one, and keeps no other out: at most `limit` wait at a time.
    """
    if not is_set_up() or is_resting():
        return 0
    under_way = list(Job.objects.filter(kind=COPY, state__in=(JobState.QUEUED, JobState.RUNNING)).values_list("pk", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(WAITING, [bundle_keys()[0].key_id, under_way, max(0, limit - len(under_way))])
        waiting = [found for (found,) in cursor.fetchall()]
    for backup_id in waiting:
        enqueue("ops.backups.offsite.jobs.copy_media", queue="long", backup_id=backup_id)
    return len(waiting)


def copy_media(*, backup_id: UUID, step: Step = lambda _: None) -> int:
    """Put the backup's pictures off-site, those that are not there yet; how many. Killed, or postponed by `step`, the next one goes on.

    Those that the storage has lost are told of, and stop no other: each run takes them by chance, and one that `step` postpones before it
    found a single picture to copy ends instead, to be begun again by enqueue_media. Raises OffsiteUnavailable, OffsiteDamaged.
    """
    backup = Backup.objects.filter(pk=backup_id).first()
    if not is_set_up() or backup is None or is_resting():
        return 0
    key = bundle_keys()[0]
    known = _known(backup, key)
    facts = {row["sha256"]: MediaFacts(**row) for row in backup.manifest["media"] if row["sha256"] not in known}
    copied, lost, is_whole = _copy_all(backup.cafeteria_uuid, list(facts.values()), key, step)
    if lost:
        detail = (
            f"{len(lost)} pictures of a backup are neither in the storage nor off-site, e.g. {lost[0]}."
            if is_whole
            else f"At least {len(lost)} pictures of a backup are neither in the storage nor off-site, e.g. {lost[0]}."
        )
        raise_alert(kind=MISSING, cafeteria_uuid=backup.cafeteria_uuid, detail=detail)
    elif is_whole:
        resolve_alerts(kind=MISSING, cafeteria_uuid=backup.cafeteria_uuid)
    return copied


def fetch_media(cafeteria_uuid: UUID, facts: MediaFacts) -> bytes | None:
    """The picture from off-site, decrypted and compared; None when it is not there whole. It needs no row: a lost database lost those.

    Raises OffsiteUnavailable.
    """
    if not is_set_up():
        return None
    bucket = gateway.bucket_of_settings()
    for name, _size in gateway.list_objects(bucket, f"{_folder(cafeteria_uuid)}{facts.sha256}-"):
        try:
            content: bytes = pyrage.decrypt(gateway.get_text(bucket, name, most=LARGEST), [key.identity for key in bundle_keys()])
        except (pyrage.DecryptError, OffsiteNotFound, OffsiteDamaged):
            continue
        if is_that(content, facts):
            return content
    return None


def let_go_media(*, limit: int = 1000) -> int:
    """Note for erasure what no kept backup lists any more; how many."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(UNLISTED, [limit])
            gone = [name for (name,) in cursor.fetchall()]
        for name in gone:
            OffsiteErasure.objects.get_or_create(key=name, defaults={"since": timezone.now()})
        OffsiteMedia.objects.filter(offsite_key__in=gone).delete()
    return len(gone)


def check_media() -> int:
    """Forget of each picture that is no longer off-site that it was; how many. They are copied again. Raises OffsiteUnavailable."""
    there = {name for name, _size in gateway.list_objects(gateway.bucket_of_settings(), prefix()) if "/media/" in name}
    before = timezone.now() - timedelta(hours=1)
    lost = [row.pk for row in OffsiteMedia.objects.filter(copied_at__lt=before).iterator() if row.offsite_key not in there]
    OffsiteMedia.objects.filter(pk__in=lost).delete()
    if lost:
        raise_alert(kind="backups.offsite", subject="media", detail=f"{len(lost)} pictures were gone off-site. They are copied again.")
    else:
        resolve_alerts(kind="backups.offsite", subject="media")
    return len(lost)


def _copy_all(cafeteria_uuid: UUID, wanted: list[MediaFacts], key: BundleKey, step: Step) -> tuple[int, list[str], bool]:
    """(how many were copied, those that are nowhere, whether it came to the end). Raises JobPostponed as long as going on is of use."""
    shuffle(wanted)  # In the same order each run would spend its time on the same lost ones.
    copied, lost = 0, list[str]()
    elsewhere: frozenset[str] | None = None
    for number, facts in enumerate(wanted):
        try:
            step(number / len(wanted))
        except JobPostponed:
            if copied:
                raise
            return 0, lost, False
        content = read_media(facts)
        if content is None:
            elsewhere = _stored(cafeteria_uuid) if elsewhere is None else elsewhere
            content = fetch_media(cafeteria_uuid, facts) if facts.sha256 in elsewhere else None
        if content is None:
            lost.append(facts.key)
        else:
            _put(cafeteria_uuid, facts, key, content)
            copied += 1
    return copied, lost, True


def _stored(cafeteria_uuid: UUID) -> frozenset[str]:
    """The contents that are off-site under any key. One look for all that are lost: one for each would take hours for very many."""
    folder = _folder(cafeteria_uuid)
    found = gateway.list_objects(gateway.bucket_of_settings(), folder)
    return frozenset(name.removeprefix(folder).partition("-")[0] for name, _size in found)


def _put(cafeteria_uuid: UUID, facts: MediaFacts, key: BundleKey, content: bytes) -> None:
    # Noted before anything is there: what is begun and not ended is found by it, and gone on with.
    row, _ = OffsiteMedia.objects.get_or_create(
        cafeteria_uuid=cafeteria_uuid,
        sha256=facts.sha256,
        key_id=key.key_id,
        defaults={"offsite_key": f"{_folder(cafeteria_uuid)}{facts.sha256}-{token_hex(4)}.age", "noted_at": timezone.now()},
    )
    part = Path(settings.BACKUP_FOLDER) / str(cafeteria_uuid) / f"{token_hex(8)}.part"
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        part.write_bytes(pyrage.encrypt(content, [key.identity.to_public()]))
        with noting_failures():
            gateway.put_file(gateway.bucket_of_settings(), row.offsite_key, part, look_at(part))
    finally:
        part.unlink(missing_ok=True)
    OffsiteMedia.objects.filter(pk=row.pk).update(copied_at=timezone.now())


def _known(backup: Backup, key: BundleKey) -> set[str]:
    there = OffsiteMedia.objects.filter(cafeteria_uuid=backup.cafeteria_uuid, key_id=key.key_id, copied_at__isnull=False)
    return set(there.values_list("sha256", flat=True))


def _folder(cafeteria_uuid: UUID) -> str:
    return f"{prefix()}{cafeteria_uuid}/media/"
