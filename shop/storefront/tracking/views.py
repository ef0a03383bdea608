"""The tracking page, at an address that only its customer knows; and a person's own orders."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from core.doors import open_page, person_of
from core.errors import AppError
from core.flash import flash
from core.money import as_text
from shop.checkout.actions import add_line
from shop.checkout.errors import CartFull
from shop.checkout.queries import CartLine, groups_amiss, unit_price_of
from shop.menu.queries import current_menu
from shop.orders import actions
from shop.orders.models import Order
from shop.orders.queries import OPEN, order_by_secret, orders_visible_to
from shop.people.doors import cafeteria_page
from shop.storefront.tracking.queries import HEADLINES, steps_of
from tenants.errors import StaleTenant
from tenants.pulse import read_pulse
from tenants.refs import TenantRef
from tenants.scope import current_tenant, request_scope

PAGE = 20


@require_safe
@cafeteria_page(access="anyone")
def track(request: HttpRequest, secret: str) -> HttpResponse:
    tag = _tag(request)  # First: the order is then at least as new.
    response = render(request, "shop/storefront/track.html", _context(order_by_secret(secret)) | {"tag": tag})
    response["X-Robots-Tag"] = "noindex"
    response["Referrer-Policy"] = "same-origin"  # The address is the key.
    return response


@require_safe
@open_page
def track_state(request: HttpRequest, secret: str) -> HttpResponse:
    """The moving part of the page. While no order of the cafeteria changes it costs one query and no scope."""
    try:
        if _tag(request) in request.headers.get("If-None-Match", ""):
            return HttpResponseNotModified()
    except StaleTenant:
        pass  # The scope below finds the fresh one.
    with request_scope(request):
        tag = _tag(request)
        response = render(request, "shop/storefront/track_state.html", _context(order_by_secret(secret)) | {"part": True})
    response["ETag"] = tag
    return response


@require_POST
@cafeteria_page(access="anyone")
def cancel_order(request: HttpRequest, secret: str) -> HttpResponse:
    """Whoever holds the secret may cancel while nobody has taken the order up."""
    order = order_by_secret(secret)
    try:
        actions.cancel_order(order_id=order.pk, actor=None)
    except AppError:
        flash(request, _("The cafeteria has already started with it. Ask at the counter."), "bad")
    else:
        flash(request, _("The order is cancelled."))
    return redirect("track", secret=secret)


@require_POST
@cafeteria_page(access="anyone")
def order_again(request: HttpRequest, secret: str) -> HttpResponse:
    """Puts what there still is of an order into the cart, at the present prices."""
    left_out = _refill(request, order_by_secret(secret))
    if left_out:
        words = ngettext("{names} is not on the menu today.", "{names} are not on the menu today.", len(left_out))
        flash(request, words.format(names=", ".join(left_out)), "info")
    return redirect("cart")


@require_safe
@cafeteria_page(access="customer")
def account_orders(request: HttpRequest) -> HttpResponse:
    before = request.GET.get("before", "")
    orders = orders_visible_to(person_of(request))
    if before.isascii() and before.isdigit() and len(before) < 19:
        orders = orders.filter(pk__lt=int(before))
    page = list(orders[: PAGE + 1])
    more = page[PAGE - 1].pk if len(page) > PAGE else None
    return render(request, "shop/storefront/account_orders.html", {"orders": page[:PAGE], "more": more, "open_states": OPEN})


def _context(order: Order) -> dict[str, Any]:
    return {
        "order": order,
        "headline": HEADLINES[order.status],
        "steps": steps_of(order),
        "is_open": order.status in OPEN,
        "can_cancel": order.status == Order.Status.PENDING,
    }


def _tag(request: HttpRequest) -> str:
    tenant: TenantRef = request.tenant  # type: ignore[attr-defined]
    return f'"{tenant.generation}.{read_pulse(tenant).orders}.{get_language()}"'


def _refill(request: HttpRequest, order: Order) -> list[str]:
    """The names of what could not be put into the cart."""
    products = {product["id"]: product for product in current_menu(current_tenant()).products}
    currency, left_out = current_tenant().currency, []
    for item in order.items.all():
        product = products.get(item.product_id)
        choices = tuple(choice["id"] for choice in item.choices if "id" in choice)
        if product is None or not product["available"] or product["stock"] == 0 or groups_amiss(product, choices):
            left_out.append(item.name)
            continue
        seen = as_text(unit_price_of(product, choices), currency)
        line = CartLine(product_id=item.product_id, quantity=item.quantity, choices=choices, notes=item.notes, seen=seen)
        try:
            add_line(session=request.session, line=line)
        except CartFull:
            left_out.append(item.name)
    return left_out
