"""What a new order is made of, as its doors hand it over."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

MOST_LINES = 50
MOST_OF_A_LINE = 99
PICKUP_DAYS_AHEAD = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class NewLine:
    product_id: int
    quantity: int  # 1 to MOST_OF_A_LINE
    choices: tuple[int, ...] = ()  # choice ids
    notes: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    name: str
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewOrder:
    lines: tuple[NewLine, ...]  # 1 to MOST_LINES
    notes: str = ""
    pickup_at: datetime | None = None  # aware; None: as soon as possible
    table: str = ""
    tip: Decimal = Decimal(0)  # in the cafeteria's currency
    guest: Guest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedOrder:
    id: int
    number: int
    secret: str  # of the tracking page
    body: bytes  # the order in JSON, as the API answers it
    replayed: bool = False  # an earlier order's answer, for the same idempotency key


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """An idempotency key as it is kept."""

    caller: str
    key: str
    fingerprint: str  # of the request's body


class ProductRow(NamedTuple):
    """What placing an order reads of a product, in the order of sql.READ_PRODUCTS."""

    name: str
    price: Decimal
    counted: bool  # its stock is
    available: bool
    archived: bool
    groups: list[Any] | None  # [name, minimum, maximum, [[choice id, name, price delta as text, available], ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class PricedLine:
    line: NewLine
    name: str
    unit_price: Decimal  # choices included
    choices: list[dict[str, object]] = field(default_factory=list)
    counted: bool = False  # its product's stock is counted

    @property
    def subtotal(self) -> Decimal:
        return self.unit_price * self.line.quantity
