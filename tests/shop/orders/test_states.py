from typing import Any

import pytest

from tenants.pulse import read_pulse
from tests.shop.orders.test_placing import place
from tests.world import World

STATES = ("pending", "confirmed", "preparing", "ready", "completed", "cancelled")
PATHS = {
    "pending": (),
    "confirmed": ("confirmed",),
    "preparing": ("confirmed", "preparing"),
    "ready": ("confirmed", "ready"),
    "completed": ("confirmed", "completed"),
    "cancelled": ("cancelled",),
}
ALLOWED = {
    "pending": {"confirmed", "cancelled"},
    "confirmed": {"preparing", "ready", "completed", "cancelled"},
    "preparing": {"ready", "cancelled"},
    "ready": {"completed", "cancelled"},
    "completed": set(),
    "cancelled": set(),
}


def move(world: World, order_id: int, status: str, role: str = "cashier") -> Any:
    return world.a.client(role).patch(f"/api/v1/orders/{order_id}/status", {"status": status}, content_type="application/json")


def order_in(world: World, state: str) -> int:
    order_id: int = place(world.a, "customer", world.a.order()).json()["id"]
    for step in PATHS[state]:
        assert move(world, order_id, step).status_code == 200
    return order_id


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_the_machine_allows_what_the_contract_says_and_nothing_else(world: World, before: str, after: str) -> None:
    response = move(world, order_in(world, before), after)
    if after in ALLOWED[before]:
        assert (response.status_code, response.json()["status"]) == (200, after)
    else:
        assert response.status_code == 400
        assert response.json() == {"detail": f"Invalid transition from {before} to {after}.", "code": "invalid_transition"}


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("manager", 200), ("cashier", 200), ("kitchen", 200), ("customer", 403), ("customer2", 403)]
)
def test_only_the_staff_moves_orders(world: World, role: str, status: int) -> None:
    assert move(world, order_in(world, "pending"), "confirmed", role).status_code == status


def test_an_unknown_status_is_invalid_and_an_unknown_order_is_not_found(world: World) -> None:
    assert move(world, order_in(world, "pending"), "eaten").status_code == 422
    assert move(world, 999999, "confirmed").status_code == 404
    assert world.a.client().patch("/api/v1/orders/1/status", {"status": "ready"}, content_type="application/json").status_code == 401


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ["customer", "customer2", "cashier"])
def test_who_may_cancel_when(world: World, state: str, role: str) -> None:
    response = world.a.client(role).delete(f"/api/v1/orders/{order_in(world, state)}")
    if role == "customer2":
        assert response.status_code == 404
    elif (role == "customer" and state == "pending") or (role == "cashier" and state not in {"completed", "cancelled"}):
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    else:
        assert (response.status_code, response.json()["code"]) == (400, "cannot_cancel")
        assert response.json()["detail"].startswith("Cannot cancel")


def test_every_change_bumps_the_pulse(world: World) -> None:
    order_id = order_in(world, "pending")
    for step, status in enumerate(("confirmed", "preparing", "ready", "completed"), start=1):
        before = read_pulse(world.a.ref)
        move(world, order_id, status)
        assert read_pulse(world.a.ref).orders == before.orders + 1, step


def test_lists_are_ones_own_or_the_staffs_and_page_with_a_cursor(world: World) -> None:
    mine = [place(world.a, "customer", world.a.order()).json()["id"] for _ in range(3)]
    other = place(world.a, "customer2", world.a.order()).json()["id"]
    own = world.a.client("customer").get("/api/v1/orders").json()
    assert ([order["id"] for order in own["items"]], own["next"]) == (mine[::-1], None)
    first = world.a.client("kitchen").get("/api/v1/orders?limit=2").json()
    assert [order["id"] for order in first["items"]] == [other, mine[2]]
    second = world.a.client("kitchen").get("/api/v1/orders", {"limit": 2, "cursor": first["next"]}).json()
    assert ([order["id"] for order in second["items"]], second["next"]) == ([mine[1], mine[0]], None)
    assert world.a.client().get("/api/v1/orders").status_code == 401
    assert world.a.client("kitchen").get("/api/v1/orders?cursor=%FF%00").status_code == 400
    assert world.a.client("kitchen").get("/api/v1/orders?cursor=abc").status_code == 400


def test_lists_filter_by_status_and_business_day(world: World) -> None:
    order_in(world, "ready")
    pending = place(world.a, "customer", world.a.order()).json()
    staff = world.a.client("cashier")
    assert [order["id"] for order in staff.get("/api/v1/orders?status=pending").json()["items"]] == [pending["id"]]
    assert len(staff.get("/api/v1/orders", {"date": pending["business_date"]}).json()["items"]) == 2
    assert staff.get("/api/v1/orders?date=2001-01-01").json()["items"] == []
    assert staff.get("/api/v1/orders?status=nope").status_code == 422


@pytest.mark.parametrize("rows", [1, 3])
def test_a_page_of_orders_costs_the_same_queries_at_1_and_3_rows(world: World, rows: int, django_assert_max_num_queries: Any) -> None:
    for _ in range(rows):
        place(world.a, "customer", world.a.order())
    client = world.a.client("cashier")
    with django_assert_max_num_queries(7):
        assert len(client.get("/api/v1/orders").json()["items"]) == rows
