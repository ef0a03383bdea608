"""Money that goes back: refunds that the seller makes, and chargebacks that a bank makes."""

from decimal import Decimal

from deploy.mercadopago.clock import DAY, SECOND, stamp
from deploy.mercadopago.emulator import Emulator, site_of
from deploy.mercadopago.errors import ApiError, bad_request, not_found
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.paging import paged, read_paging
from deploy.mercadopago.payments import move_payment, own_payment
from deploy.mercadopago.sites import as_decimal, as_number, read_amount
from deploy.mercadopago.store import Document
from deploy.mercadopago.webhooks import Event

REFUNDABLE_FOR = 180 * DAY


def create_refund(emulator: Emulator, request: Request, identifier: str) -> Response:
    """POST: the remainder, or the amount given."""
    payment, asked = own_payment(emulator, request, identifier), request.json()
    if not request.headers.get("x-idempotency-key"):
        raise bad_request("Header X-Idempotency-Key can't be null", code=4292)
    amount = None
    if asked.get("amount") is not None:
        amount = read_amount(asked["amount"], site_of(request.owner), "amount")
        if amount <= 0:
            raise bad_request("The amount must be positive", code=4040)
    if payment.status != "approved":
        raise bad_request("The action requested is not valid for the current payment state", code=2063)
    if (payment.approved or 0) + REFUNDABLE_FOR < emulator.clock.now():
        raise bad_request("Payment too old to be refunded", code=2024)
    return answer(refund_payment(emulator, payment, amount, status=emulator.settings["refunds"]), 201)


def list_refunds(emulator: Emulator, request: Request, identifier: str) -> Response:
    return answer(own_payment(emulator, request, identifier).body["refunds"])


def show_refund(emulator: Emulator, request: Request, identifier: str, refund: str) -> Response:
    for known in own_payment(emulator, request, identifier).body["refunds"]:
        if str(known["id"]) == refund:
            return answer(known)
    raise not_found("Refund not found")


def refund_payment(emulator: Emulator, payment: Document, amount: Decimal | None, *, status: str = "approved") -> dict[str, object]:
    """Gives back that much, or all that is left; nothing moves yet while it is in process. Raises ApiError (400) for more than that.

    Within a transaction.
    """
    body = payment.body
    paid, returned = (as_decimal(body[name]) for name in ("transaction_amount", "transaction_amount_refunded"))
    back = paid - returned if amount is None else amount
    if back > paid - returned:
        raise ApiError(400, "bad_request", "The amount exceeds what is left of the payment")
    now = emulator.clock.now()
    number = emulator.store.next_number("refund", first=now // SECOND)
    refund = {"id": number, "payment_id": body["id"], "amount": as_number(back), "status": status, "date_created": stamp(now)}
    refund |= {"metadata": {}, "source": {"id": str(payment.owner), "name": "seller", "type": "collector"}, "reason": None}
    body["refunds"].append(refund)
    if status == "approved":
        _give_back(emulator, payment, back)
    else:
        emulator.store.save(payment)
    return refund


def settle_refund(emulator: Emulator, payment: Document, identifier: str, *, status: str) -> dict[str, object]:
    """Ends one that is in process. Raises ApiError (404, 400). Within a transaction."""
    refund: dict[str, object] | None = next((known for known in payment.body["refunds"] if str(known["id"]) == identifier), None)
    if refund is None:
        raise not_found("Refund not found")
    if refund["status"] != "in_process":
        raise bad_request(f"A refund that is {refund['status']} does not become {status}")
    refund["status"] = status
    if status == "approved":
        _give_back(emulator, payment, Decimal(str(refund["amount"])))
    else:
        emulator.store.save(payment)
    return refund


def _give_back(emulator: Emulator, payment: Document, back: Decimal) -> None:
    body = payment.body
    paid, returned = (as_decimal(body[name]) for name in ("transaction_amount", "transaction_amount_refunded"))
    body["transaction_amount_refunded"] = as_number(returned + back)
    is_whole = returned + back >= paid
    move_payment(emulator, payment, status="refunded" if is_whole else "approved", detail=None if is_whole else "partially_refunded")


def open_chargeback(emulator: Emulator, payment: Document) -> None:
    """Within a transaction."""
    now, body = emulator.clock.now(), payment.body
    number = str(emulator.store.next_number("chargeback", first=now // SECOND * 1000))
    shown = {"id": number, "payments": [body["id"]], "currency": body["currency_id"], "amount": body["transaction_amount"]}
    shown |= {"coverage_applied": None, "coverage_eligible": True, "documentation_required": True, "documentation_status": "pending"}
    shown |= {"documentation": [], "date_documentation_deadline": stamp(now + 10 * DAY), "reason": "general", "live_mode": True}
    shown |= {"date_created": stamp(now), "date_last_updated": stamp(now)}
    emulator.store.save(
        Document(kind="chargeback", id=number, owner=payment.owner, parent=payment.id, created=now, updated=now, body=shown)
    )
    url = body.get("_url", "")
    emulator.notify(Event(topic="chargebacks", action="chargeback.created", resource=number, user_id=payment.owner or 0, url=url))


def resolve_chargeback(emulator: Emulator, payment: Document, *, covered: bool) -> None:
    """Within a transaction."""
    for chargeback in emulator.store.select("chargeback", {"parent": payment.id}):
        chargeback.updated = emulator.clock.now()
        chargeback.body |= {"coverage_applied": covered, "date_last_updated": stamp(chargeback.updated), "documentation_status": "valid"}
        emulator.store.save(chargeback)


def show_chargeback(emulator: Emulator, request: Request, identifier: str) -> Response:
    chargeback = emulator.store.find("chargeback", identifier)
    if chargeback is None or chargeback.owner != request.owner_id:
        raise not_found("Chargeback not found")
    return answer(chargeback.public())


def search_chargebacks(emulator: Emulator, request: Request) -> Response:
    conditions: dict[str, object] = {"owner": request.owner_id}
    if "payment_id" in request.query:
        conditions["parent"] = request.query["payment_id"]
    paging = read_paging(request.query)
    found = emulator.store.select("chargeback", conditions, limit=paging.limit, offset=paging.offset)
    shown = [chargeback.public() for chargeback in found]
    return answer({**paged(paging, emulator.store.count("chargeback", conditions)), "results": shown})
