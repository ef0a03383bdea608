"""The tracking page, at an address that only its customer knows, where an order is paid too; and a person's own orders."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from core.doors import open_page, person_of
from core.errors import AppError
from core.flash import flash
from core.money import as_text
from payments.ledger.errors import AmountNotDue, NotConnected, NothingDue, OrderIsCancelled
from payments.reconciliation.actions import look_for_buyer
from shop.checkout.actions import add_line, pay_online
from shop.checkout.errors import CartFull
from shop.checkout.queries import CartLine, groups_amiss, return_url, unit_price_of
from shop.checkout.views import SEE_OTHER, go_and_pay
from shop.menu.queries import current_menu
from shop.orders import actions
from shop.orders.errors import CannotCancelPaid
from shop.orders.models import Order
from shop.orders.payments.actions import take_now
from shop.orders.queries import OPEN, order_by_secret, orders_visible_to
from shop.people.doors import cafeteria_page
from shop.storefront.tracking.queries import headline_of, money_of, payment_to_look_at, steps_of
from tenants.errors import StaleTenant
from tenants.pulse import read_pulse
from tenants.refs import TenantRef
from tenants.scope import current_tenant, request_scope

PAGE = 20


@require_safe
@cafeteria_page(access="anyone")
def track(request: HttpRequest, secret: str) -> HttpResponse:
    tag = _tag(request)  # First: the order is then at least as new.
    context = _context(request, order_by_secret(secret)) | {"tag": tag}
    return _kept_secret(render(request, "shop/storefront/track.html", context))


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
        context = _context(request, order_by_secret(secret)) | {"part": True}
        response = render(request, "shop/storefront/track_state.html", context)
    response["ETag"] = tag
    return response


@require_safe
@cafeteria_page(access="anyone", scope=False)
def come_back(request: HttpRequest, secret: str) -> HttpResponse:
    """Where Mercado Pago sends the buyer back to. What the address claims counts for nothing: Mercado Pago is asked, now and then."""
    with request_scope(request):
        payment = payment_to_look_at(order_by_secret(secret))
    if payment is not None:
        look_for_buyer(payment)
    return _kept_secret(redirect(f"{reverse('track', args=[secret])}?back=1"))


@require_POST
@cafeteria_page(access="anyone", scope=False)
def pay(request: HttpRequest, secret: str) -> HttpResponse:
    """On to Mercado Pago, for what is due on the order."""
    host: str = request.comanda_host  # type: ignore[attr-defined]
    try:
        with request_scope(request):
            payment = pay_online(secret=secret, return_url=return_url(host, secret), caller=getattr(request, "person", None))
    except NothingDue:
        return redirect("track", secret=secret)
    except (NotConnected, OrderIsCancelled, AmountNotDue) as error:
        flash(request, error.translated(), "bad")
        return redirect("track", secret=secret)
    response = go_and_pay(payment, secret)
    if response.status_code != SEE_OTHER:
        flash(request, _("Mercado Pago could not be opened. Nothing is lost: try again in a minute."), "bad")
    return response


@require_POST
@cafeteria_page(access="anyone")
def pay_at_counter(request: HttpRequest, secret: str) -> HttpResponse:
    order = order_by_secret(secret)
    if order.pay_by is not None:
        take_now(order_id=order.pk)
        flash(request, _("The cafeteria has your order. You pay at the counter."))
    return redirect("track", secret=secret)


@require_POST
@cafeteria_page(access="anyone")
def cancel_order(request: HttpRequest, secret: str) -> HttpResponse:
    """Whoever holds the secret may cancel while nobody has taken the order up. What was paid online goes back by itself."""
    order = order_by_secret(secret)
    try:
        actions.cancel_order(order_id=order.pk, actor=None)
    except CannotCancelPaid:
        flash(request, _("You paid at the counter: cancel it there, where they give you the money back."), "bad")
    except AppError:
        flash(request, _("The cafeteria has already started with it. Ask at the counter."), "bad")
    else:
        paid = order.paid > 0
        flash(request, _("The order is cancelled. Your money is on its way back.") if paid else _("The order is cancelled."))
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


def _context(request: HttpRequest, order: Order) -> dict[str, Any]:
    came_back = request.GET.get("back") == "1"
    money = money_of(order, came_back=came_back)
    return {
        "order": order,
        "money": money,
        "came_back": came_back,
        "headline": headline_of(order, money),
        "steps": steps_of(order),
        "is_open": order.status in OPEN,
        "is_live": order.status in OPEN or money.is_moving,
        "can_cancel": order.status == Order.Status.PENDING and not money.at_till,
    }


def _kept_secret(response: HttpResponse) -> HttpResponse:
    """The address is the key: no search engine and no other site should learn of it."""
    response["X-Robots-Tag"] = "noindex"
    response["Referrer-Policy"] = "same-origin"
    return response


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
