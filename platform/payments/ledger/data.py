"""What payments needs of the orders above it, which it cannot import: settings.PAYMENT_ORDERS names the module."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

from django.conf import settings


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderFacts:
    id: int
    key: str  # the order's secret
    number: int
    business_date: date
    total: Decimal
    currency: str
    cancelled: bool
    copy: dict[str, Any] = field(default_factory=dict)  # as the API answers it


@dataclass(frozen=True, kw_only=True, slots=True)
class LostOrder:
    """An order that a restore has taken away though money had come for it, or could."""

    key: str
    id: int
    number: int
    business_date: date
    total: Decimal
    at: datetime  # when its payment began
    cancelled: bool  # all its money went back
    copy: dict[str, Any]  # as OrderFacts has it; empty when there is none


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who asks: nobody for the platform itself and for guests."""

    person_id: int | None = None
    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestKey:
    """An Idempotency-Key, whose it is, and a fingerprint of the request that came with it."""

    caller: str = ""
    key: str = ""
    fingerprint: str = ""


class OrderBook(Protocol):
    """All inside the cafeteria's scope."""

    def lock_order(self, order_key: str) -> OrderFacts | None:
        """The order, its row locked until the transaction ends; None when there is none (any more)."""

    def note_payment(self, order_id: int, *, status: str, paid: Decimal, refunded: Decimal) -> None:
        """Keep on the order what the ledger says of it: a value of Order.PaymentStatus, what has stayed, what went back."""

    def cancel_unpaid(self, order_id: int) -> bool:
        """Cancel an order that nobody has taken up and whose time to be paid is over; whether it was."""

    def cancel_again(self, order_id: int) -> None:
        """Cancel an order that had been cancelled before a restore brought it back."""

    def recreate_order(self, lost: LostOrder) -> int:
        """Make it again, once; its number."""


@cache
def order_book() -> OrderBook:
    return cast("OrderBook", import_module(settings.PAYMENT_ORDERS))
