from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from shop.menu.actions import create_product, set_availability, set_stock, update_product
from shop.menu.models import Category, Product
from shop.storefront import queries
from tenants.scope import tenant_scope
from tests.shop.pages import HTMX, fill_cart, pause, visitor
from tests.valkey import PASSWORD, Valkey, running_valkey
from tests.world import World


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    queries._drawn.clear()


def test_the_menu_shows_each_category_and_product_with_its_price(world: World) -> None:
    page = visitor(world.a).get("/").content.decode()
    assert f'<a class="chip" href="#c1">Bebidas {world.a.canary}</a>' in page
    assert page.count('<article class="product"') == 3
    assert "$\N{NO-BREAK SPACE}2.500,50" in page
    assert world.b.canary not in page


def test_what_is_sold_out_is_greyed_and_said(world: World) -> None:
    with tenant_scope(world.a.ref):
        set_availability(product_id=world.a.coffee, available=False)
        set_stock(product_id=world.a.cake, stock=0)
    page = visitor(world.a).get("/").content.decode()
    assert page.count("product product-gone") == 2
    assert page.count("Agotado") == 2


def test_the_menu_is_never_older_than_its_last_change(world: World) -> None:
    client = visitor(world.a)
    client.get("/")
    with tenant_scope(world.a.ref):
        update_product(product_id=world.a.coffee, price=Decimal(1100))
    assert "$\N{NO-BREAK SPACE}1.100" in client.get("/").content.decode()


