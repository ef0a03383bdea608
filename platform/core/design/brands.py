"""The colours that a cafeteria can choose. Strict CSP allows no inline style, so a colour is a name on <html data-brand>."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, kw_only=True)
class Brand:
    code: str  # [data-brand] in comanda.css
    name: Promise  # as the owner reads it
    bar_light: str  # the browser's own bar, --sign of the light theme
    bar_dark: str  # and of the dark one


BRANDS = {
    brand.code: brand
    for brand in (
        Brand(code="forest", name=_("Forest green"), bar_light="#11533c", bar_dark="#003a28"),
        Brand(code="terracotta", name=_("Terracotta"), bar_light="#9a4226", bar_dark="#4c2317"),
        Brand(code="ocean", name=_("Ocean blue"), bar_light="#0d5279", bar_dark="#07344e"),
        Brand(code="plum", name=_("Plum"), bar_light="#6a2d5f", bar_dark="#44233d"),
        Brand(code="honey", name=_("Honey"), bar_light="#ecb33c", bar_dark="#473305"),
        Brand(code="rose", name=_("Rose"), bar_light="#a53453", bar_dark="#4b212a"),
        Brand(code="olive", name=_("Olive"), bar_light="#4f5820", bar_dark="#2e3407"),
        Brand(code="espresso", name=_("Espresso"), bar_light="#482e20", bar_dark="#43291b"),
    )
}
DEFAULT_BRAND = "forest"
CHOICES = [(brand.code, brand.name) for brand in BRANDS.values()]
