from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from django.db.models import Max

from shop.menu.categories.actions import categories_named, check_room, menu_change
from shop.menu.data import ProductFields
from shop.menu.imports.forms import MenuRow, read_menu, write_menu
from shop.menu.models import Product
from shop.menu.options.actions import drafts_of, replace_options
from shop.menu.products.actions import columns
from tenants.scope import current_tenant

type Result = Literal["created", "updated", "unchanged"]

BATCH = 500
UPDATED = ["description", "price", "stock", "tags", "allergens", "updated_at"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedRow:
    line: int
    name: str
    result: Result


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuImported:
    rows: tuple[ImportedRow, ...]  # in the file's order

    def count(self, result: Result) -> int:
        return sum(row.result == result for row in self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    row: MenuRow
    product: Product
    is_new: bool


def import_menu(*, raw: bytes) -> MenuImported:
    """Makes and changes products after a file (shop.menu.imports.forms), all or nothing: MenuFileRefused names every bad cell. MenuFull.

    A product is known by its category and name. What the file does not say stays: products that are not in it, pictures, the order of
    known products and what is switched off. The number of statements does not grow with the file.
    """
    rows = read_menu(raw, currency=current_tenant().currency)
    with menu_change():
        entries = _entries(rows)
        changed = {entry.product.pk for entry in entries if not entry.is_new and _apply(entry.product, entry.row.product)}
        _create([entry for entry in entries if entry.is_new])
        _update([entry.product for entry in entries if entry.product.pk in changed])
        changed |= replace_options({entry.product.pk: entry.row.product["options"] for entry in entries})
        check_room()
    return MenuImported(rows=tuple(_report(entry, changed) for entry in entries))


def export_menu() -> str:
    """The menu in the same format, in its order. Importing it changes nothing."""
    tenant = current_tenant()
    products = list(
        Product.objects.select_related("category").filter(archived_at=None).order_by("category__position", "category_id", "position", "id")
    )
    options = drafts_of(products)
    return write_menu(
        (
            ProductFields(
                category=product.category.name,
                name=product.name,
                description=product.description,
                price=product.price,
                stock=product.stock,
                tags=product.tags,
                allergens=product.allergens,
                options=options[product.pk],
            )
            for product in products
        ),
        currency=tenant.currency,
    )


def _entries(rows: Sequence[MenuRow]) -> list[_Entry]:
    """Each row with its product, those that are there locked all at once and in the order of their ids, as orders do."""
    products = Product.objects.select_related("category").select_for_update(of=("self",), no_key=True)
    known = {(product.category.name, product.name): product for product in products.filter(archived_at=None).order_by("id")}
    entries = []
    for row in rows:
        product = known.get((row.product["category"], row.product["name"]))
        entries.append(_Entry(row=row, product=product or Product(**columns(row.product)), is_new=product is None))
    return entries


def _apply(product: Product, wanted: ProductFields) -> bool:
    """Whether that changed anything."""
    changes = {name: value for name, value in columns(wanted).items() if getattr(product, name) != value}
    for name, value in changes.items():
        setattr(product, name, value)
    return bool(changes)


def _create(entries: Sequence[_Entry]) -> None:
    """At the end of their categories, in the file's order."""
    categories = categories_named(entry.row.product["category"] for entry in entries)
    ends = dict(Product.objects.values_list("category_id").annotate(end=Max("position")))
    for entry in entries:
        category = categories[entry.row.product["category"]]
        entry.product.category = category
        entry.product.position = ends[category.pk] = ends.get(category.pk, 0) + 1
    Product.objects.bulk_create([entry.product for entry in entries], batch_size=BATCH)


def _update(products: Sequence[Product]) -> None:
    # Much quicker than bulk_update. They are there, and locked: each is a conflict.
    Product.objects.bulk_create(products, BATCH, update_conflicts=True, update_fields=UPDATED, unique_fields=["id"])


def _report(entry: _Entry, changed: set[int]) -> ImportedRow:
    result: Result = "created" if entry.is_new else "updated" if entry.product.pk in changed else "unchanged"
    return ImportedRow(line=entry.row.line, name=entry.row.product["name"], result=result)
