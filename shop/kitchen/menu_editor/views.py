"""The staff's menu page: what is sold out, how much there is, what it costs; the menu as a file; and the pause for orders from the site."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from core.doors import person_of
from core.errors import AppError, NotAllowed
from core.flash import flash
from core.money import DECIMALS
from shop.menu import actions
from shop.menu.errors import FieldProblem, InvalidProduct
from shop.menu.forms import read_amount, read_stock
from shop.menu.imports.errors import BadRow, MenuFileRefused, NoFile
from shop.menu.queries import categories_on_the_menu, current_menu, product_data
from shop.people.doors import cafeteria_page
from tenants.actions import update_cafeteria
from tenants.scope import current_tenant

FIELDS = ("category", "name", "price", "stock", "description")


@require_safe
@cafeteria_page(access="staff")
def menu_editor(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@cafeteria_page(access="staff")
def product_change(request: HttpRequest, product_id: int) -> HttpResponse:
    """Sold out or not, and the stock, for all the staff; the price for managers."""
    wrong: dict[str, Any] = {}
    try:
        _change(request, product_id)
    except (InvalidProduct, FieldProblem) as error:
        wrong = {"product_id": product_id, "problem": error.translated(), "typed": request.POST}
    if getattr(request, "htmx", None):
        context = _about_editing(request) | {"product": product_data(product_id), "wrong": wrong, "saved": not wrong}
        return render(request, "shop/staff/menu_row.html", context)
    if wrong:
        return _page(request, wrong=wrong, status=422)
    return redirect(f"{reverse('menu_editor')}#product-{product_id}")


@require_POST
@cafeteria_page(access="manager")
def product_add(request: HttpRequest) -> HttpResponse:
    values = {name: request.POST.get(name, "").strip() for name in FIELDS}
    try:
        actions.create_product(
            category=values["category"],
            name=values["name"],
            description=values["description"],
            price=read_amount(values["price"]),
            stock=read_stock(values["stock"]),
        )
    except AppError as error:
        return _page(request, new=values, new_errors=_by_field(error), status=422)
    flash(request, _("{name} is on the menu.").format(name=values["name"]))
    return redirect("menu_editor")


@require_POST
@cafeteria_page(access="manager")
def menu_import(request: HttpRequest) -> HttpResponse:
    """All rows or none. Each bad cell is shown with its line and column."""
    file = request.FILES.get("file")
    if file is None or (file.size or 0) > settings.MENU_CSV_MAX_BYTES:
        problem = NoFile(limit=settings.MENU_CSV_MAX_BYTES // 1024)
        return _page(request, bad_rows=[BadRow(line=0, problem=problem)], status=422)
    try:
        report = actions.import_menu(raw=file.read())
    except MenuFileRefused as refused:
        return _page(request, bad_rows=refused.rows, status=422)
    except AppError as error:
        return _page(request, bad_rows=[BadRow(line=0, problem=error)], status=422)
    counts = {result: report.count(result) for result in ("created", "updated", "unchanged")}
    flash(request, _("Imported: {created} new, {updated} changed, {unchanged} as they were.").format(**counts))
    return redirect("menu_editor")


@require_safe
@cafeteria_page(access="manager")
def menu_export(request: HttpRequest) -> HttpResponse:
    file_name = f"menu-{current_tenant().slug}.csv"
    response = HttpResponse(actions.export_menu(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


@require_POST
@cafeteria_page(access="manager", scope=False)
def orders_pause(request: HttpRequest) -> HttpResponse:
    """The pause switch. Orders of the staff still go through."""
    accepts = request.POST.get("accepts") == "yes"
    update_cafeteria(cafeteria_id=request.tenant.id, accepts_orders=accepts)  # type: ignore[attr-defined]
    flash(request, _("The site takes orders again.") if accepts else _("Orders from the site are paused."))
    return redirect("menu_editor")


def _change(request: HttpRequest, product_id: int) -> None:
    post = request.POST
    if "available" in post:
        actions.set_availability(product_id=product_id, available=post["available"] == "yes")
        return
    stock = read_stock(post.get("stock", "").strip())
    if "price" not in post:
        actions.set_stock(product_id=product_id, stock=stock)
    elif person_of(request).is_manager:
        actions.update_product(product_id=product_id, price=read_amount(post["price"].strip()), stock=stock)
    else:
        raise NotAllowed


def _page(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {
        "categories": current_menu(current_tenant()).categories,
        "category_names": [category["name"] for category in categories_on_the_menu()],
        "new": {},
        "bad_rows": [],
    }
    return render(request, "shop/staff/menu.html", _about_editing(request) | context | more, status=status)


def _about_editing(request: HttpRequest) -> dict[str, Any]:
    decimals = DECIMALS[current_tenant().currency]
    return {"manages": person_of(request).is_manager, "price_step": "0.01" if decimals else "1"}


def _by_field(error: AppError) -> dict[str, str]:
    if isinstance(error, InvalidProduct):
        return {problem.field or "name": problem.translated() for problem in error.problems}
    if isinstance(error, FieldProblem):
        return {error.field or "price": error.translated()}
    return {"name": error.translated()}
