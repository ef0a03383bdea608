"""A bundle as a cafeteria of its own: a neutralised copy under a new address, for looking into what was, and for trying things.

Its pictures come first, outside every transaction; then schema, rows, what makes it harmless and the cafeteria's row are one transaction.
Killed at any time, all of it is there or nothing but pictures, which the sweep takes away.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from core.audit.actions import record
from core.errors import AppError
from core.jobs import enqueue
from core.jobs.errors import JobCancelled
from ops.backups.bundles.data import Manifest
from ops.backups.errors import BundleRefused
from ops.backups.media import erase_media
from ops.restores.building import built_side, check_is_readable
from ops.restores.errors import CloneFailed, CloneNotFound
from ops.restores.files import put_files
from ops.restores.keeping import COPY_DAYS, end_after
from ops.restores.models import Clone
from ops.restores.sources import bundle_of, checked_source, has_lost_its_job, reason_of, waiting_for_storage
from tenants.copies import Place, add_copy, check_free_slug, next_cafeteria_id
from tenants.errors import SlugTaken
from tenants.models import Cafeteria
from tenants.provisioning.template import current_template
from tenants.queries import ref_by_uuid

log = structlog.get_logger()
Phase = Clone.Phase

type Step = Callable[[float, str], None]


def start_clone(
    *,
    cafeteria_uuid: UUID,
    slug: str,
    backup_id: UUID | None = None,
    file: str = "",
    at: datetime | None = None,
    with_staff: bool = False,
    keep_days: int | None = COPY_DAYS,
    by: str = "",
) -> Clone:
    """Write down that a backup, a bundle's file or a moment of the cafeteria becomes a copy at the new address, and add the job.

    The original is neither touched nor asked. `with_staff` lets its staff sign in at the copy with their passwords; else only its owner can
    come, from the platform. It is closed by itself `keep_days` after it was made; None or 0: only by somebody.

    Raises InvalidSlug, SlugReserved, SlugTaken, BackupNotFound, and OutsideWindow and the like for a moment.
    """
    original = ref_by_uuid(cafeteria_uuid)
    check_free_slug(slug)
    file = checked_source(cafeteria_uuid=cafeteria_uuid, backup_id=backup_id, file=file, at=at)
    _release_dead()
    try:
        with transaction.atomic():
            clone = Clone.objects.create(
                cafeteria_uuid=original.uuid,
                slug=slug,
                copy_uuid=uuid4(),
                copy_id=next_cafeteria_id(),
                backup_id=backup_id,
                file=file,
                moment=at,
                with_staff=with_staff,
                keep_days=keep_days or None,
                requested_by=by,
                started_at=timezone.now(),
            )
            job = enqueue("ops.restores.jobs.clone", queue="long", cafeteria_uuid=original.uuid, clone_id=str(clone.pk))
            Clone.objects.filter(pk=clone.pk).update(job_id=job.pk)
            record("clone.started", cafeteria_uuid=original.uuid, target=slug, label=by, backup=str(backup_id or ""), with_staff=with_staff)
    except IntegrityError:
        raise SlugTaken(slug=slug) from None
    clone.job_id = job.pk
    return clone


def run_clone(*, clone_id: UUID, step: Step = lambda _fraction, _what: None) -> Clone:
    """Make the copy, from wherever an earlier run was killed. On an error it has failed, and nothing of it is left.

    Raises BundleRefused, SlugTaken and the like, and JobPostponed while the off-site storage does not answer, which may be a while.
    """
    clone = clone_by_id(clone_id)
    if clone.phase == Phase.FAILED:
        raise CloneFailed(clone.error)
    if clone.phase == Phase.DONE:
        return clone
    try:
        with waiting_for_storage(clone, step=step):
            path, manifest = _bundle(clone, step)
            missing = _put_pictures(clone, path, manifest, step)
        _build(clone, path, manifest, missing, step)
    except (AppError, OSError, IntegrityError, JobCancelled) as error:
        _fail(clone, reason_of(clone, error))
        raise
    log.info("clone_done", about=str(clone.cafeteria_uuid), copy=clone.slug, rows=manifest.rows)
    with suppress(JobCancelled):  # Too late: it is there.
        step(1.0, "done")
    return clone


def clone_by_id(clone_id: UUID) -> Clone:
    """Raises CloneNotFound."""
    found = Clone.objects.filter(pk=clone_id).first()
    if found is None:
        raise CloneNotFound
    return found


def sweep_clones() -> int:
    """Take away what failed and killed copies have left in the storage; how many copies."""
    _release_dead()
    swept = 0
    for clone in Clone.objects.filter(phase=Phase.FAILED).exclude(media=[]):
        _erase_pictures(clone)
        swept += 1
    return swept


def _bundle(clone: Clone, step: Step) -> tuple[Path, Manifest]:
    path, manifest = bundle_of(clone, step=step)
    if manifest.uuid != clone.cafeteria_uuid:
        raise BundleRefused(f"it is of another cafeteria ({manifest.slug}).")
    check_is_readable(manifest)
    return path, manifest


def _put_pictures(clone: Clone, path: Path, manifest: Manifest, step: Step) -> list[str]:
    """Copies of its own, under its own name: nothing that the original's retention lets go is missed here, nor the other way round."""

    def renamed(key: str) -> str:
        return key.replace(str(clone.cafeteria_uuid), str(clone.copy_uuid), 1)

    # Noted before the first of them is there.
    clone.media = [renamed(facts.key) for facts in manifest.media]
    clone.save(update_fields=["media"])
    return put_files(path, manifest, renamed=renamed, step=lambda what: step(0.4, what)).missing


