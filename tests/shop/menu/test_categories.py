from typing import Any

import pytest
from django.test import Client

from shop.menu import actions
from shop.menu.models import Category, Product
from tenants.scope import tenant_scope
from tests.world import World

CATEGORIES, PRODUCTS = "/api/v1/categories", "/api/v1/products"
JSON: dict[str, Any] = {"content_type": "application/json"}


@pytest.fixture
def manager(world: World) -> Client:
    return world.a.client("manager")


def names(client: Client) -> list[str]:
    return [category["name"] for category in client.get(CATEGORIES).json()]


def new(client: Client, name: str) -> int:
    response = client.post(CATEGORIES, {"name": name}, **JSON)
    assert response.status_code == 201, response.content
    category: dict[str, Any] = response.json()
    return int(category["id"])


def test_categories_come_last_when_new_and_can_be_put_in_order(manager: Client, world: World) -> None:
    drinks = f"Bebidas {world.a.canary}"
    one, two = new(manager, " Uno "), new(manager, "Dos")
    assert names(manager) == [drinks, "Uno", "Dos"]
    response = manager.post(f"{CATEGORIES}/reorder", {"ids": [two, one, two]}, **JSON)
    assert [category["name"] for category in response.json()] == ["Dos", "Uno", drinks] == names(manager)
    assert manager.post(f"{CATEGORIES}/reorder", {"ids": [two, 9999]}, **JSON).status_code == 404


def test_the_menu_follows_the_order_of_its_categories(manager: Client, world: World) -> None:
    other = new(manager, "Otra")
    manager.post(PRODUCTS, {"name": "Nuevo", "category": "Otra", "price": 1}, **JSON)
    assert manager.get(PRODUCTS).json()[-1]["name"] == "Nuevo"
    manager.post(f"{CATEGORIES}/reorder", {"ids": [other]}, **JSON)
    assert manager.get(PRODUCTS).json()[0]["name"] == "Nuevo"


def test_a_renamed_category_takes_its_products_along(manager: Client, world: World) -> None:
    response = manager.patch(f"{CATEGORIES}/500", {"name": "Para beber"}, **JSON)
    assert (response.status_code, response.json()["name"]) == (200, "Para beber")
    assert {product["category"] for product in manager.get(PRODUCTS).json()} == {"Para beber"}


def test_a_name_is_used_once(manager: Client) -> None:
    one = new(manager, "Uno")
    new(manager, "Dos")
    taken = manager.post(CATEGORIES, {"name": "Dos"}, **JSON)
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    taken = manager.patch(f"{CATEGORIES}/{one}", {"name": "Dos"}, **JSON)
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert manager.patch(f"{CATEGORIES}/{one}", {"name": "Uno"}, **JSON).status_code == 200


def test_only_an_empty_category_can_be_deleted(manager: Client, world: World) -> None:
    refused = manager.delete(f"{CATEGORIES}/500")
    assert (refused.status_code, refused.json()["code"]) == (409, "category_not_empty")
    empty = new(manager, "Vacía")
    assert manager.delete(f"{CATEGORIES}/{empty}").status_code == 204
    assert manager.delete(f"{CATEGORIES}/{empty}").status_code == 404
    with tenant_scope(world.a.ref):
        assert not Category.objects.filter(pk=empty).exists()


def test_a_category_of_archived_products_leaves_and_comes_back_by_its_name(manager: Client, world: World) -> None:
    body = {"name": "Nuevo", "category": "Otra", "price": 1}
    product = manager.post(PRODUCTS, body, **JSON).json()
    [other] = [category["id"] for category in manager.get(CATEGORIES).json() if category["name"] == "Otra"]
    manager.delete(f"{PRODUCTS}/{product['id']}")
    assert manager.delete(f"{CATEGORIES}/{other}").status_code == 204
    assert "Otra" not in names(manager)
    assert manager.patch(f"{CATEGORIES}/{other}", {"name": "X"}, **JSON).status_code == 404
    manager.post(PRODUCTS, body, **JSON)
    assert names(manager)[-1] == "Otra"
    with tenant_scope(world.a.ref):
        assert Category.objects.get(name="Otra").pk == other


def test_the_name_of_a_category_that_has_left_is_free_for_another(world: World) -> None:
    with tenant_scope(world.a.ref):
        gone = actions.create_product(name="Nuevo", category="Otra", price=Product.objects.get(pk=world.a.coffee).price)
        actions.archive_product(product_id=gone.pk)
        actions.delete_category(category_id=gone.category_id)
        actions.rename_category(category_id=500, name="Otra")
        assert list(Category.objects.values_list("id", "name")) == [(500, "Otra")]
        assert Product.objects.get(pk=gone.pk).category_id == 500


@pytest.mark.parametrize("name", ["", "  ", "a" * 81, "a\x00", "a\x1b", None, 5, []])
def test_what_is_no_name_is_refused(manager: Client, name: object) -> None:
    assert manager.post(CATEGORIES, {"name": name}, **JSON).status_code == 422
    assert manager.patch(f"{CATEGORIES}/500", {"name": name}, **JSON).status_code == 422


@pytest.mark.parametrize(("path", "status"), [("9999", 404), ("0", 404), ("-5", 404), (str(2**63), 422), ("x", 422)])
def test_an_id_that_is_none_is_refused(manager: Client, path: str, status: int) -> None:
    assert manager.patch(f"{CATEGORIES}/{path}", {"name": "X"}, **JSON).status_code == status
    assert manager.delete(f"{CATEGORIES}/{path}").status_code == status
