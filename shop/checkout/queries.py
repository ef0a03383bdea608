"""The cart as it lies in the session, and what it comes to by the menu of this moment. Nothing here costs a query."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from core.money import quantize
from shop.menu.data import ChoiceData, ProductData
from shop.menu.queries import MenuSnapshot

SESSION_KEY = "cart"
TABLE_KEY = "table"  # from the QR code on it
PLACED_KEY = "placed"  # [idempotency key, secret, number] of the newest order from this browser
MOST_LINES = 30
MOST_OF_A_LINE = 99


@dataclass(frozen=True, kw_only=True)
class CartLine:
    product_id: int
    quantity: int
    choices: tuple[int, ...] = ()
    notes: str = ""
    seen: str  # the unit price when the line was added, as text

    def is_like(self, other: "CartLine") -> bool:
        """Whether both are one line on a ticket."""
        return (self.product_id, self.choices, self.notes) == (other.product_id, other.choices, other.notes)


@dataclass(frozen=True, kw_only=True)
class PricedLine:
    index: int  # its place in the cart
    line: CartLine
    name: str  # empty when the product has left the menu
    words: str  # choices, as people read them
    unit_price: Decimal
    was: Decimal | None  # the unit price when it was added, when that was another one
    subtotal: Decimal
    problem: Promise | str  # why it cannot be ordered; empty when it can

    @property
    def was_subtotal(self) -> Decimal | None:
        return None if self.was is None else self.was * self.line.quantity


@dataclass(frozen=True, kw_only=True)
class PricedCart:
    lines: list[PricedLine]
    subtotal: Decimal  # of the lines that can be ordered

    @property
    def count(self) -> int:
        return sum(line.line.quantity for line in self.lines)

    @property
    def has_problem(self) -> bool:
        return any(line.problem for line in self.lines)

    @property
    def has_changed(self) -> bool:
        return any(line.was is not None for line in self.lines)


def return_url(host: str, secret: str) -> str:
    """Where Mercado Pago sends the buyer back to: an address of the cafeteria on the host that the buyer is on."""
    port = f":{settings.PUBLIC_PORT}" if settings.PUBLIC_PORT else ""
    return f"{settings.PUBLIC_SCHEME}://{host}{port}{reverse('come_back', args=[secret])}"


def read_cart(session: Mapping[str, Any]) -> list[CartLine]:
    """The lines of the cart. A cart that an older version of the code packed otherwise is an empty one."""
    try:
        return [
            CartLine(product_id=product, quantity=quantity, choices=tuple(choices), notes=notes, seen=seen)
            for product, quantity, choices, notes, seen in session.get(SESSION_KEY, [])
        ]
    except (TypeError, ValueError):
        return []


def chosen(product: ProductData, choices: Iterable[int]) -> list[ChoiceData]:
    """The choices of the product with these ids, in the menu's order."""
    wanted = set(choices)
    return [choice for group in product["options"] for choice in group["choices"] if choice["id"] in wanted]


def unit_price_of(product: ProductData, choices: Iterable[int]) -> Decimal:
    return Decimal(product["price"]) + sum((Decimal(choice["price_delta"]) for choice in chosen(product, choices)), Decimal(0))


def groups_amiss(product: ProductData, choices: Iterable[int]) -> dict[int, Promise | str]:
    """What is wrong with the choices, by option group; 0 stands for choices that the product does not have."""
    wanted = set(choices)
    problems: dict[int, Promise | str] = {}
    for group in product["options"]:
        here = [choice for choice in group["choices"] if choice["id"] in wanted]
        wanted -= {choice["id"] for choice in here}
        if any(not choice["available"] for choice in here):
            problems[group["id"]] = _("That choice is sold out. Choose another one.")
        elif not group["min"] <= len(here) <= group["max"]:
            problems[group["id"]] = _how_many(group["min"], group["max"])
    if wanted:
        problems[0] = _("A choice is no longer on the menu. Choose again.")
    return problems


def price_cart(lines: list[CartLine], menu: MenuSnapshot, currency: str) -> PricedCart:
    """Each line at the menu's price, with what has changed and what stands in its way."""
    products = {product["id"]: product for product in menu.products}
    wanted: Counter[int] = Counter()
    for line in lines:
        wanted[line.product_id] += line.quantity
    priced = [_price_line(index, line, products.get(line.product_id), wanted, currency) for index, line in enumerate(lines)]
    return PricedCart(lines=priced, subtotal=sum((line.subtotal for line in priced if not line.problem), Decimal(0)))


def _price_line(index: int, line: CartLine, product: ProductData | None, wanted: Counter[int], currency: str) -> PricedLine:
    seen = Decimal(line.seen)
    unit_price = seen if product is None else quantize(unit_price_of(product, line.choices), currency)
    return PricedLine(
        index=index,
        line=line,
        name=product["name"] if product else "",
        words=", ".join(choice["name"] for choice in chosen(product, line.choices)) if product else "",
        unit_price=unit_price,
        was=seen if seen != unit_price else None,
        subtotal=unit_price * line.quantity,
        problem=_problem(line, product, wanted[line.product_id]),
    )


def _problem(line: CartLine, product: ProductData | None, wanted: int) -> Promise | str:
    if product is None:
        return _("This is no longer on the menu.")
    if not product["available"] or product["stock"] == 0:
        return _("Sold out.")
    if product["stock"] is not None and product["stock"] < wanted:
        return format_lazy(_("Only {left} left."), left=product["stock"])
    return _("Its choices have changed. Remove it and choose again.") if groups_amiss(product, line.choices) else ""


def _how_many(least: int, most: int) -> Promise | str:
    if least == most == 1:
        return _("Choose one.")
    if least == most:
        return format_lazy(_("Choose {count}."), count=least)
    if least == 0:
        return format_lazy(_("Choose up to {most}."), most=most)
    return format_lazy(_("Choose from {least} to {most}."), least=least, most=most)
