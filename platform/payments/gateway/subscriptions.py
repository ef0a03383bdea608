"""What the platform asks of Mercado Pago for its own bills: preapprovals and their invoices. Blocks: never in an open scope."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Literal
from uuid import uuid4

from django.conf import settings

from payments.gateway.errors import GatewayRefused, GatewayUnavailable, TokenRefused
from payments.gateway.transport import asked, options, sdk
from payments.gateway.wire import from_wire, moment_from_wire, to_wire

ATTEMPTS = 3
TIMEOUT = 10.0  # seconds, for each attempt
PAGE = 100
MOST = 2_000  # of one preapproval or reference: more than a century of months
UNREADABLE = (KeyError, TypeError, ValueError, InvalidOperation, AttributeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class PreapprovalRequest:
    """A monthly payment to be agreed to."""

    reference: str
    reason: str  # what the payer reads
    payer_email: str
    back_url: str
    amount: Decimal
    currency: str
    free_days: int = 0  # before the first payment


@dataclass(frozen=True, kw_only=True, slots=True)
class PreapprovalSnapshot:
    """A preapproval at Mercado Pago as of `last_modified`."""

    mp_id: str
    status: str  # pending, authorized, paused, cancelled
    reference: str
    init_point: str  # where the payer agrees
    amount: Decimal
    currency: str
    next_payment_at: datetime | None
    last_modified: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class InvoiceSnapshot:
    """One month's bill at Mercado Pago as of `last_modified`. Whether it is paid is said by the payment alone."""

    mp_id: str
    preapproval_id: str
    status: str  # scheduled, processed, recycling, cancelled
    debit_at: datetime
    amount: Decimal
    currency: str
    retry_attempt: int
    next_retry_at: datetime | None
    payment_id: str
    payment_status: str  # empty before the first attempt
    payment_detail: str
    last_modified: datetime


def is_set_up() -> bool:
    """Whether the platform has an account of its own, without which it bills nobody."""
    return bool(settings.MERCADOPAGO_ACCESS_TOKEN)


class Subscriptions:
    """The platform's own account. Raises GatewayUnavailable, GatewayRefused, and ChargeNotFound for an id that is not its own."""

    def __init__(self, *, attempts: int = ATTEMPTS, timeout: float = TIMEOUT) -> None:
        self._token, self._attempts, self._timeout = settings.MERCADOPAGO_ACCESS_TOKEN, attempts, timeout

    def __repr__(self) -> str:
        return "Subscriptions()"

    def create_preapproval(self, request: PreapprovalRequest, *, key: str) -> PreapprovalSnapshot:
        """One that waits for its payer. The same key gives the same one."""
        body = preapproval_body(request)
        return read_preapproval(self._ask("create_preapproval", lambda: self._sdk().preapproval().create(body, self._options(key))))

    def preapproval(self, mp_id: str) -> PreapprovalSnapshot:
        return read_preapproval(self._ask("preapproval", lambda: self._sdk().preapproval().get(mp_id, self._options())))

    def preapprovals_of(self, reference: str) -> list[PreapprovalSnapshot]:
        """All with the reference: what was made although its answer was lost."""
        found = self._search("preapprovals", {"external_reference": reference}, self._sdk().preapproval())
        return [read_preapproval(body) for body in found]

    def change_status(self, mp_id: str, status: Literal["paused", "authorized", "cancelled"]) -> PreapprovalSnapshot:
        """Raises GatewayRefused for a change that its present status does not allow."""
        return self._change(mp_id, {"status": status})

    def change_amount(self, mp_id: str, *, amount: Decimal, currency: str, reason: str) -> PreapprovalSnapshot:
        """Of the invoices to come."""
        recurring = {"transaction_amount": to_wire(amount, currency), "currency_id": currency}
        return self._change(mp_id, {"auto_recurring": recurring, "reason": reason})

    def invoice(self, mp_id: str) -> InvoiceSnapshot:
        return read_invoice(self._ask("invoice", lambda: self._sdk().invoice().get(mp_id, self._options())))

    def invoices(self, preapproval_id: str) -> list[InvoiceSnapshot]:
        """All of a preapproval. An error is an error, never "no invoices"."""
        return [read_invoice(body) for body in self._search("invoices", {"preapproval_id": preapproval_id}, self._sdk().invoice())]

    def _change(self, mp_id: str, change: dict[str, Any]) -> PreapprovalSnapshot:
        key = uuid4().hex  # each change is one of its own; doing it twice does nothing
        call = lambda: self._sdk().preapproval().update(mp_id, change, self._options(key))  # noqa: E731
        return read_preapproval(self._ask("change_preapproval", call))

    def _search(self, what: str, filters: dict[str, Any], resource: Any) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while len(found) < MOST:
            page = self._ask(what, partial(self._page, resource, {**filters, "limit": PAGE, "offset": len(found)}))
            try:
                results, total = list(page["results"]), int(page["paging"]["total"])
            except UNREADABLE:
                raise GatewayUnavailable from None
            found += results
            if not results or len(found) >= total:
                break
        return found

    def _page(self, resource: Any, query: dict[str, Any]) -> Any:
        return resource.search(query, self._options())

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return asked(what, call, attempts=self._attempts)
        except TokenRefused:  # the platform's, not a cafeteria's
            raise GatewayRefused(reason="unauthorized", their_code="unauthorized") from None

    def _sdk(self) -> Any:
        return sdk(self._token)

    def _options(self, key: str | None = None) -> Any:
        return options(self._token, timeout=self._timeout, key=key or uuid4().hex)


