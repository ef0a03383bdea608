"""What is on sale, as customers see it: built by one statement, kept in the process under the version that every change bumps."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import orjson
from django.db import connection, transaction
from django.http import HttpRequest

from core.cache import BoundedCache
from core.money import DECIMALS
from shop.menu.data import CategoryData, ProductData
from shop.menu.errors import ProductNotFound
from shop.menu.models import Category
from tenants import routing
from tenants.errors import CafeteriaNotFound, StaleTenant
from tenants.pulse import read_pulse
from tenants.refs import TenantRef
from tenants.scope import current_tenant, tenant_scope

# `only` narrows it to one product, with the same shape.
STATEMENT = """WITH live AS (
        SELECT g.* FROM shop_optiongroup g JOIN shop_product p ON p.id = g.product_id WHERE p.archived_at IS NULL {only}),
    choices AS (
        SELECT group_id, json_agg(json_build_object('id', id, 'name', name,
            'price_delta', round(price_delta, %(decimals)s)::text, 'available', is_available) ORDER BY position, id) AS list
        FROM shop_choice WHERE group_id IN (SELECT id FROM live) GROUP BY group_id),
    options AS (
        SELECT g.product_id, json_agg(json_build_object('id', g.id, 'name', g.name, 'min', g.minimum, 'max', g.maximum,
            'choices', coalesce(c.list, '[]'::json)) ORDER BY g.position, g.id) AS list
        FROM live g LEFT JOIN choices c ON c.group_id = g.id GROUP BY g.product_id)
    SELECT c.id, c.name, json_build_object('id', p.id, 'name', p.name, 'description', p.description, 'category', c.name,
        'price', round(p.price, %(decimals)s)::text, 'stock', p.stock, 'available', p.is_available,
        'options', coalesce(o.list, '[]'::json), 'tags', to_json(p.tags), 'allergens', to_json(p.allergens),
        'image', '/media/' || nullif(p.image, '') || '-400.webp')::text
    FROM shop_product p JOIN shop_category c ON c.id = p.category_id LEFT JOIN options o ON o.product_id = p.id
    WHERE p.archived_at IS NULL {only} ORDER BY c.position, c.id, p.position, p.id"""
MENU = STATEMENT.format(only="")
ONE = STATEMENT.format(only="AND p.id = %(product)s")

ATTEMPTS = 3  # A cafeteria may change between two looks at it, hardly more often.
LARGEST_ID = 2**63 - 1
# The parsed products take about seven times the bytes of their JSON (measured with tracemalloc).
SIZE_OF_A_BYTE = 8

type Stamp = tuple[int, int, str]  # generation, version, currency


@dataclass(frozen=True, kw_only=True, slots=True)
class MenuSnapshot:
    """What is on sale, in the menu's order. Shared by all threads: never change what it holds."""

    stamp: Stamp
    products: list[ProductData]
    categories: list[CategoryData]  # those with products
    body: bytes  # the products in JSON
    etag: str  # with its quotes; another one whenever the body is another one


_cache: BoundedCache[int, MenuSnapshot] = BoundedCache(most_bytes=32 * 1024 * 1024, most_entries=2_000)


def menu_snapshot(ref: TenantRef, version: int) -> MenuSnapshot:
    """The menu of `version` (tenants.pulse.read_pulse, read before) or of a newer one. No query when it is in memory.

    Opens a scope by itself when it has to build. Raises what tenant_scope raises.
    """
    stamp = (ref.generation, version, ref.currency)
    known = _cache.get(ref.id)
    if known is not None and known.stamp == stamp:
        return known
    with tenant_scope(ref):
        snapshot = _build(stamp)
        # After the commit: inside a change that is rolled back later, the version and the data are ones that never were.
        keep = partial(_cache.put, ref.id, snapshot, size=len(snapshot.body) * SIZE_OF_A_BYTE)
        transaction.on_commit(keep)
    return snapshot


def current_menu(ref: TenantRef) -> MenuSnapshot:
    """The menu of this moment: one query when it is in memory. Raises StaleTenant, CafeteriaSuspended, CafeteriaNotFound."""
    return menu_snapshot(ref, read_pulse(ref).menu)


def menu_for_request(request: HttpRequest) -> MenuSnapshot:
    """The menu of the request's host, without a scope unless it has to be built. `request.tenant` is current afterwards.

    Raises CafeteriaSuspended, CafeteriaNotFound.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(StaleTenant):
            return current_menu(request.tenant)  # type: ignore[attr-defined]
        _look_up_again(request)
    return current_menu(request.tenant)  # type: ignore[attr-defined]


def products_payload(ref: TenantRef) -> list[ProductData]:
    """What the cafeteria's GET /products answers. Needs no scope; raises as current_menu."""
    return current_menu(ref).products


def product_data(product_id: int) -> ProductData:
    """One product on sale, as the API answers it. Needs a scope. ProductNotFound."""
    rows = _rows(ONE, currency=current_tenant().currency, product=product_id) if 0 < product_id <= LARGEST_ID else []
    if not rows:
        raise ProductNotFound
    product: ProductData = orjson.loads(rows[0][2])
    return product


def categories_on_the_menu() -> list[dict[str, Any]]:
    """All categories, those without products too, in the menu's order."""
    rows = Category.objects.filter(archived_at=None).order_by("position", "id").values("id", "name", "position")
    return [dict(row) for row in rows]


def _look_up_again(request: HttpRequest) -> None:
    routing.forget(request.tenant.id)  # type: ignore[attr-defined]
    found = routing.resolve(request.comanda_host)  # type: ignore[attr-defined]
    if found is None:
        raise CafeteriaNotFound
    request.tenant = found  # type: ignore[attr-defined]


def _build(stamp: Stamp) -> MenuSnapshot:
    rows = _rows(MENU, currency=stamp[2])
    products: list[ProductData] = orjson.loads("[" + ",".join(row[2] for row in rows) + "]")
    categories: list[CategoryData] = []
    for (category_id, name, _), product in zip(rows, products, strict=True):
        if not categories or categories[-1]["id"] != category_id:
            categories.append(CategoryData(id=category_id, name=name, products=[]))
        categories[-1]["products"].append(product)
    body = orjson.dumps(products)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return MenuSnapshot(stamp=stamp, products=products, categories=categories, body=body, etag=etag)


def _rows(sql: str, *, currency: str, product: int | None = None) -> Sequence[tuple[int, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, {"decimals": DECIMALS[currency], "product": product})
        return cast("Sequence[tuple[int, str, str]]", cursor.fetchall())
