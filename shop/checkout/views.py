"""The cart and the checkout: one page, in the cart's own form. Every button works without JavaScript; htmx makes them quick."""

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from core.errors import AppError, IdempotencyConflict
from core.identity.callers import Caller
from core.money import as_text
from payments.ledger.errors import NotConnected, NothingDue, OrderIsCancelled
from payments.ledger.models import Payment
from payments.sellers.queries import accepts_online
from shop.checkout.actions import as_new_lines, checkout_address, empty_cart, pay_online, place_cart, set_quantities
from shop.checkout.errors import CartHasProblems, TotalChanged
from shop.checkout.forms import (
    ONLINE,
    OTHER_TIP,
    PICKUP,
    REMEMBERED,
    TABLE,
    TIP_PERCENTS,
    CheckoutForm,
    as_remembered,
    pickup_times,
    tip_amount,
)
from shop.checkout.queries import PLACED_KEY, TABLE_KEY, PricedCart, price_cart, read_cart, return_url
from shop.menu.queries import current_menu
from shop.orders.data import NewOrder, PlacedOrder
from shop.orders.errors import InvalidPickupTime, InvalidTip, OrderNotFound
from shop.people.doors import cafeteria_page
from tenants.scope import current_tenant, request_scope

log = structlog.get_logger()
DETAILS_KEY = "checkout"
SEE_OTHER = 303
FIELD_OF_ERROR: dict[type[AppError], str] = {InvalidPickupTime: "when", InvalidTip: "tip_other"}


def cart_now(request: HttpRequest) -> PricedCart:
    """The request's cart by the menu of this moment."""
    tenant = current_tenant()
    return price_cart(read_cart(request.session), current_menu(tenant), tenant.currency)


@require_safe
@cafeteria_page(access="anyone")
def cart(request: HttpRequest) -> HttpResponse:
    return _page(request, _empty_form(request), cart_now(request))


@require_POST
@cafeteria_page(access="anyone")
def cart_update(request: HttpRequest) -> HttpResponse:
    """Any button of the cart but the one that orders: quantities, remove, tip. What else the form holds is kept."""
    request.session[DETAILS_KEY] = as_remembered(request.POST)
    set_quantities(session=request.session, quantities=_quantities(request))
    if not getattr(request, "htmx", None):
        return HttpResponseRedirect(request.path.removesuffix("/update"))
    cart = cart_now(request)
    if not cart.lines:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "shop/checkout/lines.html", _context(request, _empty_form(request), cart) | {"part": True})


@require_POST
@cafeteria_page(access="anyone", scope=False)
def place_order(request: HttpRequest) -> HttpResponse:
    """Order and payment begin together or not at all; Mercado Pago is asked afterwards, with no scope open."""
    key = request.POST.get("key", "")[:64] or uuid4().hex
    if not read_cart(request.session):
        return _after_a_double_tap(request, key)
    request.session[DETAILS_KEY] = as_remembered(request.POST)
    try:
        with request_scope(request):
            placed = _place(request, key)
            payment = _begin_payment(request, placed.secret, is_new=not placed.replayed) if placed is not None else None
    except AppError as error:
        return _refused(request, key, error)
    if placed is None:
        return _refused(request, key)
    empty_cart(session=request.session)
    _keep_for_the_next_time(request)
    request.session[PLACED_KEY] = [key, placed.secret, placed.number]
    return go_and_pay(payment, placed.secret)


def go_and_pay(payment: Payment | None, secret: str) -> HttpResponse:
    """To Mercado Pago; to the order's own page when nothing is to be paid there, or when Mercado Pago does not open."""
    if payment is not None:
        try:
            response = HttpResponseRedirect(checkout_address(payment))
        except AppError as error:  # The order is there and waits, and its page says so.
            log.warning("checkout_not_opened", payment=str(payment.pk), code=error.code)
        else:
            response.status_code = SEE_OTHER
            return response
    return redirect("track", secret=secret)


def _place(request: HttpRequest, key: str) -> PlacedOrder | None:
    """The placed order, or None when the form has errors. Raises whatever else stands in the way."""
    form, cart = _form(request), cart_now(request)
    if not form.is_valid():
        return None
    if cart.has_problem:
        raise CartHasProblems
    if _seen(request) != cart.subtotal:
        raise TotalChanged
    data = form.cleaned_data
    order = NewOrder(
        lines=as_new_lines([line.line for line in cart.lines]),
        notes=data["notes"],
        pickup_at=data["when"],
        table=form.order_table,
        tip=tip_amount(data["tip"], data.get("tip_other"), cart.subtotal, current_tenant().currency),
        guest=None if _is_customer(request) else form.order_guest,
    )
    return place_cart(order=order, expected=cart.subtotal, caller=_person(request), key=key)


