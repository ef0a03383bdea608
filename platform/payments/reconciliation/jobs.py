from core.jobs import JobRun, Json
from payments.inbox.actions import wake_inbox
from payments.reconciliation import actions


def check_payments(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Once a minute: ask Mercado Pago about the payments that are due, and look for notifications whose job was lost."""
    wake_inbox()
    looked = actions.check_due_payments()
    return {"checked": looked.checked, "failed": looked.failed, "expired": looked.expired}


def sweep(run: JobRun) -> Json:  # noqa: ARG001 - every job takes its run
    """Once a day: what has changed at Mercado Pago without a word."""
    return {**actions.sweep_sellers(), "refunds_waiting": actions.remind_of_refunds()}
