"""Mercado Pago's JSON and our terms. Here, and nowhere else, money is a float: on its way out, just before it becomes JSON."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from core.money import DECIMALS, is_exact, quantize
from payments.gateway.data import ChargeSnapshot, RefundSnapshot
from payments.gateway.errors import GatewayUnavailable

REFUND_STATES = {"approved": "approved", "rejected": "rejected", "cancelled": "rejected"}  # all others: in_process
CENT = Decimal("0.01")
# What comes of reading JSON that is shaped otherwise.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, InvalidOperation)


def to_wire(amount: Decimal, currency: str) -> int | float:
    """A number for JSON: whole for a currency without decimals. ValueError for an amount that the currency cannot have.

    One in a currency that we do not take goes as it came: only to be given back.
    """
    if currency not in DECIMALS:
        return float(amount)
    if not is_exact(amount, currency):
        raise ValueError(f"{currency} has {DECIMALS[currency]} decimals")
    return float(quantize(amount, currency)) if DECIMALS[currency] else int(amount)


def from_wire(number: object, currency: str) -> Decimal:
    """An amount again. One in a currency that we do not take stays as it is: it is looked at, never counted."""
    amount = Decimal(str(number or 0))
    if not amount.is_finite():
        raise ValueError("an amount that is no number")
    return quantize(amount, currency) if currency in DECIMALS else amount


def moment_to_wire(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def moment_from_wire(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without a zone")
    return moment.astimezone(UTC)


def statement_to_wire(text: str) -> str:
    """At most 13 characters of plain ASCII, for the buyer's card."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join("".join(sign if sign.isalnum() else " " for sign in plain).upper().split())[:13].strip()


def read_charge(body: Mapping[str, Any]) -> ChargeSnapshot:
    """Raises GatewayUnavailable for what cannot be read: nothing is known then."""
    try:
        currency = str(body["currency_id"])
        details = body.get("transaction_details") or {}
        net, approved = details.get("net_received_amount"), body.get("date_approved")
        return ChargeSnapshot(
            mp_id=str(body["id"]),
            status=str(body["status"]),
            status_detail=str(body.get("status_detail") or ""),
            amount=from_wire(body["transaction_amount"], currency),
            refunded=from_wire(body.get("transaction_amount_refunded"), currency),
            currency=currency,
            collector_id=int(body.get("collector_id") or body["collector"]["id"]),
            reference=str(body.get("external_reference") or ""),
            created_at=moment_from_wire(body["date_created"]),
            approved_at=moment_from_wire(approved) if approved else None,
            last_updated=moment_from_wire(body["date_last_updated"]),
            payment_type=str(body.get("payment_type_id") or ""),
            net=from_wire(net, currency) if net else None,  # 0 stands for not yet known
        )
    except UNREADABLE:
        raise GatewayUnavailable from None


def read_refund(body: Mapping[str, Any]) -> RefundSnapshot:
    """Raises GatewayUnavailable for what cannot be read."""
    try:
        made = body.get("date_created")
        return RefundSnapshot(
            mp_refund_id=str(body["id"]),
            amount=Decimal(str(body["amount"])).quantize(CENT),
            status=REFUND_STATES.get(str(body.get("status")), "in_process"),
            created_at=moment_from_wire(made) if made else None,
        )
    except UNREADABLE:
        raise GatewayUnavailable from None