def _build(clone: Clone, path: Path, manifest: Manifest, missing: list[str], step: Step) -> None:
    place = Place(id=clone.copy_id, uuid=clone.copy_uuid, slug=clone.slug)
    closes_at = end_after(clone.keep_days)
    current_template()  # As in a restore.
    with transaction.atomic():
        with built_side(place.schema_name, path, manifest, step=lambda what: step(0.6, what)) as (_side, head):
            step(0.9, "neutralise")
            for name in settings.CAFETERIA_COPIED:
                import_string(name)(with_staff=clone.with_staff)
        add_copy(
            place,
            original=clone.cafeteria_uuid,
            moment=manifest.moment,
            head=head,
            name=manifest.name,
            currency=manifest.currency,
            timezone=manifest.timezone,
            closes_at=closes_at,
        )
        clone.phase, clone.moment, clone.finished_at, clone.media = Phase.DONE, manifest.moment, timezone.now(), []
        clone.report = {"rows": manifest.rows, "pictures": len(manifest.media) - len(missing), "pictures_missing": missing[:100]}
        clone.report |= {"closes_at": closes_at and closes_at.isoformat()}
        # Whoever has cancelled it in the meantime is not overruled.
        if not Clone.objects.filter(pk=clone.pk, phase=Phase.WAITING).update(
            phase=clone.phase, moment=clone.moment, finished_at=clone.finished_at, media=[], report=clone.report
        ):
            raise CloneFailed("it was cancelled.")
        record("clone.done", cafeteria_uuid=clone.cafeteria_uuid, target=clone.slug, label=clone.requested_by, copy=str(clone.copy_uuid))
        record("clone.done", cafeteria_uuid=clone.copy_uuid, target=clone.slug, label=clone.requested_by)


def _fail(clone: Clone, why: str) -> None:
    with transaction.atomic():
        failed = Clone.objects.filter(pk=clone.pk, phase=Phase.WAITING).update(
            phase=Phase.FAILED, error=why[:500], finished_at=timezone.now()
        )
        if failed:
            record("clone.failed", cafeteria_uuid=clone.cafeteria_uuid, target=clone.slug, label=clone.requested_by)
    clone.refresh_from_db()
    if clone.phase == Phase.FAILED:
        _erase_pictures(clone)


def _erase_pictures(clone: Clone) -> None:
    assert not Cafeteria.objects.filter(uuid=clone.copy_uuid).exists()
    erase_media(clone.media)
    Clone.objects.filter(pk=clone.pk).update(media=[])


def _release_dead() -> None:
    """A copy whose job has ended without it has failed: its address is free again."""
    for clone in Clone.objects.filter(phase=Phase.WAITING):
        if has_lost_its_job(clone):
            _fail(clone, "Its job ended before it did.")
