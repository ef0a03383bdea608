"""The platform in the words of a mail to one of its people."""

from django.conf import settings
from django.urls import reverse

from core.identity.notices import Place
from tenants.models import Cafeteria


def place_of(user_id: int) -> Place:
    """With the clock of the first cafeteria that is theirs; of nobody's, the platform's own."""
    zone = Cafeteria.objects.filter(owner_id=user_id).order_by("pk").values_list("timezone", flat=True).first()
    forgotten = f"{settings.PLATFORM_URL}{reverse('forgotten_password', urlconf=settings.PUBLIC_URLCONF)}"
    return Place(name="Comanda", timezone=zone or settings.TIME_ZONE, forgotten=forgotten)
