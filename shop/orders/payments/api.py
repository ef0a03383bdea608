"""Payments over HTTP: reading the request, who may, and the answer.

Mercado Pago is asked outside of every scope (wall 2): the operations that do so open short scopes themselves, and their `auth`, which
finds none open, does too.
"""

import hashlib
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import orjson
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Path, Query, Router
from ninja.decorators import decorate_view
from pydantic import Field

from core.doors import OptionalBearer, caller_of, caller_or_none
from core.errors import NotSignedIn
from core.http import Schema, StrictBody, errors, scoped
from core.identity.callers import Caller
from payments.gateway.errors import GatewayRefused
from payments.ledger.actions import open_checkout
from payments.ledger.data import Actor, RequestKey
from payments.ledger.errors import AlreadyRefunded
from payments.ledger.models import Payment, Refund
from payments.ledger.refunds import request_refund
from shop.orders.api import IdempotencyKeyHeader, OrderId
from shop.orders.data import Key
from shop.orders.models import Order
from shop.orders.payments import queries
from shop.orders.payments.actions import begin_payment, send_now
from shop.orders.queries import order_with_items
from shop.people.doors import authenticate_bearer, manager, signed_in
from tenants.routing import site_url
from tenants.scope import current_tenant, request_scope

router = Router(tags=["payments"])

REFUND_ATTEMPTS = 2  # at Mercado Pago, while the caller waits
type PaymentStatus = Literal["pending", "paid", "failed", "cancelled", "refunded", "partially_refunded", "review", "charged_back"]
type PaymentMethod = Literal["mercadopago", "cash", "card"]
Amount = Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]
Secret = Annotated[str, Query(max_length=64, description="The order's: for guests, in the place of a token")]
PaymentId = Annotated[str, Path(description="What is no payment of this cafeteria, or not the caller's, is 404")]


class SecretOrBearer(OptionalBearer):
    """Somebody signed in, or a guest who brings an order's secret: which order's is for the operation to look at. 401 for others."""

    def __call__(self, request: HttpRequest) -> Caller | str:
        if "HTTP_AUTHORIZATION" not in request.META and not request.GET.get("secret"):
            raise NotSignedIn
        return super().__call__(request)


secret_or_signed_in = SecretOrBearer(authenticate_bearer)


class PreferenceIn(StrictBody):
    order_id: OrderId
    amount: Annotated[Amount, Field(description="All that is due on the order, which is checked: its total less what has been paid")]


class PreferenceOut(Schema):
    payment_id: str
    preference_id: str
    init_point: Annotated[str, Field(description="The page of Mercado Pago where the buyer pays")]
    sandbox_init_point: str


class RefundIn(StrictBody):
    amount: Annotated[Amount | None, Field(description="How much goes back; without it all that is left")] = None


class ChargeOut(Schema):
    """One attempt of the buyer, as Mercado Pago says it stands."""

    mp_id: str
    status: Annotated[str, Field(description="Mercado Pago's word")]
    status_detail: str
    amount: str
    refunded: str
    currency: str
    disputed: bool
    review: Annotated[str | None, Field(description="Why its money is not counted until somebody has decided; null when it is")]


class RefundOut(Schema):
    id: str
    amount: str
    state: Annotated[
        Literal["requested", "in_process", "approved", "rejected"],
        Field(description="`requested`: on its way to Mercado Pago; `in_process`: Mercado Pago has it; `approved`: the money went back"),
    ]
    reason: Literal["staff", "cancelled", "twice", "late", "review"]
    requested_at: str


class PaymentOut(Schema):
    """One attempt to have an order paid: a checkout at Mercado Pago, or money taken at the counter."""

    id: str
    order_id: int
    order_number: int
    method: PaymentMethod
    status: PaymentStatus
    amount: str
    refunded: Annotated[str, Field(description="What has gone back, as against what has only been asked back: see `refunds`")]
    currency: str
    created_at: str
    updated_at: str
    expires_at: Annotated[str | None, Field(description="Until when its checkout can be used")]
    init_point: Annotated[str | None, Field(description="Where to pay it, while that is possible")]
    refunds: list[RefundOut]
    charges: Annotated[list[ChargeOut], Field(description="For the staff only")] = []


class PaymentPage(Schema):
    items: list[PaymentOut]
    next: str | None


@router.post(
    "/payments/create-preference",
    auth=secret_or_signed_in,
    response={200: PreferenceOut, **errors(400, 401, 404, 409, 413, 422, 502, 503)},
)
def create_preference(
    request: HttpRequest, body: PreferenceIn, idempotency_key: IdempotencyKeyHeader = None, secret: Secret = ""
) -> HttpResponse:
    """A checkout at Mercado Pago for what is due on an order: for its customer, a guest with its `secret`, and the staff.

    While a checkout for that amount is open, asking again answers with it. The order is not held back until it is paid.
    """
    caller = caller_or_none(request)
    with request_scope(request) as tenant:
        order = order_with_items(body.order_id, caller=caller, secret=secret)
        payment = begin_payment(
            order=order,
            amount=body.amount,
            return_url=f"{site_url(tenant.slug)}{reverse('track', args=[order.secret])}",
            caller=caller,
            key=_key_of(order, caller, body, idempotency_key),
        )
    opened = open_checkout(payment_id=payment.pk)
    return _json(
        {
            "payment_id": str(opened.pk),
            "preference_id": opened.preference_id,
            "init_point": opened.init_point,
            "sandbox_init_point": opened.sandbox_init_point,
        }
    )


