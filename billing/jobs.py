from billing import looking
from core.jobs import JobRun, Json


def check_subscriptions(run: JobRun) -> Json:
    """Every hour: what Mercado Pago has of each subscription, whatever it has told or not."""
    checked = looking.check_subscriptions(check=run.check_cancelled)
    return {"looked": checked.looked, "failed": checked.failed}


def apply_policy(run: JobRun) -> Json:
    """Every hour: what time alone brings about."""
    return {**looking.apply_policy(check=run.check_cancelled)}


def end_preapproval(run: JobRun, *, preapproval_id: int) -> Json:  # noqa: ARG001 - every job takes its run
    """End one at Mercado Pago that we want to end."""
    return {"ended": looking.end_preapproval(preapproval_id=preapproval_id)}
