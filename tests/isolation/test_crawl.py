"""The generic gate: two cafeterias with identical primary keys; whatever somebody of A asks for, nothing of B shows."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from config.api import cafeteria_api
from payments.ledger.models import Refund
from tenants.scope import tenant_scope
from tests.shop.orders.payments.test_reading import in_cash
from tests.shop.orders.test_placing import place
from tests.world import FIRST_PERSON, FIRST_PRODUCT, PASSWORD, Place, World

ROLES = (None, "customer", "kitchen", "cashier", "manager", "owner")
IDS = {"product_id": FIRST_PRODUCT, "category_id": FIRST_PRODUCT, "person_id": FIRST_PERSON}
BODIES: dict[str, Any] = {
    "/products": {"name": "Nuevo", "category": "Nueva", "price": "10.00"},
    "/products/{product_id}": {"description": "cambiada"},
    "/orders/{order_id}/status": {"status": "confirmed"},
    "/payments/{payment_id}/refund": {"amount": "1.00"},
}


@pytest.fixture
def orders(world: World) -> dict[str, Any]:
    """The same order on both sides, with the same id; B's for the canary, A's for its secret."""
    count_on_from_the_same_id(world)
    ours, theirs = (place(side, "customer", side.order(notes=side.canary)).json() for side in (world.a, world.b))
    assert ours["id"] == theirs["id"]
    paid = {"payment_id": in_cash(world.a, ours), "their_payment_id": in_cash(world.b, theirs)}
    return {"id": ours["id"], "secret": ours["secret"], "their_secret": theirs["secret"], **paid}


def count_on_from_the_same_id(world: World) -> None:
    """Each schema has its own sequence, and other tests have used one more than the other."""
    newest = 0
    for side in (world.a, world.b):
        with tenant_scope(side.ref), connection.cursor() as cursor:
            cursor.execute("SELECT nextval('shop_order_id_seq')")
            newest = max(newest, cursor.fetchone()[0])
    for side in (world.a, world.b):
        with tenant_scope(side.ref), connection.cursor() as cursor:
            cursor.execute("SELECT setval('shop_order_id_seq', %s)", [newest])


def test_no_operation_of_the_api_shows_the_neighbour(world: World, orders: dict[str, Any]) -> None:
    asked = 0
    for path, methods in cafeteria_api.get_openapi_schema(path_prefix="/api/v1/")["paths"].items():
        for method in methods:
            for role in ROLES:
                response = call(world.a, role, method, path, orders)
                assert world.b.canary.encode() not in body_of(response), (role, method, path)
                assert response.status_code < 500, (role, method, path, response.content)
                asked += 1
    assert asked > 100


def call(where: Place, role: str | None, method: str, path: str, orders: dict[str, Any]) -> HttpResponse:
    ids = {**IDS, "order_id": orders["id"], "payment_id": orders["payment_id"]}
    address = re.sub(r"\{(\w+)\}", lambda found: str(ids[found[1]]), path)
    bodies = {**BODIES, "/payments/create-preference": {"order_id": orders["id"], "amount": "1000.00"}}
    body = bodies.get(path.removeprefix("/api/v1"), where.order(guest={"name": "Ana"}))
    more = {} if method == "get" else {"data": body, "content_type": "application/json"}
    response: HttpResponse = getattr(where.client(role), method)(address, **more)
    return response


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else bytes(response.content)


@pytest.mark.parametrize("role", ROLES)
def test_no_page_shows_the_neighbour(world: World, orders: dict[str, Any], role: str | None) -> None:
    browser = signed_in_browser(world.a, role)
    starts = [address for pattern in flat(get_resolver("config.urls_tenant"), "") if (address := filled(pattern, orders))]
    seen = crawl(browser, world.b, starts)
    assert len(seen) > 15
    assert world.a.canary.encode() in seen["/"]


def test_the_neighbours_tracking_page_is_not_found(world: World, orders: dict[str, Any]) -> None:
    browser = Client(headers={"host": world.a.host})
    assert browser.get(f"/o/{orders['secret']}").status_code == 200
    assert browser.get(f"/o/{orders['their_secret']}").status_code == 404


def test_the_neighbours_payment_is_not_found(world: World, orders: dict[str, Any]) -> None:
    """Its id is known and right; the order on this side even has the same number."""
    address = f"/api/v1/payments/{orders['their_payment_id']}"
    for role in ("customer", "cashier", "manager", "owner"):
        assert world.a.client(role).get(address).status_code == 404
        assert world.b.client(role).get(address).status_code == 200
    for secret in (orders["secret"], orders["their_secret"]):
        assert world.a.client().get(f"{address}?secret={secret}").status_code == 404
    for body in ({}, {"amount": "1.00"}):
        assert world.a.client("owner").post(f"{address}/refund", body, content_type="application/json").status_code == 404
    assert orders["their_payment_id"] not in world.a.client("owner").get("/api/v1/payments").content.decode()
    assert not Refund.objects.filter(payment_id=orders["their_payment_id"]).exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", ""), ("get", "/{payment_id}"), ("post", "/{payment_id}/refund"), ("post", "/create-preference")],
)
def test_the_neighbours_token_opens_no_payment(world: World, orders: dict[str, Any], method: str, path: str) -> None:
    for token in (world.b.token("owner"), world.platform_token(world.owner_a)):
        client = Client(headers={"host": world.a.host, "authorization": f"Bearer {token}"})
        more = {} if method == "get" else {"data": {"order_id": orders["id"], "amount": "1000.00"}, "content_type": "application/json"}
        address = f"/api/v1/payments{path.format(payment_id=orders['payment_id'])}?secret={orders['secret']}"
        assert getattr(client, method)(address, **more).status_code == 401


def signed_in_browser(where: Place, role: str | None) -> Client:
    browser = Client(headers={"host": where.host})
    if role is not None:
        response = browser.post("/sign-in", {"email": f"{role}@people.test", "password": PASSWORD})
        assert response.status_code == 302, response.content
    return browser


def flat(resolver: URLResolver, prefix: str) -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from flat(pattern, route)


def filled(route: str, orders: dict[str, Any]) -> str:
    """The route with what it asks for; empty for what is not a page of ours."""
    values = {**IDS, "order_id": orders["id"], "secret": orders["secret"], "payment_id": orders["payment_id"]}
    values |= {"charge_id": 1, "day": "2026-01-31", "name": "x"}
    if route.startswith(("api/", "health", "metrics")):
        return ""
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(values[found[1]]), route)


def crawl(browser: Client, other: Place, starts: list[str]) -> dict[str, bytes]:
    """Every page that can be reached by a link from the starts, and that none shows the other's canary."""
    waiting = list(starts)
    seen: dict[str, bytes] = {}
    while waiting and len(seen) < 200:
        address = waiting.pop()
        if address in seen:
            continue
        response = browser.get(address)
        assert response.status_code < 500, address
        seen[address] = body_of(response)
        assert other.canary.encode() not in seen[address], address
        waiting += [
            link
            for link in re.findall(r'(?:href|hx-get|action)="(/[^"#]*)', seen[address].decode(errors="ignore"))
            if "/static/" not in link
        ]
    return seen


