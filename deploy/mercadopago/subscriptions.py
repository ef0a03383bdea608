"""Subscriptions without a plan (preapprovals), their invoices (authorized payments), and what happens when a card is declined."""

from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from deploy.mercadopago.clock import DAY, HOUR, SECOND, add_months, read_moment, stamp
from deploy.mercadopago.emulator import Emulator, site_of
from deploy.mercadopago.errors import bad_request, conflict, not_found
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.paging import paged, read_paging
from deploy.mercadopago.payments import new_payment
from deploy.mercadopago.sites import as_decimal, as_number, read_amount
from deploy.mercadopago.store import Document
from deploy.mercadopago.webhooks import Event

RETRY_EVERY = 60 * HOUR  # four times in ten days
MOST_RETRIES = 4
REJECTED_INSTALMENTS = 3  # in a row, and the subscription ends
_CHANGES = {"pending": {"cancelled"}, "authorized": {"paused", "cancelled"}, "paused": {"authorized", "cancelled"}, "cancelled": set[str]()}
_UNITS = {"days", "months"}


def create_preapproval(emulator: Emulator, request: Request) -> Response:
    given, now = request.json(), emulator.clock.now()
    recurring = _check(given, request)
    identifier = uuid4().hex
    link = f"{emulator.configuration.public_url}/subscriptions/checkout?preapproval_id={identifier}"
    body = {"id": identifier, "init_point": link, "status": "pending", "collector_id": request.owner_id, "payer_id": 0}
    body |= {"application_id": emulator.configuration.client_id, "auto_recurring": recurring, "date_created": stamp(now)}
    body |= {name: given.get(name) for name in ("reason", "external_reference", "payer_email", "back_url")}
    body |= {"next_payment_date": stamp(_first_due(recurring, now)), "_card": "approved", "_version": 0, "_rejected": 0}
    body["summarized"] = {
        "charged_quantity": 0,
        "charged_amount": 0,
        "last_charged_date": None,
        "last_charged_amount": None,
        "semaphore": None,
    }
    preapproval = Document(kind="preapproval", id=identifier, owner=request.owner_id, status="pending", created=now, body=body)
    preapproval.reference = given.get("external_reference")
    _keep(emulator, preapproval, action="created")
    return answer(preapproval.public(), 201)


def show_preapproval(emulator: Emulator, request: Request, identifier: str) -> Response:
    return answer(_own(emulator, request, identifier, kind="preapproval").public())


def change_preapproval(emulator: Emulator, request: Request, identifier: str) -> Response:
    """PUT: another status, amount, reason, reference or address to come back to."""
    preapproval, given = _own(emulator, request, identifier, kind="preapproval"), request.json()
    if preapproval.status == "cancelled":
        raise bad_request("You can not modify a cancelled preapproval.", error="invalid_state")
    status = given.get("status", preapproval.status)
    if status != preapproval.status and status not in _CHANGES[preapproval.status or ""]:
        raise bad_request(f"A preapproval that is {preapproval.status} does not become {status}", error="invalid_status")
    recurring = given.get("auto_recurring") or {}
    if "currency_id" in recurring and recurring["currency_id"] != site_of(request.owner).currency:
        raise bad_request("currency_id invalid", error="invalid_currency_id")
    if "transaction_amount" in recurring:
        _positive(recurring["transaction_amount"], request)
        preapproval.body["auto_recurring"]["transaction_amount"] = recurring["transaction_amount"]
    preapproval.body |= {name: given[name] for name in ("reason", "external_reference", "back_url") if name in given}
    preapproval.reference = preapproval.body["external_reference"]
    _move(emulator, preapproval, status)
    return answer(preapproval.public())


def search_preapprovals(emulator: Emulator, request: Request) -> Response:
    names = {"external_reference": "reference", "status": "status"}
    return _search(emulator, request, kind="preapproval", names=names)


def show_invoice(emulator: Emulator, request: Request, identifier: str) -> Response:
    return answer(_own(emulator, request, identifier, kind="invoice").public())


def search_invoices(emulator: Emulator, request: Request) -> Response:
    return _search(emulator, request, kind="invoice", names={"preapproval_id": "parent", "status": "status"})


