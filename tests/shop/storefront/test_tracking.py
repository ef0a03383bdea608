import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from core.identity.callers import Caller
from shop.menu.actions import archive_product
from shop.orders.actions import change_status
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.shop.pages import checkout, fill_cart, fresh, order_of, visitor
from tests.world import Place, World


def cook(place: Place) -> Caller:
    return Caller(
        kind="person",
        id=place.people["kitchen"],
        email="kitchen@people.test",
        full_name="cook",
        role="kitchen",
        session_id=place.sessions["kitchen"],
        token_version=1,
    )


def move(place: Place, order: Order, *statuses: str) -> None:
    with tenant_scope(fresh(place)):
        for status in statuses:
            change_status(order_id=order.pk, status=status, actor=cook(place))


@pytest.fixture
def guest(world: World) -> Client:
    client = visitor(world.a)
    fill_cart(client, world.a, quantity=2)
    assert checkout(client).status_code == 302
    return client


@pytest.fixture
def order(world: World, guest: Client) -> Order:
    return order_of(world.a)


def test_the_page_shows_the_number_and_the_steps_to_anybody_with_the_address(world: World, order: Order) -> None:
    response = visitor(world.a).get(f"/o/{order.secret}")
    page = response.content.decode()
    assert f"<span>{order.number}</span>" in page
    assert [step[0] for step in response.context["steps"]] == ["now", "next", "next", "next", "next"]
    assert response["Referrer-Policy"] == "same-origin"
    assert response["X-Robots-Tag"] == "noindex"


@pytest.mark.parametrize(
    ("statuses", "states"),
    [
        (("confirmed",), ["done", "now", "next", "next", "next"]),
        (("confirmed", "preparing", "ready"), ["done", "done", "done", "now", "next"]),
        (("confirmed", "completed"), ["done", "done", "done", "done", "done"]),
        (("confirmed", "cancelled"), ["done", "done", "now"]),
    ],
)
def test_the_steps_follow_the_order(world: World, order: Order, statuses: tuple[str, ...], states: list[str]) -> None:
    move(world.a, order, *statuses)
    response = visitor(world.a).get(f"/o/{order.secret}")
    assert [step[0] for step in response.context["steps"]] == states
    assert ("data-poll" in response.content.decode()) == (statuses[-1] not in {"completed", "cancelled"})


@pytest.mark.parametrize("secret", ["nothing", "x" * 200])
def test_a_wrong_address_is_not_found(world: World, order: Order, secret: str) -> None:
    assert visitor(world.a).get(f"/o/{secret}").status_code == 404
    assert visitor(world.a).get(f"/o/{secret}/state").status_code == 404


def test_a_neighbours_address_is_not_found(world: World, order: Order) -> None:
    assert visitor(world.b).get(f"/o/{order.secret}").status_code == 404


def test_a_poll_that_finds_nothing_new_costs_one_query(world: World, order: Order) -> None:
    client = visitor(world.a)
    tag = client.get(f"/o/{order.secret}/state")["ETag"]
    client.get(f"/o/{order.secret}")
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(f"/o/{order.secret}/state", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content, len(queries)) == (304, b"", 1)


def test_a_poll_after_a_change_brings_the_new_state(world: World, order: Order) -> None:
    client = visitor(world.a)
    tag = client.get(f"/o/{order.secret}/state")["ETag"]
    move(world.a, order, "confirmed")
    answer = client.get(f"/o/{order.secret}/state", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer["ETag"] != tag
    assert "Aceptado" in answer.content.decode()
    assert "<html" not in answer.content.decode()


def test_the_page_says_from_which_state_it_polls(world: World, order: Order) -> None:
    client = visitor(world.a)
    tag = client.get(f"/o/{order.secret}").context["tag"]
    assert client.get(f"/o/{order.secret}/state", headers={"If-None-Match": tag}).status_code == 304


def test_a_guest_cancels_while_nobody_has_taken_the_order_up(world: World, guest: Client, order: Order) -> None:
    assert "Cancelar el pedido" in guest.get(f"/o/{order.secret}").content.decode()
    assert guest.post(f"/o/{order.secret}/cancel").status_code == 302
    assert order_of(world.a).status == "cancelled"
    assert "Este pedido se canceló" in guest.get(f"/o/{order.secret}").content.decode()


def test_a_guest_cannot_cancel_what_is_being_prepared(world: World, guest: Client, order: Order) -> None:
    move(world.a, order, "confirmed")
    assert guest.post(f"/o/{order.secret}/cancel").status_code == 302
    assert order_of(world.a).status == "confirmed"
    assert "ya empezó a prepararlo" in guest.get(f"/o/{order.secret}").content.decode()


def test_the_same_again_fills_the_cart_with_what_there_still_is(world: World, guest: Client, order: Order) -> None:
    assert guest.post(f"/o/{order.secret}/again")["Location"] == "/cart"
    assert guest.get("/cart").context["cart"].count == 2
    with tenant_scope(world.a.ref):
        archive_product(product_id=world.a.coffee)
    other = visitor(world.a)
    other.post(f"/o/{order.secret}/again")
    page = other.get("/cart")
    assert page.context["cart"].lines == []
    assert "no está en el menú hoy" in page.content.decode()


def test_a_person_sees_their_own_orders_only(world: World, order: Order) -> None:
    client = visitor(world.a, "customer")
    fill_cart(client, world.a)
    checkout(client)
    page = client.get("/account/orders")
    assert [found.customer_id for found in page.context["orders"]] == [world.a.people["customer"]]
    assert "Todavía no hay pedidos" in visitor(world.a, "customer2").get("/account/orders").content.decode()
    assert visitor(world.a).get("/account/orders")["Location"].startswith("/sign-in")


def test_older_orders_are_a_page_further(world: World) -> None:
    client = visitor(world.a, "customer")
    for _ in range(21):
        fill_cart(client, world.a)
        checkout(client)
    page = client.get("/account/orders")
    assert len(page.context["orders"]) == 20
    assert len(client.get(f"/account/orders?before={page.context['more']}").context["orders"]) == 1
    assert client.get("/account/orders?before=abc").status_code == 200
