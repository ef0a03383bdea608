"""Taking a cafeteria's backup, and letting go of old ones."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.jobs.models import new_job_id as new_id
from ops.backups.bundles.keys import bundle_keys
from ops.backups.bundles.writing import Schema, Written, write_bundle
from ops.backups.errors import BackupNotFound, DataDropped
from ops.backups.media import media_of, open_media
from ops.backups.models import Backup, BackupTurn
from ops.backups.offsite.models import OffsiteErasure
from ops.restores.models import Clone, Restore
from tenants.models import Cafeteria
from tenants.provisioning.template import stored_template
from tenants.queries import ref_by_uuid
from tenants.refs import TenantRef
from tenants.snapshots import Snapshot, snapshot

log = structlog.get_logger()
Kind = Backup.Kind

EVERY = timedelta(hours=1)
TOO_OLD = timedelta(hours=2)
WEEKLY_EVERY = timedelta(days=7)
HOURLY_KEPT = timedelta(hours=48)  # all of them; after that the newest of each day, week and month
DAYS, WEEKS, MONTHS = 7, 4, 12
SAFETY_KEPT = timedelta(days=30)
MOMENT_KEPT = timedelta(days=2)

# Every write of a schema counts here. The counters fall with a crash of the server: then a backup too many is taken.
FINGERPRINTS = """
SELECT c.uuid::text, concat_ws('.', c.generation, c.revision, p.menu, p.orders, s.written) FROM public.tenants_cafeteria c
JOIN public.tenants_pulse p ON p.cafeteria_id = c.id
LEFT JOIN (SELECT schemaname, sum(n_tup_ins + n_tup_upd + n_tup_del) AS written FROM pg_stat_user_tables GROUP BY 1) s
    ON s.schemaname = c.schema_name
WHERE c.status <> 'closed' AND c.schema_head <> '' AND c.copy_of IS NULL"""

type Step = Callable[[float, str], None]


def take_backup(*, cafeteria_uuid: UUID, kind: str, step: Step = lambda _fraction, _what: None) -> Backup:
    """Write the cafeteria as it is at this moment into a new bundle, and keep the row of it. Killed at any time, nothing half is kept.

    `step` is told (0 to 1, what), and may raise to end it. Costs what this cafeteria is, however many there are. Raises BackupsNotSetUp,
    CafeteriaNotFound, OSError when the disk is full.
    """
    ref = ref_by_uuid(cafeteria_uuid)
    schema = schema_of(ref)
    with snapshot(ref) as moment:
        return keep_snapshot(moment, ref=ref, schema=schema, kind=kind, step=step)


def keep_snapshot(moment: Snapshot, *, ref: TenantRef, schema: Schema, kind: str, step: Step = lambda _fraction, _what: None) -> Backup:
    """As take_backup, of a snapshot that is there, wherever it is from: `ref` and `schema` are of the same moment."""
    key, backup_id = bundle_keys()[0], new_id()
    target = _place(ref, backup_id)
    part = target.with_suffix(".part")
    try:
        written, missing = _write(part, moment, ref, schema, kind, step)
        part.rename(target)
        flush_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    if kind != Kind.MOMENT:
        _tell_of_pictures(ref, missing)
    backup = Backup.objects.create(
        id=backup_id,
        cafeteria_uuid=ref.uuid,
        cafeteria_id=ref.id,
        slug=ref.slug,
        kind=kind,
        taken_at=written.manifest.moment,
        finished_at=timezone.now(),
        size=written.size,
        rows=written.manifest.rows,
        sha256=written.sha256,
        head=schema.head,
        key_id=key.key_id,
        file=str(target.relative_to(settings.BACKUP_FOLDER)),
        manifest=asdict(written.manifest),
    )
    log.info("backup_taken", about=str(ref.uuid), kind=kind, size=written.size, rows=written.manifest.rows)
    return backup


def _tell_of_pictures(ref: TenantRef, missing: list[str]) -> None:
    """An alert while the cafeteria shows pictures that are nowhere."""
    if not missing:
        resolve_alerts(kind="backups.media_missing", cafeteria_uuid=ref.uuid)
        return
    detail = f"{len(missing)} pictures are not in the storage, so they are not in the backup: {', '.join(missing[:3])}"
    raise_alert(kind="backups.media_missing", cafeteria_uuid=ref.uuid, detail=detail)


def _write(part: Path, moment: Snapshot, ref: TenantRef, schema: Schema, kind: str, step: Step) -> tuple[Written, list[str]]:
    media, missing = media_of(moment, ref.uuid)
    steps = len(moment.tables()) + 1
    done = iter(range(steps + 2 * len(media) + 1))
    written = write_bundle(
        part,
        moment,
        ref=ref,
        schema=schema,
        media=media,
        open_media=None if kind in {Kind.HOURLY, Kind.MOMENT} else open_media,
        key=bundle_keys()[0],
        step=lambda what: step(min(next(done) / steps, 1.0), what),
    )
    return written, missing


def schema_of(ref: TenantRef) -> Schema:
    """What makes the cafeteria's empty schema at its present head. Raises DataDropped."""
    head = Cafeteria.objects.values_list("schema_head", flat=True).get(pk=ref.id)
    if not head:
        raise DataDropped
    template = stored_template(head)
    assert template is not None, head  # A schema is only ever made from one, or brought to a head that has one.
    return Schema(head=head, statements=template.statements, migrations=template.migrations)


