"""Going back: beside, verified, fenced, exchanged, and undone if it was wrong. Every step may be killed: the row says where to go on."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from core.alerts.actions import raise_alert, resolve_alerts
from core.audit.actions import record
from core.errors import AppError
from core.jobs import enqueue
from core.jobs.errors import JobCancelled
from core.jobs.models import Job
from ops.archive.moments import check_moment
from ops.backups.actions import backup_by_id, schema_of, take_backup
from ops.backups.bundles.data import Manifest
from ops.backups.errors import said_of
from ops.backups.models import Backup
from ops.restores.building import brought_to_code, built_side, check_suits
from ops.restores.errors import CafeteriaBusy, CannotUndo, RestoreFailed, RestoreNotFound, RestoreUnderWay
from ops.restores.files import put_files
from ops.restores.models import Restore
from ops.restores.money import money_report, reconcile_money, signed_report
from ops.restores.sources import bundle_of, checked_source, has_lost_its_job, reason_of, waiting_for_storage
from tenants.models import Cafeteria
from tenants.provisioning.schema import drop_schema
from tenants.provisioning.template import current_template
from tenants.queries import ref_by_uuid
from tenants.refs import TenantRef
from tenants.sides import LOCK_NOT_HAD, exchange_schemas, fence, kept_name, schema_exists, side_name, unfence

log = structlog.get_logger()
Phase = Restore.Phase
ACTIVE = (Phase.WAITING, Phase.BUILT, Phase.EXCHANGED)
UNDO_FOR = timedelta(days=7)
FENCE_SECONDS = 30.0
EXCHANGE_ATTEMPTS = 5
NOT_ENDED = "restores.not_ended"
MONEY_WITHIN = timedelta(minutes=15)  # An undo whose money is not back by then has nobody any more who goes on with it.
PARTS = ("database", "files")
# A business day's numbers are not given twice, whichever way it goes.
KEEP_COUNTERS = """INSERT INTO {side}.shop_daycounter AS d (day, newest) SELECT day, newest FROM {live}.shop_daycounter
    ON CONFLICT (day) DO UPDATE SET newest = greatest(d.newest, excluded.newest)"""
SCRATCH = r"SELECT nspname FROM pg_namespace WHERE nspname ~ '^t_[0-9]+_[skp][0-9a-f]{8}$'"

type Step = Callable[[float, str], None]


def start_restore(
    *,
    cafeteria_uuid: UUID,
    backup_id: UUID | None = None,
    file: str = "",
    at: datetime | None = None,
    parts: tuple[str, ...] = PARTS,
    by: str = "",
) -> Restore:
    """Write down that the cafeteria goes back to a backup, a bundle's file or any moment, and add the job. Touches nothing live.

    Raises BackupNotFound, RestoreUnderWay, DataDropped; OutsideWindow and the like when the archive does not reach the moment.
    """
    ref = ref_by_uuid(cafeteria_uuid)
    schema_of(ref)
    file = checked_source(cafeteria_uuid=cafeteria_uuid, backup_id=backup_id, file=file, at=at)
    _release_dead(cafeteria_uuid)
    try:
        with transaction.atomic():
            restore = Restore.objects.create(
                cafeteria_uuid=cafeteria_uuid,
                cafeteria_id=ref.id,
                backup_id=backup_id,
                file=file,
                moment=at,
                parts=list(parts),
                requested_by=by,
                started_at=timezone.now(),
            )
            job = enqueue("ops.restores.jobs.restore", queue="long", cafeteria_uuid=cafeteria_uuid, restore_id=str(restore.pk))
            Restore.objects.filter(pk=restore.pk).update(job_id=job.pk)
            record(
                "restore.started",
                cafeteria_uuid=cafeteria_uuid,
                target=str(restore.pk),
                label=by,
                backup=str(backup_id or ""),
                file=file,
                at=at and at.isoformat(),
            )
    except IntegrityError:
        raise RestoreUnderWay from None
    restore.job_id = job.pk
    return restore


def start_preview(*, cafeteria_uuid: UUID, backup_id: UUID | None = None, at: datetime | None = None) -> Job:
    """The job that finds out what going back to a backup or a moment would change. As start_restore, but beside one."""
    schema_of(ref_by_uuid(cafeteria_uuid))
    if at is not None:
        check_moment(at)
        return enqueue("ops.restores.jobs.preview", queue="long", cafeteria_uuid=cafeteria_uuid, at=at.isoformat())
    assert backup_id is not None
    backup = backup_by_id(backup_id, cafeteria_uuid=cafeteria_uuid)
    return enqueue("ops.restores.jobs.preview", queue="long", cafeteria_uuid=cafeteria_uuid, backup_id=str(backup.pk))


def start_undo(*, restore_id: UUID, by: str) -> Job:
    """The job that undoes it. Raises RestoreNotFound, CannotUndo, RestoreUnderWay."""
    restore = restore_by_id(restore_id)
    _check_undoable(restore)
    return enqueue("ops.restores.jobs.undo", queue="long", cafeteria_uuid=restore.cafeteria_uuid, restore_id=str(restore.pk), by=by)


def run_restore(*, restore_id: UUID, step: Step = lambda _fraction, _what: None) -> Restore:
    """Bring the restore from wherever it is to its end. The live cafeteria is untouched until the exchange, and away only around it.

    On an error before the exchange the restore has failed and nothing has changed. Raises BundleRefused, CafeteriaBusy and the like, and
    JobPostponed while the off-site storage does not answer, which may be a while.
    """
    restore = restore_by_id(restore_id)
    if restore.phase == Phase.FAILED:
        raise RestoreFailed(restore.error)
    try:
        if restore.phase == Phase.WAITING:
            with waiting_for_storage(restore, step=step):
                _build(restore, step)
        if restore.phase == Phase.BUILT:
            step(0.85, "exchange")
            _exchange(restore)
    except (AppError, OSError, IntegrityError, JobCancelled) as error:
        _fail(restore, reason_of(restore, error))
        raise
    if restore.phase == Phase.EXCHANGED:
        with suppress(JobCancelled):  # Too late: what is live is brought to its end.
            step(0.9, "money")
        _finish(restore)
    with suppress(JobCancelled):
        step(1.0, "done")
    return restore


def undo_restore(*, restore_id: UUID, by: str = "") -> Restore:
    """Let what was live before the restore be live again; what it had brought is kept until the time for undoing ends.

    The money of in between is put back as after every restore. Raises CannotUndo, RestoreUnderWay, CafeteriaBusy.
    """
    restore = restore_by_id(restore_id)
    if restore.phase == Phase.UNDONE and "undo" not in restore.report:  # Killed after the exchange: only the money is left to do.
        return _finish_undo(restore)
    ref = ref_by_uuid(restore.cafeteria_uuid)
    _check_undoable(restore)
    head = brought_to_code(restore.kept_schema, restore.kept_head)
    left = kept_name(ref)

    def note(cursor: Any, live: str, side: str) -> None:
        cursor.execute(KEEP_COUNTERS.format(live=live, side=side))
        changed = {"phase": Phase.UNDONE, "kept_schema": left, "kept_head": restore.head, "finished_at": timezone.now()}
        if not Restore.objects.filter(pk=restore.pk, phase=Phase.DONE).update(**changed):
            raise CannotUndo("it is undone already.")
        record("restore.undone", cafeteria_uuid=ref.uuid, target=str(restore.pk), label=by)

    _away(ref, lambda: exchange_schemas(ref, side=restore.kept_schema, kept=left, head=head, before=note))
    restore.refresh_from_db()
    return _finish_undo(restore)


def _finish_undo(restore: Restore) -> Restore:
    report = reconcile_money(cafeteria_uuid=restore.cafeteria_uuid, since=restore.exchanged_at or restore.started_at)
    restore.report = {**restore.report, "undo": signed_report(money_report(report))}
    restore.save(update_fields=["report"])
    return restore


def restore_by_id(restore_id: UUID) -> Restore:
    found = Restore.objects.filter(pk=restore_id).first()
    if found is None:
        raise RestoreNotFound
    return found


def newest_restore(cafeteria_uuid: UUID) -> Restore:
    """That has exchanged something. Raises RestoreNotFound."""
    found = Restore.objects.filter(cafeteria_uuid=cafeteria_uuid, exchanged_at__isnull=False).order_by("-exchanged_at").first()
    if found is None:
        raise RestoreNotFound
    return found


def sweep_schemas() -> list[str]:
    """Drop what restores have left and nobody can use any more: sides of failed ones, kept schemas whose time to undo is over.

    Those whose job has ended without them are brought to an end first, and undos that died before the money.
    """
    for uuid in set(Restore.objects.filter(phase__in=ACTIVE).values_list("cafeteria_uuid", flat=True)):
        _brought_to_its_end(uuid, partial(_release_dead, uuid))
    undone = Restore.objects.filter(phase=Phase.UNDONE, finished_at__lt=timezone.now() - MONEY_WITHIN).exclude(report__has_key="undo")
    for restore in undone:
        _brought_to_its_end(restore.cafeteria_uuid, partial(_finish_undo, restore))
    now = timezone.now()
    with connection.cursor() as cursor:  # First: whatever is there by now has its row by then.
        cursor.execute(SCRATCH)
        found = [name for (name,) in cursor.fetchall()]
    wanted = {
        name
        for restore in Restore.objects.exclude(phase=Phase.FAILED).exclude(phase__in=(Phase.DONE, Phase.UNDONE), undo_until__lt=now)
        for name in (restore.side_schema, restore.kept_schema)
        if name
    }
    left = [name for name in found if name not in wanted]
    for name in left:
        drop_schema(name)
    return left


def _build(restore: Restore, step: Step) -> None:
    ref = ref_by_uuid(restore.cafeteria_uuid)
    path, manifest = bundle_of(restore, step=step)
    check_suits(manifest, ref)
    if "files" in restore.parts:
        _put_files(restore, path, manifest, step)
    if "database" not in restore.parts:
        restore.phase, restore.finished_at = Phase.DONE, timezone.now()
        restore.save(update_fields=["phase", "finished_at", "report"])
        return
    current_template()  # Whatever is at the code's head can be backed up by it, also before the fleet has come there.
    step(0.3, "safety copy")
    safety = take_backup(cafeteria_uuid=ref.uuid, kind=Backup.Kind.SAFETY, step=lambda fraction, what: step(0.3 + fraction * 0.2, what))
    name = side_name(ref)
    with built_side(name, path, manifest, step=lambda what: step(0.6, what)) as (_side, head):
        restore.phase, restore.side_schema, restore.head, restore.moment = Phase.BUILT, name, head, manifest.moment
        restore.report |= {"safety_backup": str(safety.pk), "backup_taken_at": manifest.taken_at, "rows": manifest.rows}
        restore.save(update_fields=["phase", "side_schema", "head", "moment", "report"])


def _put_files(restore: Restore, path: Path, manifest: Manifest, step: Step) -> None:
    """Before anything else, in no transaction: a picture more than are shown harms nobody, whatever becomes of the restore."""
    files = put_files(path, manifest, step=lambda what: step(0.25, what))
    restore.report = {"files_put_back": len(files.put_back), "files": len(manifest.media), "files_missing": files.missing[:100]}
    if files.missing:
        detail = f"{len(files.missing)} pictures of the backup are nowhere to be found, e.g. {files.missing[0]}."
        raise_alert(kind="backups.media_missing", cafeteria_uuid=restore.cafeteria_uuid, detail=detail)


def _exchange(restore: Restore) -> None:
    ref = ref_by_uuid(restore.cafeteria_uuid)
    kept = kept_name(ref)
    # It may have been built before a deploy, and its worker killed by that.
    restore.head = brought_to_code(restore.side_schema, restore.head)
    head_now = Cafeteria.objects.values_list("schema_head", flat=True).get(pk=ref.id)

    def note(cursor: Any, live: str, side: str) -> None:
        cursor.execute(KEEP_COUNTERS.format(live=live, side=side))
        now = timezone.now()
        changed = {"phase": Phase.EXCHANGED, "kept_schema": kept, "kept_head": head_now, "head": restore.head}
        changed |= {"exchanged_at": now, "undo_until": now + UNDO_FOR}
        if not Restore.objects.filter(pk=restore.pk, phase=Phase.BUILT).update(**changed):
            raise RestoreFailed("it was cancelled.")  # Whoever has ended it in the meantime is not overruled.
        record("restore.exchanged", cafeteria_uuid=ref.uuid, target=str(restore.pk), label=restore.requested_by)

    away = _away(ref, lambda: exchange_schemas(ref, side=restore.side_schema, kept=kept, head=restore.head, before=note))
    Restore.objects.filter(pk=restore.pk).update(away_seconds=away)
    restore.refresh_from_db()


def _away(ref: TenantRef, exchange: Callable[[], None]) -> float:
    """Do it with the cafeteria fenced; how many seconds it was away. Raises CafeteriaBusy when its tables cannot be locked."""
    began = time.monotonic()
    fence(ref, seconds=FENCE_SECONDS)
    try:
        for attempt in range(EXCHANGE_ATTEMPTS):
            try:
                exchange()
            except OperationalError as error:
                if getattr(error.__cause__, "pgcode", "") not in LOCK_NOT_HAD:
                    raise  # As a lost connection: whether it was committed is not known, and the job's next attempt sees.
                if attempt == EXCHANGE_ATTEMPTS - 1:
                    raise CafeteriaBusy from error
            else:
                return time.monotonic() - began
        raise AssertionError
    finally:
        unfence(ref)


def _finish(restore: Restore) -> None:
    assert restore.moment is not None
    report = reconcile_money(cafeteria_uuid=restore.cafeteria_uuid, since=restore.moment)
    restore.report = {**restore.report, "money": signed_report(money_report(report))}
    restore.phase, restore.finished_at = Phase.DONE, timezone.now()
    with transaction.atomic():
        restore.save(update_fields=["report", "phase", "finished_at"])
        record("restore.done", cafeteria_uuid=restore.cafeteria_uuid, target=str(restore.pk), label=restore.requested_by)
    log.info("restore_done", about=str(restore.cafeteria_uuid), away=restore.away_seconds, recreated=len(report.recreated))


def _fail(restore: Restore, why: str) -> None:
    """Before the exchange: nothing live has changed."""
    side = restore.side_schema
    with transaction.atomic():
        changed = Restore.objects.filter(pk=restore.pk, phase__in=(Phase.WAITING, Phase.BUILT)).update(
            phase=Phase.FAILED, error=why[:500], finished_at=timezone.now()
        )
        if changed:
            record("restore.failed", cafeteria_uuid=restore.cafeteria_uuid, target=str(restore.pk), label=restore.requested_by)
    if changed and side and schema_exists(side):
        drop_schema(side)
    restore.refresh_from_db()


def _release_dead(cafeteria_uuid: UUID) -> None:
    """A restore whose job has ended without it stands in nobody's way; one that has exchanged the schemas is brought to its end."""
    for restore in Restore.objects.filter(cafeteria_uuid=cafeteria_uuid, phase__in=ACTIVE):
        if not has_lost_its_job(restore):
            continue
        if restore.phase == Phase.EXCHANGED:
            _finish(restore)
        else:
            _fail(restore, "Its job ended before it did.")


