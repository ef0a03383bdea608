"""Payments: made by a buyer, changed by the world, looked up and cancelled by the seller."""

from decimal import Decimal
from typing import Any

from deploy.mercadopago.clock import DAY, SECOND, read_moment, stamp
from deploy.mercadopago.emulator import Emulator, site_of
from deploy.mercadopago.errors import bad_request, not_found
from deploy.mercadopago.merchant_orders import merchant_order_of, update_merchant_order
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.paging import paged, read_paging
from deploy.mercadopago.preferences import total_of
from deploy.mercadopago.sites import as_decimal, as_number, rounded
from deploy.mercadopago.store import Document
from deploy.mercadopago.webhooks import Event

FEE = Decimal("0.0629")  # of the amount, Mercado Pago's own
DETAILS = {
    "approved": "accredited",
    "rejected": "cc_rejected_insufficient_amount",
    "pending": "pending_waiting_payment",
    "in_process": "pending_contingency",
    "authorized": "pending_capture",
    "cancelled": "by_collector",
    "refunded": "refunded",
    "in_mediation": "pending",
    "charged_back": "in_process",
}
OUTCOMES = ("approved", "rejected", "pending", "in_process", "authorized")
_TRANSITIONS = {
    "pending": {"approved", "rejected", "cancelled", "in_process"},
    "in_process": {"approved", "rejected", "cancelled"},
    "authorized": {"approved", "cancelled", "rejected"},
    "approved": {"refunded", "partially_refunded", "in_mediation", "charged_back"},
    "in_mediation": {"approved", "refunded", "charged_back"},
    "charged_back": {"approved", "charged_back"},
}
_COLUMNS = {"date_created": "created", "date_last_updated": "updated", "date_approved": "approved"}
_INVALID_STATE = 2063


