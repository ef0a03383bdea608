"""From a request to its answer: who asks, what goes wrong on purpose, which function knows, and what is noted."""

import hashlib
import json
import re
import time
from collections.abc import Callable
from typing import Any

from deploy.mercadopago import (
    authorization_pages,
    checkout_pages,
    control,
    merchant_orders,
    oauth,
    payments,
    preferences,
    refunds,
    subscriptions,
)
from deploy.mercadopago.clock import stamp
from deploy.mercadopago.emulator import Emulator
from deploy.mercadopago.errors import ApiError, bad_request, conflict
from deploy.mercadopago.faults import instead_of_an_answer
from deploy.mercadopago.markup import message
from deploy.mercadopago.messages import Request, Response, answer, page, refusal
from deploy.mercadopago.store import Document

_LONGEST_KEY = 64
_ID = r"([\w-]+)"
_API: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", r"/users/me", oauth.show_me),
    ("POST", r"/checkout/preferences", preferences.create_preference),
    ("GET", r"/checkout/preferences/search", preferences.search_preferences),
    ("GET", rf"/checkout/preferences/{_ID}", preferences.show_preference),
    ("PUT", rf"/checkout/preferences/{_ID}", preferences.change_preference),
    ("GET", r"/v1/payments/search", payments.search_payments),
    ("GET", rf"/v1/payments/{_ID}", payments.show_payment),
    ("PUT", rf"/v1/payments/{_ID}", payments.change_payment),
    ("POST", rf"/v1/payments/{_ID}/refunds", refunds.create_refund),
    ("GET", rf"/v1/payments/{_ID}/refunds", refunds.list_refunds),
    ("GET", rf"/v1/payments/{_ID}/refunds/{_ID}", refunds.show_refund),
    ("GET", r"/v1/chargebacks/search", refunds.search_chargebacks),
    ("GET", rf"/v1/chargebacks/{_ID}", refunds.show_chargeback),
    ("GET", r"/merchant_orders/search", merchant_orders.search_merchant_orders),
    ("GET", rf"/merchant_orders/{_ID}", merchant_orders.show_merchant_order),
    ("POST", r"/preapproval", subscriptions.create_preapproval),
    ("GET", r"/preapproval/search", subscriptions.search_preapprovals),
    ("GET", rf"/preapproval/{_ID}", subscriptions.show_preapproval),
    ("PUT", rf"/preapproval/{_ID}", subscriptions.change_preapproval),
    ("GET", r"/authorized_payments/search", subscriptions.search_invoices),
    ("GET", rf"/authorized_payments/{_ID}", subscriptions.show_invoice),
]


def _home(_emulator: Emulator, _request: Request) -> Response:
    return page(message("Emulador de Mercado Pago", "Está en marcha."))


_OPEN: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", r"/", _home),
    ("POST", r"/oauth/token", oauth.issue_token),
    ("GET", r"/authorization", authorization_pages.show_authorization),
    ("POST", r"/authorization", authorization_pages.answer_authorization),
    ("GET", r"/checkout/v1/redirect", checkout_pages.show_checkout),
    ("POST", r"/checkout/v1/redirect", checkout_pages.answer_checkout),
    ("GET", r"/subscriptions/checkout", checkout_pages.show_subscription),
    ("POST", r"/subscriptions/checkout", checkout_pages.answer_subscription),
]
_ROUTES = [
    (method, re.compile(path), handler, needs)
    for routes, needs in ((_OPEN, None), (_API, "token"), (control.ROUTES, "key"))
    for method, path, handler in routes
]


def respond(emulator: Emulator, request: Request) -> Response:
    """All of it. Whatever is answered has been kept before."""
    if request.path.startswith("/_emu/"):
        return _completed(_kept(emulator, request, []))
    with emulator.store.lock:
        oauth.authenticate(emulator, request)
    faults = emulator.faults.struck_by_request(request)
    kinds = {fault["kind"]: fault for fault in faults}
    if "latency" in kinds:
        time.sleep(kinds["latency"]["seconds"])
    if instead := instead_of_an_answer(faults):
        with emulator.transaction():
            _note(emulator, request, instead, faults)
        return instead
    response = _completed(_kept(emulator, request, faults))
    if "commit_then_timeout" in kinds:
        time.sleep(kinds["commit_then_timeout"]["seconds"])
        return Response(hang_up=True)
    response.cut = "truncated_json" in kinds
    return response


def _completed(response: Response) -> Response:
    return response.after() if response.after else response


def _kept(emulator: Emulator, request: Request, faults: list[dict[str, Any]]) -> Response:
    """Runs the request's function and notes it, both or neither; a refusal is noted alone."""
    try:
        with emulator.transaction():
            response = _dispatched(emulator, request)
            _note(emulator, request, response, faults)
    except ApiError as error:
        response = refusal(error)
        with emulator.transaction():
            _note(emulator, request, response, faults)
    return response


def _dispatched(emulator: Emulator, request: Request) -> Response:
    other_methods = False
    for method, path, handler, needs in _ROUTES:
        match = path.fullmatch(request.path)
        if match and method == request.method:
            if needs == "key":
                control.require_key(emulator, request)
            elif needs == "token":
                oauth.require_seller(emulator, request)
                return _once(emulator, request, lambda: handler(emulator, request, *match.groups()))  # noqa: B023  # called at once
            return handler(emulator, request, *match.groups())
        other_methods = other_methods or match is not None
    if other_methods:
        raise ApiError(405, "method_not_allowed", "Method not allowed")
    raise ApiError(404, "not_found", f"No such resource: {request.path}")


def _once(emulator: Emulator, request: Request, run: Callable[[], Response]) -> Response:
    """A POST with a key that has succeeded before is answered as then. Raises ApiError (409) for another body under the same key."""
    key = request.headers.get("x-idempotency-key")
    if request.method != "POST" or not key:
        return run()
    if len(key) > _LONGEST_KEY:
        raise bad_request(f"X-Idempotency-Key must be 1 to {_LONGEST_KEY} characters", error="invalid_idempotency_key")
    identifier, mark = f"{request.owner.id} {request.path} {key}", hashlib.sha256(request.body).hexdigest()
    if earlier := emulator.store.find("answer", identifier):
        if earlier.reference != mark:
            raise conflict("The X-Idempotency-Key was used with another body")
        return answer(earlier.body["answer"], int(earlier.status or 0))
    response = run()
    body = {"answer": json.loads(response.body)}
    emulator.store.save(
        Document(kind="answer", id=identifier, owner=request.owner_id, reference=mark, status=str(response.status), body=body)
    )
    return response


def _note(emulator: Emulator, request: Request, response: Response, faults: list[dict[str, Any]]) -> None:
    if request.path.startswith("/_emu/"):
        return
    status = None if response.hang_up or any(fault["kind"] == "commit_then_timeout" for fault in faults) else response.status
    entry: dict[str, Any] = {
        "kind": "request",
        "at": stamp(emulator.clock.now()),
        "method": request.method,
        "path": request.path,
        "query": request.query,
    }
    entry |= {"authorization": request.bearer[-6:], "user_id": request.seller and int(request.seller.id), "status": status}
    entry |= {"idempotency_key": request.headers.get("x-idempotency-key"), "faults": [fault["kind"] for fault in faults]}
    emulator.store.write_log(entry)
