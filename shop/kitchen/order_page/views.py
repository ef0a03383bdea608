"""The staff's page of one order, what can be done to it there, and the search for an order of any day.

Each thing that asks for a decision is a page of its own, which JavaScript opens as a sheet over the board or the order: so all of it
works without. `back` says where it was opened from.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from core.design.formats import format_money, style_for_scripts
from core.doors import person_of
from core.errors import AppError
from core.flash import Kind, flash
from core.money import DECIMALS, as_text
from payments.ledger.errors import PaymentNotFound
from payments.ledger.models import Refund
from shop.kitchen.actions import step_order, take_payment
from shop.kitchen.errors import FormUsed, NotPaid
from shop.kitchen.order_page.actions import Outcome, send_written, write_refund
from shop.kitchen.order_page.forms import PART, REST, CashForm, FindForm, RefundForm, round_amounts
from shop.kitchen.order_page.queries import PAGE, PaymentView, history_of, money_of_order, order_for_staff, orders_found, payment_of_order
from shop.kitchen.queries import STEPS, badge_of, by_hand, due_of, going_back, is_unpaid, money_of, name_of, waits
from shop.kitchen.views import takes_money, told_of_cancelling
from shop.orders.models import Order
from shop.orders.queries import OPEN
from shop.people.doors import RULES, cafeteria_page
from tenants.scope import current_tenant, request_scope

Status = Order.Status
CHANGED = "orders-changed"  # tells shop/till.js to ask for what stands below the sheet at once
MOST_GIVEN = Decimal(10) ** 10


# --- The order -----------------------------------------------------------------------------------------------------------------


@require_safe
@cafeteria_page(access="staff")
def staff_order(request: HttpRequest, order_id: int) -> HttpResponse:
    return render(request, "shop/staff/order/page.html", _about(request, order_for_staff(order_id)))


@require_safe
@cafeteria_page(access="staff")
def staff_order_state(request: HttpRequest, order_id: int) -> HttpResponse:
    """The page's moving part, or 304 while nothing that it shows has changed."""
    about = _about(request, order_for_staff(order_id))
    if about["tag"] in request.headers.get("If-None-Match", ""):
        return HttpResponseNotModified()
    response = render(request, "shop/staff/order/state.html", about)
    response["ETag"] = about["tag"]
    return response


@require_POST
@cafeteria_page(access="staff")
def order_move(request: HttpRequest, order_id: int) -> HttpResponse:
    """The order's next step, from its page or from the sheet that asked about its money."""
    asked = bool(request.POST.get("unpaid"))
    try:
        step_order(
            order_id=order_id,
            before=request.POST.get("from", ""),
            after=request.POST.get("to", ""),
            actor=person_of(request),
            unpaid=asked,
        )
    except NotPaid:
        ask = _with_back(reverse("order_hand_over", args=[order_id]), _back(request))
        return HttpResponseClientRedirect(ask) if getattr(request, "htmx", None) else redirect(ask)
    except AppError as error:
        return _done(request, order_id, error.translated(), "info")
    return _done(request, order_id, "", "good")


@require_safe
@cafeteria_page(access="staff")
def order_hand_over(request: HttpRequest, order_id: int) -> HttpResponse:
    """Asks what to do about an order that is ready and not paid."""
    order = order_for_staff(order_id)
    context = {"step": STEPS[Status.READY], "ready": order.status == Status.READY, "unpaid": is_unpaid(order), "due": due_of(order)}
    return _sheet(request, "hand_over", order, context)


