"""Countries, and what an amount of money looks like in each."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from deploy.mercadopago.errors import bad_request


@dataclass(frozen=True, kw_only=True)
class Site:
    currency: str
    decimals: int
    country: str
    name: str


SITES = {
    "MLA": Site(currency="ARS", decimals=2, country="AR", name="Argentina"),
    "MLB": Site(currency="BRL", decimals=2, country="BR", name="Brasil"),
    "MLM": Site(currency="MXN", decimals=2, country="MX", name="México"),
    "MLC": Site(currency="CLP", decimals=0, country="CL", name="Chile"),
    "MCO": Site(currency="COP", decimals=0, country="CO", name="Colombia"),
    "MLU": Site(currency="UYU", decimals=2, country="UY", name="Uruguay"),
    "MPE": Site(currency="PEN", decimals=2, country="PE", name="Perú"),
}


def read_amount(value: Any, site: Site, name: str) -> Decimal:
    """The number in `value`, which has no more decimals than the country's money. Raises ApiError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise bad_request(f"{name} must be a number", error=f"invalid_{name}")
    amount = Decimal(str(value))
    exponent = amount.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > site.decimals:
        raise bad_request(f"{name} invalid: {site.currency} takes {site.decimals} decimals", error=f"invalid_{name}")
    return amount


def rounded(amount: Decimal, site: Site) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-site.decimals))


def as_number(amount: Decimal) -> int | float:
    """What stands in JSON."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def as_decimal(number: float) -> Decimal:
    return Decimal(str(number))
