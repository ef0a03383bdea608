from core.jobs import JobRun, Json
from payments.inbox import actions

KEEP_DAYS = 90


def work_off(run: JobRun) -> Json:
    """Work the inbox off."""
    worked = actions.work_off(check=run.check_cancelled)
    return {"done": worked.done, "later": worked.later, "failed": worked.failed}


def prune(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Erase what was worked off long ago."""
    return {"erased": actions.prune_notifications(days=KEEP_DAYS)}
