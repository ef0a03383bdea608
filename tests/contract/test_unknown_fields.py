"""A misspelt field is never passed over: where money moves no unknown field is, elsewhere none that resembles a known one."""

from typing import Any

import pytest

from core import http
from core.http import Body
from payments.ledger.models import Refund
from shop.orders.models import Order
from tenants.scope import tenant_scope
from tests.shop.orders.payments.calls import order_of
from tests.shop.orders.payments.test_reading import in_cash
from tests.world import World


@pytest.mark.parametrize("field", ["amuont", "Amount", "sum", "payment_id", ""])
def test_a_refund_with_an_unknown_field_refunds_nothing(world: World, field: str) -> None:
    payment_id = in_cash(world.a, order_of(world.a))
    response = world.a.client("owner").post(f"/api/v1/payments/{payment_id}/refund", {field: "1.00"}, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    assert [problem["loc"][-1] for problem in response.json()["detail"]] == [field]
    assert not Refund.objects.filter(cafeteria_uuid=world.a.ref.uuid).exists()


def test_a_checkout_with_an_unknown_field_is_refused(world: World) -> None:
    order = order_of(world.a)
    body = {"order_id": order["id"], "amount": order["total"], "tip": "100.00"}
    response = world.a.client("owner").post("/api/v1/payments/create-preference", body, content_type="application/json")
    assert (response.status_code, response.json()["detail"][0]["loc"][-1]) == (422, "tip")


@pytest.mark.parametrize("field", ["part", "previw", "database_only", "backup"])
def test_a_restore_with_an_unknown_field_is_refused(world: World, field: str) -> None:
    body = {"backup_id": "00000000-0000-4000-8000-000000000000", field: True}
    path = f"/api/v1/ops/businesses/{world.a.ref.id}/restore"
    response = world.platform_client(world.admin).post(path, body, content_type="application/json")
    assert (response.status_code, response.json()["detail"][0]["loc"][-1]) == (422, field)


@pytest.mark.parametrize(
    ("where", "field", "meant"),
    [
        ("order", "tpi", "tip"),
        ("order", "pickup", "pickup_at"),
        ("line", "choises", "choices"),
        ("line", "note", "notes"),
        ("order", "gues", "guest"),
    ],
)
def test_an_order_with_a_misspelt_field_is_refused(world: World, where: str, field: str, meant: str) -> None:
    line: dict[str, Any] = {"product_id": world.a.coffee, "quantity": 1}
    body: dict[str, Any] = {"items": [line]}
    (line if where == "line" else body)[field] = "x"
    with tenant_scope(world.a.ref):
        before = Order.objects.count()
    response = world.a.client("customer").post("/api/v1/orders", body, content_type="application/json")
    assert response.status_code == 422
    assert f"There is no field {field}. Is {meant} meant?" in str(response.json()["detail"])
    with tenant_scope(world.a.ref):
        assert Order.objects.count() == before


def test_what_resembles_no_field_is_passed_over(world: World) -> None:
    """A client may send along what it was given: it counts for nothing."""
    body = {"items": [{"product_id": world.a.coffee, "quantity": 1, "unit_price": "0.01", "x" * 5_000: 1}], "total": "0.01", "id": 1}
    response = world.a.client("customer").post("/api/v1/orders", body, content_type="application/json")
    assert (response.status_code, response.json()["total"]) == (201, "1000.00")


def test_a_body_of_very_many_fields_costs_no_more_than_one_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of them would hold up everybody else's requests for seconds."""
    compared: list[str] = []

    def note(name: str, *_: Any, **__: Any) -> list[str]:
        compared.append(name)
        return []

    monkeypatch.setattr(http, "get_close_matches", note)
    assert Body(**{f"{number:x}": 0 for number in range(10_000)}) == Body()
    assert len(compared) == http.MOST_UNKNOWN


@pytest.mark.parametrize(("field", "meant"), [("Price", "price"), ("stok", "stock"), ("avalable", "available")])
def test_a_change_of_a_product_with_a_misspelt_field_is_refused(world: World, field: str, meant: str) -> None:
    client = world.a.client("manager")
    response = client.patch(f"/api/v1/products/{world.a.cake}", {field: 1}, content_type="application/json")
    assert response.status_code == 422
    assert f"Is {meant} meant?" in str(response.json()["detail"])
