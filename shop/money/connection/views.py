"""The owner's page about the cafeteria's account at Mercado Pago: connect, see how it stands, disconnect. Managers may look."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from core.doors import person_of
from core.errors import AppError
from core.flash import flash
from payments.gateway.application import is_set_up
from payments.sellers.actions import begin_connection, disconnect_seller, finish_connection
from payments.sellers.queries import accepts_online, active_seller
from shop.people.doors import cafeteria_page
from tenants.refs import TenantRef


@require_safe
@cafeteria_page(access="manager")
def payments_connection(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/money/connection.html", _about(request))


@require_POST
@cafeteria_page(access="owner", scope=False)
def payments_connect(request: HttpRequest) -> HttpResponse:
    """Sends the owner to Mercado Pago, who sends them back to payments_connected."""
    try:
        return HttpResponseRedirect(begin_connection(cafeteria_uuid=_cafeteria(request).uuid, person=person_of(request)))
    except AppError as error:
        flash(request, error.translated(), "bad")
        return redirect("payments_connection")


@never_cache
@require_safe
@cafeteria_page(access="owner", scope=False)
def payments_connected(request: HttpRequest) -> HttpResponse:
    """Back from Mercado Pago. What is in the address is of use once, to the person who began."""
    code = request.GET.get("code", "")
    if not code:
        flash(request, _("Nothing was connected: Mercado Pago was not given permission."), "info")
        return redirect("payments_connection")
    try:
        seller = finish_connection(
            cafeteria_uuid=_cafeteria(request).uuid, state=request.GET.get("state", ""), code=code, person=person_of(request)
        )
    except AppError as error:
        flash(request, error.translated(), "bad")
    else:
        flash(request, _("{name} is connected.").format(name=seller.nickname or seller.mp_user_id))
    return redirect("payments_connection")


@require_safe
@cafeteria_page(access="owner")
def payments_leave(request: HttpRequest) -> HttpResponse:
    """Asks whether to disconnect, and says what follows."""
    about = _about(request)
    if about["seller"] is None:
        return redirect("payments_connection")
    return render(request, "shop/money/disconnect.html", about)


@require_POST
@cafeteria_page(access="owner", scope=False)
def payments_disconnect(request: HttpRequest) -> HttpResponse:
    try:
        disconnect_seller(cafeteria_uuid=_cafeteria(request).uuid, person=person_of(request))
    except AppError as error:
        flash(request, error.translated(), "bad")
    else:
        flash(request, _("The account is disconnected. Your site takes no payments online."), "info")
    return redirect("payments_connection")


def _about(request: HttpRequest) -> dict[str, Any]:
    cafeteria = _cafeteria(request)
    seller = active_seller(cafeteria.uuid)
    return {
        "tab": "connection",
        "seller": seller,
        "paused": seller is not None and seller.status == seller.Status.CONNECTED and seller.is_locked,
        "works": accepts_online(cafeteria.uuid),
        "owns": person_of(request).role == "owner",
        "is_set_up": is_set_up(),
        "fee_percent": settings.PLATFORM_FEE_PERCENT.normalize() if settings.PLATFORM_FEE_PERCENT else None,
    }


def _cafeteria(request: HttpRequest) -> TenantRef:
    ref: TenantRef = request.tenant  # type: ignore[attr-defined]
    return ref
