from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.shop.pages import HTMX, checkout, fill_cart, order_of, visitor
from tests.world import Place, World


@pytest.fixture
def order(world: World) -> Order:
    client = visitor(world.a)
    fill_cart(client, world.a, quantity=2)
    assert checkout(client, notes="Sin azúcar", where="table", table="4").status_code == 302
    return order_of(world.a)


def shown(client: Client, address: str = "/staff/") -> dict[str, list[int]]:
    return {column.code: [card.order.pk for card in column.cards] for column in client.get(address).context["columns"]}


def tap(client: Client, order: Order, before: str, after: str, **more: str) -> int:
    return client.post(f"/staff/orders/{order.pk}/move", {"from": before, "to": after}, **more).status_code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("role", "status"), [("kitchen", 200), ("cashier", 200), ("manager", 200), ("owner", 200), ("customer", 403), (None, 302)]
)
def test_the_board_is_the_staffs(world: World, order: Order, role: str | None, status: int) -> None:
    client = visitor(world.a, role)
    assert client.get("/staff/").status_code == status
    assert client.get("/staff/state").status_code == status
    assert tap(client, order, "pending", "confirmed") == (302 if status == 200 else status)
    assert order_of(world.a).status == ("confirmed" if status == 200 else "pending")


def test_a_card_says_what_the_kitchen_needs(world: World, order: Order) -> None:
    page = visitor(world.a, "kitchen").get("/staff/").content.decode()
    for said in (f"</span> {order.number}</a></h3>", "Mesa 4 · Ana", "</span> Café", "Sin azúcar", "por pagar", "data-since"):
        assert said in page


def test_an_order_goes_through_the_columns(world: World, order: Order) -> None:
    client = visitor(world.a, "kitchen")
    assert shown(client) == {"new": [order.pk], "work": [], "ready": []}
    tap(client, order, "pending", "confirmed")
    tap(client, order, "confirmed", "preparing")
    assert shown(client) == {"new": [], "work": [order.pk], "ready": []}
    tap(client, order, "preparing", "ready")
    assert shown(client) == {"new": [], "work": [], "ready": [order.pk]}
    assert client.post(f"/staff/orders/{order.pk}/step", {"from": "ready", "to": "completed", "unpaid": "yes"}).status_code == 302
    assert shown(client) == {"new": [], "work": [], "ready": []}


def test_a_second_tap_moves_nothing_further(world: World, order: Order) -> None:
    client = visitor(world.a, "kitchen")
    tap(client, order, "pending", "confirmed")
    answer = client.post(f"/staff/orders/{order.pk}/move", {"from": "pending", "to": "confirmed"}, headers=HTMX)
    assert answer.status_code == 200
    assert "Alguien ya movi\\u00f3 ese pedido." in answer["HX-Trigger"]
    assert order_of(world.a).status == "confirmed"


def test_what_the_machine_forbids_is_said(world: World, order: Order) -> None:
    client = visitor(world.a, "kitchen")
    tap(client, order, "pending", "ready")
    assert order_of(world.a).status == "pending"
    assert "Un pedido no puede pasar" in client.get("/staff/").content.decode()


def test_a_cancelled_order_leaves_the_board_and_gives_its_stock_back(world: World) -> None:
    guest = visitor(world.a)
    guest.post(f"/p/{world.a.cake}/add", {"quantity": 4})
    checkout(guest)
    order = order_of(world.a)
    client = visitor(world.a, "cashier")
    part = client.post(f"/staff/orders/{order.pk}/move", {"from": "pending", "to": "cancelled"}, headers=HTMX)
    assert "<html" not in part.content.decode()
    assert shown(client)["new"] == []
    assert "data-status" not in part.content.decode()
    assert 'value="20"' in client.get("/staff/menu").content.decode()


def test_the_filter_shows_one_channel(world: World, order: Order) -> None:
    cashier = visitor(world.a, "cashier")
    fill_cart(cashier, world.a)
    checkout(cashier)
    everything, counter, online = (shown(cashier, f"/staff/?channel={channel}")["new"] for channel in ("all", "counter", "online"))
    assert online == [order.pk]
    assert sorted(counter + online) == sorted(everything)
    assert len(everything) == 2
    assert shown(cashier, "/staff/?channel=nonsense")["new"] == everything


def test_a_poll_that_finds_nothing_new_is_304(world: World, order: Order) -> None:
    client = visitor(world.a, "kitchen")
    tag = client.get("/staff/").context["tag"]
    assert client.get("/staff/state?channel=all", headers={"If-None-Match": tag}).status_code == 304
    tap(client, order, "pending", "confirmed")
    changed = client.get("/staff/state?channel=all", headers={"If-None-Match": tag})
    assert (changed.status_code, changed["ETag"] == tag) == (200, False)


def test_the_board_costs_the_same_queries_with_one_and_with_ten_orders(world: World, order: Order) -> None:
    client = visitor(world.a, "kitchen")

    def queries() -> int:
        with CaptureQueriesContext(connection) as found:
            client.get("/staff/")
        return len(found)

    one = queries()
    guest = visitor(world.a)
    for _ in range(9):
        fill_cart(guest, world.a)
        checkout(guest)
    assert queries() == one


def test_an_order_that_waits_too_long_is_marked(world: World, order: Order) -> None:
    client = visitor(world.a, "kitchen")
    assert "order-late" not in client.get("/staff/").content.decode()
    with tenant_scope(world.a.ref):
        Order.objects.update(created_at=timezone.now() - timedelta(minutes=4))
    assert "order-late" in client.get("/staff/").content.decode()


def test_a_neighbours_order_cannot_be_moved(world: World, order: Order) -> None:
    def at(place: Place) -> Callable[[], int]:
        return lambda: tap(visitor(place, "owner"), order, "pending", "confirmed")

    at(world.b)()
    assert order_of(world.a).status == "pending"
