from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shop.menu.actions import archive_product, set_availability, set_stock, update_product
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.shop.pages import HTMX, checkout, fill_cart, order_of, pause, visitor
from tests.world import World


def test_an_empty_cart_says_what_to_do(world: World) -> None:
    page = visitor(world.a).get("/cart").content.decode()
    assert "Todavía está vacío" in page
    assert "Hacer el pedido" not in page


def test_a_guest_orders_and_lands_on_the_tracking_page(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a, quantity=2)
    response = checkout(client, contact="+54 11 5555 1234", notes="Sin azúcar", tip="10")
    order = order_of(world.a)
    assert (response.status_code, response["Location"]) == (302, f"/o/{order.secret}")
    assert (order.guest_name, order.guest_phone, order.notes, order.table) == ("Ana", "+54 11 5555 1234", "Sin azúcar", "")
    assert (order.subtotal, order.tip, order.total) == (Decimal(2000), Decimal(200), Decimal(2200))
    assert client.get("/cart").context["cart"].lines == []


def test_a_customer_orders_in_their_own_name(world: World) -> None:
    client = visitor(world.a, "customer")
    fill_cart(client, world.a)
    assert checkout(client, name="").status_code == 302
    order = order_of(world.a)
    assert (order.customer_id, order.guest_name) == (world.a.people["customer"], "")


def test_the_staff_orders_for_somebody_at_the_counter(world: World) -> None:
    client = visitor(world.a, "cashier")
    fill_cart(client, world.a)
    assert checkout(client, name="Señora del perrito").status_code == 302
    order = order_of(world.a)
    assert (order.channel, order.customer_id, order.guest_name) == ("counter", None, "Señora del perrito")


