from datetime import timedelta
from uuid import UUID

from django.utils import timezone

from core.jobs import JobRun, Json
from core.jobs.errors import JobPostponed
from payments.gateway.errors import TokenRefused
from payments.ledger import actions
from payments.ledger.models import Refund
from payments.ledger.sending import send_refund as send

LOOK_AGAIN = timedelta(minutes=10)
LOOKS_FOR = timedelta(days=1)  # then payments.reconciliation.remind_of_refunds adds a job a day


def send_refund(run: JobRun, *, refund_id: str) -> Json:  # noqa: ARG001 - every job takes its run
    """Send a refund to Mercado Pago; one that it has taken up but not done, or that it refuses a token for, is looked at again."""
    refund = Refund.objects.get(pk=refund_id)
    is_young = refund.requested_at > timezone.now() - LOOKS_FOR
    try:
        refund = send(refund_id=UUID(refund_id))
    except TokenRefused:  # until the owner connects the account again
        if is_young:
            raise JobPostponed(delay=LOOK_AGAIN) from None
        raise
    if refund.state == Refund.State.IN_PROCESS and is_young:
        raise JobPostponed(delay=LOOK_AGAIN)
    return {"state": refund.state}


def close_checkout(run: JobRun, *, payment_id: str) -> Json:  # noqa: ARG001 - every job takes its run
    """Tell Mercado Pago that a checkout is over."""
    actions.close_checkout(payment_id=UUID(payment_id))
    return None
