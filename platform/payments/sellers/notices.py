"""What a cafeteria's owner hears by mail of its account at Mercado Pago."""

from uuid import UUID

from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from core.identity.notices import mail_account
from payments.sellers.models import Seller
from tenants.models import Cafeteria
from tenants.routing import site_url

PAGE = "/staff/payments"


def mail_reconnect(*, seller_id: int, job_id: UUID) -> bool:
    """Whether it was mailed: not when the account works again. The same job again is the same mail.

    Raises OSError when a later try may fare better.
    """
    seller = Seller.objects.filter(pk=seller_id, status=Seller.Status.NEEDS_RECONNECT).first()
    cafeteria = seller and Cafeteria.objects.filter(uuid=seller.cafeteria_uuid).exclude(status=Cafeteria.Status.CLOSED).first()
    owner = cafeteria and User.objects.filter(pk=cafeteria.owner_id, is_active=True).first()
    if not seller or not cafeteria or not owner:
        return False
    with translation.override(cafeteria.language):
        subject = _("{name}: connect Mercado Pago again").format(name=cafeteria.name)
        text = _text(seller, cafeteria)
    return mail_account(owner, subject=subject, text=text, message_id=f"reconnect-{job_id}")


def _text(seller: Seller, cafeteria: Cafeteria) -> str:
    if seller.reason == Seller.Reason.LOCKED:
        happened = _("Comanda can no longer read the permission that your Mercado Pago account has given it.")
    else:
        happened = _("Mercado Pago no longer accepts the permission that your account has given to Comanda.")
    parts = [
        f"{happened} {_('The money in your account is not touched.')}",
        _("Until you connect the account again, {name} takes no payments online. Orders that are paid at the counter go on.").format(
            name=cafeteria.name
        ),
        f"{_('Connect it again here; it takes a minute:')}\n\n{site_url(cafeteria.slug)}{PAGE}",
    ]
    return "\n\n".join(parts) + "\n"