def take_turn(*, cafeteria_uuid: UUID, fingerprint: str, step: Step = lambda _fraction, _what: None) -> Backup:
    """The backup that was due: a weekly one when it is time, else an hourly one."""
    turn, _ = BackupTurn.objects.get_or_create(cafeteria_uuid=cafeteria_uuid, defaults={"due_at": timezone.now()})
    now = timezone.now()
    weekly = turn.weekly_at is None or now - turn.weekly_at >= WEEKLY_EVERY
    try:
        backup = take_backup(cafeteria_uuid=cafeteria_uuid, kind=Kind.WEEKLY if weekly else Kind.HOURLY, step=step)
    except Exception:
        BackupTurn.objects.filter(pk=turn.pk).update(failures=turn.failures + 1)
        raise
    done = {"fingerprint": fingerprint, "newest_at": backup.taken_at, "failures": 0} | ({"weekly_at": backup.taken_at} if weekly else {})
    BackupTurn.objects.filter(pk=turn.pk).update(**done)
    resolve_alerts(kind="backups.too_old", cafeteria_uuid=cafeteria_uuid)
    forget_old_backups(cafeteria_uuid=cafeteria_uuid)
    return backup


def claim_due_turns(*, limit: int = 200) -> list[tuple[UUID, str]]:
    """(cafeteria, fingerprint) of those whose backup is due now and that have changed; the next turn of each is an hour later.

    Those that have not changed are noted as looked at. Two at once claim different ones.
    """
    prints = fingerprints()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO public.ops_backupturn (cafeteria_uuid, due_at, fingerprint, failures)
            SELECT uuid::uuid, now() + random() * %s * interval '1 second', '', 0 FROM unnest(%s::text[]) AS u (uuid)
            ON CONFLICT (cafeteria_uuid) DO NOTHING""",
            [min(60.0 * len(prints) / 30, EVERY.total_seconds()), list(prints)],
        )
        turns = BackupTurn.objects.select_for_update(skip_locked=True).filter(due_at__lte=timezone.now()).order_by("due_at")[:limit]
        claimed: list[tuple[UUID, str]] = []
        now = timezone.now()
        for turn in turns:
            found = prints.get(str(turn.cafeteria_uuid))
            changed = found is not None and (found != turn.fingerprint or _weekly_is_due(turn, now))
            turn.due_at = now + EVERY
            if found is None:
                turn.due_at = now + WEEKLY_EVERY  # closed, or gone
            elif changed:
                claimed.append((turn.cafeteria_uuid, found))
            else:
                turn.newest_at = now
            turn.save(update_fields=["due_at", "newest_at"])
    return claimed


def fingerprints() -> dict[str, str]:
    """Of every cafeteria that is not closed, by uuid: one query."""
    with connection.cursor() as cursor:
        cursor.execute(FINGERPRINTS)
        return dict(cursor.fetchall())


def backup_by_id(backup_id: UUID, *, cafeteria_uuid: UUID | None = None) -> Backup:
    """Raises BackupNotFound, also for another cafeteria's."""
    found = Backup.objects.filter(pk=backup_id)
    backup = found.filter(cafeteria_uuid=cafeteria_uuid).first() if cafeteria_uuid is not None else found.first()
    if backup is None:
        raise BackupNotFound
    return backup


def file_of(backup: Backup) -> Path:
    """Where its local copy is, or would be: ops.backups.offsite.actions.local_bundle makes sure that it is there."""
    return Path(settings.BACKUP_FOLDER) / (backup.file or f"{backup.cafeteria_uuid}/{backup.pk}.bundle")


