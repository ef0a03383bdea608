from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from shop.menu.models import Category, Product
from shop.orders.models import DayCounter, Order, OrderEvent, OrderItem
from tenants.models import Cafeteria
from tenants.pulse import read_pulse
from tenants.scope import tenant_scope
from tests.world import Place, World


def place(where: Place, role: str | None, body: dict[str, Any], **headers: str) -> Any:
    return where.client(role).post("/api/v1/orders", body, content_type="application/json", headers=headers)


def test_an_order_has_the_shape_of_the_contract(world: World) -> None:
    a = world.a
    lines = [
        {"product_id": a.latte, "quantity": 2, "choices": [a.sizes[1], a.milks[0]], "notes": "tibio"},
        {"product_id": a.cake, "quantity": 1},
    ]
    response = place(a, "customer", {"items": lines, "notes": "gracias", "table": "5", "tip": "100.00"})
    assert response.status_code == 201
    order = response.json()
    first, second = order.pop("items")
    created, updated, secret = order.pop("created_at"), order.pop("updated_at"), order.pop("secret")
    assert order == {
        "id": order["id"],
        "number": 1,
        "business_id": a.ref.id,
        "business_date": order["business_date"],
        "status": "pending",
        "payment_status": "pending",
        "channel": "online",
        "subtotal": "6300.50",
        "tip": "100.00",
        "total": "6400.50",
        "paid": "0.00",
        "refunded": "0.00",
        "currency": "ARS",
        "notes": "gracias",
        "pickup_at": None,
        "table": "5",
    }
    assert first == {
        "id": first["id"],
        "product_id": a.latte,
        "name": f"Latte {a.canary}",
        "quantity": 2,
        "unit_price": "1900.00",
        "choices": [
            {"id": a.sizes[1], "group": "Tamaño", "name": "Grande", "price_delta": "250.00"},
            {"id": a.milks[0], "group": "Leche", "name": "Avena", "price_delta": "150.00"},
        ],
        "subtotal": "3800.00",
        "notes": "tibio",
    }
    assert (second["unit_price"], second["choices"], second["subtotal"]) == ("2500.50", [], "2500.50")
    assert created == updated
    assert created.endswith("-03:00")
    assert len(secret) >= 20


def test_what_is_answered_is_what_is_stored(world: World) -> None:
    placed = place(world.a, "customer", world.a.order(tip="50")).json()
    read = world.a.client("customer").get(f"/api/v1/orders/{placed['id']}").json()
    assert read == placed
    with tenant_scope(world.a.ref):
        assert list(OrderEvent.objects.filter(order_id=placed["id"]).values_list("kind", "actor_id")) == [
            ("placed", world.a.people["customer"])
        ]


