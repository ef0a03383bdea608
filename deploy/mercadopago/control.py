"""The control API below /_emu/: what sellers, buyers, banks, networks and time do, on command."""

import hmac
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from deploy.mercadopago import subscriptions
from deploy.mercadopago.clock import SECOND, stamp
from deploy.mercadopago.emulator import DEFAULTS, Emulator, site_of
from deploy.mercadopago.errors import ApiError, bad_request, conflict, not_found
from deploy.mercadopago.messages import Request, Response, answer
from deploy.mercadopago.oauth import grant_code, revoke
from deploy.mercadopago.payments import OUTCOMES, check_transition, move_payment, pay_preference
from deploy.mercadopago.preferences import is_open
from deploy.mercadopago.refunds import open_chargeback, refund_payment, resolve_chargeback, settle_refund
from deploy.mercadopago.sites import SITES, read_amount
from deploy.mercadopago.store import Document

_CHOICES = {
    "webhooks": {"auto", "manual"},
    "return": {"redirect_before_webhook", "webhook_before_redirect", "close_tab"},
    "billing": {"auto", "manual"},
    "refunds": {"approved", "in_process", "rejected"},
}
_CARDS = {"approved", "rejected"}


def require_key(emulator: Emulator, request: Request) -> None:
    """Raises ApiError (401)."""
    if not hmac.compare_digest((request.headers.get("X-Emulator-Key") or "").encode(), emulator.configuration.key.encode()):
        raise ApiError(401, "unauthorized", "X-Emulator-Key is missing or wrong")


def add_seller(emulator: Emulator, request: Request) -> Response:
    asked = request.json()
    site, user_id = asked.get("site_id", "MLA"), asked.get("user_id")
    if site not in SITES:
        raise bad_request(f"site_id must be one of {', '.join(SITES)}")
    if user_id is not None and (not isinstance(user_id, int) or user_id < 1):
        raise bad_request("user_id must be a whole number above 0")
    if user_id is not None and emulator.seller(user_id):
        raise conflict(f"There is a seller {user_id} already")
    seller = emulator.add_seller(site=site, nickname=str(asked.get("nickname") or "TIENDA"), user_id=user_id)
    shown = {name: seller.body[name] for name in ("nickname", "site_id", "email")}
    return answer({"user_id": int(seller.id), **shown, "access_token": seller.body["_token"]}, 201)


def authorize_seller(emulator: Emulator, request: Request, user_id: str) -> Response:
    asked = request.json()
    if asked.get("client_id") != emulator.configuration.client_id:
        raise bad_request("client_id is not the application's")
    challenge, method = asked.get("code_challenge") or "", asked.get("code_challenge_method") or "S256"
    redirect_uri = asked.get("redirect_uri") or ""
    code = grant_code(emulator, _seller(emulator, user_id), redirect_uri=redirect_uri, challenge=challenge, method=method)
    return answer({"code": code}, 201)


def deauthorize_seller(emulator: Emulator, _request: Request, user_id: str) -> Response:
    return answer({"revoked": revoke(emulator, _seller(emulator, user_id))})


def add_payment(emulator: Emulator, request: Request) -> Response:
    """An attempt at a preference, without the page. `force` pays one that has expired."""
    asked = request.json()
    preference = emulator.store.find("preference", str(asked.get("preference_id")))
    if preference is None:
        raise not_found("preference not found")
    outcome = asked.get("outcome", "approved")
    if outcome not in OUTCOMES:
        raise bad_request(f"outcome must be one of {', '.join(OUTCOMES)}")
    if not is_open(preference, now=emulator.clock.now()) and not asked.get("force"):
        raise bad_request("The preference has expired; force pays it all the same")
    names = {"amount": "amount", "currency": "currency_id", "collector_id": "collector_id", "external_reference": "external_reference"}
    changes = {name: asked[given] for given, name in names.items() if asked.get(given) is not None}
    payment, _ = pay_preference(emulator, preference, outcome=outcome, changes=changes)
    return answer(payment.public(), 201)


def transition_payment(emulator: Emulator, request: Request, identifier: str) -> Response:
    asked = request.json()
    payment = emulator.store.find("payment", identifier)
    if payment is None:
        raise not_found("Payment not found")
    status, was = str(asked.get("status")), payment.status
    check_transition(payment, status)
    if status in {"refunded", "partially_refunded"}:
        refund_payment(emulator, payment, _amount(emulator, asked, payment, needed=status == "partially_refunded"))
        return answer(payment.public())
    if was == "charged_back":
        resolve_chargeback(emulator, payment, covered=status == "approved")
    move_payment(emulator, payment, status=status, detail=asked.get("status_detail"))
    if status == "charged_back" and was != "charged_back":
        open_chargeback(emulator, payment)
    return answer(payment.public())


def end_refund(emulator: Emulator, request: Request, identifier: str, refund: str) -> Response:
    payment, status = emulator.store.find("payment", identifier), request.json().get("status")
    if payment is None:
        raise not_found("Payment not found")
    if status not in {"approved", "rejected"}:
        raise bad_request("status must be approved or rejected")
    return answer(settle_refund(emulator, payment, refund, status=status))


def authorize_preapproval(emulator: Emulator, request: Request, identifier: str) -> Response:
    """The payer agrees; `card` says how its charges will end while the clock makes them."""
    preapproval = _preapproval(emulator, identifier)
    subscriptions.authorize(emulator, preapproval, card=_card(request.json().get("card", "approved")))
    return answer(preapproval.public())


def charge_preapproval(emulator: Emulator, request: Request, identifier: str) -> Response:
    invoice = subscriptions.charge(emulator, _preapproval(emulator, identifier), outcome=_card(request.json().get("outcome", "approved")))
    return answer(invoice.public(), 201)


