"""Changes of one menu at the same time, by threads of their own connections: they take turns and none is lost."""

import threading
from collections.abc import Callable
from decimal import Decimal

from django.db import connection

from shop.menu import actions, queries
from shop.menu.errors import ProductNameTaken
from shop.menu.models import Category, Product
from tenants.pulse import read_pulse
from tenants.scope import tenant_scope
from tests.world import Place, World

HEADER = "category,name,description,price,stock,tags,allergens,options\n"


def all_at_once(place: Place, *works: Callable[[], object]) -> list[BaseException]:
    failures: list[BaseException] = []
    start = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            start.wait(30)
            with tenant_scope(place.ref):
                work()
        except Exception as error:  # noqa: BLE001 - the test looks at all of them
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return failures


def test_files_that_name_the_same_things_in_another_order_do_not_wait_for_one_another(committed_world: World) -> None:
    place = committed_world.a
    rows = [f"C{n % 7},P{n},,{n},,,,Size[0-1]: S=0\n" for n in range(60)]
    there, back = (HEADER + "".join(rows)).encode(), (HEADER + "".join(reversed(rows))).encode()
    before = read_pulse(place.ref).menu
    works = [lambda raw=raw: actions.import_menu(raw=raw) for raw in (there, back) * 3]
    assert all_at_once(place, *works) == []
    assert read_pulse(place.ref).menu == before + 6
    with tenant_scope(place.ref):
        assert (Product.objects.count(), Category.objects.count()) == (63, 8)


def test_a_name_is_given_to_one_of_those_who_ask_at_once(committed_world: World) -> None:
    place = committed_world.a
    works = [lambda: actions.create_product(name="Único", category="Nueva", price=Decimal(1))] * 6
    assert [type(failure) for failure in all_at_once(place, *works)] == [ProductNameTaken] * 5
    assert [product["name"] for product in queries.products_payload(place.ref)].count("Único") == 1


def test_a_change_keeps_what_another_changed_beside_it(committed_world: World) -> None:
    place = committed_world.a
    works: list[Callable[[], object]] = [
        lambda: actions.set_stock(product_id=place.cake, stock=7),
        lambda: actions.set_availability(product_id=place.cake, available=False),
        lambda: actions.update_product(product_id=place.cake, price=Decimal(99)),
        lambda: actions.update_product(product_id=place.cake, description="Nueva"),
        lambda: actions.use_picture(product_id=place.cake, digest="a" * 64),
    ]
    assert all_at_once(place, *works) == []
    [cake] = [product for product in queries.products_payload(place.ref) if product["id"] == place.cake]
    values = (cake["stock"], cake["available"], cake["price"], cake["description"], cake["image"])
    assert values == (7, False, "99.00", "Nueva", f"/media/{'a' * 64}-400.webp")
