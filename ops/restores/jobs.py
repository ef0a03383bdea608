from uuid import UUID

from core.jobs import JobRun, Json
from ops.restores import actions


def restore(run: JobRun, *, restore_id: str) -> Json:
    """Bring a restore to its end, from wherever it is."""

    def step(fraction: float, what: str) -> None:
        run.progress(fraction, what)
        run.check_cancelled()

    done = actions.run_restore(restore_id=UUID(restore_id), step=step)
    return {"phase": done.phase, "away_seconds": done.away_seconds}


def undo(run: JobRun, *, restore_id: str, by: str) -> Json:  # noqa: ARG001 - every job takes its run
    """Undo a restore."""
    return {"phase": actions.undo_restore(restore_id=UUID(restore_id), by=by).phase}


def sweep(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Drop the schemas that restores have left."""
    return {"dropped": list(actions.sweep_schemas())}