@pytest.fixture
def shared_cache(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    with running_valkey(tmp_path) as valkey:
        place = {"BACKEND": "core.shared_cache.SharedCache", "LOCATION": valkey.url.replace("//", f"//:{PASSWORD}@")}
        settings.CACHES = {"default": place}
        yield valkey
        caches["default"].close()


def test_what_another_process_has_drawn_is_not_drawn_again(world: World, shared_cache: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Mock(wraps=queries._draw)
    monkeypatch.setattr(queries, "_draw", draw)
    pages, client = set(), visitor(world.a)
    for language in ("es", "es", "en", "en"):
        client.cookies["lang"] = language
        queries._drawn.clear()  # as in a process that was just started
        pages.add(client.get("/").content.decode().split('id="menu"')[1].split("</main>")[0])
    assert (draw.call_count, len(pages)) == (2, 2)
    queries._drawn.clear()
    assert world.a.canary not in visitor(world.b).get("/").content.decode()
    with tenant_scope(world.a.ref):
        update_product(product_id=world.a.coffee, price=Decimal(1100))
    assert "$\N{NO-BREAK SPACE}1.100" in visitor(world.a).get("/").content.decode()


def test_without_the_shared_cache_the_page_is_drawn(world: World, shared_cache: Valkey) -> None:
    page = visitor(world.a).get("/").content
    shared_cache.stop()
    queries._drawn.clear()
    again = visitor(world.a).get("/")
    assert (again.status_code, again.content.split(b'id="menu"')[1][:2000]) == (200, page.split(b'id="menu"')[1][:2000])


def test_the_menu_page_costs_the_same_queries_with_three_and_with_three_hundred_products(world: World) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            assert visitor(world.a).get("/").status_code == 200
        return len(found)

    few = queries()
    with tenant_scope(world.a.ref):
        for number in range(30):
            create_product(name=f"Factura {number}", category=f"Tanda {number % 10}", price=Decimal(100))
        category = Category.objects.get(name="Tanda 0")
        Product.objects.bulk_create(Product(category=category, name=f"Pan {number}", price=Decimal(100)) for number in range(267))
    assert queries() == few


def test_an_empty_menu_says_what_to_expect(world: World) -> None:
    with tenant_scope(world.a.ref):
        Product.objects.all().delete()
        Category.objects.all().delete()
        create_product(name="x", category="y", price=Decimal(1))
        Product.objects.all().delete()
    assert "El menú se está escribiendo" in visitor(world.a).get("/").content.decode()


def test_the_search_works_without_javascript_and_without_accents(world: World) -> None:
    page = visitor(world.a).get("/", {"q": "cafe canary"}).content.decode()
    assert page.count('<article class="product') == 1
    assert "Nada del menú coincide" in visitor(world.a).get("/", {"q": "zzz"}).content.decode()


def test_a_tables_qr_code_is_remembered(world: World) -> None:
    client = visitor(world.a)
    assert "Mesa 5" in client.get("/?table=5").content.decode()
    fill_cart(client, world.a)
    page = client.get("/cart")
    assert (page.context["values"]["where"], page.context["values"]["table"]) == ("table", "5")


def test_the_menu_follows_the_language(world: World) -> None:
    client = visitor(world.a)
    client.cookies["lang"] = "en"
    page = client.get("/").content.decode()
    assert '<html lang="en"' in page
    assert "Search the menu" in page
    assert "Buscar" not in page


def test_paused_orders_are_said_on_the_menu_and_the_product(world: World) -> None:
    pause(world.a)
    client = visitor(world.a)
    assert "en pausa" in client.get("/").content.decode()
    page = client.get(f"/p/{world.a.coffee}").content.decode()
    assert "en pausa" in page
    assert ">Agregar<" not in page


def test_the_cart_bar_counts_and_sums(world: World) -> None:
    client = visitor(world.a)
    assert 'id="cart-bar"' in client.get("/").content.decode()
    fill_cart(client, world.a, quantity=3)
    for address in ("/", "/cart/bar", f"/p/{world.a.cake}"):
        page = client.get(address).content.decode()
        assert '<span class="count" aria-hidden="true">3</span>' in page
        assert "$\N{NO-BREAK SPACE}3.000" in page


# --- A product ---------------------------------------------------------------------------------------------------------------


def test_a_product_has_a_page_with_its_required_choice_made(world: World) -> None:
    page = visitor(world.a).get(f"/p/{world.a.latte}")
    small, large = (choice for choice in page.context["groups"][0]["choices"])
    assert (small["checked"], large["checked"]) == (True, False)
    assert not any(choice["checked"] for choice in page.context["groups"][1]["choices"])
    assert "<header>" in page.content.decode()


def test_a_sheet_is_the_product_alone(world: World) -> None:
    page = visitor(world.a).get(f"/p/{world.a.latte}", headers={"X-Sheet": "1"}).content.decode()
    assert 'id="sheet-content"' in page
    assert "<header class" in page
    assert "<footer" not in page
    assert f'hx-post="/p/{world.a.latte}/add"' in page


@pytest.mark.parametrize("product_id", [1, 10**30])
def test_an_unknown_product_is_not_found(world: World, product_id: int) -> None:
    assert visitor(world.a).get(f"/p/{product_id}").status_code == 404


def test_adding_leads_back_to_the_products_place_on_the_menu(world: World) -> None:
    client = visitor(world.a)
    response = client.post(f"/p/{world.a.latte}/add", {"group-500": world.a.sizes[1], "group-501": world.a.milks, "quantity": 2})
    assert (response.status_code, response["Location"]) == (302, "/#c1")
    assert "ya están en el pedido" in client.get("/").content.decode()
    [line] = client.get("/cart").context["cart"].lines
    assert (line.unit_price, line.line.quantity, line.words) == (Decimal("1900.00"), 2, "Grande, Avena, Sin")


def test_adding_from_a_sheet_closes_it_and_counts_in_the_bar(world: World) -> None:
    client = visitor(world.a)
    response = client.post(f"/p/{world.a.coffee}/add", {"quantity": 1}, headers=HTMX)
    assert response["HX-Reswap"] == "none"
    assert '"close-sheet": true' in response["HX-Trigger"]
    assert 'hx-swap-oob="true"' in response.content.decode()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({}, "Hay que elegir una opción."),
        ({"group-500": [500, 501]}, "Hay que elegir una opción."),
        ({"group-500": 500, "group-501": [502, 503, 999]}, "Una opción ya no está en el menú."),
        ({"group-500": "x"}, "Hay que elegir una opción."),
    ],
)
def test_choices_that_do_not_fit_are_said_beside_their_group(world: World, chosen: dict[str, Any], said: str) -> None:
    client = visitor(world.a)
    for headers in ({}, HTMX):
        response = client.post(f"/p/{world.a.latte}/add", {"quantity": 3, "notes": "tibio", **chosen}, headers=headers)
        page = response.content.decode()
        assert response.status_code == 422
        assert said in page
        assert 'value="tibio"' in page  # The rest is kept.
        assert 'value="3"' in page
    assert client.get("/cart").context["cart"].lines == []


def test_what_is_sold_out_cannot_be_added(world: World) -> None:
    with tenant_scope(world.a.ref):
        set_availability(product_id=world.a.coffee, available=False)
    response = visitor(world.a).post(f"/p/{world.a.coffee}/add", {"quantity": 1})
    assert response.status_code == 422
    assert "Agotado por hoy." in response.content.decode()


def test_the_cart_is_bounded(world: World) -> None:
    client = visitor(world.a)
    statuses = [client.post(f"/p/{world.a.coffee}/add", {"quantity": 1, "notes": f"para {n}"}).status_code for n in range(40)]
    assert statuses[0] == 302
    assert statuses[-1] == 422
    assert 20 <= statuses.count(302) <= 30
    assert len(client.cookies["comanda"].value) < 3_800


def test_absurd_quantities_become_sensible_ones(world: World) -> None:
    client = visitor(world.a)
    for quantity in ("0", "-3", "abc", "99999999999999999999", "٣"):
        assert client.post(f"/p/{world.a.coffee}/add", {"quantity": quantity}).status_code == 302
    [line] = client.get("/cart").context["cart"].lines
    assert line.line.quantity == 5
