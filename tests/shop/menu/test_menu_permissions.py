"""Who may do what with the menu, as a table: every role at every operation."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from tests.world import Place, World

type Call = Callable[[Client, Place], Any]

API = "/api/v1"
CSV = "category,name,description,price,stock,tags,allergens,options\nC,P,,1,,,,\n"
JSON: dict[str, Any] = {"content_type": "application/json"}
NEW = {"name": "Nuevo", "category": "Otra", "price": "1.00"}

OPERATIONS: dict[str, tuple[Call, int]] = {
    "list products": (lambda client, _: client.get(f"{API}/products"), 200),
    "list categories": (lambda client, _: client.get(f"{API}/categories"), 200),
    "create product": (lambda client, _: client.post(f"{API}/products", NEW, **JSON), 201),
    "update product": (lambda client, place: client.patch(f"{API}/products/{place.coffee}", {"stock": 1}, **JSON), 200),
    "archive product": (lambda client, place: client.delete(f"{API}/products/{place.coffee}"), 204),
    "reorder products": (lambda client, place: client.post(f"{API}/products/reorder", {"ids": [place.cake]}, **JSON), 204),
    "import": (lambda client, _: client.post(f"{API}/products/import", CSV, content_type="text/csv"), 200),
    "export": (lambda client, _: client.get(f"{API}/products/export"), 200),
    "set picture": (
        lambda client, place: client.post(f"{API}/products/{place.coffee}/image", {"file": SimpleUploadedFile("x", b"none")}),
        422,
    ),
    "remove picture": (lambda client, place: client.delete(f"{API}/products/{place.coffee}/image"), 200),
    "create category": (lambda client, _: client.post(f"{API}/categories", {"name": "Otra"}, **JSON), 201),
    "rename category": (lambda client, _: client.patch(f"{API}/categories/500", {"name": "Otra"}, **JSON), 200),
    "reorder categories": (lambda client, _: client.post(f"{API}/categories/reorder", {"ids": [500]}, **JSON), 200),
    "delete category": (lambda client, _: client.delete(f"{API}/categories/500"), 409),
}
FOR_ANYONE = {"list products", "list categories"}
ALLOWED = {"owner", "manager"}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("role", [None, "customer", "kitchen", "cashier", "manager", "owner"])
def test_the_menu_is_read_by_anyone_and_written_by_managers(world: World, role: str | None, operation: str) -> None:
    call, done = OPERATIONS[operation]
    response = call(world.a.client(role), world.a)
    if operation in FOR_ANYONE or role in ALLOWED:
        assert response.status_code == done, response.content
    else:
        assert (response.status_code, response.json()["code"]) == ((401, "not_signed_in") if role is None else (403, "not_allowed"))


@pytest.mark.parametrize("operation", sorted(OPERATIONS.keys() - FOR_ANYONE))
def test_a_neighbours_owner_is_nobody_here(world: World, operation: str) -> None:
    place = world.a
    stranger = Client(headers={"host": place.host, "authorization": f"Bearer {world.b.token('owner')}"})
    before = place.client().get(f"{API}/products").json()
    response: HttpResponse = OPERATIONS[operation][0](stranger, place)
    assert response.status_code == 401
    assert place.client().get(f"{API}/products").json() == before
