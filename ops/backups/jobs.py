from datetime import timedelta
from uuid import UUID

from core.jobs import JobRun, Json, enqueue
from ops.backups import actions, proofs


def backup(run: JobRun, *, kind: str, fingerprint: str = "") -> Json:
    """Back the job's cafeteria up: by its turn, or because somebody asked."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    uuid: UUID = run.cafeteria.uuid
    if fingerprint:
        return {"backup_id": str(actions.take_turn(cafeteria_uuid=uuid, fingerprint=fingerprint, step=step).pk)}
    return {"backup_id": str(actions.take_backup(cafeteria_uuid=uuid, kind=kind, step=step).pk)}


def prove(run: JobRun) -> Json:
    """Once a day: restore every newest backup that is not proven yet, beside."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    found = proofs.prove_due_backups(step=step)
    return {"proven": found.proven, "unchanged": found.unchanged, "failed": list(found.failed), "missing": list(found.missing)}


def tick(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Add a backup for each cafeteria that is due and has changed; tell of those whose newest is too old; sweep."""
    claimed = actions.claim_due_turns()
    for cafeteria_uuid, fingerprint in claimed:
        enqueue("ops.backups.jobs.backup", queue="long", cafeteria_uuid=cafeteria_uuid, kind="hourly", fingerprint=fingerprint)
    return {"due": len(claimed), "too_old": actions.tell_of_old_ones(), "swept": actions.sweep_files(older_than=timedelta(hours=6))}