def authorize(emulator: Emulator, preapproval: Document, *, card: str = "approved") -> None:
    """The payer agrees, with a card that will be approved or rejected. Raises ApiError (409). Within a transaction."""
    if preapproval.status != "pending":
        raise conflict(f"The preapproval is {preapproval.status}")
    now = emulator.clock.now()
    preapproval.body |= {"_card": card, "payer_id": emulator.store.next_number("payer", first=now // SECOND)}
    preapproval.body["next_payment_date"] = stamp(_first_due(preapproval.body["auto_recurring"], now))
    _move(emulator, preapproval, "authorized")


def charge(emulator: Emulator, preapproval: Document, *, outcome: str) -> Document:
    """The next instalment, or the next attempt at the one that was declined; the invoice. Raises ApiError (409). Within a transaction."""
    if preapproval.status != "authorized":
        raise conflict(f"The preapproval is {preapproval.status}")
    preapproval.body["_card"] = outcome
    open_invoices = emulator.store.select("invoice", {"parent": preapproval.id, "status": "recycling"})
    invoice = open_invoices[0] if open_invoices else _new_invoice(emulator, preapproval)
    _attempt(emulator, preapproval, invoice, outcome)
    return invoice


def next_due(emulator: Emulator) -> int | None:
    """When the emulator has to charge by itself again."""
    instalments = emulator.store.select("preapproval", {"status": "authorized"}) if emulator.settings["billing"] == "auto" else []
    retries = [invoice for invoice, _ in _declined(emulator)]
    return min((document.due for document in [*retries, *instalments] if document.due is not None), default=None)


def charge_due(emulator: Emulator) -> None:
    """All that is due: first what had been declined. Within a transaction."""
    now = emulator.clock.now()
    for invoice, preapproval in _declined(emulator, until=now):
        _attempt(emulator, preapproval, invoice, preapproval.body["_card"])
    if emulator.settings["billing"] == "auto":
        for preapproval in emulator.store.select("preapproval", {"status": "authorized", "due <=": now}):
            _attempt(emulator, preapproval, _new_invoice(emulator, preapproval), preapproval.body["_card"])


def _declined(emulator: Emulator, *, until: int | None = None) -> list[tuple[Document, Document]]:
    """Invoices to be tried again, with their preapprovals; none of one that is paused."""
    invoices = emulator.store.select("invoice", {"status": "recycling"} | ({} if until is None else {"due <=": until}))
    pairs = [(invoice, emulator.store.find("preapproval", invoice.parent or "")) for invoice in invoices]
    return [(invoice, preapproval) for invoice, preapproval in pairs if preapproval and preapproval.status == "authorized"]


def _attempt(emulator: Emulator, preapproval: Document, invoice: Document, outcome: str) -> None:
    seller = emulator.seller(preapproval.owner or 0)
    assert seller is not None
    now, amount = emulator.clock.now(), as_decimal(invoice.body["transaction_amount"])
    source = {"operation_type": "recurring_payment", "description": invoice.body["reason"], "external_reference": preapproval.reference}
    payment = new_payment(emulator, seller, outcome=outcome, amount=amount, source=source)
    emulator.store.save(payment)
    invoice.body["payment"] = {name: payment.body[name] for name in ("id", "status", "status_detail")}
    if invoice.status == "recycling":
        invoice.body["retry_attempt"] += 1
    if outcome == "approved":
        _settle(invoice, "processed")
        _count(preapproval, amount, now)
    elif invoice.body["retry_attempt"] < MOST_RETRIES:
        _settle(invoice, "recycling")
    else:
        _settle(invoice, "processed")  # with a rejected payment: processed is not paid
        preapproval.body["_rejected"] += 1
    if invoice.status == "recycling":
        # From when it was due, not from when it was tried: else what computing takes would add up over the attempts.
        just_due = invoice.due is not None and invoice.due <= now < invoice.due + HOUR
        invoice.due = (invoice.due if just_due and invoice.due is not None else now) + RETRY_EVERY
        invoice.body["next_retry_date"] = stamp(invoice.due)
    _keep_invoice(emulator, invoice)
    if preapproval.body["_rejected"] >= REJECTED_INSTALMENTS:
        _move(emulator, preapproval, "cancelled")
    else:
        emulator.store.save(preapproval)


def _new_invoice(emulator: Emulator, preapproval: Document) -> Document:
    """Scheduled for now; the preapproval's next date moves on."""
    now, recurring = emulator.clock.now(), preapproval.body["auto_recurring"]
    number = emulator.store.next_number("invoice", first=now // SECOND * 4)
    body = {"id": number, "type": "scheduled", "preapproval_id": preapproval.id, "date_created": stamp(now), "debit_date": stamp(now)}
    body |= {name: recurring[name] for name in ("transaction_amount", "currency_id")}
    body |= {"reason": preapproval.body["reason"], "external_reference": preapproval.reference, "retry_attempt": 0, "next_retry_date": None}
    invoice = Document(
        kind="invoice", id=str(number), owner=preapproval.owner, parent=preapproval.id, created=now, body={**body, "_version": 0}
    )
    _settle(invoice, "scheduled")
    planned = read_moment(preapproval.body["next_payment_date"], now=now)
    preapproval.due = _later(max(planned, now), recurring["frequency"], recurring["frequency_type"])
    preapproval.body["next_payment_date"] = stamp(preapproval.due)
    return invoice


def _settle(invoice: Document, status: str) -> None:
    invoice.status = invoice.body["status"] = status
    invoice.body["summarized"] = "done" if status in {"processed", "cancelled"} else "pending"
    if status != "recycling":
        invoice.due = invoice.body["next_retry_date"] = None


def _count(preapproval: Document, amount: Decimal, now: int) -> None:
    summary = preapproval.body["summarized"]
    summary["charged_quantity"] += 1
    summary["charged_amount"] = as_number(as_decimal(summary["charged_amount"]) + amount)
    summary |= {"last_charged_date": stamp(now), "last_charged_amount": as_number(amount), "semaphore": "green"}
    preapproval.body["_rejected"] = 0


def _move(emulator: Emulator, preapproval: Document, status: str | None) -> None:
    preapproval.status = preapproval.body["status"] = status
    if status == "cancelled":
        for invoice in emulator.store.select("invoice", {"parent": preapproval.id, "status": "recycling"}):
            _settle(invoice, "cancelled")
            _keep_invoice(emulator, invoice)
    _keep(emulator, preapproval, action="updated")


def _keep(emulator: Emulator, preapproval: Document, *, action: str) -> None:
    now = preapproval.updated = max(emulator.clock.now(), (preapproval.updated or 0) + 1)
    preapproval.body |= {"last_modified": stamp(now), "_version": preapproval.body["_version"] + 1}
    preapproval.due = read_moment(preapproval.body["next_payment_date"], now=now)
    emulator.store.save(preapproval)
    _tell(emulator, preapproval, topic="subscription_preapproval", action=action)


def _keep_invoice(emulator: Emulator, invoice: Document) -> None:
    action = "updated" if invoice.updated else "created"
    invoice.updated = max(emulator.clock.now(), (invoice.updated or 0) + 1)
    invoice.body |= {"last_modified": stamp(invoice.updated), "_version": invoice.body["_version"] + 1}
    emulator.store.save(invoice)
    _tell(emulator, invoice, topic="subscription_authorized_payment", action=action)


def _tell(emulator: Emulator, document: Document, *, topic: str, action: str) -> None:
    url, version = emulator.settings["app_webhook_url"], document.body["_version"]
    event = Event(topic=topic, action=action, resource=document.id, user_id=document.owner or 0, url=url, version=version)
    emulator.notify(event)


def _own(emulator: Emulator, request: Request, identifier: str, *, kind: str) -> Document:
    document = emulator.store.find(kind, identifier)
    if document is None or document.owner != request.owner_id:
        raise not_found(f"The {kind} with id {identifier} does not exist")
    return document


def _search(emulator: Emulator, request: Request, *, kind: str, names: dict[str, str]) -> Response:
    conditions: dict[str, Any] = {"owner": request.owner_id}
    conditions |= {column: request.query[name] for name, column in names.items() if name in request.query}
    paging = read_paging(request.query)
    found = emulator.store.select(kind, conditions, limit=paging.limit, offset=paging.offset)
    return answer({**paged(paging, emulator.store.count(kind, conditions)), "results": [document.public() for document in found]})


def _check(given: dict[str, Any], request: Request) -> dict[str, Any]:
    """The recurring part. Raises ApiError (400)."""
    for name in ("reason", "payer_email", "back_url"):
        if not isinstance(given.get(name), str) or not given[name]:
            raise bad_request(f"{name} is required", error=f"invalid_{name}")
    if "@" not in given["payer_email"]:
        raise bad_request("payer_email must be an e-mail address", error="invalid_payer_email")
    if urlsplit(given["back_url"]).scheme not in {"http", "https"}:
        raise bad_request("Invalid value for back_url, must be a valid URL", error="invalid_back_url")
    if given.get("status", "pending") != "pending":
        raise bad_request("card_token_id is required: without one, status must be pending", error="invalid_status")
    return _check_recurring(given.get("auto_recurring"), request)


def _check_recurring(recurring: Any, request: Request) -> dict[str, Any]:
    """Raises ApiError (400)."""
    if not isinstance(recurring, dict):
        raise bad_request("auto_recurring is required", error="invalid_auto_recurring")
    _check_period(recurring)
    if recurring.get("free_trial") is not None:
        _check_period(recurring["free_trial"])
    if recurring.get("currency_id") != site_of(request.owner).currency:
        raise bad_request("currency_id invalid", error="invalid_currency_id")
    _positive(recurring.get("transaction_amount"), request)
    return recurring


def _check_period(period: dict[str, Any]) -> None:
    frequency = period.get("frequency")
    if not isinstance(frequency, int) or frequency < 1 or period.get("frequency_type") not in _UNITS:
        raise bad_request("frequency must be a whole number above 0, frequency_type days or months", error="invalid_frequency")


def _positive(amount: Any, request: Request) -> None:
    if read_amount(amount, site_of(request.owner), "transaction_amount") <= 0:
        raise bad_request("transaction_amount must be positive", error="invalid_transaction_amount")


def _first_due(recurring: dict[str, Any], now: int) -> int:
    trial = recurring.get("free_trial")
    return _later(now, trial["frequency"], trial["frequency_type"]) if trial else now


def _later(moment: int, frequency: int, unit: str) -> int:
    return add_months(moment, frequency) if unit == "months" else moment + frequency * DAY
