from datetime import timedelta
from uuid import UUID

from core.jobs import JobRun, Json
from core.jobs.errors import JobPostponed
from payments.ledger import actions
from payments.ledger.models import Refund
from payments.ledger.sending import send_refund as send

LOOK_AGAIN = timedelta(minutes=10)


def send_refund(run: JobRun, *, refund_id: str) -> Json:  # noqa: ARG001 - every job takes its run
    """Send a refund to Mercado Pago; one that it has taken up but not done is looked at again."""
    refund = send(refund_id=UUID(refund_id))
    if refund.state == Refund.State.IN_PROCESS:
        raise JobPostponed(delay=LOOK_AGAIN)
    return {"state": refund.state}


def close_checkout(run: JobRun, *, payment_id: str) -> Json:  # noqa: ARG001 - every job takes its run
    """Tell Mercado Pago that a checkout is over."""
    actions.close_checkout(payment_id=UUID(payment_id))
    return None