def new_payment(
    emulator: Emulator, seller: Document, *, outcome: str, amount: Decimal, source: dict[str, Any], fee: Decimal = Decimal(0)
) -> Document:
    """Not yet kept. `source` gives what the payment takes over from the preference or the subscription."""
    now, site = emulator.clock.now(), site_of(seller)
    number = emulator.store.next_number("payment", first=now // SECOND * 100)
    own_fee = rounded(amount * FEE, site)
    fees = [{"type": "mercadopago_fee", "fee_payer": "collector", "amount": as_number(own_fee)}]
    if fee:
        fees.append({"type": "application_fee", "fee_payer": "collector", "amount": as_number(fee)})
    is_cash = outcome == "pending"
    body = {
        "id": number,
        "date_created": stamp(now),
        "date_approved": None,
        "date_last_updated": stamp(now),
        "date_of_expiration": stamp(now + 3 * DAY) if is_cash else None,
        "money_release_date": None,
        "operation_type": "regular_payment",
        "payment_method_id": "rapipago" if is_cash else "visa",
        "payment_type_id": "ticket" if is_cash else "credit_card",
        "status": outcome,
        "status_detail": DETAILS[outcome],
        "currency_id": site.currency,
        "live_mode": True,
        "collector_id": int(seller.id),
        "payer": {},
        "metadata": {},
        "external_reference": None,
        "transaction_amount": as_number(amount),
        "transaction_amount_refunded": 0,
        "transaction_details": {
            "net_received_amount": 0,
            "total_paid_amount": as_number(amount),
            "overpaid_amount": 0,
            "installment_amount": as_number(amount),
        },
        "fee_details": [],
        "_fees": fees,
        "captured": outcome != "authorized",
        "installments": 1,
        "refunds": [],
        "processing_mode": "aggregator",
        "merchant_account_id": None,
        **source,
    }
    payment = Document(kind="payment", id=str(number), owner=int(seller.id), created=now, updated=now, body=body)
    payment.reference, payment.status, payment.parent = body["external_reference"], outcome, body.get("_preference")
    if outcome == "approved":
        _approve(payment, now)
    return payment


def pay_preference(
    emulator: Emulator, preference: Document, *, outcome: str, changes: dict[str, Any] | None = None, delay: float = 0
) -> tuple[Document, list[str]]:
    """A buyer's attempt, and the deliveries that tell of it. `changes` replaces what should not differ. Within a transaction."""
    seller = emulator.seller(preference.owner or 0)
    assert seller is not None
    body, order = preference.body, merchant_order_of(emulator, preference)
    source: dict[str, Any] = {
        name: body[name] for name in ("external_reference", "metadata", "payer", "statement_descriptor", "binary_mode") if name in body
    }
    source["description"] = ", ".join(item["title"] for item in body["items"])
    source |= {
        "order": {"id": int(order.id), "type": "mercadopago"},
        "_preference": preference.id,
        "_url": body.get("notification_url") or "",
    }
    wanted = dict(changes or {})
    amount = as_decimal(wanted.pop("amount")) if "amount" in wanted else total_of(preference)
    fee = as_decimal(body.get("marketplace_fee") or 0)
    payment = new_payment(emulator, seller, outcome=outcome, amount=amount, source={**source, **wanted}, fee=fee)
    emulator.store.save(payment)
    update_merchant_order(emulator, order)
    sent = [
        *_tell(emulator, payment, action="payment.created", delay=delay),
        *_tell(emulator, payment, action="payment.updated", delay=delay),
    ]
    return payment, sent


def show_payment(emulator: Emulator, request: Request, identifier: str) -> Response:
    return answer(own_payment(emulator, request, identifier).public())


def change_payment(emulator: Emulator, request: Request, identifier: str) -> Response:
    """PUT: cancels what is pending, captures what is authorized."""
    payment, asked = own_payment(emulator, request, identifier), request.json()
    if asked.get("status") == "cancelled":
        if payment.status not in {"pending", "in_process", "authorized"}:
            raise bad_request("The action requested is not valid for the current payment state", code=_INVALID_STATE)
        move_payment(emulator, payment, status="cancelled")
    elif asked.get("capture") is True:
        if payment.status != "authorized":
            raise bad_request("The action requested is not valid for the current payment state", code=_INVALID_STATE)
        payment.body["captured"] = True
        move_payment(emulator, payment, status="approved")
    else:
        raise bad_request("Only a status of cancelled, or capture, can be put", error="invalid_parameter")
    return answer(payment.public())


def search_payments(emulator: Emulator, request: Request) -> Response:
    query, paging = request.query, read_paging(request.query)
    sort, criteria = query.get("sort", "date_created"), query.get("criteria", "desc")
    if sort not in {*_COLUMNS, "id"} or criteria not in {"asc", "desc"}:
        raise bad_request(f"sort must be {', '.join(_COLUMNS)} or id, criteria asc or desc", error="invalid_sort")
    conditions: dict[str, Any] = {"owner": request.owner_id, **_range(query, emulator.clock.now())}
    for name, column in {"external_reference": "reference", "status": "status", "id": "id"}.items():
        if name in query:
            conditions[column] = query[name]
    order = _COLUMNS.get(sort, "id")
    found = emulator.store.select(
        "payment", conditions, order=order, descending=criteria == "desc", limit=paging.limit, offset=paging.offset
    )
    total = emulator.store.count("payment", conditions)
    return answer({**paged(paging, total), "results": [payment.public() for payment in found]})


def own_payment(emulator: Emulator, request: Request, identifier: str) -> Document:
    """Raises ApiError (404) for what is not there and for what another seller has."""
    payment = emulator.store.find("payment", identifier)
    if payment is None or payment.owner != request.owner_id:
        raise not_found("Payment not found")
    return payment


def check_transition(payment: Document, status: str) -> None:
    """Raises ApiError (400) for a change that does not happen."""
    if status not in _TRANSITIONS.get(payment.status or "", set()):
        raise bad_request(f"A payment that is {payment.status} does not become {status}", code=_INVALID_STATE)


def move_payment(emulator: Emulator, payment: Document, *, status: str, detail: str | None = None) -> None:
    """Another status, whatever it was; kept, counted and told. Within a transaction."""
    payment.status = payment.body["status"] = status
    payment.body["status_detail"] = detail or DETAILS[status]
    touch_payment(emulator, payment)


def touch_payment(emulator: Emulator, payment: Document) -> None:
    """Keeps a change: date_last_updated is later than any before, the merchant order adds up, the seller is told."""
    now = payment.updated = max(emulator.clock.now(), (payment.updated or 0) + 1)
    payment.body["date_last_updated"] = stamp(now)
    if payment.status == "approved" and payment.approved is None:
        _approve(payment, now)
    emulator.store.save(payment)
    if (order := payment.body.get("order")) and (document := emulator.store.find("merchant_order", str(order["id"]))):
        update_merchant_order(emulator, document)
    _tell(emulator, payment, action="payment.updated")


def _approve(payment: Document, now: int) -> None:
    fees = payment.body["_fees"]
    net = as_decimal(payment.body["transaction_amount"]) - sum((as_decimal(fee["amount"]) for fee in fees), Decimal(0))
    payment.approved = now
    payment.body |= {"date_approved": stamp(now), "money_release_date": stamp(now + 18 * DAY), "fee_details": fees}
    payment.body["transaction_details"]["net_received_amount"] = as_number(net)


def _tell(emulator: Emulator, payment: Document, *, action: str, delay: float = 0) -> list[str]:
    url = payment.body.get("_url", "")
    event = Event(topic="payment", action=action, resource=payment.id, user_id=payment.owner or 0, url=url)
    return emulator.notify(event, delay=delay)


def _range(query: dict[str, str], now: int) -> dict[str, int]:
    """Conditions of begin_date and end_date. Raises ApiError (400)."""
    if "range" not in query:
        if "begin_date" in query or "end_date" in query:
            raise bad_request("begin_date and end_date need a range", error="invalid_range")
        return {}
    column = _COLUMNS.get(query["range"])
    if column is None or "begin_date" not in query or "end_date" not in query:
        raise bad_request(f"range must be {', '.join(_COLUMNS)}, with begin_date and end_date", error="invalid_range")
    try:
        begin, end = (read_moment(query[name], now=now) for name in ("begin_date", "end_date"))
    except ValueError:
        raise bad_request(
            "begin_date and end_date must be like 2026-11-01T12:30:00.000-03:00 or NOW-1DAYS", error="invalid_range"
        ) from None
    return {f"{column} >=": begin, f"{column} <=": end}