def add_fault(emulator: Emulator, request: Request) -> Response:
    return answer(emulator.faults.add(request.json(), now=emulator.clock.now()), 201)


def list_faults(emulator: Emulator, _request: Request) -> Response:
    return answer(emulator.faults.shown())


def clear_faults(emulator: Emulator, _request: Request) -> Response:
    emulator.faults.clear()
    return answer({})


def advance_clock(emulator: Emulator, request: Request) -> Response:
    """Time passes: charges are made when they fall due, then all deliveries that are due go out before this is answered."""
    seconds = request.json().get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise bad_request("seconds must be a number of 0 or more")
    target = emulator.clock.now() + round(seconds * SECOND)
    while (due := subscriptions.next_due(emulator)) is not None and due <= target:
        emulator.clock.move_to(due)
        subscriptions.charge_due(emulator)
    emulator.clock.move_to(target)
    emulator.save_clock()

    def deliver() -> Response:
        emulator.sender.settle_due()
        return answer({"now": stamp(emulator.clock.now())})

    return Response(after=deliver)


def flush_webhooks(emulator: Emulator, _request: Request) -> Response:
    return Response(after=lambda: answer({"attempted": len(emulator.sender.flush())}))


def show_log(emulator: Emulator, request: Request) -> Response:
    try:
        since, limit = int(request.query.get("since", 0)), int(request.query.get("limit", 1000))
    except ValueError:
        raise bad_request("since and limit must be whole numbers") from None
    entries = emulator.store.read_log(since=since, limit=limit)
    return answer({"entries": entries, "last": entries[-1]["seq"] if entries else since})


def show_state(emulator: Emulator, _request: Request) -> Response:
    pending = [
        {"topic": delivery.body["topic"], "resource": delivery.body["resource"], "url": delivery.body["url"], "state": delivery.status}
        | {"due": stamp(delivery.due or 0), "attempts": delivery.body["attempts"]}
        for delivery in emulator.store.select("delivery", {}, limit=100)
    ]
    counts = emulator.store.counts()
    shown = {"now": stamp(emulator.clock.now()), "settings": emulator.settings, "counts": counts, "deliveries": pending}
    return answer({**shown, "pending_deliveries": counts.get("delivery", 0)})


def change_settings(emulator: Emulator, request: Request) -> Response:
    asked = request.json()
    _check_settings(asked)
    emulator.save_settings(asked)

    def apply() -> Response:
        emulator.sender.resize()
        return answer(emulator.settings)

    return Response(after=apply)


def clear_all(emulator: Emulator, _request: Request) -> Response:
    emulator.clear()
    return answer({})


ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("POST", r"/_emu/sellers", add_seller),
    ("POST", r"/_emu/sellers/(\d+)/authorize", authorize_seller),
    ("POST", r"/_emu/sellers/(\d+)/deauthorize", deauthorize_seller),
    ("POST", r"/_emu/payments", add_payment),
    ("POST", r"/_emu/payments/(\d+)/transition", transition_payment),
    ("POST", r"/_emu/payments/(\d+)/refunds/(\d+)", end_refund),
    ("POST", r"/_emu/preapprovals/(\w+)/authorize", authorize_preapproval),
    ("POST", r"/_emu/preapprovals/(\w+)/charge", charge_preapproval),
    ("POST", r"/_emu/faults", add_fault),
    ("GET", r"/_emu/faults", list_faults),
    ("DELETE", r"/_emu/faults", clear_faults),
    ("POST", r"/_emu/clock/advance", advance_clock),
    ("POST", r"/_emu/webhooks/flush", flush_webhooks),
    ("GET", r"/_emu/log", show_log),
    ("GET", r"/_emu/state", show_state),
    ("POST", r"/_emu/settings", change_settings),
    ("DELETE", r"/_emu/all", clear_all),
]


def _seller(emulator: Emulator, user_id: str) -> Document:
    seller = emulator.seller(int(user_id))
    if seller is None:
        raise not_found("Seller not found")
    return seller


def _preapproval(emulator: Emulator, identifier: str) -> Document:
    preapproval = emulator.store.find("preapproval", identifier)
    if preapproval is None:
        raise not_found("Preapproval not found")
    return preapproval


def _card(outcome: Any) -> str:
    if outcome not in _CARDS:
        raise bad_request("The outcome must be approved or rejected")
    return str(outcome)


def _amount(emulator: Emulator, asked: dict[str, Any], payment: Document, *, needed: bool) -> Decimal | None:
    if asked.get("amount") is None:
        if needed:
            raise bad_request("A part of a refund needs its amount")
        return None
    seller = emulator.seller(payment.owner or 0)
    assert seller is not None
    return read_amount(asked["amount"], site_of(seller), "amount")


def _check_settings(asked: dict[str, Any]) -> None:
    """Raises ApiError (400)."""
    if unknown := set(asked) - {*DEFAULTS, "app_webhook_url"}:
        raise bad_request(f"Unknown: {', '.join(sorted(unknown))}")
    for name, choices in _CHOICES.items():
        if name in asked and asked[name] not in choices:
            raise bad_request(f"{name} must be one of {', '.join(sorted(choices))}")
    if "workers" in asked and (not isinstance(asked["workers"], int) or not 0 < asked["workers"] <= 64):
        raise bad_request("workers must be 1 to 64")
    for name in ("webhook_timeout", "return_delay"):
        if name in asked and (not isinstance(asked[name], int | float) or asked[name] <= 0):
            raise bad_request(f"{name} must be a number of seconds above 0")
    if not isinstance(asked.get("app_webhook_url", ""), str):
        raise bad_request("app_webhook_url must be an address, or empty")
