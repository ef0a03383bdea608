from dataclasses import asdict
from datetime import timedelta

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.second_factor.locked import look_over_factors
from core.alerts.actions import raise_alert
from core.errors import AppError
from core.jobs import JobRun, Json
from core.vault import VaultLocked
from payments.gateway.errors import GatewayUnavailable
from payments.ledger.models import Charge
from payments.sellers.actions import RENEW_BEFORE, RENEWAL_FAILS, refresh_seller
from payments.sellers.models import Seller
from payments.sellers.notices import mail_reconnect
from payments.sellers.vault import look_over_accounts

log = structlog.get_logger()

REFUNDABLE = timedelta(days=180)
WORRYING = timedelta(days=20)  # so near the end, after ten days of failures, somebody has to look
SILENCES = 5  # of one seller after the other: Mercado Pago is down, and the next run goes on


def refresh_tokens(run: JobRun) -> Json:
    """New tokens for whoever's end within 30 days, one after the other; one that fails harms no other.

    Accounts that were left too, as long as something that was paid to them can be refunded.
    """
    found = list(_due().values_list("pk", flat=True))
    counts, silences = {"refreshed": 0, "failed": 0}, 0
    for number, seller_id in enumerate(found):
        run.check_cancelled()
        try:
            counts["refreshed"] += refresh_seller(seller_id=seller_id)
            silences = 0
        except (AppError, VaultLocked) as error:
            counts["failed"] += 1
            silences = silences + 1 if isinstance(error, GatewayUnavailable) else 0
            _note_failure(seller_id, error)
        run.progress((number + 1) / len(found))
        if silences >= SILENCES:
            break
    return {"due": len(found), **counts}


def look_over_vault(run: JobRun) -> Json:
    """Find whatever VAULT_KEYS do not open, before a customer or somebody who signs in does: alerts, marks, and marks taken back."""
    run.check_cancelled()
    return {**asdict(look_over_accounts()), "locked_factors": look_over_factors()}


def mail_owner(run: JobRun, *, seller_id: int) -> Json:
    """Mail a cafeteria's owner that its account has to be connected again; nobody when it was meanwhile."""
    return {"sent": mail_reconnect(seller_id=seller_id, job_id=run.job_id)}


def _due() -> QuerySet[Seller]:
    now = timezone.now()
    charges = Charge.objects.filter(collector_id=OuterRef("mp_user_id"), approved_at__gt=now - REFUNDABLE)
    refundable = Exists(charges.filter(cafeteria_uuid=OuterRef("cafeteria_uuid")))
    of_use = Q(status=Seller.Status.CONNECTED) | (Q(status=Seller.Status.DISCONNECTED, expires_at__gt=now) & refundable)
    renewable = Seller.objects.exclude(sealed_refresh_token="")
    return renewable.filter(of_use, expires_at__lte=now + RENEW_BEFORE).order_by("expires_at", "pk")


def _note_failure(seller_id: int, error: Exception) -> None:
    log.warning("seller_not_refreshed", seller=seller_id, why=type(error).__name__)
    seller = Seller.objects.get(pk=seller_id)
    if seller.expires_at < timezone.now() + WORRYING:
        detail = f"The connection to Mercado Pago cannot be renewed ({type(error).__name__}). It ends on {seller.expires_at:%Y-%m-%d}."
        raise_alert(kind=RENEWAL_FAILS, cafeteria_uuid=seller.cafeteria_uuid, subject=str(seller.mp_user_id), detail=detail)