@require_http_methods(["GET", "HEAD", "POST"])
@cafeteria_page(access="staff")
def order_cancel(request: HttpRequest, order_id: int) -> HttpResponse:
    """Asks, and says what becomes of the money; then cancels."""
    order = order_for_staff(order_id)
    if request.method == "POST":
        said = told_of_cancelling(order_id) or (_("Order {number} is cancelled.").format(number=order.number), "good")
        try:
            step_order(order_id=order_id, before=request.POST.get("from", ""), after=Status.CANCELLED, actor=person_of(request))
        except AppError as error:
            said = error.translated(), "bad"
        return _done(request, order_id, *said)
    money = money_of_order(current_tenant().uuid, order)
    return _sheet(
        request, "cancel", order, {"can_cancel": order.status in OPEN, "back_words": going_back(money.going_back, order.currency)}
    )


# --- Money that comes ------------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@cafeteria_page(access="cashier")
def order_take(request: HttpRequest, order_id: int) -> HttpResponse:
    """Takes what is due, in cash or on the cafeteria's own terminal. Every button but the last two only counts the change."""
    order = order_for_staff(order_id)
    do = request.POST.get("do", "")
    if do not in {"cash", "card"}:
        typed = request.POST.get("quick") or request.POST.get("given", "")
        return _take_page(request, order, CashForm({"given": typed}, **_due(order)) if typed else None)
    form = CashForm(request.POST if do == "cash" else {}, **_due(order))
    if due_of(order) and not form.is_valid():  # Nothing is due for a second tap, which gets the first one's answer.
        return _take_page(request, order, form, status=422)
    seen, key = _decimal(request.POST.get("due", "")) or Decimal(0), request.POST.get("key", "")[:64]
    try:
        payment = take_payment(order_id=order.pk, method=do, seen=seen, key=f"{do}-{key}" if key else "", actor=person_of(request))
    except AppError as error:
        fresh = order_for_staff(order_id)
        return _take_page(request, fresh, form, problem=error.translated(), status=422)
    given = _decimal(request.POST.get("given", "")) if do == "cash" else None
    if getattr(request, "htmx", None):
        return _taken_page(request, order_for_staff(order_id), payment.method, payment.amount, given)
    address = reverse("order_taken", args=[order.pk, payment.pk])
    return redirect(_with_back(address, _back(request)) + (f"&given={given}" if given is not None else ""))


@require_safe
@cafeteria_page(access="cashier")
def order_taken(request: HttpRequest, order_id: int, payment_id: UUID) -> HttpResponse:
    """What was taken, and the change to give."""
    order = order_for_staff(order_id)
    view = payment_of_order(money_of_order(current_tenant().uuid, order), payment_id)
    if view is None:
        raise PaymentNotFound
    return _taken_page(request, order, view.payment.method, view.payment.amount, _decimal(request.GET.get("given", "")))


def _due(order: Order) -> dict[str, Any]:
    return {"due": due_of(order), "currency": order.currency}


def _take_page(request: HttpRequest, order: Order, form: CashForm | None, *, problem: str = "", status: int = 200) -> HttpResponse:
    due = due_of(order)
    valid = form is not None and form.is_valid()
    change = form.cleaned_data["given"] - due if form is not None and valid else None
    context = {
        "due": due,
        "due_text": as_text(due, order.currency),
        "key": request.POST.get("key", "")[:64] or uuid4().hex,
        "problem": problem,
        "given": form["given"].value() if form is not None else "",
        "error": form.errors["given"][0] if form is not None and not valid else "",
        "change": change,
        "exact": as_text(due, order.currency),
        "quick": [(as_text(amount, order.currency), amount) for amount in round_amounts(due, order.currency)] if due else [],
        "step": f"0.{'0' * (DECIMALS[order.currency] - 1)}1" if DECIMALS[order.currency] else "1",
        "money_style": style_for_scripts(order.currency),
        "waits": waits(order),
        "review": order.payment_status == Order.PaymentStatus.REVIEW,
    }
    return _sheet(request, "take", order, context, status=status)


def _taken_page(request: HttpRequest, order: Order, method: str, amount: Decimal, given: Decimal | None) -> HttpResponse:
    change = given - amount if method == "cash" and given is not None and given > amount else None
    context = {"method": method, "amount": amount, "given": given, "change": change, "step": STEPS.get(Status(order.status))}
    return _sheet(request, "taken", order, context, headers={"HX-Trigger-After-Swap": CHANGED})


