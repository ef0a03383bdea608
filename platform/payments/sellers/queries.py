from uuid import UUID

import structlog
from django.db.models import Subquery
from django.utils import timezone

from core.vault import VaultLocked
from payments.gateway.errors import GatewayUnavailable
from payments.sellers.models import Seller
from tenants.models import Cafeteria

log = structlog.get_logger()
Status = Seller.Status


def active_seller(cafeteria_uuid: UUID) -> Seller | None:
    """The cafeteria's present account, which may need to be connected again."""
    return Seller.objects.filter(cafeteria_uuid=cafeteria_uuid).exclude(status=Status.DISCONNECTED).first()


def accepts_online(cafeteria_uuid: UUID) -> bool:
    """Whether a buyer can pay online now: an account is connected and is paid in the cafeteria's currency. One query."""
    currency = Cafeteria.objects.filter(uuid=cafeteria_uuid).values("currency")[:1]
    usable = Seller.objects.filter(status=Status.CONNECTED, expires_at__gt=timezone.now(), currency=Subquery(currency))
    return usable.filter(cafeteria_uuid=cafeteria_uuid).exists()


def seller_of(cafeteria_uuid: UUID, mp_user_id: int) -> Seller | None:
    """Also one that the cafeteria has left: its payments are refunded with it."""
    return Seller.objects.filter(cafeteria_uuid=cafeteria_uuid, mp_user_id=mp_user_id).first()


def token_of(seller: Seller) -> str:
    """Its access token, to ask Mercado Pago with. Raises GatewayUnavailable while the vault is locked: put the key back, then try again."""
    try:
        return seller.access_token
    except VaultLocked:
        log.error("vault_locked", about=str(seller.cafeteria_uuid))
        raise GatewayUnavailable from None