def _begin_payment(request: HttpRequest, secret: str, *, is_new: bool) -> Payment | None:
    """The payment at Mercado Pago, when that was chosen and there is something to be paid. In the scope.

    Raises NotConnected for a new order, which then should not be placed.
    """
    if request.POST.get("pay") != ONLINE or _is_staff(request):
        return None
    host: str = request.comanda_host  # type: ignore[attr-defined]
    try:
        return pay_online(secret=secret, return_url=return_url(host, secret), caller=_person(request), is_new=is_new)
    except (NothingDue, OrderIsCancelled):  # A free order; or the second tap came after the first one's payment.
        return None
    except NotConnected:
        if is_new:
            raise
        return None


def _after_a_double_tap(request: HttpRequest, key: str) -> HttpResponse:
    """The same key: the same order, and on to the same checkout."""
    placed = request.session.get(PLACED_KEY)
    if not placed or placed[0] != key:
        return redirect("cart")
    payment = None
    with suppress(OrderNotFound), request_scope(request):
        payment = _begin_payment(request, placed[1], is_new=False)
    return go_and_pay(payment, placed[1])


def _refused(request: HttpRequest, key: str, error: AppError | None = None) -> HttpResponse:
    """The page again, with what is wrong and all that was written. From a scope of its own: what was done in the other one is undone."""
    with request_scope(request):
        form = _form(request)
        if error is not None:
            form.add_error(FIELD_OF_ERROR.get(type(error)), error.translated())
        if isinstance(error, NotConnected):
            form.add_error(None, _("Nothing was ordered yet: place the order to pay at the counter."))
        # The key's order exists already: what is in the cart now is another one.
        fresh = isinstance(error, IdempotencyConflict)
        return _page(request, form, cart_now(request), key="" if fresh else key, status=422)


def _page(request: HttpRequest, form: CheckoutForm, cart: PricedCart, *, key: str = "", status: int = 200) -> HttpResponse:
    context = _context(request, form, cart) | {"key": key or uuid4().hex}
    return render(request, "shop/checkout/cart.html", context, status=status)


def _context(request: HttpRequest, form: CheckoutForm, cart: PricedCart) -> dict[str, Any]:
    tenant = current_tenant()
    values = {name: form[name].value() or "" for name in REMEMBERED}
    other = form.cleaned_data.get("tip_other") if form.is_bound and hasattr(form, "cleaned_data") else _decimal(values["tip_other"])
    tip = tip_amount(values["tip"], other, cart.subtotal, tenant.currency)
    total = cart.subtotal + tip
    return {
        "cart": cart,
        "form": form,
        "values": values,
        "tip": tip,
        "total": total,
        "pays_online": total > 0 and not _is_staff(request) and accepts_online(tenant.uuid),
        "tips": [(str(percent), tip_amount(str(percent), None, cart.subtotal, tenant.currency)) for percent in TIP_PERCENTS],
        "other_tip": OTHER_TIP,
        "focus": {next(iter(form.errors), ""): True},  # on the first field that is wrong
        "seen": as_text(cart.subtotal, tenant.currency),
        "times": [("", _("As soon as possible")), *pickup_times(tenant)],
    }


def _form(request: HttpRequest) -> CheckoutForm:
    return CheckoutForm(request.POST, tenant=current_tenant(), signed_in=_is_customer(request))


def _empty_form(request: HttpRequest) -> CheckoutForm:
    table = request.session.get(TABLE_KEY, "")
    initial = {"where": TABLE if table else PICKUP, "table": table, "tip": "0", **request.session.get(DETAILS_KEY, {})}
    return CheckoutForm(tenant=current_tenant(), signed_in=_is_customer(request), initial=initial)


def _person(request: HttpRequest) -> Caller | None:
    return getattr(request, "person", None)


def _is_customer(request: HttpRequest) -> bool:
    """Whether the order is of the person who is signed in. The staff orders for others, and is asked for whom."""
    person = _person(request)
    return person is not None and not person.is_staff


def _is_staff(request: HttpRequest) -> bool:
    """Whether somebody at the counter orders for another: that is paid there."""
    person = _person(request)
    return person is not None and person.is_staff


def _keep_for_the_next_time(request: HttpRequest) -> None:
    """Who ordered and how they pay stays known to this browser; what was said of this one order does not."""
    details = request.session.get(DETAILS_KEY, {})
    request.session[DETAILS_KEY] = {name: details[name] for name in ("name", "contact", "pay") if name in details}


def _quantities(request: HttpRequest) -> dict[int, int]:
    """By place in the cart: the numbers in the fields, then what the pressed button does to one of them."""
    found: dict[int, int] = {}
    for index in range(len(read_cart(request.session))):
        written = request.POST.get(f"q{index}", "")
        if written.isascii() and written.isdigit():
            found[index] = int(written[:4])
    for button, step in (("more", 1), ("less", -1), ("remove", None)):
        pressed = request.POST.get(button, "")
        if pressed.isascii() and pressed.isdigit() and int(pressed) in found:
            found[int(pressed)] = 0 if step is None else found[int(pressed)] + step
    return found


def _seen(request: HttpRequest) -> Decimal | None:
    return _decimal(request.POST.get("seen", ""))


def _decimal(written: str) -> Decimal | None:
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