# --- Money that goes back ----------------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@cafeteria_page(access="manager", scope=False)
def order_refund(request: HttpRequest, order_id: int, payment_id: UUID) -> HttpResponse:
    """Asks how much, asks whether to, writes it down in the cafeteria's scope, and sends it outside of it."""
    with request_scope(request):
        order = order_for_staff(order_id)
        view = payment_of_order(money_of_order(current_tenant().uuid, order), payment_id)
        if view is None:
            raise PaymentNotFound
        written = _write(request, order, view) if request.method == "POST" else _refund_page(request, order, view, None)
        if isinstance(written, HttpResponse):
            return written
    amount = format_money(sum((refund.amount for refund in written), Decimal(0)), order.currency)
    ended, why = send_written(written)
    said, kind = _said_of(ended)
    return _done(request, order_id, said.format(amount=amount, reason=why), kind)


def _write(request: HttpRequest, order: Order, view: PaymentView) -> HttpResponse | list[Refund]:
    """The refunds of a request that was confirmed, else the page that asks further."""
    form, key = RefundForm(request.POST, left=view.left, currency=order.currency), request.POST.get("key", "")[:64]
    if not request.POST.get("sure"):
        if not form.is_valid():
            return _refund_page(request, order, view, form, status=422)
        return _refund_page(request, order, view, form, confirm=form.wanted)
    amount = _decimal(request.POST.get("wanted", "")) or Decimal(0)
    try:
        return write_refund(payment=view.payment, amount=amount, key=key, actor=person_of(request))
    except FormUsed as error:
        return _refund_page(request, order, view, None, problem=error.translated(), status=422)
    except AppError as error:
        return _refund_page(request, order, view, form, problem=error.translated(), status=422)


def _refund_page(
    request: HttpRequest,
    order: Order,
    view: PaymentView,
    form: RefundForm | None,
    *,
    confirm: Decimal | None = None,
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    bound = form if form is not None else RefundForm(left=view.left, currency=order.currency)
    context = {
        "view": view,
        "key": (request.POST.get("key", "")[:64] if form is not None else "") or uuid4().hex,
        "which": bound["which"].value() or REST,
        "amount": bound["amount"].value() or "",
        "rest_choice": REST,
        "part_choice": PART,
        "error": bound.errors["amount"][0] if "amount" in bound.errors else "",
        "confirm": confirm,
        "confirm_text": as_text(confirm, order.currency) if confirm is not None else "",
        "confirm_words": going_back({view.payment.method: confirm}, order.currency) if confirm is not None else [],
        "problem": problem,
        "step": f"0.{'0' * (DECIMALS[order.currency] - 1)}1" if DECIMALS[order.currency] else "1",
    }
    return _sheet(request, "refund", order, context, status=status)


def _said_of(ended: Outcome) -> tuple[str, Kind]:
    said: dict[Outcome, tuple[str, Kind]] = {
        "till": (_("Give {amount} back from the till. It is written down."), "bad"),
        "card": (_("Give {amount} back on the card terminal. It is written down."), "bad"),
        "sent": (_("{amount} has gone back through Mercado Pago."), "good"),
        "in_process": (_("Mercado Pago has taken it up: {amount} is going back."), "good"),
        "unavailable": (
            _("{amount} is written down to go back. Mercado Pago does not answer at the moment: it will be sent by itself."),
            "info",
        ),
        "unconnected": (
            _("{amount} is written down to go back, but Mercado Pago refuses the connection. The owner has to connect the account again."),
            "bad",
        ),
        "refused": (_("Mercado Pago refused to give {amount} back: {reason}"), "bad"),
    }
    return said[ended]


# --- Any order -------------------------------------------------------------------------------------------------------------------


@require_safe
@cafeteria_page(access="staff")
def staff_orders(request: HttpRequest) -> HttpResponse:
    """Orders of any day, newest first, by what is known of them."""
    form = FindForm(request.GET)
    form.is_valid()
    asked, before = form.cleaned_data, request.GET.get("before", "")
    orders = orders_found(
        words=asked.get("q", ""),
        day=asked.get("day"),
        status=asked.get("status", ""),
        payment=asked.get("payment", ""),
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
    )
    page = orders[:PAGE]
    money = money_of(current_tenant().uuid, page)
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "rows": [(order, name_of(order), badge_of(order, money.get(order.secret, {}))) for order in page],
        "more": page[-1].pk if len(orders) > PAGE else None,
        "query": query.urlencode(),
        "narrowed": any(query.values()),
        "values": {name: request.GET.get(name, "") for name in form.fields},
        "errors": form.errors,
        "statuses": form.fields["status"].choices,  # type: ignore[attr-defined]
        "payments": form.fields["payment"].choices,  # type: ignore[attr-defined]
    }
    return render(request, "shop/staff/orders.html", context)


