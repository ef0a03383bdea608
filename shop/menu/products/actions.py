from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Unpack

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from shop.menu.categories.actions import categories_named, check_room, menu_change
from shop.menu.data import ProductDetails, ProductFields
from shop.menu.errors import ProductNameTaken, ProductNotFound
from shop.menu.forms import check_combinations, clean_product
from shop.menu.models import Category, Product
from shop.menu.options.actions import drafts_of, replace_options
from tenants.pulse import bump_menu
from tenants.scope import current_tenant

COLUMNS = {"available": "is_available"}  # Where a field and its column differ.


def create_product(*, name: str, category: str, price: Decimal, **details: Unpack[ProductDetails]) -> Product:
    """A product at the end of its category, which is made when there is none of that name. InvalidProduct, ProductNameTaken, MenuFull."""
    fields: ProductFields = {"name": name, "category": category, "price": price, **details}
    with menu_change() as tenant:
        clean = clean_product(fields, currency=tenant.currency)
        check_combinations(clean["price"], clean.get("options", ()), currency=tenant.currency)
        home = categories_named([clean["category"]])[clean["category"]]
        product = Product(category=home, position=end_of(home) + 1, **columns(clean))
        _check_name(product)
        product.save()
        replace_options({product.pk: clean.get("options", ())})
        check_room()
    return product


def update_product(*, product_id: int, **fields: Unpack[ProductFields]) -> Product:
    """Changes what is given and nothing else. `options` replaces them as a whole; those that keep their names keep their ids.

    In another category the product comes last. InvalidProduct, ProductNameTaken, ProductNotFound (archived ones too), MenuFull.
    """
    with menu_change() as tenant:
        product = _locked(product_id)
        clean = clean_product(fields, currency=tenant.currency)
        if "price" in clean or "options" in clean:
            options = clean["options"] if "options" in clean else drafts_of([product])[product.pk]
            check_combinations(clean.get("price", product.price), options, currency=tenant.currency)
        changes = columns(clean)
        if "category" in clean and clean["category"] != product.category.name:
            category = categories_named([clean["category"]])[clean["category"]]
            changes |= {"category": category, "position": end_of(category) + 1}
            check_room()
        _save(product, changes)
        if "options" in clean:
            replace_options({product.pk: clean["options"]})
    return product


def archive_product(*, product_id: int) -> None:
    """Takes the product off the menu for good; past orders keep it, and its name is free. ProductNotFound.

    Never erases it: an order that is being placed at this moment may have read it.
    """
    with menu_change():
        product = _locked(product_id)
        _write(product, {"archived_at": timezone.now()})


def set_availability(*, product_id: int, available: bool) -> Product:
    """The sold-out switch. Waits for no other change of the menu. ProductNotFound."""
    with transaction.atomic():
        product = _locked(product_id)
        _write(product, {"is_available": available})
        bump_menu()
    return product


def set_stock(*, product_id: int, stock: int | None) -> Product:
    """What there is now, orders so far included; None: no longer counted. Waits for no other change of the menu.

    InvalidProduct, ProductNotFound.
    """
    clean = clean_product({"stock": stock}, currency=current_tenant().currency)
    with transaction.atomic():
        product = _locked(product_id)
        _write(product, {"stock": clean["stock"]})
        bump_menu()
    return product


def reorder_products(*, product_ids: Sequence[int]) -> None:
    """These products, all of one category, are shown in this order; the category's others follow in their present order.

    ProductNotFound when one is not on the menu or of another category.
    """
    with menu_change():
        named = Product.objects.filter(pk__in=product_ids, archived_at=None)
        category_ids = set(named.values_list("category_id", flat=True))
        rows = Product.objects.select_for_update(no_key=True).filter(category__in=category_ids, archived_at=None).order_by("id")
        products = {product.pk: product for product in rows}
        if len(category_ids) > 1 or not products.keys() >= set(product_ids):
            raise ProductNotFound
        present = sorted(products.values(), key=lambda product: (product.position, product.pk))
        for position, product_id in enumerate(dict.fromkeys([*product_ids, *(product.pk for product in present)]), start=1):
            products[product_id].position = position
        Product.objects.bulk_update(products.values(), ["position"])


def columns(fields: ProductFields) -> dict[str, Any]:
    """The fields that are columns of the product itself, under the columns' names."""
    return {COLUMNS.get(name, name): value for name, value in fields.items() if name not in {"category", "options"}}


def end_of(category: Category) -> int:
    return Product.objects.filter(category=category).aggregate(end=Max("position"))["end"] or 0


def _locked(product_id: int) -> Product:
    product = Product.objects.select_for_update(no_key=True).filter(pk=product_id, archived_at=None).first()
    if product is None:
        raise ProductNotFound
    return product


def _save(product: Product, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(product, name, value)
    if changes.keys() & {"name", "category"}:
        _check_name(product)
    _write(product, changes)


def _write(product: Product, changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        setattr(product, name, value)
    product.save(update_fields=[*changes, "updated_at"])


def _check_name(product: Product) -> None:
    # Inside menu_change: nobody else can take the name before the commit.
    namesakes = Product.objects.filter(category=product.category, name=product.name, archived_at=None)
    if namesakes.exclude(pk=product.pk).exists():
        raise ProductNameTaken(category=product.category.name, name=product.name)
