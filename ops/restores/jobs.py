from datetime import datetime
from pathlib import Path
from uuid import UUID

from core.jobs import JobRun, Json
from ops.archive.moments import take_moment
from ops.backups.actions import backup_by_id
from ops.backups.bundles.reading import read_manifest
from ops.backups.offsite.actions import local_bundle
from ops.restores import actions, clones, keeping
from ops.restores.building import check_suits
from ops.restores.preview import preview_restore


def restore(run: JobRun, *, restore_id: str) -> Json:
    """Bring a restore to its end, from wherever it is."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    done = actions.run_restore(restore_id=UUID(restore_id), step=step)
    return {"phase": done.phase, "away_seconds": done.away_seconds}


def preview(run: JobRun, *, file: str = "", backup_id: str = "", at: str = "") -> Json:
    """Find out what going back to the bundle, to the backup or to the moment would change."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction / 2, what)
        run.check_cancelled()

    if at:
        backup_id = str(take_moment(cafeteria_uuid=run.cafeteria.uuid, at=datetime.fromisoformat(at), step=step).pk)
    path = local_bundle(backup_by_id(UUID(backup_id))) if backup_id else Path(file)
    manifest = read_manifest(path)
    check_suits(manifest, run.cafeteria)
    return preview_restore(run.cafeteria, path, manifest, step=lambda what: run.progress(0.5, what))


def undo(run: JobRun, *, restore_id: str, by: str) -> Json:  # noqa: ARG001 - every job takes its run
    """Undo a restore."""
    return {"phase": actions.undo_restore(restore_id=UUID(restore_id), by=by).phase}


def clone(run: JobRun, *, clone_id: str) -> Json:
    """Bring a copy to its end, from wherever it is."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    done = clones.run_clone(clone_id=UUID(clone_id), step=step)
    return {"phase": done.phase, "business_id": done.copy_id, "slug": done.slug, "closes_at": done.report.get("closes_at")}


def sweep(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Drop the schemas that restores have left, and the pictures of copies that failed or were dropped; close copies whose time is over."""
    closed, erased = keeping.close_ended_copies(), keeping.erase_dropped_copies()
    return {"dropped": list(actions.sweep_schemas()), "clones": clones.sweep_clones(), "closed": closed, "erased": erased}
