"""Every change of the cart, and the step from a cart to an order."""

import hashlib
import json
from collections.abc import MutableMapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import transaction

from core.identity.callers import Caller
from shop.checkout.errors import CartFull, TotalChanged
from shop.checkout.queries import MOST_LINES, MOST_OF_A_LINE, SESSION_KEY, CartLine, read_cart
from shop.orders.actions import place_order
from shop.orders.data import NewLine, NewOrder, PlacedOrder

LARGEST_CART = 2_200  # bytes: the cart shares a cookie with the sign-in and the CSRF secret
type Session = MutableMapping[str, Any]


def add_line(*, session: Session, line: CartLine) -> None:
    """Puts a line into the cart, onto one that is alike if there is one. Raises CartFull; keeps the cart as it was then."""
    lines = read_cart(session)
    for index, other in enumerate(lines):
        if other.is_like(line):
            lines[index] = _with_quantity(other, other.quantity + line.quantity)
            break
    else:
        lines.append(line)
    _write(session, lines)


def set_quantities(*, session: Session, quantities: dict[int, int]) -> None:
    """Sets the quantity of the lines at these places; a line of none leaves the cart. Ignores places that are not there."""
    lines = [_with_quantity(line, quantities.get(index, line.quantity)) for index, line in enumerate(read_cart(session))]
    _write(session, [line for line in lines if line.quantity > 0])


def empty_cart(*, session: Session) -> None:
    session.pop(SESSION_KEY, None)


def place_cart(*, order: NewOrder, expected: Decimal, caller: Caller | None, key: str) -> PlacedOrder:
    """Places the order if its lines come to `expected`, which is what the page showed; TotalChanged, and nothing placed, if not.

    The same key places once, however often it is sent. Raises the errors of shop.orders.errors; the scope stays usable after them.
    """
    with transaction.atomic():
        placed = place_order(order=order, caller=caller, idempotency_key=key, fingerprint=_fingerprint(order))
        if not placed.replayed and Decimal(json.loads(placed.body)["subtotal"]) != expected:
            raise TotalChanged
    return placed


def as_new_lines(lines: Sequence[CartLine]) -> tuple[NewLine, ...]:
    return tuple(NewLine(product_id=line.product_id, quantity=line.quantity, choices=line.choices, notes=line.notes) for line in lines)


def _fingerprint(order: NewOrder) -> str:
    return hashlib.sha256(repr(order).encode()).hexdigest()


def _with_quantity(line: CartLine, quantity: int) -> CartLine:
    bounded = max(0, min(quantity, MOST_OF_A_LINE))
    return CartLine(product_id=line.product_id, quantity=bounded, choices=line.choices, notes=line.notes, seen=line.seen)


def _write(session: Session, lines: list[CartLine]) -> None:
    packed = [[line.product_id, line.quantity, list(line.choices), line.notes, line.seen] for line in lines]
    if len(lines) > MOST_LINES or len(json.dumps(packed)) > LARGEST_CART:
        raise CartFull
    if packed:
        session[SESSION_KEY] = packed
    else:
        session.pop(SESSION_KEY, None)
