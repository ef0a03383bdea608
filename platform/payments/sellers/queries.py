from uuid import UUID

from django.db.models import Subquery
from django.utils import timezone

from payments.sellers.models import Seller
from payments.sellers.vault import note_locked
from tenants.models import Cafeteria

Status = Seller.Status


def active_seller(cafeteria_uuid: UUID) -> Seller | None:
    """The cafeteria's present account, which may need to be connected again."""
    return Seller.objects.filter(cafeteria_uuid=cafeteria_uuid).exclude(status=Status.DISCONNECTED).first()


def accepts_online(cafeteria_uuid: UUID) -> bool:
    """Whether a buyer can pay online now: an account is connected, is paid in the cafeteria's currency, and its token opens. One query.

    A token that does not open may be this process's fault: operators are told then.
    """
    currency = Cafeteria.objects.filter(uuid=cafeteria_uuid).values("currency")[:1]
    usable = Seller.objects.filter(status=Status.CONNECTED, expires_at__gt=timezone.now(), currency=Subquery(currency))
    seller = usable.filter(cafeteria_uuid=cafeteria_uuid).first()
    if seller is None or not seller.is_locked:
        return seller is not None
    note_locked(seller)
    return False


def seller_of(cafeteria_uuid: UUID, mp_user_id: int) -> Seller | None:
    """Also one that the cafeteria has left: its payments are refunded with it."""
    return Seller.objects.filter(cafeteria_uuid=cafeteria_uuid, mp_user_id=mp_user_id).first()