def test_stock_is_taken_and_given_back_on_cancel(world: World) -> None:
    placed = place(
        world.a, "customer", {"items": [{"product_id": world.a.cake, "quantity": 3}, {"product_id": world.a.cake, "quantity": 2}]}
    ).json()
    with tenant_scope(world.a.ref):
        assert Product.objects.get(pk=world.a.cake).stock == 15
    cancelled = world.a.client("customer").delete(f"/api/v1/orders/{placed['id']}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    with tenant_scope(world.a.ref):
        assert Product.objects.get(pk=world.a.cake).stock == 20


def test_numbers_follow_one_another_and_a_refused_order_takes_none(world: World) -> None:
    numbers = [place(world.a, "customer", world.a.order()).json()["number"] for _ in range(2)]
    refused = place(world.a, "customer", {"items": [{"product_id": world.a.cake, "quantity": 21}]})
    assert refused.status_code == 400
    assert refused.json() == {"detail": f"Not enough stock of Torta {world.a.canary}: 20 left.", "code": "out_of_stock"}
    numbers.append(place(world.a, "customer", world.a.order()).json()["number"])
    assert numbers == [1, 2, 3]
    with tenant_scope(world.a.ref):
        assert list(DayCounter.objects.values_list("newest", flat=True)) == [3]


REFUSED = [
    ({"items": [{"product_id": 999999, "quantity": 1}]}, 404, "product_not_found"),
    ({"items": [{"product_id": 2**63, "quantity": 1}]}, 422, "invalid"),
    ({"items": []}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 0}]}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": -1}]}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 100}]}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 10**30}]}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": "NaN"}]}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 1}], "tip": "NaN"}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 1}], "tip": "-1"}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 1}], "tip": "0.001"}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 1}], "tip": "9999999999"}, 422, "amount_too_large"),
    ({"items": [{"product_id": 500, "quantity": 1, "notes": "a\x00b"}]}, 422, "invalid"),
    ({"items": [{"product_id": 500, "quantity": 1}], "table": "x" * 41}, 422, "invalid"),
    ({"items": [{"product_id": 502, "quantity": 1}]}, 422, "invalid_choices"),
    ({"items": [{"product_id": 502, "quantity": 1, "choices": [500, 501]}]}, 422, "invalid_choices"),
    ({"items": [{"product_id": 502, "quantity": 1, "choices": [500, 777]}]}, 422, "unknown_choice"),
    ({"items": [{"product_id": 502, "quantity": 1, "choices": [500, 500]}]}, 422, "unknown_choice"),
    ({"items": [{"product_id": 500, "quantity": 1, "choices": [500]}]}, 422, "unknown_choice"),
    ({"items": [{"product_id": 500, "quantity": 1}], "business_id": 999999}, 404, "business_not_found"),
    ({"items": [{"product_id": 500, "quantity": 1}], "pickup_at": "2020-01-01T10:00:00-03:00"}, 422, "invalid_pickup_time"),
    ({"items": [{"product_id": 500, "quantity": 1}], "pickup_at": "2990-01-01T10:00:00-03:00"}, 422, "invalid_pickup_time"),
    ({"items": [{"product_id": 500, "quantity": 1}], "pickup_at": "2027-01-01T10:00:00"}, 422, "invalid"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
def test_what_cannot_be_ordered_is_refused_and_leaves_nothing(world: World, body: dict[str, Any], status: int, code: str) -> None:
    response = place(world.a, "customer", body)
    assert response.status_code == status
    assert response.json().get("code") == code
    with tenant_scope(world.a.ref):
        assert not Order.objects.exists()
        assert not DayCounter.objects.exists()


def test_the_neighbours_business_id_is_not_found(world: World) -> None:
    response = place(world.a, "customer", world.a.order(business_id=world.b.ref.id))
    assert (response.status_code, response.json()["code"]) == (404, "business_not_found")
    assert place(world.a, "customer", world.a.order(business_id=world.a.ref.id)).status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "code"), [({"is_available": False}, 400, "sold_out"), ({"archived_at": timezone.now()}, 404, "product_not_found")]
)
def test_what_is_off_the_menu_cannot_be_ordered(world: World, change: dict[str, Any], status: int, code: str) -> None:
    with tenant_scope(world.a.ref):
        Product.objects.filter(pk=world.a.coffee).update(**change)
    response = place(world.a, "customer", world.a.order())
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_paused_cafeteria_takes_orders_from_its_staff_only(world: World) -> None:
    Cafeteria.objects.filter(pk=world.a.ref.id).update(accepts_orders=False, revision=world.a.ref.revision + 1)
    response = place(world.a, "customer", world.a.order())
    assert (response.status_code, response.json()["code"]) == (409, "closed")
    assert place(world.a, "cashier", world.a.order()).json()["channel"] == "counter"


def test_a_guest_orders_with_a_name_and_comes_back_with_the_secret(world: World) -> None:
    assert place(world.a, None, world.a.order()).status_code == 401
    order = place(world.a, None, world.a.order(guest={"name": "Ana", "phone": "11 5555"})).json()
    guest = world.a.client()
    assert guest.get(f"/api/v1/orders/{order['id']}").status_code == 404
    assert guest.get(f"/api/v1/orders/{order['id']}?secret={order['secret']}").json() == order
    assert guest.get(f"/api/v1/orders/{order['id']}?secret=wrong").status_code == 404
    assert guest.delete(f"/api/v1/orders/{order['id']}").status_code == 401
    assert guest.delete(f"/api/v1/orders/{order['id']}?secret={order['secret']}").json()["status"] == "cancelled"


