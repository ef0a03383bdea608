"""Orders over HTTP: reading the request, who may, and the answer. What an order is, is in actions and queries."""

import base64
import binascii
import hashlib
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import wraps
from typing import Annotated, Any, Literal

import orjson
from django.http import HttpRequest, HttpResponse
from ninja import Header, Query, Router
from ninja.decorators import decorate_view
from pydantic import AwareDatetime, Field

from core.doors import caller_of, caller_or_none
from core.errors import AppError, BadRequest, NotSignedIn
from core.http import Body, Schema, errors, json_error, scoped, text
from shop.orders import actions, queries
from shop.orders.data import MOST_LINES, MOST_OF_A_LINE, Guest, NewLine, NewOrder
from shop.orders.errors import AnotherCafeteria
from shop.orders.models import Order
from shop.orders.payments.actions import refunds_to_send, send_now
from shop.people.doors import guest_or_signed_in, signed_in, staff
from tenants.scope import current_tenant, request_scope

router = Router(tags=["orders"])

LARGEST_ID = 2**63 - 1
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]
OrderId = Annotated[int, Field(ge=-LARGEST_ID, le=LARGEST_ID)]
Amount = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]
StatusName = Literal["pending", "confirmed", "preparing", "ready", "completed", "cancelled"]


class LineIn(Body):
    product_id: Id
    quantity: Annotated[int, Field(ge=1, le=MOST_OF_A_LINE)]
    choices: Annotated[list[Id], Field(max_length=50)] = []
    notes: text(most=200) = ""  # type: ignore[valid-type]


class GuestIn(Body):
    name: text(least=1, most=80)  # type: ignore[valid-type]
    phone: text(most=40) = ""  # type: ignore[valid-type]
    email: text(most=254) = ""  # type: ignore[valid-type]


class OrderIn(Body):
    items: Annotated[list[LineIn], Field(min_length=1, max_length=MOST_LINES)]
    notes: text(most=1000) | None = None  # type: ignore[valid-type]
    pickup_at: AwareDatetime | None = None
    table: text(most=40) | None = None  # type: ignore[valid-type]
    tip: Amount | None = None
    business_id: Id | None = None
    guest: GuestIn | None = None


class StatusIn(Body):
    status: StatusName


class OrderedChoiceOut(Schema):
    id: int
    group: str
    name: str
    price_delta: str


class ItemOut(Schema):
    id: int
    product_id: int
    name: str
    quantity: int
    unit_price: str
    choices: list[OrderedChoiceOut]
    subtotal: str
    notes: str


class OrderOut(Schema):
    id: int
    number: int
    business_id: int
    business_date: date
    status: str
    payment_status: str
    channel: str
    items: list[ItemOut]
    subtotal: str
    tip: str
    total: str
    paid: Annotated[str, Field(description="What has been paid and has not gone back")]
    refunded: Annotated[str, Field(description="What has gone back")]
    currency: str
    notes: str
    pickup_at: str | None
    table: str | None
    secret: str
    created_at: str
    updated_at: str


class OrderPage(Schema):
    items: list[OrderOut]
    next: str | None


IdempotencyKeyHeader = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$", description="Any unique text")
]


