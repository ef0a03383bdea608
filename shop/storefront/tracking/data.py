"""An order's money as its customer is told of it."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from payments.ledger.models import Method


class State(StrEnum):
    FREE = "free"  # nothing to be paid
    COUNTER = "counter"  # to be paid at the counter
    WAITING = "waiting"  # for the payment online, or the order is cancelled
    UNOPENED = "unopened"  # the same, and Mercado Pago could not be opened
    CONFIRMING = "confirming"  # Mercado Pago has not said yet
    LOOKED_AT = "looked_at"  # Mercado Pago has the payment and has not decided
    REJECTED = "rejected"
    PAID = "paid"
    REVIEW = "review"
    CHARGED_BACK = "charged_back"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    # --- of a cancelled order
    UNDECIDED = "undecided"  # a payment may still be approved, and goes back then
    RETURNING = "returning"
    RETURNED = "returned"
    OWED = "owed"  # it should have gone back and has not
    OVER = "over"  # nothing was paid


UNPAID = frozenset({State.COUNTER, State.WAITING, State.UNOPENED, State.CONFIRMING, State.LOOKED_AT, State.REJECTED})
MOVING = frozenset({State.UNDECIDED, State.RETURNING})  # of a cancelled order: it is worth looking again


@dataclass(frozen=True, kw_only=True)
class Receipt:
    method: str  # a Method
    amount: Decimal
    at: datetime
    operation: str = ""  # Mercado Pago's number for it


@dataclass(frozen=True, kw_only=True)
class Money:
    state: State
    due: Decimal
    waits_until: datetime | None = None  # of an order that is cancelled if it is not paid by then
    online: bool = False  # whether it can be paid at Mercado Pago now
    tried: bool = False  # whether there was a payment at Mercado Pago
    returning: Decimal = Decimal(0)  # on its way back
    returned: Decimal = Decimal(0)
    twice: bool = False  # what goes back was paid a second time
    late: bool = False  # what goes back came after the order was cancelled
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def is_moving(self) -> bool:
        return self.state in MOVING or bool(self.returning)

    @property
    def at_till(self) -> bool:
        """Whether money was taken at the counter, which only the counter can give back."""
        return any(receipt.method != Method.MERCADOPAGO for receipt in self.receipts)

    @property
    def is_unpaid(self) -> bool:
        return self.state in UNPAID
