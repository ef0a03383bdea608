"""Checkout Pro with preferences, by Mercado Pago's own SDK."""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

from django.utils import timezone
from mercadopago.resources import Preference

from payments.gateway.data import Account, ChargeSnapshot, Checkout, CheckoutRequest, RefundSnapshot, SearchPage
from payments.gateway.errors import GatewayUnavailable
from payments.gateway.transport import Client, asked, options, sdk
from payments.gateway.wire import moment_to_wire, read_charge, read_refund, statement_to_wire, to_wire

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
TITLE_LENGTH = 256
PAGE = 100
MOST_ATTEMPTS = 1000  # of one order: more than any buyer makes


class MercadoPago:
    """One seller's account, by its access token."""

    def __init__(self, access_token: str, *, attempts: int, timeout: float) -> None:
        self._token, self._attempts, self._timeout = access_token, attempts, timeout

    def __repr__(self) -> str:
        return "MercadoPago()"

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout:
        body = preference_body(request)
        preferences = _Preferences(self._options(key), Client())
        found = self._ask("create_checkout", lambda: preferences.create(body, self._options(key)))
        return Checkout(
            preference_id=_text(found, "id"),
            init_point=_text(found, "init_point"),
            sandbox_init_point=str(found.get("sandbox_init_point") or ""),
        )

    def close_checkout(self, preference_id: str) -> None:
        body, key = {"expires": True, "expiration_date_to": moment_to_wire(timezone.now())}, uuid4().hex
        self._ask("close_checkout", lambda: sdk(self._token).preference().update(preference_id, body, self._options(key)))

    def charge(self, mp_id: str) -> ChargeSnapshot:
        return read_charge(self._ask("charge", lambda: sdk(self._token).payment().get(mp_id, self._options())))

    def charges_of(self, reference: str) -> list[ChargeSnapshot]:
        _check_reference(reference)
        found: list[str] = []
        while len(found) < MOST_ATTEMPTS:
            page, total = self._search({"external_reference": reference, "sort": "date_created", "criteria": "asc", "offset": len(found)})
            found += [_text(body, "id") for body in page]
            if not page or len(found) >= total:
                break
        return [self.charge(mp_id) for mp_id in dict.fromkeys(found)]

    def changed_charges(
        self,
        since: datetime,
        until: datetime,
        *,
        offset: int = 0,
        by: Literal["date_last_updated", "date_approved"] = "date_last_updated",
    ) -> SearchPage:
        span = {"range": by, "begin_date": moment_to_wire(since), "end_date": moment_to_wire(until)}
        page, total = self._search({**span, "sort": by, "criteria": "asc", "offset": offset})
        charges: list[ChargeSnapshot] = []
        unreadable: list[str] = []
        for body in page:
            try:
                charges.append(read_charge(body))
            except GatewayUnavailable:
                unreadable.append(str(body.get("external_reference") or ""))
        return SearchPage(charges=tuple(charges), total=total, unreadable=tuple(unreadable))

    def refund(self, mp_id: str, *, amount: Decimal | None, currency: str, key: str) -> RefundSnapshot:
        body = None if amount is None else {"amount": to_wire(amount, currency)}
        return read_refund(self._ask("refund", lambda: sdk(self._token).refund().create(mp_id, body, self._options(key))))

    def refunds(self, mp_id: str) -> list[RefundSnapshot]:
        found = self._ask("refunds", lambda: sdk(self._token).refund().list_all(mp_id, self._options()))
        if not isinstance(found, list):
            raise GatewayUnavailable
        return [read_refund(body) for body in found]

    def cancel_charge(self, mp_id: str) -> None:
        key = uuid4().hex
        self._ask("cancel_charge", lambda: sdk(self._token).payment().update(mp_id, {"status": "cancelled"}, self._options(key)))

    def chargeback_charges(self, chargeback_id: str) -> list[str]:
        found = self._ask("chargeback", lambda: sdk(self._token).chargeback().get(chargeback_id, self._options()))
        payments = found.get("payments") if isinstance(found, dict) else None
        if not isinstance(payments, list):
            raise GatewayUnavailable
        return [_text(payment, "id") if isinstance(payment, dict) else str(payment) for payment in payments]

    def account(self) -> Account:
        found = self._ask("account", lambda: sdk(self._token).user().get(self._options()))
        user_id, site_id = _text(found, "id"), _text(found, "site_id")
        if not user_id.isdecimal():
            raise GatewayUnavailable
        return Account(user_id=int(user_id), nickname=str(found.get("nickname") or ""), site_id=site_id)

    def _search(self, filters: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
        """(a page of payments, how many there are). An error is an error here, never an empty page."""
        found = self._ask("search", lambda: sdk(self._token).payment().search({**filters, "limit": PAGE}, self._options()))
        try:
            page, total = found["results"], int(found["paging"]["total"])
        except (KeyError, TypeError, ValueError):
            raise GatewayUnavailable from None
        if not isinstance(page, list) or not all(isinstance(body, dict) for body in page):
            raise GatewayUnavailable
        return page, total

    def _ask(self, what: str, call: Callable[[], Any]) -> Any:
        return asked(what, call, attempts=self._attempts)

    def _options(self, key: str | None = None) -> Any:
        return options(self._token, timeout=self._timeout, key=key or uuid4().hex)


class _Preferences(Preference):  # type: ignore[misc]  # the SDK has no types
    """Without the SDK's warning that notification_url is deprecated: catching warnings is not safe between threads."""

    def create(self, preference_object: dict[str, Any], request_options: Any = None) -> Any:
        return self._post(uri="/checkout/preferences", data=preference_object, request_options=request_options)


def preference_body(request: CheckoutRequest) -> dict[str, Any]:
    """The JSON of a checkout. ValueError for a reference or an amount that cannot be."""
    _check_reference(request.reference)
    items: list[dict[str, Any]] = [
        {
            "id": item.id,
            "title": item.title[:TITLE_LENGTH],
            "quantity": item.quantity,
            "currency_id": request.currency,
            "unit_price": to_wire(item.unit_price, request.currency),
        }
        for item in request.items
    ]
    if sum((Decimal(str(item["unit_price"])) * item["quantity"] for item in items), Decimal(0)) != request.total:
        raise ValueError("The items do not add up to the total.")
    body: dict[str, Any] = {
        "items": items,
        "external_reference": request.reference,
        "back_urls": dict.fromkeys(("success", "pending", "failure"), request.return_url),
        "notification_url": _notified(request.notification_url),
        "expires": True,
        "expiration_date_to": moment_to_wire(request.expires_at),
        "binary_mode": False,
        "payment_methods": {"excluded_payment_types": [{"id": "ticket"}, {"id": "atm"}], "installments": 1},
    }
    return body | _optional(request)


def _optional(request: CheckoutRequest) -> dict[str, Any]:
    first, _, rest = request.payer_name.strip().partition(" ")
    payer = {name: value for name, value in (("email", request.payer_email), ("name", first), ("surname", rest.strip())) if value}
    place = urlsplit(request.return_url)
    may_return = place.scheme == "https" and place.hostname != "localhost" and not (place.hostname or "").endswith(".localhost")
    found = {
        "payer": payer,
        "auto_return": "approved" if may_return else "",
        "statement_descriptor": statement_to_wire(request.statement),
        "marketplace_fee": to_wire(request.platform_fee, request.currency) if request.platform_fee > 0 else None,
    }
    return {name: value for name, value in found.items() if value}


def _notified(url: str) -> str:
    """Webhooks alone: the older notifications of the same events have signatures that cannot be verified."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'source_news': 'webhooks'})}" if "source_news=" not in url else url


def _check_reference(reference: str) -> None:
    if not REFERENCE.match(reference):
        raise ValueError("An external reference is 1 to 64 of A-Z a-z 0-9 _ -")


def _text(body: Any, name: str) -> str:
    """A field that has to be there. Raises GatewayUnavailable."""
    value = body.get(name) if isinstance(body, dict) else None
    if value is None or value == "":
        raise GatewayUnavailable
    return str(value)
