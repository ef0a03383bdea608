"""The menu and its products."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from core.design.formats import style_for_scripts
from core.errors import AppError
from core.flash import flash
from core.money import as_text, quantize
from shop.checkout.actions import add_line
from shop.checkout.queries import (
    MOST_OF_A_LINE,
    PLACED_KEY,
    SESSION_KEY,
    TABLE_KEY,
    CartLine,
    PricedCart,
    chosen,
    groups_amiss,
    price_cart,
    read_cart,
    unit_price_of,
)
from shop.menu.data import OptionData, ProductData
from shop.menu.queries import MenuSnapshot, current_menu
from shop.people.doors import cafeteria_page
from shop.storefront.queries import anchor_of, default_choices, found_body, menu_body, product_of
from tenants.scope import current_tenant

NOTES_LENGTH = 140


@require_safe
@cafeteria_page(access="anyone")
def menu(request: HttpRequest) -> HttpResponse:
    _remember_table(request)
    snapshot = current_menu(current_tenant())
    context = {
        "body": _body(snapshot, " ".join(request.GET.get("q", "").replace("\x00", "").split())[:60]),
        "cart": _priced(request, snapshot),
        "table": request.session.get(TABLE_KEY, ""),
        "placed": request.session.get(PLACED_KEY),
    }
    return render(request, "shop/storefront/menu.html", context)


@require_safe
@cafeteria_page(access="anyone")
def product(request: HttpRequest, product_id: int) -> HttpResponse:
    snapshot = current_menu(current_tenant())
    found = product_of(snapshot, product_id)
    return _product_page(request, snapshot, found, choices=default_choices(found))


@require_POST
@cafeteria_page(access="anyone")
def cart_add(request: HttpRequest, product_id: int) -> HttpResponse:
    """Puts a product into the cart. What is wrong is said beside its group; in a sheet, the answer is that sheet."""
    snapshot = current_menu(current_tenant())
    found = product_of(snapshot, product_id)
    choices = _posted_choices(request)
    quantity = _posted_quantity(request)
    notes = " ".join(request.POST.get("notes", "").replace("\x00", "").split())[:NOTES_LENGTH]
    problems = groups_amiss(found, choices)
    if not problems and _can_be_had(found):
        tenant = current_tenant()
        seen = as_text(quantize(unit_price_of(found, choices), tenant.currency), tenant.currency)
        in_order = tuple(choice["id"] for choice in chosen(found, choices))
        line = CartLine(product_id=product_id, quantity=quantity, choices=in_order, notes=notes, seen=seen)
        try:
            add_line(session=request.session, line=line)
        except AppError as error:
            problems = {0: error.translated()}
        else:
            return _added(request, snapshot, found, quantity)
    return _product_page(request, snapshot, found, choices=choices, quantity=quantity, notes=notes, problems=problems, status=422)


@require_safe
@cafeteria_page(access="anyone")
def cart_bar(request: HttpRequest) -> HttpResponse:
    """The bar alone, for a menu that the browser has kept while the cart changed."""
    return render(request, "shop/storefront/cart_bar.html", {"cart": _priced(request, current_menu(current_tenant()))})


def _added(request: HttpRequest, snapshot: MenuSnapshot, found: ProductData, quantity: int) -> HttpResponse:
    words = ngettext("{name} is in your order.", "{count} of {name} are in your order.", quantity)
    said = words.format(name=found["name"], count=quantity)
    if getattr(request, "htmx", None):
        response = render(request, "shop/storefront/cart_bar.html", {"cart": _priced(request, snapshot), "oob": True})
        response["HX-Reswap"] = "none"
        response["HX-Trigger"] = json.dumps({"close-sheet": True, "toast": {"text": said, "kind": "good"}})
        return response
    flash(request, said)
    return HttpResponseRedirect(_place_on_menu(snapshot, found))


def _product_page(
    request: HttpRequest,
    snapshot: MenuSnapshot,
    found: ProductData,
    *,
    choices: set[int],
    quantity: int = 1,
    notes: str = "",
    problems: dict[int, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    tenant = current_tenant()
    price = unit_price_of(found, choices)
    in_sheet = bool(request.headers.get("X-Sheet") or getattr(request, "htmx", None))
    context = {
        "product": found,
        "close": _place_on_menu(snapshot, found),
        "groups": [_group(group, choices, (problems or {}).get(group["id"], "")) for group in found["options"]],
        "problem": (problems or {}).get(0, ""),
        "quantity": quantity,
        "most": min(MOST_OF_A_LINE, found["stock"]) if found["stock"] is not None else MOST_OF_A_LINE,
        "notes": notes,
        "notes_length": NOTES_LENGTH,
        "amount": price * quantity,
        "can_be_had": _can_be_had(found),
        "money_style": style_for_scripts(tenant.currency),
        "in_sheet": in_sheet,
        "cart": None if in_sheet else _priced(request, snapshot),
    }
    return render(request, "shop/storefront/product_sheet.html" if in_sheet else "shop/storefront/product.html", context, status=status)


def _group(group: OptionData, choices: set[int], problem: Any) -> dict[str, Any]:
    picked = [{**choice, "checked": choice["id"] in choices} for choice in group["choices"]]
    return {**group, "one": group["max"] == 1, "choices": picked, "none_checked": not any(c["checked"] for c in picked), "problem": problem}


def _place_on_menu(snapshot: MenuSnapshot, found: ProductData) -> str:
    return f"{reverse('menu')}#{anchor_of(snapshot, found['category'])}"


def _can_be_had(found: ProductData) -> bool:
    return bool(found["available"]) and found["stock"] != 0


def _body(snapshot: MenuSnapshot, wanted: str) -> str:
    if not snapshot.products:
        return ""
    return found_body(snapshot, wanted) if wanted else menu_body(snapshot)


def _priced(request: HttpRequest, snapshot: MenuSnapshot) -> PricedCart | None:
    """The cart for the bar; None without one, so that a page without cart reads no session."""
    if SESSION_KEY not in request.session:
        return None
    return price_cart(read_cart(request.session), snapshot, current_tenant().currency)


def _remember_table(request: HttpRequest) -> None:
    """A QR code on a table leads to /?table=5."""
    table = " ".join(request.GET.get("table", "").replace("\x00", "").split())[:40]
    if table:
        request.session[TABLE_KEY] = table


def _posted_choices(request: HttpRequest) -> set[int]:
    written = [value for name in request.POST for value in request.POST.getlist(name) if name.startswith("group-")]
    return {int(value) for value in written if value.isascii() and value.isdigit() and len(value) < 19}


def _posted_quantity(request: HttpRequest) -> int:
    written = request.POST.get("quantity", "1")
    return max(1, min(int(written), MOST_OF_A_LINE)) if written.isascii() and written.isdigit() and len(written) < 6 else 1