@pytest.mark.parametrize("role", ["customer", "manager", "owner"])
def test_tokens_and_cookies_of_one_are_refused_by_the_other(world: World, role: str) -> None:
    assert world.a.people == world.b.people
    token = world.a.token(role)
    for host in (world.b.host, "localhost:8000"):
        assert Client(headers={"host": host, "authorization": f"Bearer {token}"}).get("/api/v1/auth/me").status_code == 401
    platform = world.platform_token(world.owner_a)
    assert Client(headers={"host": world.a.host, "authorization": f"Bearer {platform}"}).get("/api/v1/auth/me").status_code == 401
    browser = signed_in_browser(world.a, role)
    assert browser.get("/account").status_code == 200
    for host in (world.b.host, "localhost:8000"):
        carried = Client(headers={"host": host})
        carried.cookies.load({name: cookie.value for name, cookie in browser.cookies.items()})
        response = carried.get("/account" if host == world.b.host else "/home")
        assert (response.status_code, response["Location"].split("?")[0]) == (302, "/sign-in")


def test_a_csrf_secret_of_one_is_refused_by_the_other(world: World) -> None:
    browser = Client(headers={"host": world.a.host}, enforce_csrf_checks=True)
    page = browser.get("/sign-in").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    form = {"email": "customer@people.test", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    for host in (world.b.host, "localhost:8000"):
        carried = Client(headers={"host": host}, enforce_csrf_checks=True)
        carried.cookies.load({name: cookie.value for name, cookie in browser.cookies.items()})
        assert carried.post("/sign-in", form).status_code == 403
    assert browser.post("/sign-in", form).status_code == 302


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "nobody.localhost:8000"},
        {"host": "evil.example"},
        {"host": "luna.localhost.evil.example"},
        {"host": "a.luna.localhost"},
        {"host": "luna_x.localhost"},
        {"host": "[::1]:8000"},
        {"host": "x" * 300 + ".localhost"},
        {"host": ""},
    ],
)
def test_forged_hosts_find_no_cafeteria(world: World, headers: dict[str, str]) -> None:
    for path in ("/", "/api/v1/products"):
        response = Client(headers=headers).get(path)
        assert response.status_code == 404
        assert world.a.canary.encode() not in response.content


@pytest.mark.parametrize("host", ["LUNA.localhost:8000", "luna.localhost.", "luna.LOCALHOST:1", "luna.localhost"])
def test_ways_to_write_the_same_host(world: World, host: str) -> None:
    assert world.a.canary.encode() in Client(headers={"host": host}).get("/api/v1/products").content


def test_a_forwarded_host_counts_for_nothing(world: World) -> None:
    client = Client(headers={"host": world.a.host, "x-forwarded-host": world.b.host, "forwarded": f"host={world.b.host}"})
    body = client.get("/api/v1/products").content
    assert world.a.canary.encode() in body
    assert world.b.canary.encode() not in body