def giving_back(operation: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A ninja decorator of mode "view", around `scoped`: a paid order that the operation cancels gets its money back before the answer.

    If Mercado Pago does not answer, the order is cancelled all the same, and a job sends what is written down.
    """

    @wraps(operation)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = operation(request, *args, **kwargs)
        secret: str | None = getattr(request, "paid_and_cancelled", None)
        if secret is None or response.status_code >= 400:
            return response
        try:
            send_now(refunds_to_send(cafeteria_uuid=request.tenant.uuid, order_key=secret))  # type: ignore[attr-defined]
            with request_scope(request):
                return _json(queries.order_payload(queries.order_by_secret(secret)))
        except AppError as error:
            return json_error(error)

    return wrapper


@router.post("/orders", auth=guest_or_signed_in, response={201: OrderOut, **errors(400, 401, 404, 409, 413, 422, 503)})
@decorate_view(scoped)
def place_order(request: HttpRequest, body: OrderIn, idempotency_key: IdempotencyKeyHeader = None) -> HttpResponse:
    """Places an order as the signed-in customer, as staff at the counter, or as a guest with `guest`."""
    caller = caller_or_none(request)
    if caller is None and body.guest is None:
        raise NotSignedIn
    if body.business_id not in {None, current_tenant().id}:
        raise AnotherCafeteria
    placed = actions.place_order(
        order=_new_order(body),
        caller=caller,
        idempotency_key=idempotency_key or "",
        fingerprint=_fingerprint(body) if idempotency_key else "",
    )
    return HttpResponse(placed.body, content_type="application/json", status=201)


@router.get("/orders", auth=signed_in, response={200: OrderPage, **errors(400, 401, 404, 422, 503)})
@decorate_view(scoped)
def list_orders(
    request: HttpRequest,
    status: StatusName | None = None,
    date: date | None = None,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> HttpResponse:
    """The caller's own orders, or all for the staff, newest first; `date` is a business day."""
    caller = caller_of(request)
    orders = queries.orders_visible_to(caller, status=status or "", day=date)
    if cursor:
        orders = orders.filter(pk__lt=_read_cursor(cursor))
    rows = list(orders[: limit + 1])
    following = _write_cursor(rows[limit - 1].pk) if len(rows) > limit else None
    return _json({"items": [queries.order_payload(order) for order in rows[:limit]], "next": following})


@router.get("/orders/{order_id}", auth=guest_or_signed_in, response={200: OrderOut, **errors(400, 401, 404, 422, 503)})
@decorate_view(scoped)
def get_order(request: HttpRequest, order_id: OrderId, secret: Annotated[str, Query(max_length=64)] = "") -> HttpResponse:
    """Its customer, the staff, or whoever has its `secret`."""
    return _json(queries.order_payload(queries.order_with_items(order_id, caller=caller_or_none(request), secret=secret)))


@router.patch("/orders/{order_id}/status", auth=staff, response={200: OrderOut, **errors(400, 401, 403, 404, 413, 422, 503)})
@decorate_view(scoped, giving_back)
def change_status(request: HttpRequest, order_id: OrderId, body: StatusIn) -> HttpResponse:
    """Along the state machine. A paid order that is `cancelled` gets its money back."""
    order = actions.change_status(order_id=order_id, status=body.status, actor=caller_of(request))
    if order.status == Order.Status.CANCELLED:
        _note_cancelled(request, order)
    return _json(queries.order_payload(order))


@router.delete("/orders/{order_id}", auth=guest_or_signed_in, response={200: OrderOut, **errors(400, 401, 404, 422, 503)})
@decorate_view(scoped, giving_back)
def cancel_order(request: HttpRequest, order_id: OrderId, secret: Annotated[str, Query(max_length=64)] = "") -> HttpResponse:
    """Its customer while it is pending (a guest with its `secret`), the staff until it is handed over. Stock and money are given back."""
    caller = caller_or_none(request)
    if caller is None and not secret:
        raise NotSignedIn
    order = queries.order_with_items(order_id, caller=caller, secret=secret)
    actor = None if secret and (caller is None or not caller.is_staff) else caller
    _note_cancelled(request, actions.cancel_order(order_id=order.pk, actor=actor))
    return _json(queries.order_payload(queries.order_with_items(order_id, caller=caller, secret=secret)))


def _note_cancelled(request: HttpRequest, order: Order) -> None:
    """For `giving_back`. The order is as it was read: paid before its money was asked back."""
    if order.paid > 0:
        request.paid_and_cancelled = order.secret  # type: ignore[attr-defined]


def _new_order(body: OrderIn) -> NewOrder:
    lines = tuple(
        NewLine(product_id=line.product_id, quantity=line.quantity, choices=tuple(line.choices), notes=line.notes) for line in body.items
    )
    guest = Guest(name=body.guest.name, phone=body.guest.phone, email=body.guest.email) if body.guest else None
    return NewOrder(
        lines=lines,
        notes=body.notes or "",
        pickup_at=body.pickup_at,
        table=body.table or "",
        tip=body.tip or Decimal(0),
        guest=guest,
    )


def _fingerprint(body: OrderIn) -> str:
    return hashlib.sha256(body.model_dump_json().encode()).hexdigest()


def _json(payload: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(orjson.dumps(payload), content_type="application/json", status=status)


def _write_cursor(order_id: int) -> str:
    return base64.urlsafe_b64encode(str(order_id).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        value = int(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error) as error:
        raise BadRequest(reason="the cursor is not one of ours.") from error
    return min(max(value, 0), LARGEST_ID)
