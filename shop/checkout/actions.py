"""Every change of the cart, the step from a cart to an order, and from an order to its payment online."""

import hashlib
import json
from collections.abc import MutableMapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import transaction

from core.identity.callers import Caller
from payments.ledger.actions import open_checkout
from payments.ledger.errors import NotConnected
from payments.ledger.models import Payment
from payments.sellers.queries import accepts_online
from shop.checkout.errors import CartFull, TotalChanged
from shop.checkout.queries import MOST_LINES, MOST_OF_A_LINE, SESSION_KEY, CartLine, read_cart
from shop.orders.actions import place_order
from shop.orders.data import NewLine, NewOrder, PlacedOrder
from shop.orders.payments.actions import begin_payment, lock_order, wait_for_payment
from shop.orders.queries import order_by_secret
from tenants.scope import current_tenant

CHECKOUT_ATTEMPTS, CHECKOUT_TIMEOUT = 2, 4.0  # seconds for each: somebody waits, and a web thread is held
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


def pay_online(*, secret: str, return_url: str, caller: Caller | None, is_new: bool = False) -> Payment:
    """Begins the payment at Mercado Pago of what is due on the order, or finds the one that is open. Asks nobody outside.

    An order that `is_new`, or that waits for its payment already, waits until the payment's time is over. In the cafeteria's scope; go on,
    outside, with checkout_address. Raises NotConnected, NothingDue, OrderIsCancelled, OrderNotFound.
    """
    with transaction.atomic():
        lock_order(secret)  # First: nothing of what is read next changes any more.
        order = order_by_secret(secret)
        payment = begin_payment(order=order, amount=order.total - order.paid, return_url=return_url, caller=caller)
        if not accepts_online(current_tenant().uuid):
            raise NotConnected
        if is_new or order.pay_by is not None:
            assert payment.expires_at is not None
            wait_for_payment(order_id=order.pk, until=payment.expires_at)
    return payment


def checkout_address(payment: Payment) -> str:
    """Where the buyer pays it. Outside every scope: asks Mercado Pago, once for each payment. Raises payments.gateway.errors."""
    return open_checkout(payment_id=payment.pk, attempts=CHECKOUT_ATTEMPTS, timeout=CHECKOUT_TIMEOUT).init_point


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
