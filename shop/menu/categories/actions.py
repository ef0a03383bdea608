from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from shop.menu.errors import CategoryNameTaken, CategoryNotEmpty, CategoryNotFound, MenuFull
from shop.menu.forms import MOST_CATEGORIES, MOST_PRODUCTS, clean_category_name
from shop.menu.models import Category
from tenants.pulse import bump_menu
from tenants.refs import TenantRef
from tenants.scope import current_tenant

TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('menu'), %s)"


@contextmanager
def menu_change() -> Iterator[TenantRef]:
    """The transaction of a change of the menu. Changes of one cafeteria take turns, and the last thing each does is bump the pulse.

    Taking turns, they need no order among their own locks. Orders are not held up: they meet them at rows of products only.
    """
    with transaction.atomic():
        tenant = current_tenant()
        with connection.cursor() as cursor:
            cursor.execute(TAKE_TURNS, [tenant.id])
        yield tenant
        bump_menu()


def create_category(*, name: str) -> Category:
    """An empty category at the end of the menu. One of that name that had left the menu comes back. CategoryNameTaken."""
    name = clean_category_name(name)
    with menu_change():
        if Category.objects.filter(name=name, archived_at=None).exists():
            raise CategoryNameTaken(name=name)
        return categories_named([name])[name]


def rename_category(*, category_id: int, name: str) -> Category:
    """CategoryNotFound, CategoryNameTaken."""
    name = clean_category_name(name)
    with menu_change():
        category = _category(category_id)
        namesake = Category.objects.filter(name=name).exclude(pk=category.pk).first()
        if namesake is not None and namesake.archived_at is None:
            raise CategoryNameTaken(name=name)
        if namesake is not None:
            # The name of one that has left the menu is free; its archived products come along.
            namesake.products.update(category=category)
            namesake.delete()
        category.name = name
        category.save(update_fields=["name"])
    return category


def reorder_categories(*, category_ids: Sequence[int]) -> None:
    """The menu shows the categories in this order; those that are not named follow in their present order. CategoryNotFound."""
    with menu_change():
        categories = {category.pk: category for category in Category.objects.filter(archived_at=None)}
        if not categories.keys() >= set(category_ids):
            raise CategoryNotFound
        wanted = dict.fromkeys([*category_ids, *categories])
        for position, category_id in enumerate(wanted, start=1):
            categories[category_id].position = position
        Category.objects.bulk_update(categories.values(), ["position"])


def delete_category(*, category_id: int) -> None:
    """Takes an empty category off the menu. CategoryNotEmpty while it has products that are not archived; CategoryNotFound."""
    with menu_change():
        category = _category(category_id)
        if category.products.filter(archived_at=None).exists():
            raise CategoryNotEmpty(name=category.name)
        if category.products.exists():
            category.archived_at = timezone.now()
            category.save(update_fields=["archived_at"])
        else:
            category.delete()


def categories_named(names: Iterable[str]) -> dict[str, Category]:
    """The categories of these clean names; those that are missing are made, at the end. Call inside menu_change. MenuFull."""
    names = list(dict.fromkeys(names))
    found = {category.name: category for category in Category.objects.filter(name__in=names)}
    end = Category.objects.aggregate(end=Max("position"))["end"] or 0
    for position, name in enumerate((name for name in names if name not in found or found[name].archived_at), start=end + 1):
        category = found.setdefault(name, Category(name=name))
        category.position, category.archived_at = position, None
        category.save()
    return found


def check_room() -> None:
    """MenuFull when the menu has become too large for one page and one file."""
    most = {"most": MOST_PRODUCTS, "most_categories": MOST_CATEGORIES}
    with connection.cursor() as cursor:
        cursor.execute(COUNT)
        products, categories = cursor.fetchone()
    if products > MOST_PRODUCTS or categories > MOST_CATEGORIES:
        raise MenuFull(**most)


COUNT = """SELECT (SELECT count(*) FROM shop_product WHERE archived_at IS NULL),
    (SELECT count(*) FROM shop_category WHERE archived_at IS NULL)"""


def _category(category_id: int) -> Category:
    category = Category.objects.filter(pk=category_id, archived_at=None).first()
    if category is None:
        raise CategoryNotFound
    return category