@router.get("/payments", auth=signed_in, response={200: PaymentPage, **errors(400, 401, 422, 503)})
@decorate_view(scoped)
def list_payments(
    request: HttpRequest,
    order_id: OrderId | None = None,
    status: PaymentStatus | None = None,
    date: Annotated[date | None, Query(description="A business day: on which the payment was begun, or its money moved")] = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> HttpResponse:
    """The payments of the caller's own orders, or all for the staff, newest first."""
    caller = caller_of(request)
    payments = queries.payments_visible_to(caller)
    if order_id is not None:
        payments = payments.filter(order_id=order_id)
    if status is not None:
        payments = payments.filter(status=status)
    if date is not None:
        payments = queries.on_business_day(payments, date)
    if cursor:
        payments = payments.filter(pk__lt=queries.read_cursor(cursor))
    rows = list(payments[: limit + 1])
    following = queries.write_cursor(rows[limit - 1].pk) if len(rows) > limit else None
    items = queries.payment_payloads(rows[:limit], tenant=current_tenant(), staff=caller.is_staff)
    return _json({"items": items, "next": following})


@router.get("/payments/{payment_id}", auth=secret_or_signed_in, response={200: PaymentOut, **errors(400, 401, 404, 422, 503)})
@decorate_view(scoped)
def get_payment(request: HttpRequest, payment_id: PaymentId, secret: Secret = "") -> HttpResponse:
    """For its order's customer, a guest with the order's `secret`, and the staff."""
    return _json(_seen_by(caller_or_none(request), payment_id, secret=secret))


@router.post(
    "/payments/{payment_id}/refund", auth=manager, response={200: PaymentOut, **errors(400, 401, 403, 404, 409, 413, 422, 502, 503)}
)
def refund_payment(
    request: HttpRequest, payment_id: PaymentId, body: RefundIn | None = None, idempotency_key: IdempotencyKeyHeader = None
) -> HttpResponse:
    """Gives the payment back, or `amount` of it; 400 when nothing, or not that much, is left.

    When Mercado Pago cannot be reached or takes its time, the answer is 200 all the same: the refund stands in `refunds` as `requested`
    or `in_process`, and is seen to. 502 when Mercado Pago refuses it.
    """
    caller = caller_of(request)
    with request_scope(request):
        refunds = _request_refund(caller, payment_id, body, idempotency_key)
    sent = send_now(refunds, attempts=REFUND_ATTEMPTS)
    with request_scope(request):
        payload = _seen_by(caller, payment_id)
    _check_refused(sent, payload)
    return _json(payload)


def _request_refund(caller: Caller, payment_id: str, body: RefundIn | None, idempotency_key: str | None) -> list[Refund]:
    payment = queries.payment_visible_to(caller, payment_id)
    amount = body.amount if body is not None else None
    fingerprint = _fingerprint(payment.pk, amount.normalize() if amount is not None else None)
    key = RequestKey(caller=f"person:{caller.id}", key=idempotency_key, fingerprint=fingerprint) if idempotency_key else None
    actor = Actor(person_id=caller.id, label=caller.email)
    return request_refund(cafeteria_uuid=payment.cafeteria_uuid, payment_id=payment.pk, amount=amount, actor=actor, request=key)


def _check_refused(sent: Iterable[Refund], payment: dict[str, Any]) -> None:
    """Raises GatewayRefused when Mercado Pago did not do it; AlreadyRefunded when that is because it was done there before."""
    refused = next((refund for refund in sent if refund.state == Refund.State.REJECTED), None)
    if refused is None:
        return
    if payment["status"] == Payment.Status.REFUNDED:
        raise AlreadyRefunded
    raise GatewayRefused(reason=refused.error)


def _seen_by(caller: Caller | None, payment_id: str, *, secret: str = "") -> dict[str, Any]:
    payment = queries.payment_visible_to(caller, payment_id, secret=secret)
    [payload] = queries.payment_payloads([payment], tenant=current_tenant(), staff=caller is not None and caller.is_staff)
    return payload


def _key_of(order: Order, caller: Caller | None, body: PreferenceIn, idempotency_key: str | None) -> Key | None:
    """Guests have nothing in common but the order."""
    if not idempotency_key:
        return None
    owner = f"order:{order.pk}" if caller is None else f"person:{caller.id}"
    return Key(caller=f"payment:{owner}", key=idempotency_key, fingerprint=_fingerprint(order.secret, body.amount.normalize()))


def _fingerprint(*values: object) -> str:
    return hashlib.sha256(repr([str(value) for value in values]).encode()).hexdigest()


def _json(payload: Any) -> HttpResponse:
    return HttpResponse(orjson.dumps(payload), content_type="application/json")
