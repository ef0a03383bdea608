"""The staff's board.

Undo, decided: accepting and starting are written at once, since nobody outside is told and a step too early does no harm. "Ready" tells
the customer to come and "hand over" takes the card away, and neither has a way back in the state machine; so the screen that tapped holds
them for five seconds with a way to undo (shop/board.js), and the order stays where it is until then. Should that screen die in between,
the order is still on every board: late, but never lost. Without JavaScript all steps are written at once.

Money: an order that is not paid is handed over only after the screen has asked (order_page.views.order_hand_over), which is not held.
"""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from core.doors import person_of
from core.errors import AppError
from core.flash import Kind, flash
from core.identity.callers import Caller
from shop.kitchen.actions import step_order
from shop.kitchen.errors import NotPaid
from shop.kitchen.queries import CHANNELS, by_hand, columns_of, going_back, money_of, waiting_of
from shop.orders.models import Order
from shop.orders.queries import orders_for_board
from shop.people.doors import RULES, cafeteria_page
from tenants.pulse import read_pulse
from tenants.scope import current_tenant


@require_safe
@cafeteria_page(access="staff")
def board(request: HttpRequest) -> HttpResponse:
    tag = _tag(request)  # First: the orders are then at least as new.
    return render(request, "shop/staff/board.html", _context(request) | {"tag": tag})


@require_safe
@cafeteria_page(access="staff")
def board_state(request: HttpRequest) -> HttpResponse:
    """The columns alone, or 304 while no order has changed."""
    tag = _tag(request)
    if tag in request.headers.get("If-None-Match", ""):
        return HttpResponseNotModified()
    response = render(request, "shop/staff/board_state.html", _context(request))
    response["ETag"] = tag
    return response


@require_POST
@cafeteria_page(access="staff")
def board_move(request: HttpRequest, order_id: int) -> HttpResponse:
    """One step, from the status that the card showed: a second tap, here or on another screen, moves nothing further."""
    before, after = request.POST.get("from", ""), request.POST.get("to", "")
    back = told_of_cancelling(order_id) if after == Order.Status.CANCELLED else None
    try:
        step_order(order_id=order_id, before=before, after=after, actor=person_of(request))
    except NotPaid:
        ask = f"{reverse('order_hand_over', args=[order_id])}?back=board"
        return HttpResponseClientRedirect(ask) if getattr(request, "htmx", None) else redirect(ask)
    except AppError as error:
        return _answer(request, error.translated(), "info")
    return _answer(request, *(back or ("", "info")))


def told_of_cancelling(order_id: int) -> tuple[str, Kind] | None:
    """What becomes of the order's money if it is cancelled now. What a hand has to do stays on the screen until it is read."""
    order = Order.objects.filter(pk=order_id).first()
    if order is None:
        return None
    money = money_of(current_tenant().uuid, [order]).get(order.secret, {})
    said = going_back(money, order.currency)
    return (" ".join(said), "bad" if by_hand(money) else "info") if said else None


def _answer(request: HttpRequest, said: str, kind: Kind) -> HttpResponse:
    if not getattr(request, "htmx", None):
        if said:
            flash(request, said, kind)
        channel = _channel(request)
        return redirect(reverse("board") + (f"?channel={channel}" if channel != "all" else ""))
    response = render(request, "shop/staff/board_state.html", _context(request))
    if said:
        response["HX-Trigger"] = json.dumps({"toast": {"text": said, "kind": kind}})
    return response


def _context(request: HttpRequest) -> dict[str, Any]:
    channel, orders = _channel(request), list(orders_for_board())
    money = money_of(current_tenant().uuid, orders)
    return {
        "columns": columns_of(orders, channel, money),
        "waiting": waiting_of(orders, channel, money),
        "takes_money": takes_money(person_of(request)),
        "channel": channel,
        "channels": CHANNELS.items(),
    }


def takes_money(person: Caller) -> bool:
    """Whom the door of taking payments lets in."""
    return RULES["cashier"](person)


def _channel(request: HttpRequest) -> str:
    wanted = request.POST.get("channel") or request.GET.get("channel", "")
    return wanted if wanted in CHANNELS else "all"


def _tag(request: HttpRequest) -> str:
    tenant = current_tenant()
    return f'"{tenant.generation}.{read_pulse(tenant).orders}.{_channel(request)}.{get_language()}"'
