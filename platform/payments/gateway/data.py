"""What comes from Mercado Pago, read once into our own terms: Decimal for money, aware moments, text for ids."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargeSnapshot:
    """A payment at Mercado Pago as of `last_updated`."""

    mp_id: str
    status: str  # pending, in_process, authorized, approved, rejected, cancelled, refunded, in_mediation, charged_back
    status_detail: str
    amount: Decimal  # transaction_amount: without the buyer's interest
    refunded: Decimal
    currency: str
    collector_id: int
    reference: str  # external_reference
    created_at: datetime
    approved_at: datetime | None
    last_updated: datetime
    payment_type: str
    net: Decimal | None  # what the account receives


@dataclass(frozen=True, kw_only=True, slots=True)
class RefundSnapshot:
    mp_refund_id: str
    amount: Decimal
    status: str  # approved, in_process, rejected
    created_at: datetime | None = None  # None: it does not say


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    id: str
    title: str
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckoutRequest:
    """A checkout to be opened. The items' sum is what is charged."""

    reference: str
    items: tuple[Item, ...]
    currency: str
    return_url: str
    notification_url: str
    expires_at: datetime
    platform_fee: Decimal = Decimal(0)  # absolute, in the currency
    payer_email: str = ""
    payer_name: str = ""
    statement: str = ""  # on the buyer's card, made fit

    @property
    def total(self) -> Decimal:
        return sum((item.unit_price * item.quantity for item in self.items), Decimal(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkout:
    preference_id: str
    init_point: str
    sandbox_init_point: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    access_token: str
    refresh_token: str
    expires_in: int  # seconds
    user_id: int
    public_key: str
    live_mode: bool

    def __repr__(self) -> str:
        return f"Tokens(user_id={self.user_id})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    user_id: int
    nickname: str
    site_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchPage:
    charges: tuple[ChargeSnapshot, ...]
    total: int
    unreadable: tuple[str, ...] = ()  # the references of what could not be read: an account may have sales of other kinds


# Which currency a site's accounts take: Mercado Pago's sites of the currencies of core.money.
SITE_CURRENCIES = {"MLA": "ARS", "MLB": "BRL", "MLC": "CLP", "MCO": "COP", "MLM": "MXN", "MPE": "PEN", "MLU": "UYU"}
