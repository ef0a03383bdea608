from core.alerts import actions
from core.jobs import JobRun, Json

KEEP_DAYS = 90


def prune(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Erase alerts that were resolved long ago."""
    return {"erased": actions.prune_alerts(days=KEEP_DAYS)}