# --- What they share -----------------------------------------------------------------------------------------------------------------


def _about(request: HttpRequest, order: Order) -> dict[str, Any]:
    tenant, person = current_tenant(), person_of(request)
    money = money_of_order(tenant.uuid, order)
    by_method = money_of(tenant.uuid, [order]).get(order.secret, {})
    step = STEPS.get(Status(order.status))
    facts = (tenant.generation, order.updated_at.timestamp(), money.fingerprint, get_language(), person.role)
    return {
        "order": order,
        "name": name_of(order),
        "money": money,
        "badge": badge_of(order, by_method),
        "history": history_of(order, money),
        "due": due_of(order),
        "unpaid": is_unpaid(order),
        "waits": waits(order),
        "step": step,
        "asks": step is not None and step.to == Status.COMPLETED and is_unpaid(order),
        "is_open": order.status in OPEN,
        "takes_money": takes_money(person),
        "refunds": RULES["manager"](person),
        "by_hand": by_hand(money.going_back),
        "tag": f'"{".".join(map(str, facts))}"',
    }


def _sheet(
    request: HttpRequest, name: str, order: Order, context: dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    """The page of a decision, or its sheet alone, which htmx puts in the place of the one that was sent."""
    content = f"shop/staff/order/{name}.html"
    in_sheet = bool(getattr(request, "htmx", None)) or "X-Sheet" in request.headers
    about = {
        "order": order,
        "content": content,
        "in_sheet": in_sheet,
        "back": _back(request),
        "close": _back_address(request, order.pk),
        "takes_money": takes_money(person_of(request)),
        **context,
    }
    response = render(request, content if getattr(request, "htmx", None) else "shop/staff/order/sheet.html", about, status=status)
    for header, value in (headers or {}).items():
        response[header] = value
    return response


def _done(request: HttpRequest, order_id: int, said: str, kind: Kind) -> HttpResponse:
    """Back to where it was begun: the sheet closes and what is below is read again, or that page is shown."""
    if not getattr(request, "htmx", None):
        if said:
            flash(request, said, kind)
        return redirect(_back_address(request, order_id))
    toast = {"toast": {"text": said, "kind": kind}} if said else {}
    return HttpResponse(status=204, headers={"HX-Trigger": json.dumps({"close-sheet": True, CHANGED: True, **toast})})


def _back(request: HttpRequest) -> str:
    wanted = request.POST.get("back") or request.GET.get("back", "")
    return "board" if wanted == "board" else "order"


def _back_address(request: HttpRequest, order_id: int) -> str:
    return reverse("board") if _back(request) == "board" else reverse("staff_order", args=[order_id])


def _with_back(address: str, back: str) -> str:
    return f"{address}?back={back}"


def _decimal(written: str) -> Decimal | None:
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < MOST_GIVEN else None