def test_a_table_and_a_time_reach_the_order(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    when = client.get("/cart").context["times"][3][0]
    assert checkout(client, where="table", table="7", when=when).status_code == 302
    order = order_of(world.a)
    assert (order.table, order.pickup_at) == ("7", datetime.fromisoformat(when))


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({"name": " "}, "name", "Falta un nombre"),
        ({"contact": "ana@"}, "contact", "correo"),
        ({"contact": "llamame"}, "contact", "teléfono"),
        ({"where": "table", "table": ""}, "table", "número de la mesa"),
        ({"when": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, "when", "ya pasó"),
        ({"when": (datetime.now(UTC) + timedelta(days=30)).isoformat()}, "when", "La hora de retiro"),
        ({"when": "mañana"}, "when", "ya pasó"),
        ({"tip": "other", "tip_other": "abc"}, "tip_other", "números"),
        ({"tip": "other", "tip_other": "10.555"}, "tip_other", "fracción"),
        ({"tip": "other", "tip_other": "-4"}, "tip_other", ""),
        ({"tip": "other", "tip_other": "NaN"}, "tip_other", ""),
        ({"name": "A\x00na"}, "name", ""),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_the_rest_is_kept(world: World, wrong: dict[str, Any], field: str, said: str) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    response = checkout(client, notes="Bien caliente", **wrong)
    page = response.content.decode()
    assert response.status_code == 422
    assert said in " ".join(response.context["form"].errors[field])
    assert f'id="{field}-error"' in page
    assert "Bien caliente" in page
    assert len(response.context["cart"].lines) == 1
    with tenant_scope(world.a.ref):
        assert not Order.objects.exists()


def test_a_changed_price_is_shown_and_must_be_seen_before_it_is_ordered(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    seen = client.get("/cart").context["seen"]
    with tenant_scope(world.a.ref):
        update_product(product_id=world.a.coffee, price=Decimal(1200))
    refused = checkout(client, seen=seen)
    assert refused.status_code == 422
    assert "Un precio cambió" in refused.content.decode()
    [line] = refused.context["cart"].lines
    assert (line.was, line.unit_price) == (Decimal(1000), Decimal(1200))
    assert "<s>$\N{NO-BREAK SPACE}1.000</s>" in refused.content.decode()
    assert checkout(client).status_code == 302
    assert order_of(world.a).total == Decimal(1200)


@pytest.mark.parametrize("what", ["sold out", "no stock", "off the menu"])
def test_a_line_that_cannot_be_had_is_shown_and_stops_the_order(world: World, what: str) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    assert client.post(f"/p/{world.a.cake}/add", {"quantity": 3}).status_code == 302
    with tenant_scope(world.a.ref):
        if what == "sold out":
            set_availability(product_id=world.a.cake, available=False)
        elif what == "no stock":
            set_stock(product_id=world.a.cake, stock=2)
        else:
            archive_product(product_id=world.a.cake)
    response = checkout(client)
    assert response.status_code == 422
    said = {"sold out": "Agotado.", "no stock": "Solo quedan 2.", "off the menu": "Esto ya no está en el menú."}[what]
    assert said in response.content.decode()
    client.post("/cart/update", {"q0": "1", "q1": "3", "remove": "1"})
    assert checkout(client).status_code == 302
    assert order_of(world.a).total == Decimal(1000)


def test_a_double_tap_makes_one_order(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    page = client.get("/cart")
    fields = {"name": "Ana", "where": "pickup", "tip": "0", "key": page.context["key"], "seen": page.context["seen"]}
    cart = client.cookies["comanda"].value
    first = client.post("/cart/place", fields)
    after = client.cookies["comanda"].value
    client.cookies["comanda"] = cart  # The second tap left before the first answer came.
    second = client.post("/cart/place", fields)
    client.cookies["comanda"] = after
    third = client.post("/cart/place", fields)
    assert first["Location"] == second["Location"] == third["Location"] == f"/o/{order_of(world.a).secret}"


def test_another_cart_under_a_used_key_is_a_new_order_after_a_word(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    key = client.get("/cart").context["key"]
    assert checkout(client, key=key).status_code == 302
    fill_cart(client, world.a, quantity=2)
    refused = checkout(client, key=key)
    assert refused.status_code == 422
    assert refused.context["key"] != key
    assert checkout(client, key=refused.context["key"]).status_code == 302


def test_an_empty_cart_cannot_be_ordered(world: World) -> None:
    assert visitor(world.a).post("/cart/place", {"name": "Ana"})["Location"] == "/cart"


def test_while_orders_are_paused_the_cart_waits(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    pause(world.a)
    assert "Hacer el pedido" not in client.get("/cart").content.decode()
    refused = checkout(client)
    assert refused.status_code == 422
    assert "no está recibiendo pedidos" in refused.content.decode()
    assert len(client.get("/cart").context["cart"].lines) == 1


# --- The cart in place ---------------------------------------------------------------------------------------------------------


def test_quantities_change_with_and_without_htmx(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a, quantity=2)
    response = client.post("/cart/update", {"q0": "2", "more": "0", "name": "Ana"})
    assert (response.status_code, response["Location"]) == (302, "/cart")
    assert client.get("/cart").context["values"]["name"] == "Ana"  # What else was filled in is kept.
    part = client.post("/cart/update", {"q0": "3", "less": "0", "tip": "10"}, headers=HTMX)
    page = part.content.decode()
    assert "<html" not in page
    assert 'id="summary" hx-swap-oob="true"' in page
    assert "$\N{NO-BREAK SPACE}2.200" in page  # two coffees and a tip of a tenth
    assert client.post("/cart/update", {"q0": "0"}, headers=HTMX)["HX-Refresh"] == "true"
    assert client.get("/cart").context["cart"].lines == []


def test_nonsense_leaves_the_cart_as_it_is(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a, quantity=2)
    for nonsense in ({"q0": "-1"}, {"q0": "NaN"}, {"more": "17"}, {"remove": "x"}, {"q9": "3"}, {"notes": "\x00"}):
        assert client.post("/cart/update", nonsense).status_code == 302
    assert client.get("/cart").context["cart"].count == 2


def test_a_neighbours_cart_is_worth_nothing_here(world: World) -> None:
    client = visitor(world.a)
    fill_cart(client, world.a)
    neighbour = visitor(world.b)
    neighbour.cookies["comanda"] = client.cookies["comanda"].value
    assert neighbour.get("/cart").context["cart"].lines == []
