"""GET /products from memory: always as fresh as the database, whoever changed it and however the change ended."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from shop.menu import actions, queries
from shop.menu.data import ChoiceDraft, OptionDraft
from shop.menu.models import Category, Choice, OptionGroup, Product
from tenants import routing
from tenants.actions import close_cafeteria, suspend_cafeteria, update_cafeteria
from tenants.scope import tenant_scope
from tests.world import Place, World

PRODUCTS = "/api/v1/products"
BREAD = OptionDraft(name="Pan", minimum=0, maximum=1, choices=(ChoiceDraft(name="Negro"),))
CSV = "category,name,description,price,stock,tags,allergens,options\n"

# In an order in which each shows.
CHANGES: dict[str, Callable[[Place], object]] = {
    "create_product": lambda place: actions.create_product(name="Nuevo", category="Otra", price=Decimal(5)),
    "update_product": lambda place: actions.update_product(product_id=place.coffee, price=Decimal("1.50")),
    "options": lambda place: actions.update_product(product_id=place.coffee, options=[BREAD]),
    "no options": lambda place: actions.update_product(product_id=place.latte, options=[]),
    "set_availability": lambda place: actions.set_availability(product_id=place.coffee, available=False),
    "set_stock": lambda place: actions.set_stock(product_id=place.coffee, stock=3),
    "reorder_products": lambda place: actions.reorder_products(product_ids=[place.latte]),
    "reorder_categories": lambda _: actions.reorder_categories(category_ids=[Category.objects.get(name="Otra").pk]),
    "rename_category": lambda _: actions.rename_category(category_id=500, name="Para beber"),
    "use_picture": lambda place: actions.use_picture(product_id=place.coffee, digest="0" * 64),
    "remove_picture": lambda place: actions.remove_picture(product_id=place.coffee),
    "import_menu": lambda _: actions.import_menu(raw=(CSV + "Otra,Nuevo,,6,,,,").encode()),
    "archive_product": lambda place: actions.archive_product(product_id=place.coffee),
}


def get(place: Place, **headers: str) -> tuple[int, bytes, str]:
    response = place.client().get(PRODUCTS, headers=headers)
    return response.status_code, response.content, response["ETag"]


def test_every_change_is_seen_at_once(committed_world: World) -> None:
    place = committed_world.a
    neighbour = get(committed_world.b)
    for name, change in CHANGES.items():
        before = get(place)
        with tenant_scope(place.ref):
            change(place)
        after = get(place)
        assert after[1] != before[1], name
        assert after[2] != before[2], name
    assert get(committed_world.b) == neighbour


def test_the_body_is_served_from_memory_with_one_query(committed_world: World) -> None:
    place = committed_world.a
    get(place)
    with CaptureQueriesContext(connection) as queries_made:
        assert get(place)[0] == 200
    assert [query["sql"].split()[:2] for query in queries_made] == [["EXECUTE", '"read_pulse"']]


@pytest.mark.parametrize("count", [3, 300])
def test_building_it_costs_the_same_queries_whatever_its_size(committed_world: World, count: int) -> None:
    place = committed_world.a
    with tenant_scope(place.ref):
        Product.objects.bulk_create(Product(category_id=500, name=f"P{n}", price=n) for n in range(count - 3))
        products = Product.objects.all()
        groups = OptionGroup.objects.bulk_create(OptionGroup(product=product, name="G") for product in products)
        Choice.objects.bulk_create(Choice(group=group, name="C") for group in groups)
    with CaptureQueriesContext(connection) as queries_made:
        body = place.client().get(PRODUCTS).json()
    assert len(body) == count
    assert len(queries_made) == 6  # host, pulse, BEGIN, scope, menu, COMMIT


def test_an_unchanged_menu_is_not_sent_again(committed_world: World) -> None:
    place = committed_world.a
    status, body, etag = get(place)
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        assert get(place, if_none_match=known) == (304, b"", etag)
    assert get(place, if_none_match='"other"') == (status, body, etag)
    response = place.client().get(PRODUCTS)
    assert (response["Cache-Control"], response["Content-Type"]) == ("no-cache", "application/json")
    assert committed_world.b.client().get(PRODUCTS, headers={"if-none-match": etag}).status_code == 200
    with tenant_scope(place.ref):
        actions.set_stock(product_id=place.cake, stock=19)
    assert get(place, if_none_match=etag)[0] == 200
    with tenant_scope(place.ref):
        actions.set_stock(product_id=place.cake, stock=20)
    assert get(place, if_none_match=etag)[0] == 304  # the same menu again, though of another version


def test_a_change_that_is_rolled_back_leaves_nothing_in_memory(committed_world: World) -> None:
    place = committed_world.a
    before = get(place)
    with tenant_scope(place.ref) as ref:
        with transaction.atomic():
            actions.set_stock(product_id=place.cake, stock=1)
            assert queries.current_menu(ref).products[1]["stock"] == 1
            transaction.set_rollback(True)
        assert queries.current_menu(ref).products[1]["stock"] == 20
    assert get(place) == before
    with tenant_scope(place.ref):
        actions.set_stock(product_id=place.cake, stock=2)  # commits under the version that was rolled back
    assert [product["stock"] for product in place.client().get(PRODUCTS).json()] == [None, 2, None]


def test_a_body_never_carries_a_version_newer_than_itself(committed_world: World) -> None:
    place = committed_world.a
    stop = threading.Event()
    stale: list[tuple[int, int | None]] = []

    def read() -> None:
        try:
            while not stop.is_set():
                least = known[0]
                stock = queries.current_menu(place.ref).products[1]["stock"]
                if stock is None or stock < least:
                    stale.append((least, stock))
        finally:
            connection.close()

    known = [0]
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for stock in range(100, 160):
        with tenant_scope(place.ref):
            actions.set_stock(product_id=place.cake, stock=stock)
        known[0] = stock
    stop.set()
    for thread in threads:
        thread.join(30)
    assert stale == []


def test_a_stale_reference_is_looked_up_again(committed_world: World) -> None:
    place = committed_world.a
    get(place)
    update_cafeteria(cafeteria_id=place.ref.id, currency="CLP")
    put_stale(place)
    assert place.client().get(PRODUCTS).json()[1]["price"] == "2501"
    suspend_cafeteria(cafeteria_id=place.ref.id)
    put_stale(place)
    response = place.client().get(PRODUCTS)
    assert (response.status_code, response.json()["code"]) == (503, "cafeteria_suspended")
    close_cafeteria(cafeteria_id=place.ref.id)
    put_stale(place)
    response = place.client().get(PRODUCTS)
    assert (response.status_code, response.json()["code"]) == (404, "cafeteria_not_found")


def put_stale(place: Place) -> None:
    """As another process still has it, which no change here has reached."""
    host = place.host.split(":")[0]
    routing._cache[host] = (time.monotonic() + 30, place.ref)


def test_empty_categories_and_archived_products_are_not_on_sale(committed_world: World) -> None:
    place = committed_world.a
    with tenant_scope(place.ref) as ref:
        actions.create_category(name="Vacía")
        actions.archive_product(product_id=place.cake)
        menu = queries.current_menu(ref)
        assert [category["name"] for category in menu.categories] == [f"Bebidas {place.canary}"]
        assert [product["id"] for product in menu.categories[0]["products"]] == [place.coffee, place.latte]
    assert queries.products_payload(place.ref) == menu.products


def test_an_empty_menu_is_an_empty_list(committed_world: World) -> None:
    place = committed_world.a
    with tenant_scope(place.ref):
        for product_id in (place.coffee, place.cake, place.latte):
            actions.archive_product(product_id=product_id)
    assert place.client().get(PRODUCTS).json() == []