def forget_old_backups(*, cafeteria_uuid: UUID) -> int:
    """Erase what the retention lets go: all of two days, then the newest of 7 days, 4 weeks and 12 months; how many."""
    backups = list(Backup.objects.filter(cafeteria_uuid=cafeteria_uuid).order_by("-taken_at").defer("manifest"))
    keep = kept_of([(backup.pk, backup.kind, backup.taken_at) for backup in backups], now=timezone.now())
    in_use = set(Restore.objects.filter(cafeteria_uuid=cafeteria_uuid, finished_at=None).values_list("backup_id", flat=True))
    in_use |= set(Clone.objects.filter(cafeteria_uuid=cafeteria_uuid, finished_at=None).values_list("backup_id", flat=True))
    keep |= {backup.pk for backup in backups if backup.kind == Kind.MOMENT and timezone.now() - backup.finished_at < MOMENT_KEPT}
    gone = [backup for backup in backups if backup.pk not in keep | in_use]
    for backup in gone:
        with suppress(FileNotFoundError):
            file_of(backup).unlink()
        with transaction.atomic():
            if backup.offsite_key:  # Erased when the storage answers: ops.backups.offsite.actions.erase_forgotten.
                OffsiteErasure.objects.get_or_create(key=backup.offsite_key, defaults={"since": timezone.now()})
            backup.delete()
    return len(gone)


def forget_where_no_turn_comes() -> int:
    """The retention of those that take no backups by turns any more, as closed ones and copies; how many it let go."""
    turning = fingerprints()
    found = Backup.objects.order_by().values_list("cafeteria_uuid", flat=True).distinct()
    return sum(forget_old_backups(cafeteria_uuid=uuid) for uuid in found if str(uuid) not in turning)


def kept_of(backups: Iterable[tuple[UUID, str, datetime]], *, now: datetime) -> set[UUID]:
    """Which of (id, kind, taken at), newest first, the retention keeps. By UTC's days, ISO weeks and months."""
    keep: set[UUID] = set()
    seen: dict[str, set[str]] = {"day": set(), "week": set(), "month": set()}
    most = {"day": DAYS, "week": WEEKS, "month": MONTHS}
    for number, (pk, kind, at) in enumerate(row for row in backups if row[1] != Kind.MOMENT):
        spans = {"day": f"{at:%Y-%m-%d}", "week": f"{at:%G-%V}", "month": f"{at:%Y-%m}"}
        for span, name in spans.items():
            if name not in seen[span] and len(seen[span]) < most[span]:
                seen[span].add(name)
                keep.add(pk)
        age = now - at
        special = kind in {Kind.SAFETY, Kind.MANUAL} and age < SAFETY_KEPT
        if number == 0 or age < HOURLY_KEPT or special or kind == Kind.FINAL:
            keep.add(pk)
    return keep


def is_set_up() -> bool:
    """Whether there is a key to back up with; while there is none, an alert says so."""
    if settings.BACKUP_KEYS:
        resolve_alerts(kind="backups.not_set_up")
        return True
    raise_alert(kind="backups.not_set_up", detail="BACKUP_KEYS is not set: no cafeteria is backed up.", severity="critical")
    return False


def tell_of_old_ones() -> int:
    """An alert for each open cafeteria whose newest backup is older than it may be, or that never had one; how many."""
    limit = timezone.now() - TOO_OLD
    # Not by due_at: that moves on with every attempt, also where each of them fails.
    old = BackupTurn.objects.filter(Q(newest_at__lt=limit) | Q(newest_at=None)).values("cafeteria_uuid")
    told = 0
    for cafeteria in Cafeteria.objects.filter(uuid__in=old, created_at__lt=limit).exclude(status=Cafeteria.Status.CLOSED):
        detail = f"The newest backup of {cafeteria.slug} is older than {TOO_OLD}, or there is none. See its jobs."
        raise_alert(kind="backups.too_old", cafeteria_uuid=cafeteria.uuid, detail=detail, severity="critical")
        told += 1
    return told


def sweep_files(*, older_than: timedelta = timedelta(hours=6)) -> int:
    """Erase what killed backups have left; how many files."""
    limit = timezone.now().timestamp() - older_than.total_seconds()
    left = [path for path in Path(settings.BACKUP_FOLDER).glob("*/*.part") if path.stat().st_mtime < limit]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _weekly_is_due(turn: BackupTurn, now: datetime) -> bool:
    return turn.weekly_at is None or now - turn.weekly_at >= WEEKLY_EVERY


def _place(ref: TenantRef, backup_id: UUID) -> Path:
    folder = Path(settings.BACKUP_FOLDER) / str(ref.uuid)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{backup_id}.bundle"


def flush_folder(folder: Path) -> None:
    """So that the new name survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
