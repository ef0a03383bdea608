"""Bad input gets a clear 4xx in the contract's shape, and leaves nothing."""

from typing import Any

import pytest
from django.test import Client

from payments.ledger.models import Refund
from shop.menu.models import Product
from shop.orders.models import Order
from tenants.models import Cafeteria
from tenants.scope import tenant_scope
from tests.shop.orders.payments.calls import order_of
from tests.shop.orders.payments.test_reading import in_cash
from tests.world import World

CAFETERIA_POSTS = (
    "/auth/register",
    "/auth/login",
    "/auth/refresh",
    "/products",
    "/products/import",
    "/orders",
    "/payments/create-preference",
    "/auth/logout",
)
PLATFORM_POSTS = ("/auth/register", "/auth/login", "/auth/refresh", "/businesses", "/auth/logout")


def counts(world: World) -> tuple[int, int, int]:
    with tenant_scope(world.a.ref):
        return Order.objects.count(), Product.objects.count(), Cafeteria.objects.count()


def clients(world: World) -> list[tuple[Client, str]]:
    ours = [(world.a.client("owner"), f"/api/v1{path}") for path in CAFETERIA_POSTS]
    return ours + [(world.platform_client(world.owner_a), f"/api/v1{path}") for path in PLATFORM_POSTS]


BODIES = {
    "ten megabytes": (b"x" * 10 * 1024 * 1024, "application/json", {400, 413, 422}),
    "ten megabytes of JSON": (b'{"name": "' + b"x" * 10 * 1024 * 1024 + b'"}', "application/json", {400, 413, 422}),
    "half a JSON": (b'{"items": [', "application/json", {400, 415, 422}),
    "NaN": (b'{"price": NaN, "items": [{"product_id": NaN, "quantity": Infinity}]}', "application/json", {400, 415, 422}),
    "a list": (b"[1, 2]", "application/json", {400, 415, 422}),
    "nothing": (b"", "application/json", {400, 415, 422}),
    "not UTF-8": (b'{"name": "caf\xe9"}', "application/json", {400, 415, 422}),
    "deep nesting": (b"[" * 100_000, "application/json", {400, 413, 415, 422}),
    "NUL": (
        b'{"name": "a\\u0000b", "category": "c", "price": "1", "email": "a\\u0000@b.c", "password": "x\\u0000yyyyyyyy", "full_name": "x"}',
        "application/json",
        {400, 401, 415, 422},
    ),
    "another type": (b"<xml/>", "text/xml", {400, 401, 415, 422}),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_cannot_be_meant(world: World, name: str) -> None:
    body, kind, allowed = BODIES[name]
    before = counts(world)
    for client, path in clients(world):
        response = client.post(path, body, content_type=kind)
        if path.endswith("/logout") and response.status_code == 204:
            continue
        assert response.status_code in allowed, (path, response.status_code, response.content[:200])
        assert response["Content-Type"].startswith("application/json"), path
        assert response.json()["detail"], path
    assert counts(world) == before


@pytest.mark.parametrize("name", [name for name in BODIES if name not in {"nothing", "NaN", "NUL"}])
def test_refunds_that_cannot_be_meant(world: World, name: str) -> None:
    """An object without an amount, and no body at all, mean all of it: the ones that are not among these."""
    body, kind, allowed = BODIES[name]
    payment_id = in_cash(world.a, order_of(world.a))
    response = world.a.client("owner").post(f"/api/v1/payments/{payment_id}/refund", body, content_type=kind)
    assert response.status_code in allowed, response.content[:200]
    assert response.json()["detail"]
    assert not Refund.objects.filter(cafeteria_uuid=world.a.ref.uuid).exists()


@pytest.mark.parametrize("price", ["NaN", "Infinity", "-1", "1e400", "0.001", "99999999999999", "", "abc", None, [], {}])
def test_prices_that_are_none(world: World, price: Any) -> None:
    before = counts(world)
    body = {"name": "Nuevo", "category": "Nueva", "price": price}
    response = world.a.client("owner").post("/api/v1/products", body, content_type="application/json")
    assert response.status_code == 422
    assert counts(world) == before


@pytest.mark.parametrize(
    "path", ["/%00", "/p/%00", "/?q=%00", "/api/v1/products?x=%00", "/o/%00", "/api/v1/orders/%00", "/api/v1/payments/%00", "/media/%00"]
)
def test_nul_in_an_address(world: World, path: str) -> None:
    assert 400 <= Client(headers={"host": world.a.host}).get(path).status_code < 500


@pytest.mark.parametrize("number", ["0", "-1", str(2**31), str(2**63), str(2**64), "9" * 100, "1.5", "abc", " ", "٣"])
def test_ids_that_cannot_be(world: World, number: str) -> None:
    client = world.a.client("owner")
    for path in (f"/api/v1/orders/{number}", f"/api/v1/payments/{number}", f"/p/{number}"):
        assert client.get(path).status_code in {404, 422}
    for path in (f"/api/v1/businesses/{number}", f"/api/v1/businesses/{number}/products"):
        assert world.platform_client(world.owner_a).get(path).status_code in {404, 422}
    assert client.patch(f"/api/v1/products/{number}", {"stock": 1}, content_type="application/json").status_code in {404, 422}
    assert client.patch(f"/api/v1/orders/{number}/status", {"status": "ready"}, content_type="application/json").status_code in {404, 422}


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 10_000, "Bearer \xff", "x"])
def test_tokens_that_are_none(world: World, header: str) -> None:
    response = Client(headers={"host": world.a.host}).get("/api/v1/auth/me", headers={"authorization": header})
    assert response.status_code == 401
    assert set(response.json()) == {"detail", "code"}


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://evil.example"])
def test_preflight_names_allowed_origins_only(world: World, origin: str) -> None:
    for host in (world.a.host, "localhost:8000"):
        response = Client(headers={"host": host}).options(
            "/api/v1/products", headers={"origin": origin, "access-control-request-method": "POST"}
        )
        assert response.status_code == 200
        assert response.headers.get("Access-Control-Allow-Origin") == ("http://localhost:3000" if "3000" in origin else None)
