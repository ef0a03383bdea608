"""The staff's board.

Undo, decided: accepting and starting are written at once, since nobody outside is told and a step too early does no harm. "Ready" tells
the customer to come and "hand over" takes the card away, and neither has a way back in the state machine; so the screen that tapped holds
them for five seconds with a way to undo (shop/board.js), and the order stays where it is until then. Should that screen die in between,
the order is still on every board: late, but never lost. Without JavaScript all steps are written at once.
"""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from core.doors import person_of
from core.errors import AppError
from core.flash import flash
from shop.kitchen.queries import CHANNELS, columns_of
from shop.orders import actions
from shop.orders.models import Order
from shop.orders.queries import orders_for_board
from shop.people.doors import cafeteria_page
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
    said = ""
    if Order.objects.filter(pk=order_id, status=before).exists():
        try:
            _move(request, order_id, after)
        except AppError as error:
            said = error.translated()
    else:
        said = _("Somebody has moved that order already.")
    return _answer(request, said)


def _move(request: HttpRequest, order_id: int, after: str) -> None:
    person = person_of(request)
    if after == Order.Status.CANCELLED:
        actions.cancel_order(order_id=order_id, actor=person)
    else:
        actions.change_status(order_id=order_id, status=after, actor=person)


def _answer(request: HttpRequest, said: str) -> HttpResponse:
    if not getattr(request, "htmx", None):
        if said:
            flash(request, said, "info")
        channel = _channel(request)
        return redirect(reverse("board") + (f"?channel={channel}" if channel != "all" else ""))
    response = render(request, "shop/staff/board_state.html", _context(request))
    if said:
        response["HX-Trigger"] = json.dumps({"toast": {"text": said, "kind": "info"}})
    return response


def _context(request: HttpRequest) -> dict[str, Any]:
    channel = _channel(request)
    return {"columns": columns_of(orders_for_board(), channel), "channel": channel, "channels": CHANNELS.items()}


def _channel(request: HttpRequest) -> str:
    wanted = request.POST.get("channel") or request.GET.get("channel", "")
    return wanted if wanted in CHANNELS else "all"


def _tag(request: HttpRequest) -> str:
    tenant = current_tenant()
    return f'"{tenant.generation}.{read_pulse(tenant).orders}.{_channel(request)}.{get_language()}"'