def _brought_to_its_end(cafeteria_uuid: UUID, work: Callable[[], object]) -> None:
    """One that cannot be stops no other, and is told of until it can: what is live there may lack orders that were paid."""
    try:
        work()
    except Exception as error:
        log.exception("restore_not_ended", about=str(cafeteria_uuid))
        detail = f"A restore or an undo could not be brought to its end, so its money may not be put back. {said_of(error)}"
        raise_alert(kind=NOT_ENDED, cafeteria_uuid=cafeteria_uuid, detail=detail, severity="critical")
    else:
        resolve_alerts(kind=NOT_ENDED, cafeteria_uuid=cafeteria_uuid)


def _check_undoable(restore: Restore) -> None:
    if restore.phase != Phase.DONE or not restore.kept_schema:
        raise CannotUndo("it is undone already." if restore.phase == Phase.UNDONE else "it has not exchanged anything.")
    if restore.undo_until is None or restore.undo_until < timezone.now():
        raise CannotUndo("its time is over.")
    later = Restore.objects.filter(cafeteria_uuid=restore.cafeteria_uuid, exchanged_at__gt=restore.exchanged_at).exclude(phase=Phase.UNDONE)
    if later.exists():
        raise CannotUndo("there was a later one. Undo that first.")
    if Restore.objects.filter(cafeteria_uuid=restore.cafeteria_uuid, phase__in=ACTIVE).exists():
        raise RestoreUnderWay
    if not schema_exists(restore.kept_schema):
        raise CannotUndo("what was live before is gone.")