def test_a_bad_token_is_no_guest(world: World) -> None:
    response = place(world.a, None, world.a.order(guest={"name": "Ana"}), authorization="Bearer nonsense")
    assert response.status_code == 401


def test_the_same_key_and_body_get_the_first_answer_again(world: World) -> None:
    first = place(world.a, "customer", world.a.order(), **{"idempotency-key": "k-1"})
    world.a.client("cashier").patch(f"/api/v1/orders/{first.json()['id']}/status", {"status": "confirmed"}, content_type="application/json")
    again = place(world.a, "customer", world.a.order(), **{"idempotency-key": "k-1"})
    assert (again.status_code, again.content) == (201, first.content)
    other_body = place(world.a, "customer", world.a.order(notes="x"), **{"idempotency-key": "k-1"})
    assert (other_body.status_code, other_body.json()["code"]) == (409, "idempotency_conflict")
    other_person = place(world.a, "customer2", world.a.order(), **{"idempotency-key": "k-1"})
    assert (other_person.status_code, other_person.json()["number"]) == (201, 2)


def test_a_key_of_a_refused_order_can_be_used_again(world: World) -> None:
    refused = place(world.a, "customer", {"items": [{"product_id": world.a.cake, "quantity": 21}]}, **{"idempotency-key": "k-2"})
    assert refused.status_code == 400
    assert place(world.a, "customer", world.a.order(), **{"idempotency-key": "k-2"}).status_code == 201


@pytest.mark.parametrize("key", ["x" * 129, "with space", ""])
def test_a_key_must_be_a_key(world: World, key: str) -> None:
    assert place(world.a, "customer", world.a.order(), **{"idempotency-key": key}).status_code == 422


def test_placing_bumps_the_pulse(world: World) -> None:
    before = read_pulse(world.a.ref)
    place(world.a, "customer", world.a.order())
    after_uncounted = read_pulse(world.a.ref)
    assert after_uncounted == (before.menu, before.orders + 1)
    place(world.a, "customer", {"items": [{"product_id": world.a.cake, "quantity": 1}]})
    assert read_pulse(world.a.ref) == (before.menu + 1, before.orders + 2)


def test_an_order_costs_the_same_queries_at_1_and_at_20_lines(world: World, django_assert_num_queries: Any) -> None:
    with tenant_scope(world.a.ref):
        category = Category.objects.get()
        ids = [Product.objects.create(category=category, name=f"P{n}", price=n, stock=50).pk for n in range(20)]
    client = world.a.client("customer")
    client.get("/api/v1/products")  # the host is now cached
    costs = []
    for lines in (1, 20):
        body = {"items": [{"product_id": product, "quantity": 1} for product in ids[:lines]]}
        # Begin, enter, person, products, place, commit; and leaving early, in the test's own transaction.
        with django_assert_num_queries(7) as queries:
            response = client.post("/api/v1/orders", body, content_type="application/json", headers={"idempotency-key": f"n-{lines}"})
        assert response.status_code == 201
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_the_price_is_the_menus_never_the_requests(world: World) -> None:
    body = {"items": [{"product_id": world.a.coffee, "quantity": 1, "unit_price": "0.01", "price": "0.01"}], "total": "0.01"}
    assert place(world.a, "customer", body).json()["total"] == "1000.00"


def test_lines_remember_whether_their_stock_was_counted(world: World) -> None:
    order = place(
        world.a, "customer", {"items": [{"product_id": world.a.coffee, "quantity": 1}, {"product_id": world.a.cake, "quantity": 1}]}
    ).json()
    with tenant_scope(world.a.ref):
        assert list(OrderItem.objects.filter(order_id=order["id"]).values_list("stock_taken", flat=True)) == [False, True]
        assert Order.objects.get().created_at <= timezone.now() + timedelta(seconds=1)