def preapproval_body(request: PreapprovalRequest) -> dict[str, Any]:
    """The JSON of a preapproval. ValueError for an amount that the currency cannot have."""
    recurring: dict[str, Any] = {
        "frequency": 1,
        "frequency_type": "months",
        "transaction_amount": to_wire(request.amount, request.currency),
        "currency_id": request.currency,
    }
    if request.free_days > 0:
        recurring["free_trial"] = {"frequency": request.free_days, "frequency_type": "days"}
    return {
        "reason": request.reason,
        "external_reference": request.reference,
        "payer_email": request.payer_email,
        "back_url": request.back_url,
        "auto_recurring": recurring,
        "status": "pending",
    }


def read_preapproval(body: Any) -> PreapprovalSnapshot:
    """Raises GatewayUnavailable for what cannot be read: nothing is known then."""
    try:
        recurring = body["auto_recurring"]
        currency = str(recurring["currency_id"])
        return PreapprovalSnapshot(
            mp_id=str(body["id"]),
            status=str(body["status"]),
            reference=str(body.get("external_reference") or ""),
            init_point=str(body.get("init_point") or ""),
            amount=from_wire(recurring["transaction_amount"], currency),
            currency=currency,
            next_payment_at=_moment(body.get("next_payment_date")),
            last_modified=moment_from_wire(body.get("last_modified") or body["date_created"]),
        )
    except UNREADABLE:
        raise GatewayUnavailable from None


def read_invoice(body: Any) -> InvoiceSnapshot:
    """Raises GatewayUnavailable for what cannot be read."""
    try:
        currency, payment = str(body["currency_id"]), body.get("payment") or {}
        return InvoiceSnapshot(
            mp_id=str(body["id"]),
            preapproval_id=str(body["preapproval_id"]),
            status=str(body["status"]),
            debit_at=moment_from_wire(body.get("debit_date") or body["date_created"]),
            amount=from_wire(body["transaction_amount"], currency),
            currency=currency,
            retry_attempt=int(body.get("retry_attempt") or 0),
            next_retry_at=_moment(body.get("next_retry_date")),
            payment_id=str(payment.get("id") or ""),
            payment_status=str(payment.get("status") or ""),
            payment_detail=str(payment.get("status_detail") or ""),
            last_modified=moment_from_wire(body.get("last_modified") or body["date_created"]),
        )
    except UNREADABLE:
        raise GatewayUnavailable from None


def _moment(text: Any) -> datetime | None:
    return moment_from_wire(text) if text else None
