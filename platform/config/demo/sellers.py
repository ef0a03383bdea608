"""Development's cafeterias take payments at once: each gets an account at the stand-in for Mercado Pago, connected as an owner would.

The stand-in's control API gives the account and its permission; everything else is the product's own way.
"""

from functools import partial
from uuid import UUID

import requests
import structlog
from django.conf import settings
from django.db import transaction

from core.errors import AppError
from core.jobs import enqueue
from core.jobs.models import Job, JobState
from payments.gateway.application import exchange_code, new_verifier
from payments.gateway.data import SITE_CURRENCIES
from payments.sellers.actions import connect_seller, redirect_uri
from payments.sellers.models import Seller
from tenants.queries import ref_by_uuid
from tenants.scope import current_tenant

log = structlog.get_logger()

SITES = {currency: site for site, currency in SITE_CURRENCIES.items()}
SECONDS = 5.0
JOB = "config.demo.jobs.connect_test_seller"


class StandInSilent(Exception):
    """The stand-in for Mercado Pago does not answer, or not as it should. It is started by `make run`."""


def connect_test_seller(*, email: str, full_name: str, platform_user_id: int) -> None:  # noqa: ARG001 - as CAFETERIA_OPENED calls
    """In the scope of a cafeteria that is being opened: after its commit it gets an account, now or by a job."""
    transaction.on_commit(partial(connect_or_later, current_tenant().uuid), robust=True)


def connect_or_later(cafeteria_uuid: UUID) -> None:
    """While the stand-in does not run yet, as when the demo is loaded, a job goes on trying."""
    try:
        connect(cafeteria_uuid)
    except (StandInSilent, AppError) as error:
        log.info("test_seller_later", cafeteria=str(cafeteria_uuid), why=type(error).__name__)
        connect_later(cafeteria_uuid)


def connect_later(cafeteria_uuid: UUID) -> None:
    """A job, unless one waits already."""
    waiting = Job.objects.filter(kind=JOB, cafeteria_uuid=cafeteria_uuid, state__in=[JobState.QUEUED, JobState.RUNNING])
    if not waiting.exists():
        enqueue("config.demo.jobs.connect_test_seller", cafeteria_uuid=cafeteria_uuid)


def connect(cafeteria_uuid: UUID) -> bool:
    """False when the cafeteria has or had an account: what its owner did with it stays. Raises StandInSilent and AppErrors."""
    if Seller.objects.filter(cafeteria_uuid=cafeteria_uuid).exists():
        return False
    ref = ref_by_uuid(cafeteria_uuid)
    verifier, challenge = new_verifier()
    user_id = _ask("/_emu/sellers", {"site_id": SITES[ref.currency], "nickname": ref.name[:60]})["user_id"]
    allowed = {"client_id": settings.MERCADOPAGO_CLIENT_ID, "redirect_uri": redirect_uri()}
    pkce = {"code_challenge": challenge, "code_challenge_method": "S256"}
    code = _ask(f"/_emu/sellers/{user_id}/authorize", allowed | pkce)["code"]
    connect_seller(cafeteria_uuid=cafeteria_uuid, tokens=exchange_code(code, verifier, redirect_uri()), by=None, label="development")
    return True


def _ask(path: str, body: dict[str, str]) -> dict[str, str]:
    headers = {"X-Emulator-Key": settings.MERCADOPAGO_EMULATOR_KEY}
    try:
        response = requests.post(f"{settings.MERCADOPAGO_URL}{path}", json=body, headers=headers, timeout=SECONDS)
        response.raise_for_status()
        answer: dict[str, str] = response.json()
    except (requests.RequestException, ValueError) as error:
        raise StandInSilent(f"{StandInSilent.__doc__} ({type(error).__name__})") from None
    return answer
